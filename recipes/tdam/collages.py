"""Collages, two pictures side by side or stacked in one 224x224 view, and scenes: three pictures on a background."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image

from recipes.backdrops import TRAINED, Backdrop, Sources
from recipes.pictures import SIZE, Photo, Pictures, cut, open_rgb, whole
from recipes.views import EVEN_WEIGHTS, SINGLE_WEIGHTS, TRAIN_WEIGHTS, Kind, Region, ViewSet, draw

Fit = Literal["squash", "cover"]
HALF = SIZE // 2


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
    """Parts that together cover the view, or lie on a background. A single picture is a collage of one part."""

    parts: tuple[Part, ...]
    backdrop: Backdrop | None = None

    def paint(self, photos: Sequence[Photo], scenes: Sequence[Path] = ()) -> Image.Image:
        """The 224x224 RGB view."""
        canvas = Image.new("RGB", (SIZE, SIZE)) if self.backdrop is None else self.backdrop.paint(photos, scenes)
        for part in self.parts:
            photo, (x0, y0, x1, y1) = photos[part.photo], part.region
            image = whole(photo) if len(self.parts) == 1 else open_rgb(photo.path)
            canvas.paste(_fitted(image, (x1 - x0, y1 - y0), part), (x0, y0))
        return canvas

    def key(self, photos: Sequence[Photo], scenes: Sequence[Path] = ()) -> object:
        """Its description and the names of its pictures."""
        behind = [] if self.backdrop is None else self.backdrop.names(photos, scenes)
        return self, [f"{photos[p.photo].source}/{photos[p.photo].path.name}" for p in self.parts], behind

    def groups(self) -> list[int]:
        """Its pictures and those of the background, which the bootstrap draws again."""
        return [*(part.photo for part in self.parts), *(() if self.backdrop is None else self.backdrop.sources)]


@dataclass(frozen=True)
class Style:
    """How collages are drawn: range of the split, range of the sides in scenes, and whether crops and mirrors vary."""

    split: tuple[float, float]
    sides: tuple[int, int]
    vary: bool


TRAIN_STYLE = Style((0.33, 0.67), (80, HALF), vary=True)
TEST_STYLE = Style((0.40, 0.60), (96, HALF), vary=False)
# Numbers of views, in order of their streams of random numbers. Triples are scenes.
COUNTS = {
    "choose_nette": 400,
    "choose_unseen": 400,
    "report_nette": 800,
    "report_unseen": 600,
    "report_caltech": 400,
    "train_pairs": 8000,
    "train_triples": 6000,
    "report_triples_nette": 600,
    "train_singles": 6000,
    "report_triples_unseen": 600,
}
# Backgrounds of scenes: for training all kinds but streets, for the report one that is never trained on.
BEHIND = tuple(kind for kind in TRAINED if kind != "streets")


def regions(rng: np.random.Generator, count: int, style: Style) -> list[Region]:
    """Regions of one, two or three parts, in random order: the view, its two sides, or a square in each of three of its
    quarters."""
    if count == 1:
        return [(0, 0, SIZE, SIZE)]
    if count == 2:
        cut = round(SIZE * float(rng.uniform(*style.split)))
        found: list[Region] = [(0, 0, SIZE, cut), (0, cut, SIZE, SIZE)]
        if rng.random() < 0.5:
            found = [(0, 0, cut, SIZE), (cut, 0, SIZE, SIZE)]
        return [found[int(i)] for i in rng.permutation(2)]
    squares: list[Region] = []
    for quarter in rng.permutation(4)[:count].tolist():
        side = int(rng.integers(style.sides[0], style.sides[1] + 1))
        x, y = (HALF * place + int(rng.integers(HALF - side + 1)) for place in divmod(quarter, 2))
        squares.append((x, y, x + side, y + side))
    return squares


def compose(rng: np.random.Generator, photos: Sequence[int], style: Style, behind: Sources | None = None) -> Collage:
    """Describe a collage of these pictures (indices in the list of pictures), on a background if there is any."""
    parts = []
    for photo, region in zip(photos, regions(rng, len(photos), style), strict=True):
        fit: Fit = "squash" if rng.random() < 0.5 else "cover"
        zoom, at, mirror = 1.0, (0.5, 0.5), False
        if style.vary:
            zoom, at = float(rng.uniform(0.7, 1.0)), (float(rng.random()), float(rng.random()))
            mirror = bool(rng.random() < 0.5)
        parts.append(Part(photo, region, fit, zoom, at, mirror))
    return Collage(tuple(parts), None if behind is None else behind.backdrop(rng))


def single(photo: int) -> Collage:
    """A single picture as the network sees it."""
    return Collage((Part(photo, (0, 0, SIZE, SIZE), "squash", 1.0, (0.5, 0.5), False),))


def draw_collages(pictures: Pictures, counts: Mapping[str, int]) -> dict[str, ViewSet[Collage]]:
    """All collages by name of their set."""

    def kind(name: str) -> Kind[Collage]:
        trains = name.startswith("train")
        style, weights = (TRAIN_STYLE, TRAIN_WEIGHTS) if trains else (TEST_STYLE, EVEN_WEIGHTS)
        if name == "train_singles":
            return Kind(SINGLE_WEIGHTS, 1, partial(compose, style=style))
        if "triples" not in name:
            return Kind(weights, 2, partial(compose, style=style))
        kinds, photos = (BEHIND, pictures.pools["train"]) if trains else (("landscapes",), pictures.pools["landscapes"])
        behind = Sources(kinds, 0, photos)
        pool = "" if trains else name.replace("triples_", "")
        return Kind(weights, 3, partial(compose, style=style, behind=behind), pool=pool)

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
