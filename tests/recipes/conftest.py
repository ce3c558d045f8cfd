"""Tiny data of both recipes: arrays in place of cached maps, and folders of synthetic pictures."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from recipes.clutter.learn import ClutterData
from recipes.pictures import SIZE
from viz.models.networks.lite0_attended import Lite0Attended
from viz.models.networks.lite0_families import FAMILIES

Folders = tuple[Path, Path, Path]
# Of the classes of landscapes and of interiors.
VALLEY, LIBRARY = 979, 624


@pytest.fixture
def tiny_data() -> Callable[..., ClutterData]:
    """Makes clutter data of random maps: number of scenes, of ordinary pictures, and a class held out."""

    def make(scenes: int = 96, alone: int = 64, held_out: int = 7) -> ClutterData:
        rng = np.random.default_rng(0)

        def maps(count: int) -> NDArray[np.float16]:
            return rng.normal(0, 3, (count, 312, 14, 14)).astype(np.float16)

        allowed = torch.ones(1000, dtype=torch.bool)
        allowed[held_out] = False
        generator = torch.Generator().manual_seed(0)
        return ClutterData(
            maps(scenes),
            torch.randint(8, 20, (scenes, 1), generator=generator),
            torch.randn(scenes, 1, 1000, generator=generator),
            [maps(alone // 2), maps(alone - alone // 2)],
            allowed,
            torch.randn(alone, 1000, generator=generator),
            torch.randint(5, (scenes,), generator=generator),
            torch.rand(5, 1280, generator=generator),
        )

    return make


@pytest.fixture
def tiny_network() -> Callable[..., Lite0Attended]:
    """Makes a network of a family with random weights, backbone included."""

    def make(family: str = "ema", seed: int = 0, top: int = 8) -> Lite0Attended:
        torch.manual_seed(seed)
        return FAMILIES[family](top=top)

    return make


def _folder(root: Path, columns: list[str], rows: list[list[str]], size: tuple[int, int]) -> Path:
    rng = np.random.default_rng(len(rows))
    root.mkdir()
    with (root / "index.csv").open("w", newline="") as file:
        csv.writer(file).writerows([columns, *rows])
    for row in rows:
        Image.fromarray(rng.integers(0, 255, (*size, 3), dtype=np.uint8)).save(root / row[0])
    return root


@pytest.fixture(scope="session")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Folders:
    """Folders of imagenette, samples and caltech with a handful of pictures of noise."""
    root = tmp_path_factory.mktemp("data")
    nette = [[f"{s}{c}.png", f"n{c}", s, "[[10, 10, 150, 200]]"] for c in (0, 1) for s in ("train", "val", "loc_val")]
    samples = [[f"{c}.png", f"n{c}", str(c)] for c in (*range(14), VALLEY, LIBRARY)]
    return (
        _folder(root / "nette", ["image", "label", "split", "boxes"], nette, (SIZE, SIZE)),
        _folder(root / "samples", ["image", "label", "class_index"], samples, (60, 80)),
        _folder(root / "caltech", ["image", "label", "split", "mask"], [["a.png", "ant", "train", ""]], (50, 50)),
    )


@pytest.fixture(scope="session")
def street(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of six street scenes of noise, two of each split."""
    rows = [[f"{s}{i}.png", s] for s in ("train", "val", "test") for i in (0, 1)]
    return _folder(tmp_path_factory.mktemp("street") / "scenes", ["image", "split"], rows, (240, 320))
