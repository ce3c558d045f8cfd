"""The collages: the recipe runs on a few synthetic pictures, resumes exactly, and writes a loadable file and cards."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from recipes.bench import Bench
from recipes.pictures import SIZE, read_photos
from recipes.readings import Measured, gate_mass, largest_box
from recipes.task import Order
from recipes.tdam.collages import COUNTS, TEST_STYLE, TRAIN_STYLE, Collage, regions
from recipes.tdam.learn import TdamRecipe, in_turn, start_from_head
from recipes.tdam.measure import collage_figures, look
from recipes.tdam.task import Tdam
from recipes.weights import load
from viz.errors import CheckpointError, PictureError
from viz.measures.intervals import interval
from viz.models.reading import read_checkpoint

ARGUMENTS = {"steps": 3, "width": 8, "sequence": "channel->spatial", "top": "feedback"}
FEW = {"choose_nette": 2, "choose_unseen": 2, "report_nette": 3, "report_unseen": 2, "train_pairs": 8}
FEW |= {"train_triples": 6, "report_triples_unseen": 2}


@pytest.fixture(scope="module")
def task() -> Tdam:
    made = Tdam(
        TdamRecipe(epochs=2, batch=8, warmup=1), dict.fromkeys(COUNTS, 0) | FEW | {"train_singles": 8}, ARGUMENTS
    )
    made.held_out = (9, 0)
    return made


@pytest.fixture(scope="module")
def bench(task: Tdam, folders: tuple[Path, Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Bench[Collage]:
    return task.open(folders, tmp_path_factory.mktemp("out"), "cpu")


def trained(task: Tdam, bench: Bench[Collage], order: Order) -> dict[str, torch.Tensor]:
    """The module as training left it, before it is halved for the file."""
    task.train(bench, order)
    state: dict[str, torch.Tensor] = torch.load(next((bench.out / "runs").glob("*.pt")), weights_only=True)["module"]
    return state


def test_runs_resumes_and_writes(
    task: Tdam, bench: Bench[Collage], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    order = Order(("tdam",), (0,), tmp_path / "cards")
    straight, broken = (replace(bench, out=tmp_path / name) for name in ("straight", "broken"))
    for each in (straight, broken):
        each.out.mkdir()
    with pytest.raises(CheckpointError, match="run `train` first"):
        task.measure(straight, order)
    network = trained(task, straight, order)
    kept = torch.save

    def stop_after_one(*args: object) -> None:
        kept(*args)
        raise KeyboardInterrupt

    monkeypatch.setattr("recipes.learning.torch.save", stop_after_one)
    with pytest.raises(KeyboardInterrupt):
        task.train(broken, order)
    monkeypatch.undo()
    # The interruption came before the file took its name, as a kill may; here it has it, so that one epoch is done.
    for part in (broken.out / "runs").glob("*.part"):
        part.rename(part.with_suffix(".pt"))
    again = trained(task, broken, order)
    for key, value in network.items():
        assert torch.equal(value, again[key]), key

    path = task.path(straight, "tdam", 0)
    assert json.loads(str(read_checkpoint(path).metadata["config"])) == ARGUMENTS
    for key, value in load(path, task.rebuild, torch.device("cpu")).module_state().items():
        # The file holds the searchlight in float16; the buffers as they are.
        assert torch.equal(value, network[key].half().float() if key.startswith("searchlight.") else network[key]), key

    with pytest.raises(CheckpointError, match="run `measure` first"):
        task.card(straight, order)
    task.measure(straight, order)
    figures = json.loads(path.with_suffix(".figures.json").read_text())
    assert figures["collages_nette"]["gate_mass_other"]["n"] == 3 and "both_gates_mean" in figures["collages_nette"]
    task.card(straight, order)
    card = json.loads((order.cards / "lite0-tdam.json").read_text())
    assert card["task"].startswith("Trained to name another picture of a view at every step")
    assert card["data"]["views"] == {name: len(views.views) for name, views in bench.sets.items()}
    assert (order.cards / card["file"]).is_file()
    assert "## Bars" in (order.cards / "lite0-tdam.md").read_text()
    assert (order.cards / "lite0.md").is_file()


def test_held_out_classes_are_never_drawn(bench: Bench[Collage]) -> None:
    held, pools = bench.pictures.held_out.classes, bench.pictures.pools
    assert held
    assert not {c for row in bench.sets["train_pairs"].classes for c in row} & held
    assert not set(pools["train"]) & set(pools["report_nette"] + pools["choose_nette"])
    assert not bench.allowed()[list(held)].any()


@pytest.mark.parametrize("count", [1, 2])
def test_regions_tile_the_view(count: int) -> None:
    for seed in range(20):
        for style in (TRAIN_STYLE, TEST_STYLE):
            found = regions(np.random.default_rng(seed), count, style)
            area = np.zeros((SIZE, SIZE), int)
            for x0, y0, x1, y1 in found:
                area[y0:y1, x0:x1] += 1
            assert len(found) == count
            assert (area == 1).all()


def test_three_regions_lie_apart() -> None:
    for style in (TRAIN_STYLE, TEST_STYLE):
        for seed in range(20):
            found = regions(np.random.default_rng(seed), 3, style)
            area = np.zeros((SIZE, SIZE), int)
            for x0, y0, x1, y1 in found:
                assert style.sides[0] <= x1 - x0 == y1 - y0 <= style.sides[1]
                area[y0:y1, x0:x1] += 1
            assert len(found) == 3 and area.max() == 1


def test_each_step_takes_a_picture_that_none_has() -> None:
    logits = torch.zeros(3, 2, 1000)
    logits[0, 0, 7], logits[1, 0, 7], logits[1, 0, 5], logits[2, :, 7] = 3.0, 3.0, 2.0, 1.0
    classes = torch.tensor([[5, 6, 7], [7, 6, 5]])
    assert in_turn(list(logits), classes).tolist() == [[2, 0, 1], [0, 1, 2]]


def test_a_scene_shows_its_pictures_on_its_background(bench: Bench[Collage]) -> None:
    view, photos = bench.sets["train_triples"].views[0], bench.pictures.photos
    assert view.backdrop is not None and len(view.parts) == 3
    behind = np.asarray(view.backdrop.paint(photos, ()))
    painted, around = np.asarray(view.paint(photos)), np.ones((SIZE, SIZE), bool)
    for x0, y0, x1, y1 in (part.region for part in view.parts):
        around[y0:y1, x0:x1] = False
        assert not np.array_equal(painted[y0:y1, x0:x1], behind[y0:y1, x0:x1])
    assert np.array_equal(painted[around], behind[around])
    assert set(view.groups()) == {p.photo for p in view.parts} | set(view.backdrop.sources)
    assert view.key(photos) != replace(view, backdrop=None).key(photos)


def test_collages_are_judged_at_step_two_however_many_steps_follow(bench: Bench[Collage]) -> None:
    made = Tdam(arguments={"steps": 3, "width": 64, "sequence": "spatial", "top": "feedback"})
    network, control = (made.start(bench, "tdam", seed).eval() for seed in (0, 1))
    start_from_head(network, 8.0)
    views, maps = bench.sets["report_nette"].views, bench.maps("report_nette")
    first, second, third = look(network, maps).logits.argmax(dim=2)
    assert (second != third).any() and (second != first).any()
    classes = torch.stack([first, second], dim=1)

    def figures() -> Measured:
        return collage_figures(network, control, maps=maps, views=views, classes=classes, ten=range(10), ratio=0.25)

    three = figures()
    network.steps = control.steps = 2
    assert figures() == three and three["other_named_step2"].value > 0


def test_measures_of_known_cases() -> None:
    cam = torch.zeros(7, 7)
    cam[2:4, 3:5] = 1
    x0, y0, x1, y1 = largest_box(cam, 0.5)
    assert abs(x0 - 96) <= 16 and abs(y0 - 64) <= 16 and abs(x1 - 160) <= 16 and abs(y1 - 128) <= 16
    assert largest_box(torch.zeros(7, 7), 0.5) == (0, 0, 0, 0)
    half = torch.zeros(1, 7, 7)
    half[:, :, :3] = 1
    assert gate_mass(torch.ones(1, 7, 7), half).item() == pytest.approx(3 / 7)
    sure = interval([1.0] * 20)
    assert (sure.value, sure.low, sure.high, sure.n) == (1, 1, 1, 20)


def test_missing_index_is_said(tmp_path: Path) -> None:
    with pytest.raises(PictureError, match=r"index\.csv"):
        read_photos(tmp_path, tmp_path, tmp_path)
