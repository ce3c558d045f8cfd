"""The clutter task: views, cache, loss, figures and table. Tiny arrays, random backbone."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from recipes.clutter.learn import ClutterData, ClutterRecipe, batches, losses_of, train
from recipes.clutter.measure import (
    class_maps,
    look,
    masked_logits,
    native_map,
    scene_figures,
    to_means,
    variation,
)
from recipes.clutter.scenes import (
    COUNTS,
    LARGEST,
    SMALLEST,
    Scene,
    crop_alone,
    draw_scenes,
    place,
    read_scenes,
)
from recipes.clutter.table import END, START, tables
from recipes.features import gather, plain_logits, split_taps, stored
from recipes.pictures import SIZE, HeldOut, Photo, Pictures
from recipes.views import covered
from recipes.weights import prepare, run_name
from viz.errors import PictureError
from viz.models.networks.lite0_attended import Lite0Attended

Data = Callable[..., ClutterData]
Networks = Callable[..., Lite0Attended]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Four red photographs of 224x224 and two blue scenes of 320x240 with an index."""
    for i in range(4):
        Image.new("RGB", (SIZE, SIZE), (200 + i, 0, 0)).save(tmp_path / f"photo{i}.png")
    lines = ["image,split"]
    for i, split in enumerate(("train", "test")):
        Image.new("RGB", (320, 240), (0, 0, 100 + i)).save(tmp_path / f"scene{i}.png")
        lines.append(f"scene{i}.png,{split}")
    (tmp_path / "index.csv").write_text("\n".join(lines))
    return tmp_path


def photos_of(folder: Path) -> list[Photo]:
    return [Photo(folder / f"photo{i}.png", "samples", f"n{i}", i, "") for i in range(4)]


def test_a_scene_is_painted_where_it_says(folder: Path) -> None:
    scene = Scene(2, 0, (0.5, 0.0, 0.8), (30, 100, 110, 180))
    view = np.asarray(scene.paint(photos_of(folder), read_scenes(folder, "train")))
    assert view.shape == (SIZE, SIZE, 3)
    red = view[..., 0] > 150
    assert red[100:180, 30:110].all() and red.sum() == 80 * 80
    share = covered(scene.region, 14)
    assert share.shape == (14, 14) and float(share.sum()) * 16 * 16 == pytest.approx(80 * 80)
    assert float(share[7, 3]) == 1.0 and float(share[0, 0]) == 0.0


def test_without_background_the_picture_stands_alone(folder: Path) -> None:
    view = np.asarray(Scene(1).paint(photos_of(folder), []))
    assert (view[..., 0] == 201).all()
    rng = np.random.default_rng(0)
    crop = crop_alone(rng, [3])
    assert crop.background == -1 and 0.7 <= crop.zoom <= 1.0
    assert np.asarray(crop.paint(photos_of(folder), [])).shape == (SIZE, SIZE, 3)


def test_places_stay_inside_and_repeat() -> None:
    rng = np.random.default_rng(5)
    scenes = [place(rng, [0], backgrounds=9, vary=i % 2 == 0) for i in range(300)]
    for scene in scenes:
        x0, y0, x1, y1 = scene.region
        assert 0 <= x0 < x1 <= SIZE and 0 <= y0 < y1 <= SIZE and SMALLEST <= x1 - x0 == y1 - y0 <= LARGEST
        assert 0 <= scene.background < 9
    assert {s.background for s in scenes} == set(range(9))
    assert all(s.zoom == 1.0 and not s.mirror for s in scenes[1::2])
    again = np.random.default_rng(5)
    assert scenes == [place(again, [0], backgrounds=9, vary=i % 2 == 0) for i in range(300)]


def test_scenes_that_cannot_be_read(tmp_path: Path, folder: Path) -> None:
    assert [p.name for p in read_scenes(folder, "test")] == ["scene1.png"]
    with pytest.raises(PictureError, match="no scene of the split 'val'"):
        read_scenes(folder, "val")
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(PictureError, match=r"has no index\.csv"):
        read_scenes(empty, "test")
    (empty / "index.csv").write_text("image\na.png\n")
    with pytest.raises(PictureError, match="no column 'split'"):
        read_scenes(empty, "test")


def test_views_keep_pools_and_scenes_apart(folder: Path) -> None:
    photos = [Photo(folder / "photo0.png", "samples", f"n{i}", i, "") for i in range(12)]
    held = HeldOut(7, (8,), (9,), (), ())
    pools = {"train": tuple(range(8)), "choose_nette": (6,), "choose_unseen": (8,), "report_nette": (7,)}
    pools |= {"report_unseen": (9,), "report_caltech": (10, 11)}
    pictures = Pictures(photos, list(range(12)), held, pools)
    scenes = {name: [folder / str(i) for i in range(n)] for name, n in (("train", 3), ("val", 4), ("test", 5))}
    counts = dict(zip(COUNTS, (40, 20, 10, 10, 5, 5, 5), strict=True))
    sets = draw_scenes(pictures, counts, scenes)
    assert {v.photo for v in sets["train"].views} <= set(range(8)) and sets["train"].split == "train"
    assert {v.photo for v in sets["report_unseen"].views} == {9} and sets["report_unseen"].split == "test"
    assert {v.photo for v in sets["choose_unseen"].views} == {8} and sets["choose_unseen"].split == "val"
    assert all(v.background == -1 for v in sets["train_alone"].views)
    assert all(c == (v.photo,) for s in sets.values() for v, c in zip(s.views, s.classes, strict=True))
    assert sets == draw_scenes(pictures, counts, scenes)


def test_an_interrupted_cache_continues(tmp_path: Path) -> None:
    asked: list[tuple[int, int]] = []

    def compute(pool: object, start: int, stop: int) -> Tensor:
        asked.append((start, stop))
        if stop > 60 and len(asked) < 40:
            raise KeyboardInterrupt
        return torch.arange(start, stop, dtype=torch.float32)[:, None, None, None].expand(-1, 1, 2, 2)

    with pytest.raises(KeyboardInterrupt):
        stored(tmp_path, "x", (64, 1, 2, 2), compute, batch=3)
    asked[:] = [(0, 0)] * 40
    found = stored(tmp_path, "x", (64, 1, 2, 2), compute, batch=3)
    assert asked[40][0] == 60 and np.array_equal(found[:, 0, 0, 0], np.arange(64))


def test_rows_read_across_arrays(tiny_data: Data) -> None:
    data = tiny_data()
    found = split_taps(gather(data.alone, torch.tensor([0, 40]), torch.device("cpu")))
    assert [t.shape[1] for t in found] == [40, 80, 112]
    assert np.array_equal(torch.cat(found, 1)[1].numpy(), data.alone[1][40 - 32].astype(np.float32))


def test_batches_show_every_view_once(tiny_data: Data) -> None:
    data, recipe = tiny_data(), ClutterRecipe(batch=16, alone=0.25)
    made = list(batches(data, recipe, 0))
    assert all(len(scenes) == 12 and len(alone) == 4 for scenes, alone in made)
    seen = torch.cat([s for s, _ in made])
    assert sorted(seen.tolist()) == list(range(96))
    assert not torch.equal(seen, torch.cat([s for s, _ in batches(data, recipe, 1)]))


def test_held_out_logits_are_not_read(tiny_data: Data, tiny_network: Networks) -> None:
    data, network = tiny_data(held_out=7), tiny_network()
    prepare(network, data.views)
    network.backbone._fc.bias.requires_grad_(True)
    _, parts = losses_of(network, data, ClutterRecipe(), (torch.arange(8), torch.arange(8)))
    (parts["clutter"] + parts["ordinary"]).backward()
    grad = network.backbone._fc.bias.grad
    assert grad is not None and grad[7] == 0 and (grad[8:20] != 0).all()


def test_prepare_standardises(tiny_data: Data, tiny_network: Networks) -> None:
    data, network = tiny_data(), tiny_network()
    prepare(network, data.views)
    some = torch.from_numpy(np.array(data.views)).float()
    assert torch.allclose(network.tap_mean, some.mean(dim=(0, 2, 3)), atol=1e-3)
    assert torch.allclose(network.tap_std, some.std(dim=(0, 2, 3)), rtol=1e-2)


def test_training_lowers_the_loss_and_resumes_equal(tmp_path: Path, tiny_data: Data, tiny_network: Networks) -> None:
    data = tiny_data(48, 32)
    recipe = ClutterRecipe(epochs=3, batch=16, warmup=1, rate=1e-2, keep=1.0)

    def run(epochs_first: int | None, folder: Path) -> tuple[Lite0Attended, list[float]]:
        network = tiny_network()
        prepare(network, data.views)
        if epochs_first is not None:
            # A run that is killed after its first epoch leaves the file of that epoch behind.
            kept = folder / f"{run_name(network, recipe)}.pt"

            class KilledError(Exception):
                pass

            made = 0
            original = torch.optim.AdamW.step

            def step(self: torch.optim.AdamW, *args: object) -> None:
                nonlocal made
                made += 1
                if kept.is_file() and made > 8:
                    raise KilledError
                original(self)

            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(torch.optim.AdamW, "step", step)
                with pytest.raises(KilledError):
                    train(network, data, recipe, folder)
            network = tiny_network()
            prepare(network, data.views)
        curve = train(network, data, recipe, folder)
        return network, curve["clutter"]

    one, losses = run(None, tmp_path / "a")
    two, again = run(1, tmp_path / "b")
    assert len(losses) == 3 and losses[-1] < losses[0]
    # As the code gave them that made the checkpoints: order of random draws, losses and schedule are the same.
    assert losses == pytest.approx([6.906709, 6.906418, 6.906043], abs=5e-5)
    assert again == losses
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), two.parameters(), strict=True))


def test_means_take_away_what_differs_between_pictures(tiny_data: Data, tiny_network: Networks) -> None:
    data, network = tiny_data(24, 16), tiny_network().eval()
    prepare(network, data.views)
    full = look(network, data.views, ("group_gate",))
    gate = full.values["attention.group_gate", 1]
    assert gate.shape == (24, 2, 14, 14)
    with torch.inference_mode():
        seen = look(network, data.views, edits=to_means(full.values, ("group_gate",)))
    assert not torch.equal(seen.logits, full.logits)
    plain = plain_logits(data.views, network.backbone)
    # Gates that rest at 1/2 times the scale of 2 are the plain network.
    half = look(network, data.views, edits={"attention.group_gate": lambda v, s: torch.full_like(v, 0.5)})
    assert torch.allclose(half.logits[-1], plain, atol=2e-3)


@pytest.mark.parametrize(("family", "shape"), [("psa", 14), ("ema", 14), ("vista", 14), ("paka", 14)])
def test_native_maps_are_the_familys_own(family: str, shape: int, tiny_data: Data, tiny_network: Networks) -> None:
    data, network = tiny_data(6, 4), tiny_network(family).eval()
    prepare(network, data.views)
    label = {"psa": "spatial_gate", "ema": "group_gate", "vista": "structured", "paka": "kernel_attention"}[family]
    values = look(network, data.views, (label,)).values
    native = native_map(network, values)
    assert native.shape == (6, shape, shape) and torch.isfinite(native).all()
    if family == "ema":
        assert torch.allclose(native, values["attention.group_gate", 1].mean(dim=1))
    if family == "paka":
        assert torch.allclose(native, values["attention.levels.2.kernel_attention", 3].mean(dim=1))


def test_a_mask_of_ones_is_the_plain_network(tiny_data: Data, tiny_network: Networks) -> None:
    data, network = tiny_data(6, 4), tiny_network().eval()
    prepare(network, data.views)
    scale = float(network.scale)
    ones = masked_logits(network, data.views, torch.ones(6, 14, 14))
    assert torch.allclose(ones, plain_logits(data.views, network.backbone), atol=2e-3)
    assert float(network.scale) == scale
    with torch.inference_mode():
        assert not torch.allclose(look(network, data.views).logits[-1], ones, atol=1e-3)


def test_variation_of_known_gates() -> None:
    same = torch.tensor([[0.0, 1.0], [0.0, 1.0]])
    found = variation(same, [[0], [1]])
    assert found.value == pytest.approx(0.5) and found.between == 0.0
    apart = variation(torch.tensor([[0.0, 0.0], [1.0, 1.0]]), [[0], [1]])
    assert apart.value == 0.0 and apart.between == pytest.approx(0.5)


def test_class_maps_of_known_features() -> None:
    features = torch.zeros(1, 1280, 2, 2)
    features[0, 3, 1, 0] = 2.0
    weights = torch.zeros(1000, 1280)
    weights[5, 3] = 4.0
    maps = class_maps(features.half(), weights, torch.tensor([5]))
    assert maps.tolist() == [[[0.0, 0.0], [8.0, 0.0]]]


def test_figures_of_a_set_have_their_controls(tiny_data: Data, tiny_network: Networks) -> None:
    data, network, control = tiny_data(12, 4), tiny_network().eval(), tiny_network(seed=9).eval()
    for each in (network, control):
        prepare(each, data.views)
    control.backbone.load_state_dict(network.backbone.state_dict())
    rng = np.random.default_rng(0)
    scenes = [replace(place(rng, [i % 5], backgrounds=3, vary=False), photo=i % 5) for i in range(12)]
    classes = plain_logits(data.views, network.backbone).argmax(dim=1)
    rows = scene_figures(network, control, network.backbone, maps=data.views, scenes=scenes, classes=classes)
    found = {name: row.to_dict() for name, row in rows.items()}
    assert found["plain"]["value"] == 1.0  # the classes are plain's own answers
    assert found["gain"]["value"] == pytest.approx(found["top1"]["value"] - 1.0, abs=1e-3)
    assert found["mass_over_area"]["value"] == pytest.approx(found["mass"]["value"] / found["area"]["value"], abs=2e-3)
    for name in ("gates_mean", "random_module", "random_mass_over_area", "perfect_mask", "mean_group_gate"):
        assert np.isfinite(found[name]["value"])
    for source in ("plain_class_map", "class_map", "native"):
        assert all(0 <= found[f"box_{source}_{d}"]["value"] <= 1 for d in (0.3, 0.5, 0.7))


def _cell(value: float) -> dict[str, float]:
    return {"value": value, "low": value - 0.01, "high": value + 0.01, "n": 100}


def synthetic() -> dict[str, object]:
    """Figures of two families with two seeds, in the shape of the measured file."""
    group = {
        name: _cell(0.25)
        for name in ("plain", "top1", "gain", "gates_mean", "gates_loss", "random_module", "mass", "area")
    }
    group |= {"mass_over_area": _cell(1.5), "random_mass_over_area": _cell(1.0)}
    group["variation_native"] = {**_cell(0.1), "between": 0.2}
    group |= {f"box_{s}_{d}": _cell(0.5) for s in ("plain_class_map", "class_map", "native") for d in (0.3, 0.5, 0.7)}
    seed = {
        "unseen": group,
        "nette": group,
        "alone_nette": {"change": _cell(-0.01)},
        "alone_unseen": {"change": _cell(0.0)},
    }
    row = {"seeds": {"0": seed, "1": seed}, "cost": {"parameters": 1234, "added_macs": 1.5, "cpu_ratio": 1.1}}
    return {"rows": {"psa": row, "ema": row}, "scenes": {"test": 233}, "unseen_classes": 200}


def test_table_says_what_was_measured() -> None:
    text = tables(synthetic())
    assert text.startswith(START) and text.endswith(END)
    assert "| `lite0-psa` | 25.0 (24.0 to 26.0) | +25.0 (+24.0 to +26.0) | +25.0, +25.0 |" in text
    assert "1.50 (1.49 to 1.51)" in text and "1,234" in text and "+1.5 M" in text


def test_measured_file_table_and_page_agree() -> None:
    """The table in docs/clutter.md is the one that the measured figures give, and so is the file beside them."""
    root = Path(__file__).parents[2]
    data = json.loads((root / "checkpoints/measured/clutter.json").read_text())
    text = tables(data)
    assert (root / "checkpoints/measured/clutter.md").read_text().strip() == text
    assert text in (root / "docs/clutter.md").read_text()
