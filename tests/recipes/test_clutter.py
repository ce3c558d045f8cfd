"""The clutter task: views, cache, loss, figures and table. Tiny arrays, random backbone."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw
from torch import Tensor

from recipes.backdrops import KINDS, TRAINED, Backdrop, Sources
from recipes.clutter.adapter import adapter_like, parameters
from recipes.clutter.card import bars
from recipes.clutter.learn import ClutterData, ClutterRecipe, batches, losses_of, map_losses_of, train
from recipes.clutter.measure import (
    class_maps,
    look,
    masked_logits,
    native_map,
    ordinary_figures,
    scene_figures,
    to_means,
    untrained_map,
    variation,
)
from recipes.clutter.scenes import (
    COUNTS,
    DECOY_SIDES,
    MOST_DECOYS,
    OVERLAP,
    REPORTED_SIDES,
    TRAINED_SIDES,
    Paste,
    Scene,
    alone,
    covers,
    crop_alone,
    draw_scenes,
    object_mask,
    read_scenes,
    reported,
    trained,
)
from recipes.clutter.table import END, START, tables
from recipes.features import gather, plain_logits, split, stored
from recipes.guides import guides, unlike
from recipes.pictures import SIZE, HeldOut, Photo, Pictures, read_photos, split_pictures
from recipes.views import covered
from recipes.weights import prepare, run_name
from tests.recipes.conftest import LIBRARY, VALLEY
from viz.errors import PictureError
from viz.models.networks.lite0_attended import BOTTOM, TOP, Lite0Attended, resized

Data = Callable[..., ClutterData]
Networks = Callable[..., Lite0Attended]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Four red photographs of 224x224, the mask of a disc, and two blue scenes of 320x240 with an index."""
    for i in range(4):
        Image.new("RGB", (SIZE, SIZE), (200 + i, 0, 0)).save(tmp_path / f"photo{i}.png")
    mask = Image.new("L", (SIZE, SIZE), 0)
    ImageDraw.Draw(mask).ellipse((60, 60, 160, 160), fill=255)
    mask.save(tmp_path / "mask.png")
    lines = ["image,split"]
    for i, purpose in enumerate(("train", "test")):
        Image.new("RGB", (320, 240), (0, 0, 100 + i)).save(tmp_path / f"scene{i}.png")
        lines.append(f"scene{i}.png,{purpose}")
    (tmp_path / "index.csv").write_text("\n".join(lines))
    return tmp_path


def photos_of(folder: Path) -> list[Photo]:
    """Four photographs; the last one has a mask."""
    masks = [None, None, None, folder / "mask.png"]
    return [Photo(folder / f"photo{i}.png", "samples", f"n{i}", i, "", mask=masks[i]) for i in range(4)]


STREET = Backdrop("streets", (0,), 1)


def test_a_scene_is_painted_where_it_says(folder: Path) -> None:
    scene = Scene(Paste((30, 100, 110, 180), 2), STREET)
    view = np.asarray(scene.paint(photos_of(folder), read_scenes(folder, "train")))
    assert view.shape == (SIZE, SIZE, 3)
    red = view[..., 0] > 150
    assert red[100:180, 30:110].all() and red.sum() == 80 * 80
    share = covered(scene.region, 14)
    assert share.shape == (14, 14) and float(share.sum()) * 16 * 16 == pytest.approx(80 * 80)
    assert float(share[7, 3]) == 1.0 and float(share[0, 0]) == 0.0


@pytest.mark.parametrize(("edge", "share"), [("hard", 1.0), ("feathered", 0.6), ("oval", 0.55), ("mask", 0.785)])
def test_every_edge_cuts_out_a_shape(edge: str, share: float, folder: Path) -> None:
    """A picture and a decoy with the same edge change the same pixels: the seam does not tell them apart."""
    photos, scenes = photos_of(folder), read_scenes(folder, "train")
    region, filler = (40, 60, 120, 140), Backdrop("grey", (), 0)
    pasted = Paste(region, 3, edge=edge, shape=3)
    bare = Image.new("RGB", (SIZE, SIZE))
    views = []
    for paste in (pasted, replace(pasted, photo=-1, filler=filler)):
        canvas = bare.copy()
        paste.onto(canvas, photos, scenes)
        views.append(np.asarray(canvas)[..., 0] / np.asarray(canvas).max())
    assert np.abs(views[0] - views[1]).max() < 0.02
    inside = views[0][60:140, 40:120]
    assert views[0].sum() == pytest.approx(inside.sum()) and inside.mean() == pytest.approx(share, abs=0.08)


def test_without_background_the_picture_stands_alone(folder: Path) -> None:
    view = np.asarray(alone(1).paint(photos_of(folder), []))
    assert (view[..., 0] == 201).all()
    rng = np.random.default_rng(0)
    crop = crop_alone(rng, [3])
    assert crop.backdrop is None and 0.7 <= crop.paste.zoom <= 1.0
    assert np.asarray(crop.paint(photos_of(folder), [])).shape == (SIZE, SIZE, 3)


@pytest.mark.parametrize("kind", list(KINDS))
def test_every_kind_of_background_is_painted_again(kind: str, folders: tuple[Path, Path, Path]) -> None:
    photos = read_photos(*folders)
    backdrop = Backdrop(kind, tuple(range(KINDS[kind].sources)), 5)
    one, again = (np.asarray(backdrop.paint(photos, [photos[0].path])) for _ in range(2))
    assert one.shape == (SIZE, SIZE, 3) and np.array_equal(one, again)
    other = np.asarray(replace(backdrop, seed=6).paint(photos, [photos[0].path]))
    assert (kind == "grey") == np.array_equal(one, other)


def test_a_mask_that_is_missing_or_empty(folder: Path) -> None:
    photos = photos_of(folder)
    with pytest.raises(PictureError, match=r"photo0\.png has no mask"):
        object_mask(photos[0])
    Image.new("L", (SIZE, SIZE)).save(folder / "mask.png")
    with pytest.raises(PictureError, match=r"mask of photo3\.png is empty"):
        object_mask(photos[3])


def test_places_stay_inside_and_repeat() -> None:
    sources = Sources(tuple(TRAINED), 9, range(20), (0,))

    def drawn() -> list[Scene]:
        rng = np.random.default_rng(5)
        return [trained(rng, [i % 2], sources) for i in range(300)]

    scenes = drawn()
    for scene in scenes:
        for paste, (low, high) in ((scene.paste, TRAINED_SIDES), *((d, DECOY_SIDES) for d in scene.decoys)):
            x0, y0, x1, y1 = paste.region
            assert 0 <= x0 < x1 <= SIZE and 0 <= y0 < y1 <= SIZE and low <= x1 - x0 == y1 - y0 <= high
            assert (paste.edge == "mask") == (scene.photo == 0) and (paste.shape == 0) == (scene.photo == 0)
        assert all(covers(decoy.region, scene.region) <= OVERLAP for decoy in scene.decoys)
    assert {s.backdrop.kind for s in scenes if s.backdrop} == set(TRAINED)
    assert {len(s.decoys) for s in scenes} == set(range(MOST_DECOYS + 1))
    assert scenes == drawn()


def test_the_report_has_neither_decoys_nor_soft_edges() -> None:
    rng, sources = np.random.default_rng(5), Sources(("photographs",), 0, range(9))
    for scene in (reported(rng, [0], sources) for _ in range(50)):
        x0, y0, x1, y1 = scene.region
        assert REPORTED_SIDES[0] <= x1 - x0 == y1 - y0 <= REPORTED_SIDES[1] and min(x0, y0) >= 0 and max(x1, y1) <= SIZE
        assert scene.paste.edge == "hard" and scene.paste.zoom == 1.0 and not scene.decoys
        assert scene.backdrop is not None and scene.backdrop.kind == "photographs"


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
    photos = [Photo(folder / "photo0.png", "samples", f"n{i}", i, "") for i in range(16)]
    held = HeldOut(7, (8,), (9,), (), ())
    pools = {"train": tuple(range(8)), "choose_nette": (6,), "choose_unseen": (8,), "report_nette": (7,)}
    pools |= {"report_unseen": (9,), "report_caltech": (10, 11), "report_backdrops": (12,), "landscapes": (13,)}
    pictures = Pictures(photos, list(range(16)), held, pools | {"interiors": (14,)})
    scenes = {name: [folder / str(i) for i in range(n)] for name, n in (("train", 3), ("val", 4), ("test", 5))}
    sets = draw_scenes(pictures, dict.fromkeys(COUNTS, 40), scenes)
    assert {v.photo for v in sets["train"].views} <= set(range(8)) and sets["train"].split == "train"
    behind = {
        "streets": (5, None),
        "photographs": (1, 12),
        "landscapes": (1, 13),
        "interiors": (1, 14),
        "grey": (1, None),
    }
    for kind, (count, only) in behind.items():
        found = sets[f"report_unseen_{kind}"]
        assert {v.photo for v in found.views} == {9} and found.split == "test"
        sources = {v.backdrop.sources for v in found.views if v.backdrop}
        assert len(sources) == count and (only is None or sources == {(only,)})
    assert {v.photo for v in sets["choose_unseen_streets"].views} == {8}
    assert sets["choose_unseen_streets"].split == "val"
    assert all(v.backdrop is None for v in sets["train_alone"].views)
    trained_on = {
        i for v in sets["train"].views for b in (v.backdrop, *(d.filler for d in v.decoys)) if b for i in b.sources
    }
    assert trained_on <= set(range(8))
    assert all(c == (v.photo,) for s in sets.values() for v, c in zip(s.views, s.classes, strict=True))
    assert sets == draw_scenes(pictures, dict.fromkeys(COUNTS, 40), scenes)


def test_places_are_backgrounds_of_the_report_alone(folders: tuple[Path, Path, Path]) -> None:
    photos = read_photos(*folders)
    labels = [p.class_index for p in photos]
    pools = split_pictures(photos, labels, HeldOut(7, (), (), (), ())).pools
    assert [labels[i] for i in pools["landscapes"]] == [VALLEY] and [labels[i] for i in pools["interiors"]] == [LIBRARY]
    assert not {*pools["landscapes"], *pools["interiors"]} & {*pools["train"], *pools["report_unseen"]}


def test_an_interrupted_cache_continues(tmp_path: Path) -> None:
    asked: list[int] = []

    def compute(pool: object, start: int, stop: int) -> Tensor:
        asked.append(start)
        if stop > 240 and len(asked) < 90:
            raise KeyboardInterrupt
        return torch.arange(start, stop, dtype=torch.float32)[:, None, None, None].expand(-1, 1, 2, 2)

    with pytest.raises(KeyboardInterrupt):
        stored(tmp_path, "x", (250, 1, 2, 2), compute, batch=3)
    asked[:] = [-1] * 90
    found = stored(tmp_path, "x", (250, 1, 2, 2), compute, batch=3)
    assert asked[90] == 240 and np.array_equal(found[:, 0, 0, 0], np.arange(250))


def test_rows_read_across_arrays(tiny_data: Data) -> None:
    data = tiny_data()
    *found, top = split(gather(data.alone, torch.tensor([0, 40]), torch.device("cpu")))
    assert [t.shape[1] for t in found] == [40, 80, 112] and top.shape == (2, 320, 7, 7)
    both = torch.cat([*found, torch.pixel_shuffle(top, 2)], 1)
    assert np.array_equal(both[1].numpy(), data.alone[1][40 - 32].astype(np.float32))


def test_batches_show_every_view_once(tiny_data: Data) -> None:
    data, recipe = tiny_data(), ClutterRecipe(batch=16, alone=0.25)
    made = list(batches(data, recipe, 0))
    assert all(len(scenes) == 12 and len(alone) == 4 for scenes, alone in made)
    seen = torch.cat([s for s, _ in made])
    assert sorted(seen.tolist()) == list(range(96))
    assert not torch.equal(seen, torch.cat([s for s, _ in batches(data, recipe, 1)]))


def test_ordinary_pictures_of_a_rare_class_are_seen_more_often(tiny_data: Data) -> None:
    data = tiny_data()
    kept = torch.zeros_like(data.kept)
    kept[:, 3], kept[5, 7] = 1.0, 2.0
    skewed, recipe = replace(data, kept=kept), ClutterRecipe()
    seen = torch.cat([alone for epoch in range(40) for _, alone in batches(skewed, recipe, epoch)])
    share = 1 / (1 + math.sqrt(len(kept) - 1))
    assert float((seen == 5).double().mean()) == pytest.approx(share, abs=0.03)


def test_held_out_logits_are_not_read(tiny_data: Data, tiny_network: Networks) -> None:
    data, network = tiny_data(held_out=7), tiny_network()
    prepare(network, data.views)
    network.backbone._fc.bias.requires_grad_(True)
    _, parts = losses_of(network, data, ClutterRecipe(tolerance=0.0), (torch.arange(8), torch.arange(8)))
    (parts["clutter"] + parts["ordinary"]).backward()
    grad = network.backbone._fc.bias.grad
    assert grad is not None and grad[7] == 0 and (grad[8:20] != 0).all()


def test_prepare_standardises(tiny_data: Data, tiny_network: Networks) -> None:
    data, network = tiny_data(), tiny_network()
    prepare(network, data.views)
    with torch.inference_mode():
        some = network.read(split(torch.from_numpy(np.array(data.views)).float()))
    assert [m.shape[1] for m in some] == [40, 80, 112, 1280]
    assert torch.allclose(network.tap_mean, torch.cat([m.mean(dim=(0, 2, 3)) for m in some]), atol=1e-3)
    stds = torch.cat([m.std(dim=(0, 2, 3)) for m in some]).clamp_min(1e-3)
    assert torch.allclose(network.tap_std, stds, rtol=1e-2)


def test_training_lowers_the_loss_and_resumes_equal(tmp_path: Path, tiny_data: Data, tiny_network: Networks) -> None:
    data = tiny_data(48, 32)
    plain: dict[str, float] = {"keep": 1.0, "like_clean": 0.0, "guide": 1.0, "map_epochs": 1}
    recipe = ClutterRecipe(epochs=3, batch=16, warmup=1, rate=1e-2, **plain)  # type: ignore[arg-type]

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
        return network, curve["map"]

    one, losses = run(None, tmp_path / "a")
    two, again = run(1, tmp_path / "b")
    assert len(losses) == 4 and losses[-1] < losses[0]
    # Pinned: the order of random draws, the losses and the schedule are part of the recipe.
    assert losses == pytest.approx([1.45964, 1.15219, 0.52921, 0.49627], abs=2e-4)
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
    taps = split(torch.from_numpy(np.array(data.views)).float())
    plain = network.backbone.head(network.backbone.upper(taps[2])).logits
    # Gates that times the scale give 1 are the plain network.
    neutral = 1 / network.scale_value()
    even = look(network, data.views, edits={"attention.group_gate": lambda v, s: torch.full_like(v, neutral)})
    assert torch.allclose(even.logits[-1], plain, atol=2e-3)


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
    taps = split(torch.from_numpy(np.array(data.views)).float())
    assert torch.allclose(ones, network.backbone.head(network.backbone.upper(taps[2])).logits, atol=2e-3)
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
    adapter = adapter_like(network).eval()
    for each in (network, control, adapter):
        prepare(each, data.views)
        each.backbone.load_state_dict(network.backbone.state_dict())
    rng, sources = np.random.default_rng(0), Sources(("photographs",), 0, range(9))
    scenes = [reported(rng, [i % 5], sources) for i in range(12)]
    classes = plain_logits(data.views, network.backbone).argmax(dim=1)
    rows = scene_figures(
        network, control, network.backbone, maps=data.views, scenes=scenes, classes=classes, adapter=adapter
    )
    found = {name: row.to_dict() for name, row in rows.items()}
    assert found["plain"]["value"] == 1.0  # the classes are plain's own answers
    assert found["gain"]["value"] == pytest.approx(found["top1"]["value"] - 1.0, abs=1e-3)
    over = found["top1"]["value"] - found["adapter"]["value"]
    assert found["over_adapter"]["value"] == pytest.approx(over, abs=1e-3)
    assert found["mass_over_area"]["value"] == pytest.approx(found["mass"]["value"] / found["area"]["value"], abs=2e-3)
    for name in ("gates_mean", "random_module", "random_mass_over_area", "perfect_mask", "mean_group_gate"):
        assert np.isfinite(found[name]["value"])
    for source in ("plain_class_map", "class_map", "native", "untrained", "features"):
        assert all(0 <= found[f"box_{source}_{d}"]["value"] <= 1 for d in (0.3, 0.5, 0.7))


def test_small_things_are_told_apart(tiny_data: Data, tiny_network: Networks) -> None:
    data, network = tiny_data(6, 4), tiny_network().eval()
    prepare(network, data.views)
    boxes = {0: [(0.0, 0.0, 60.0, 60.0)], 2: [(0.0, 0.0, 224.0, 200.0)], 5: [(100.0, 100.0, 160.0, 160.0)]}
    classes = plain_logits(data.views, network.backbone).argmax(dim=1)
    rows = ordinary_figures(network, network.backbone, maps=data.views, classes=classes, boxes=boxes)
    assert rows["plain"].n == 6 and rows["small_plain"].n == 2 and rows["box_native_0.5"].n == 3
    assert rows["small_gain"].value == pytest.approx(rows["small_top1"].value - 1.0)
    # A box in the middle of every picture meets the large thing alone.
    assert rows["box_centred_0.3"].value <= 2 / 3
    assert "small_plain" not in ordinary_figures(network, network.backbone, maps=data.views, classes=classes, boxes={})


def test_an_untrained_map_lies_on_strong_activations(tiny_network: Networks) -> None:
    maps = np.zeros((2, 312, 14, 14), np.float16)
    maps[0, 120:232, 3, 9] = 5
    maps[1, 120:232, 10, 2] = -5
    found = untrained_map(tiny_network().backbone, maps)
    assert [divmod(int(m.argmax()), 14) for m in found] != [(0, 0), (0, 0)]
    assert found[0, 2:5, 8:11].min() > found[0, 6:, :6].max() and found[1, 9:12, 1:4].min() > found[1, :6, 6:].max()


def test_all_that_a_module_changes_counts_while_it_learns(
    tmp_path: Path, tiny_data: Data, tiny_network: Networks
) -> None:
    data, recipe = tiny_data(12, 8), ClutterRecipe(epochs=1, map_epochs=1, batch=8, warmup=1)
    networks = [tiny_network("psa") for _ in range(2)]
    for network, share in zip(networks, (1.0, 0.4), strict=True):
        network.share = share
        prepare(network, data.views)
        train(network, data, recipe, tmp_path / str(share))
    whole, part = (network.module_state() for network in networks)
    assert networks[1].share == 0.4 and all(torch.equal(whole[key], part[key]) for key in whole)


def test_a_perfect_mask_acts_in_full(tiny_network: Networks, tiny_data: Data) -> None:
    network, maps = tiny_network("psa"), tiny_data(2, 2).views
    gates = torch.rand(len(maps), 14, 14)
    whole = masked_logits(network, maps, gates)
    network.share = 0.3
    assert torch.equal(masked_logits(network, maps, gates), whole) and network.share == 0.3


@pytest.mark.parametrize("family", ["psa", "ema", "vista", "paka"])
def test_the_first_pass_does_not_count_as_an_answer(family: str, tiny_network: Networks) -> None:
    """Layer methods hook the class layer: it runs once for each answer, not when the module reads class features."""
    network, calls = tiny_network(family).eval(), []
    network.class_layer().register_forward_hook(lambda *_: calls.append(1))
    with torch.inference_mode():
        outputs = network.forward_steps(torch.zeros(1, 3, 64, 64))
        assert len(calls) == len(outputs) == network.steps
        network(torch.zeros(1, 3, 64, 64))
    assert len(calls) == network.steps + 1


def test_an_adapter_is_as_large_and_starts_near_the_plain_network(tiny_data: Data, tiny_network: Networks) -> None:
    data, network = tiny_data(6, 4), tiny_network("psa").eval()
    adapter = adapter_like(network).eval()
    adapter.backbone.load_state_dict(network.backbone.state_dict())
    assert parameters(adapter) == pytest.approx(parameters(network), rel=0.02)
    prepare(adapter, data.views)
    taps = split(torch.from_numpy(np.array(data.views)).float())
    with torch.inference_mode():
        changed = adapter.attended(taps)[0] - taps[2]
    assert 0 < changed.std() < 0.2 * taps[2].std()


def test_a_guide_is_the_class_map_of_the_label(tiny_data: Data, tiny_network: Networks) -> None:
    data, network = tiny_data(4, 4), tiny_network()
    taps, classes = split(torch.from_numpy(np.array(data.views)).float()), torch.tensor([3, 7, 3, 11])
    features, weights = network.backbone.features(taps[TOP]), network.class_weights()
    found = guides(features, weights[classes], taps[BOTTOM], torch.tensor([0.0, 0.1, 0.5, 0.0]))
    assert found.shape == (4, 14, 14)
    for k, floor in enumerate([0.0, 0.1, 0.5, 0.0]):
        own = (features[k] * weights[classes[k]][:, None, None]).sum(dim=0).clamp_min(0)
        own = resized(own[None, None], taps[BOTTOM])[0, 0]
        clipped = ((own / own.max() - 0.1) / 0.4).clamp(0, 1)
        assert torch.allclose(found[k], floor + (1 - floor) * clipped, atol=1e-5)


def test_a_map_is_as_unlike_its_guide_as_the_divergence_says() -> None:
    one, half, even = torch.zeros(1, 14, 14), torch.zeros(1, 14, 14), torch.full((1, 14, 14), 0.3)
    one[0, 3, 4] = 1.0
    half[0, :7] = 0.6
    found = unlike(torch.cat([even, half, 2 * even]), torch.cat([even, even, even]))
    assert found.tolist() == pytest.approx([0.0, math.log(2), 2 * math.log(2) - 1], abs=1e-4)
    # A map that chooses one of two places is less unlike a guide that has either than one that covers both.
    guide, both = 0.05 + one, one + one.roll(5, 2)
    assert unlike(one, guide) < unlike(both, guide) and unlike(both / 2, guide) < unlike(both, guide)


def test_a_guide_reaches_the_module_that_has_a_place_map(tiny_data: Data, tiny_network: Networks) -> None:
    data, batch = tiny_data(8, 8), (torch.arange(8), torch.arange(8))
    for family in ("psa", "ema", "vista"):
        network = tiny_network(family)
        prepare(network, data.views)
        loss, parts = map_losses_of(network, data, ClutterRecipe(), batch)
        assert set(parts) == {"map", "map_alone"} and float(parts["map"].detach()) > 0
        loss.backward()
        assert any(p.grad is not None and p.grad.abs().sum() > 0 for p in network.attention.parameters())
        full, both = losses_of(network, data, ClutterRecipe(), batch)
        without, _ = losses_of(network, data, ClutterRecipe(guide=0.0), batch)
        assert float(full - without) == pytest.approx(float(loss), rel=1e-3)
        assert float(both["map"].detach()) == pytest.approx(float(parts["map"].detach()), rel=1e-4)
    network = tiny_network("paka")
    prepare(network, data.views)
    assert "map" not in losses_of(network, data, ClutterRecipe(), batch)[1]


def _cell(value: float) -> dict[str, float]:
    return {"value": value, "low": value - 0.01, "high": value + 0.01, "n": 100}


def synthetic() -> dict[str, object]:
    """Figures of two families with two seeds, in the shape of the measured file."""
    names = ("plain", "top1", "gain", "gates_mean", "gates_loss", "random_module", "mass", "area")
    group = {name: _cell(0.25) for name in names}
    group |= {
        f"{kind}mass_over_area": _cell(value)
        for kind, value in (("", 1.5), ("random_", 1.0), ("untrained_", 1.2), ("features_", 1.3))
    }
    sources = ("plain_class_map", "class_map", "native", "untrained", "features", "centred")
    group |= {f"box_{s}_{d}": _cell(0.5) for s in sources for d in (0.3, 0.5, 0.7)}
    held = group | {"adapter": _cell(0.2), "over_adapter": _cell(0.05)}
    ordinary = {
        "change": _cell(-0.005),
        "small_gain": _cell(0.03),
        "small_plain": _cell(0.6),
        "small_top1": _cell(0.63),
    }
    ordinary |= group | {"small_mass_over_area": _cell(1.4)}
    seed = {f"unseen_{kind}": held for kind in ("photographs", "landscapes", "interiors", "grey", "streets")}
    seed |= {"alone_nette": ordinary, "alone_unseen": {"change": _cell(0.0)}}
    row = {"seeds": {"0": seed, "1": seed}, "cost": {"parameters": 1234, "added_macs": 1.5, "cpu_ratio": 1.1}}
    return {"rows": {"psa": row, "ema": row}, "scenes": {"test": 233}, "unseen_classes": 200}


def test_table_says_what_was_measured() -> None:
    text = tables(synthetic())
    assert text.startswith(START) and text.endswith(END)
    assert "| `lite0-psa` | 25.0 (24.0 to 26.0) | +25.0 (+24.0 to +26.0) | +25.0, +25.0 |" in text
    assert "20.0 (19.0 to 21.0) | +5.0 (+4.0 to +6.0) |" in text
    assert "1.50 (1.49 to 1.51)" in text and "1,234" in text and "+1.5 M" in text


def test_measured_file_table_and_page_agree() -> None:
    """The table in docs/clutter.md is the one that the measured figures give, and so is the file beside them."""
    root = Path(__file__).parents[2]
    text = tables(json.loads((root / "checkpoints/measured/clutter.json").read_text()))
    assert (root / "checkpoints/measured/clutter.md").read_text().strip() == text
    assert text in (root / "docs/clutter.md").read_text()


def test_bars_are_those_of_the_kinds_never_trained_on() -> None:
    data: Any = synthetic()
    found = {b["bar"]: b for b in bars("psa", data["rows"]["psa"]["seeds"]["0"])}
    gains = [b for name, b in found.items() if name.endswith("top-1 minus plain") and "never trained on" in name]
    assert len(gains) >= 3 and all(b["met"] for b in found.values())
    easy = {g: dict(rows) for g, rows in data["rows"]["psa"]["seeds"]["0"].items()}
    easy["unseen_landscapes"]["plain"] = _cell(0.35)
    assert len(bars("psa", easy)) == len(bars("psa", data["rows"]["psa"]["seeds"]["0"])) - 2
    assert len(bars("paka", easy)) < len(bars("psa", easy))
