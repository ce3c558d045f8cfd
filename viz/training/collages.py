"""Collages: two or three pictures in one 224x224 view, described by numbers first and painted later.

The description (`Collage`) is drawn from a seed, so that a cache of features can be made, interrupted and continued.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from PIL import Image

from viz.training.pictures import SIZE, Photo, open_rgb, whole

Fit = Literal["squash", "cover"]
Region = tuple[int, int, int, int]


@dataclass(frozen=True)
class Part:
    """One picture of a collage.

    `photo` is its place in the list of pictures; `region` (x0, y0, x1, y1) the pixels it fills; `fit` squashes the
    picture into the region or crops it to the region's aspect; `zoom` <= 1 keeps that share of the sides, at `at`
    (0..1, 0..1) of the slack; `mirror` flips it.
    """

    photo: int
    region: Region
    fit: Fit
    zoom: float
    at: tuple[float, float]
    mirror: bool


@dataclass(frozen=True)
class Collage:
    """Parts that together cover the 224x224 view. A single picture is a collage of one part."""

    parts: tuple[Part, ...]


@dataclass(frozen=True)
class Style:
    """How collages are drawn: range of the split, whether crops and mirrors vary."""

    split: tuple[float, float]
    vary: bool


TRAIN_STYLE = Style((0.33, 0.67), vary=True)
TEST_STYLE = Style((0.40, 0.60), vary=False)


def regions(rng: np.random.Generator, count: int, style: Style) -> list[Region]:
    """Regions of `count` (1 to 3) parts: side by side or stacked; of three, the second half is cut again."""
    if count == 1:
        return [(0, 0, SIZE, SIZE)]
    cut = round(SIZE * float(rng.uniform(*style.split)))
    upright = bool(rng.random() < 0.5)
    first: Region = (0, 0, cut, SIZE) if upright else (0, 0, SIZE, cut)
    second: Region = (cut, 0, SIZE, SIZE) if upright else (0, cut, SIZE, SIZE)
    found = [first, second]
    if count == 3:
        big = max(range(2), key=lambda i: (found[i][2] - found[i][0]) * (found[i][3] - found[i][1]))
        x0, y0, x1, y1 = found.pop(big)
        if x1 - x0 >= y1 - y0:
            mid = x0 + round((x1 - x0) * float(rng.uniform(0.4, 0.6)))
            found += [(x0, y0, mid, y1), (mid, y0, x1, y1)]
        else:
            mid = y0 + round((y1 - y0) * float(rng.uniform(0.4, 0.6)))
            found += [(x0, y0, x1, mid), (x0, mid, x1, y1)]
    return [found[int(i)] for i in rng.permutation(len(found))]


def compose(rng: np.random.Generator, photos: Sequence[int], style: Style) -> Collage:
    """Describe a collage of these pictures (places in the list of pictures)."""
    parts = []
    for photo, region in zip(photos, regions(rng, len(photos), style), strict=True):
        fit: Fit = "squash" if rng.random() < 0.5 else "cover"
        if style.vary:
            zoom, at = float(rng.uniform(0.7, 1.0)), (float(rng.random()), float(rng.random()))
            mirror = bool(rng.random() < 0.5)
        else:
            zoom, at, mirror = 1.0, (0.5, 0.5), False
        parts.append(Part(photo, region, fit, zoom, at, mirror))
    return Collage(tuple(parts))


def paint(collage: Collage, photos: Sequence[Photo]) -> Image.Image:
    """The 224x224 RGB view of a collage."""
    canvas = Image.new("RGB", (SIZE, SIZE))
    for part in collage.parts:
        x0, y0, x1, y1 = part.region
        alone = len(collage.parts) == 1
        image = whole(photos[part.photo]) if alone else open_rgb(photos[part.photo].path)
        canvas.paste(_fitted(image, (x1 - x0, y1 - y0), part), (x0, y0))
    return canvas


def _fitted(image: Image.Image, size: tuple[int, int], part: Part) -> Image.Image:
    width, height = float(image.width), float(image.height)
    if part.fit == "cover":
        scale = min(width / size[0], height / size[1])
        width, height = size[0] * scale, size[1] * scale
    width, height = width * part.zoom, height * part.zoom
    left, top = (image.width - width) * part.at[0], (image.height - height) * part.at[1]
    # Rounding must not push the box over the edge by a hair.
    left, top = max(0.0, left), max(0.0, top)
    box = (left, top, min(left + width, float(image.width)), min(top + height, float(image.height)))
    if image.size == size and box == (0.0, 0.0, float(size[0]), float(size[1])):
        fitted = image
    else:
        fitted = image.resize(size, Image.Resampling.BICUBIC, box=box)
    return fitted.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if part.mirror else fitted


def single(photo: int) -> Collage:
    """One picture alone, as the network sees it."""
    return Collage((Part(photo, (0, 0, SIZE, SIZE), "squash", 1.0, (0.5, 0.5), False),))


class Sampler:
    """Draws pictures for collages so that no class and no folder dominates.

    Args:
        pool: places of the pictures that may be drawn.
        group_of: group of each picture (a folder), drawn with `weights`.
        class_of: class of each picture, drawn uniformly inside its group.
    """

    def __init__(
        self, pool: Sequence[int], group_of: Sequence[str], class_of: Sequence[int], weights: dict[str, float]
    ) -> None:
        self._class_of = class_of
        members: dict[str, dict[int, list[int]]] = {}
        for i in pool:
            members.setdefault(group_of[i], {}).setdefault(class_of[i], []).append(i)
        self._members = {g: [members[g][c] for c in sorted(members[g])] for g in sorted(members) if weights[g] > 0}
        raw = np.array([weights[g] for g in self._members])
        self._names, self._odds = list(self._members), raw / raw.sum()

    def draw(self, rng: np.random.Generator, count: int) -> list[int]:
        """`count` pictures of different classes."""
        chosen: list[int] = []
        taken: set[int] = set()
        while len(chosen) < count:
            group = self._members[self._names[int(rng.choice(len(self._names), p=self._odds))]]
            same = group[int(rng.integers(len(group)))]
            photo = same[int(rng.integers(len(same)))]
            if self._class_of[photo] not in taken:
                taken.add(self._class_of[photo])
                chosen.append(photo)
        return chosen
