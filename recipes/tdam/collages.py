"""Collages: two pictures in one 224x224 view, side by side or stacked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image

from recipes.pictures import SIZE, Photo, Pictures, cut, open_rgb, whole
from recipes.views import EVEN_WEIGHTS, SINGLE_WEIGHTS, TRAIN_WEIGHTS, Kind, Region, ViewSet, draw

Fit = Literal["squash", "cover"]


@dataclass(frozen=True)
class Part:
    """One picture of a collage.

    `photo` is an index in the list of pictures; `region` (x0, y0, x1, y1) the pixels it fills; `fit` squashes the
    picture into the region or crops it to the region's aspect ratio; `zoom` <= 1 keeps that share of the sides, at
    `at` (0..1, 0..1) of the slack; `mirror` flips it.
    """

    photo: int
    region: Region
    fit: Fit
    zoom: float
    at: tuple[float, float]
    mirror: bool


@dataclass(frozen=True)
class Collage:
    """Parts that together cover the view. A single picture is a collage of one part."""

    parts: tuple[Part, ...]

    def paint(self, photos: Sequence[Photo], scenes: Sequence[Path] = ()) -> Image.Image:
        """The 224x224 RGB view."""
        canvas = Image.new("RGB", (SIZE, SIZE))
        for part in self.parts:
            photo, (x0, y0, x1, y1) = photos[part.photo], part.region
            image = whole(photo) if len(self.parts) == 1 else open_rgb(photo.path)
            canvas.paste(_fitted(image, (x1 - x0, y1 - y0), part), (x0, y0))
        return canvas

    def key(self, photos: Sequence[Photo], scenes: Sequence[Path] = ()) -> object:
        """Its description and the names of its pictures."""
        return self, [f"{photos[p.photo].source}/{photos[p.photo].path.name}" for p in self.parts]


@dataclass(frozen=True)
class Style:
    """How collages are drawn: range of the split, and whether crops and mirrors vary."""

    split: tuple[float, float]
    vary: bool


TRAIN_STYLE = Style((0.33, 0.67), vary=True)
TEST_STYLE = Style((0.40, 0.60), vary=False)
# Numbers of views behind the bundled checkpoint, in order of their streams of random numbers. Collages of three were
# never used; their empty sets keep the numbers of the other streams and are listed on the card.
COUNTS = {
    "choose_nette": 400,
    "choose_unseen": 400,
    "report_nette": 800,
    "report_unseen": 600,
    "report_caltech": 400,
    "train_pairs": 8000,
    "train_triples": 0,
    "report_triples": 0,
    "train_singles": 16000,
}


def regions(rng: np.random.Generator, count: int, style: Style) -> list[Region]:
    """Regions of one or two parts, in random order."""
    if count == 1:
        return [(0, 0, SIZE, SIZE)]
    cut = round(SIZE * float(rng.uniform(*style.split)))
    found: list[Region] = [(0, 0, SIZE, cut), (0, cut, SIZE, SIZE)]
    if rng.random() < 0.5:
        found = [(0, 0, cut, SIZE), (cut, 0, SIZE, SIZE)]
    return [found[int(i)] for i in rng.permutation(2)]


def compose(rng: np.random.Generator, photos: Sequence[int], style: Style) -> Collage:
    """Describe a collage of these pictures (indices in the list of pictures)."""
    parts = []
    for photo, region in zip(photos, regions(rng, len(photos), style), strict=True):
        fit: Fit = "squash" if rng.random() < 0.5 else "cover"
        zoom, at, mirror = 1.0, (0.5, 0.5), False
        if style.vary:
            zoom, at = float(rng.uniform(0.7, 1.0)), (float(rng.random()), float(rng.random()))
            mirror = bool(rng.random() < 0.5)
        parts.append(Part(photo, region, fit, zoom, at, mirror))
    return Collage(tuple(parts))


def single(photo: int) -> Collage:
    """A single picture as the network sees it."""
    return Collage((Part(photo, (0, 0, SIZE, SIZE), "squash", 1.0, (0.5, 0.5), False),))


def draw_collages(pictures: Pictures, counts: Mapping[str, int]) -> dict[str, ViewSet[Collage]]:
    """All collages by name of their set."""

    def kind(name: str) -> Kind[Collage]:
        if name == "train_singles":
            return Kind(SINGLE_WEIGHTS, 1, partial(compose, style=TRAIN_STYLE))
        trains = name.startswith("train")
        style = TRAIN_STYLE if trains else TEST_STYLE
        return Kind(TRAIN_WEIGHTS if trains else EVEN_WEIGHTS, 2, partial(compose, style=style))

    return draw(pictures, counts, kind)


def _fitted(image: Image.Image, size: tuple[int, int], part: Part) -> Image.Image:
    width, height = float(image.width), float(image.height)
    if part.fit == "cover":
        scale = min(width / size[0], height / size[1])
        width, height = size[0] * scale, size[1] * scale
    width, height = width * part.zoom, height * part.zoom
    # Rounding must not move the box across the edge.
    left, top = max(0.0, (image.width - width) * part.at[0]), max(0.0, (image.height - height) * part.at[1])
    box = (left, top, min(left + width, float(image.width)), min(top + height, float(image.height)))
    return cut(image, box, size, part.mirror)
