"""The recipe on a few synthetic pictures: it runs, resumes exactly, and writes a loadable file and cards."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from viz.training import tdam
from viz.training.card import write_cards
from viz.training.collages import TEST_STYLE, TRAIN_STYLE, regions
from viz.training.learn import Recipe
from viz.training.measure import figure, gate_mass, iou, largest_box
from viz.training.pictures import SIZE, read_photos
from viz.training.views import Plan

from viz.errors import PictureError
from viz.networks.lite0_tdam import Lite0TDAMConfig

CONFIG = Lite0TDAMConfig(2, 8, "channel->spatial", "feedback")
RECIPE = Recipe(epochs=2, batch=8, warmup=1)
PLAN = Plan(train_pairs=8, train_singles=8, choose=2, report_nette=3, report_unseen=2, report_caltech=0)


def _folder(root: Path, columns: list[str], rows: list[list[str]], size: tuple[int, int]) -> Path:
    rng = np.random.default_rng(len(rows))
    root.mkdir()
    with (root / "index.csv").open("w", newline="") as file:
        csv.writer(file).writerows([columns, *rows])
    for row in rows:
        Image.fromarray(rng.integers(0, 255, (*size, 3), dtype=np.uint8)).save(root / row[0])
    return root


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> tdam.Bench:
    root = tmp_path_factory.mktemp("data")
    nette = _folder(
        root / "nette",
        ["image", "label", "split", "boxes"],
        [[f"{s}{c}.png", f"n{c}", s, "[[10, 10, 150, 200]]"] for c in (0, 1) for s in ("train", "val", "loc_val")],
        (SIZE, SIZE),
    )
    samples = _folder(
        root / "samples", ["image", "label", "class_index"], [[f"{c}.png", f"n{c}", str(c)] for c in range(8)], (60, 80)
    )
    caltech = _folder(root / "caltech", ["image", "label", "split"], [["a.png", "ant", "train"]], (50, 50))
    return _open(nette, samples, caltech, root / "out")


def _open(nette: Path, samples: Path, caltech: Path, out: Path) -> tdam.Bench:
    from viz.training import views

    # The real command holds out 300 classes; a handful of synthetic ones needs its own split.
    original = views.hold_out
    try:
        views.hold_out = lambda photos, seed: original(photos, seed, classes=6, caltech=0)  # type: ignore[assignment]
        return tdam.open_bench(nette, samples, caltech, out=out, plan=PLAN, device="cpu")
    finally:
        views.hold_out = original


def test_runs_resumes_and_writes(bench: tdam.Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    straight = replace(bench, out=tmp_path / "straight")
    (tmp_path / "straight").mkdir()
    network, path = tdam.run_training(straight, CONFIG, RECIPE)

    broken = replace(bench, out=tmp_path / "broken")
    (tmp_path / "broken").mkdir()
    saved, kept = [], torch.save

    def stop_after_one(*args: object) -> None:
        kept(*args)
        saved.append(1)
        raise KeyboardInterrupt

    monkeypatch.setattr("viz.training.learn.torch.save", stop_after_one)
    for _ in range(1):
        with pytest.raises(KeyboardInterrupt):
            tdam.run_training(broken, CONFIG, RECIPE)
    monkeypatch.undo()
    # The interruption came before the file took its name, as a kill may; the next run starts that epoch again.
    for part in (tmp_path / "broken" / "runs").glob("*.part"):
        part.rename(part.with_suffix(".pt"))
    again, _ = tdam.run_training(broken, CONFIG, RECIPE)
    for key, value in network.module_state().items():
        assert torch.equal(value, again.module_state()[key]), key

    loaded, meta = tdam.load_network(path, torch.device("cpu"))
    assert Lite0TDAMConfig.from_json(meta["config"]) == CONFIG
    for key, value in loaded.module_state().items():
        wanted = network.module_state()[key]
        # The file holds the searchlight in float16; the buffers as they are.
        assert torch.equal(value, wanted.half().float() if key.startswith("searchlight.") else wanted), key

    figures = tdam.run_measure(straight, path)
    assert figures["collages_nette"]["gate_mass_other"]["n"] == 3
    write_cards(tmp_path / "cards", path, figures, data=tdam.data_facts(bench), seed=0)
    card = json.loads((tmp_path / "cards" / "lite0-tdam.json").read_text())
    assert card["task"].startswith("Trained to name the other object")
    assert (tmp_path / "cards" / card["file"]).is_file()
    assert "## Bars" in (tmp_path / "cards" / "lite0-tdam.md").read_text()
    assert (tmp_path / "cards" / "lite0.md").is_file()


def test_held_out_classes_are_never_drawn(bench: tdam.Bench) -> None:
    held = bench.pools.held_out.classes
    assert held
    drawn = {c for row in bench.views["train_pairs"].classes for c in row}
    assert not drawn & held
    assert not set(bench.pools.train) & set(bench.pools.report_nette + bench.pools.choose_nette)


@pytest.mark.parametrize("count", [1, 2, 3])
def test_regions_tile_the_view(count: int) -> None:
    for seed in range(20):
        for style in (TRAIN_STYLE, TEST_STYLE):
            found = regions(np.random.default_rng(seed), count, style)
            area = np.zeros((SIZE, SIZE), int)
            for x0, y0, x1, y1 in found:
                area[y0:y1, x0:x1] += 1
            assert len(found) == count
            assert (area == 1).all()


def test_measures_of_known_cases() -> None:
    assert iou((0, 0, 10, 10), (5, 0, 15, 10)) == pytest.approx(1 / 3)
    assert iou((0, 0, 0, 0), (5, 5, 9, 9)) == 0
    cam = torch.zeros(7, 7)
    cam[2:4, 3:5] = 1
    x0, y0, x1, y1 = largest_box(cam, 0.5)
    assert abs(x0 - 96) <= 16 and abs(y0 - 64) <= 16 and abs(x1 - 160) <= 16 and abs(y1 - 128) <= 16
    assert largest_box(torch.zeros(7, 7), 0.5) == (0, 0, 0, 0)
    half = torch.zeros(1, 7, 7)
    half[:, :, :3] = 1
    assert gate_mass(torch.ones(1, 7, 7), half).item() == pytest.approx(3 / 7)
    sure = figure([1.0] * 20)
    assert (sure.value, sure.low, sure.high, sure.n) == (1, 1, 1, 20)


def test_missing_index_is_said(tmp_path: Path) -> None:
    with pytest.raises(PictureError, match=r"index\.csv"):
        read_photos(tmp_path, tmp_path, tmp_path)
