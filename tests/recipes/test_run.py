"""The commands: one family goes through training and measuring, errors are one sentence, and `viz` stands alone."""

from __future__ import annotations

import ast
import json
from dataclasses import asdict
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from recipes.__main__ import main
from recipes.bench import Bench
from recipes.clutter.cost import costs
from recipes.clutter.learn import ClutterRecipe
from recipes.clutter.scenes import COUNTS, SPLITS, Scene, read_scenes
from recipes.clutter.task import Clutter
from recipes.features import plain_logits
from recipes.learning import rate_at
from recipes.task import Order
from recipes.tdam.collages import COUNTS as COLLAGES
from recipes.tdam.learn import TdamRecipe
from recipes.weights import fresh, train_and_save
from viz.errors import CheckpointError
from viz.models.backbone import load_lite0
from viz.models.reading import read_checkpoint

ROOT = Path(__file__).parents[2]
Folders = tuple[Path, Path, Path]


@pytest.fixture(scope="module")
def task() -> Clutter:
    few = {**dict.fromkeys(COUNTS, 0), "train": 8, "train_alone": 8, "report_unseen_photographs": 4}
    made = Clutter(ClutterRecipe(epochs=1, batch=8, warmup=1), few)
    made.held_out = (6, 0)
    return made


@pytest.fixture(scope="module")
def bench(task: Clutter, folders: Folders, street: Path, tmp_path_factory: pytest.TempPathFactory) -> Bench[Scene]:
    scenes = {split: read_scenes(street, split) for split in SPLITS.values()}
    return task.open(folders, tmp_path_factory.mktemp("out"), "cpu", scenes)


def test_features_are_those_of_the_pictures(bench: Bench[Scene]) -> None:
    maps = bench.maps("alone_nette")
    assert maps.shape == (2, 312, 14, 14) and maps.dtype == np.float16
    from_cache = plain_logits(maps, load_lite0())
    places = [view.photo for view in bench.sets["alone_nette"].views]
    assert torch.allclose(from_cache, bench.plain.logits[places], atol=0.05)
    assert bench.facts()["scenes"] == {"train": 2, "val": 2, "test": 2}


def test_the_settings_that_made_the_checkpoints() -> None:
    for name, recipe in (("tdam", TdamRecipe()), *((f, ClutterRecipe()) for f in ("psa", "ema", "vista", "paka"))):
        card = json.loads((ROOT / f"checkpoints/lite0-{name}.json").read_text())
        counts = COLLAGES if name == "tdam" else COUNTS
        assert card["recipe"] == asdict(recipe)
        assert {k: card["data"]["views"][k] for k in counts} == counts


def test_a_backbone_that_moves_is_noticed(task: Clutter, tmp_path: Path) -> None:
    network = fresh(lambda: task.build("psa"), 0, torch.device("cpu"))

    def careless() -> dict[str, list[float]]:
        nn.init.zeros_(network.backbone._fc.bias)
        return {"clutter": [1.0], "seconds": [1.0]}

    with pytest.raises(CheckpointError, match="backbone changed"):
        train_and_save(tmp_path / "x.safetensors", network, task.recipe, careless)
    assert not list(tmp_path.iterdir())


def test_learning_rate_rises_and_falls() -> None:
    rates = [rate_at(i, 4, 20) for i in range(21)]
    assert rates[:4] == [0.25, 0.5, 0.75, 1.0] and rates[4] == 1.0 and rates[-1] == 0.0
    assert all(a >= b for a, b in pairwise(rates[3:]))


@pytest.mark.parametrize("task_name", ["clutter", "tdam"])
def test_a_missing_folder_is_one_sentence(task_name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    places = [f"--{name}={tmp_path}" for name in ("imagenette", "samples", "caltech", "out")]
    places += [f"--scenes={tmp_path}"] if task_name == "clutter" else []
    with pytest.raises(SystemExit) as stopped:
        main([task_name, "train", *places])
    assert stopped.value.code == 2
    assert capsys.readouterr().err == f"{tmp_path.name} has no index.csv.\n"


def test_nothing_of_the_package_imports_the_recipes() -> None:
    for path in [ROOT / "app.py", *(ROOT / "viz").rglob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text())):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not any(name.partition(".")[0] == "recipes" for name in names), path.name


def test_a_family_is_trained_measured_and_costed(task: Clutter, bench: Bench[Scene], tmp_path: Path) -> None:
    order = Order(("psa",), (0,), tmp_path)
    task.train(bench, order)
    path = task.path(bench, "psa", 0)
    made = path.stat().st_mtime
    file, curve = read_checkpoint(path), json.loads(path.with_suffix(".curve.json").read_text())
    assert (
        list(curve) == ["clutter", "features", "ordinary", "map", "map_alone", "seconds"]
        and len(curve["clutter"]) == 1
        and len(curve["map"]) == len(curve["seconds"]) == 3
    )
    assert json.loads(str(file.metadata["recipe"])) == asdict(task.recipe)
    assert all(v.dtype == torch.float16 for k, v in file.state.items() if k.startswith("attention."))
    task.run(bench, "train", order)
    assert path.stat().st_mtime == made
    network, control, plain = task.build("psa").eval(), task.build("psa").eval(), load_lite0()
    for each in (network, control):
        each.backbone.load_state_dict(plain.state_dict())
    found = costs({"psa": network}, plain, rounds=1)["psa"]
    assert found.parameters == 141843 and found.added_macs == pytest.approx(155.2394, abs=1e-4)
    with pytest.raises(CheckpointError, match="run `cost` first"):
        task.card(bench, order)
