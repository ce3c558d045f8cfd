"""The views of both tasks: the same seed draws the same."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from recipes.clutter import scenes
from recipes.pictures import HeldOut, Photo, Pictures
from recipes.tdam import collages
from recipes.views import TRAIN_WEIGHTS, Kind, ViewSet, choices
from viz.errors import PictureError


@pytest.fixture
def pictures() -> Pictures:
    """Twelve pictures of as many classes from four sources; two classes are held out."""
    sources = ("samples", "imagenette", "caltech", "outlined")
    photos = [Photo(Path(f"{i}.png"), sources[i % 4], f"n{i}", i, "") for i in range(12)]
    pools = {"train": tuple(range(8)), "choose_nette": (6, 5), "choose_unseen": (8, 4), "report_nette": (7, 3)}
    pools |= {"report_unseen": (9, 2), "report_caltech": (10, 11), "report_backdrops": (3, 10)}
    pools |= {"landscapes": (1, 9), "interiors": (2, 8)}
    return Pictures(photos, list(range(12)), HeldOut(7, (8,), (9,), (), ()), pools)


def digest(sets: Mapping[str, ViewSet[Any]], names: Mapping[str, int]) -> str:
    """Of the descriptions of some sets."""
    total = hashlib.sha256()
    for name in names:
        total.update(repr((name, sets[name].views)).encode())
    return total.hexdigest()[:16]


def test_scenes_are_drawn_as_before(pictures: Pictures) -> None:
    counts = {**dict.fromkeys(scenes.COUNTS, 5), "train": 40, "train_alone": 20}
    streets = {name: [Path("x")] * n for name, n in (("train", 3), ("val", 4), ("test", 5))}
    assert digest(scenes.draw_scenes(pictures, counts, streets), counts) == "5e202b5a74586b3c"


def test_collages_are_drawn_as_before(pictures: Pictures) -> None:
    counts = dict(zip(collages.COUNTS, (10, 10, 5, 5, 5, 40, 12, 0, 20, 0), strict=True))
    assert digest(collages.draw_collages(pictures, counts), counts) == "4188670d4a19c25a"


def test_a_pool_with_too_few_classes_is_refused(pictures: Pictures) -> None:
    kind = Kind(TRAIN_WEIGHTS, 2, lambda rng, photos: collages.single(photos[0]))
    with pytest.raises(PictureError, match="pictures of 2 classes, and there are only 1"):
        next(choices(np.random.default_rng(0), pictures, (3,), kind))


def test_no_folder_dominates(pictures: Pictures) -> None:
    kind = Kind(TRAIN_WEIGHTS, 2, lambda rng, photos: collages.single(photos[0]))
    drawn = choices(np.random.default_rng(0), pictures, pictures.pools["train"], kind)
    pairs = [next(drawn) for _ in range(2000)]
    assert all(a != b for a, b in pairs)
    first = [pictures.photos[a].source for a, _ in pairs]
    for source, weight in TRAIN_WEIGHTS.items():
        assert first.count(source) / len(first) == pytest.approx(weight, abs=0.04)
