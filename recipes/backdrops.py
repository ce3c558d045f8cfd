"""Backgrounds of the clutter views: the kinds that are trained on, and the kinds that only the report sees.

A kind is a function of random numbers and source pictures, so that a view is described by a seed and painted again.
No kind that is trained on shows a whole photograph: parts of photographs, their blurred, shuffled or repeated remains,
and streets teach what is not an object.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter, ImageOps

from recipes.pictures import SIZE, Photo, cut, open_rgb

Pixels = NDArray[np.uint8]
Painter = Callable[[np.random.Generator, Sequence[Image.Image]], Image.Image]
GREY = (128, 128, 128)


@dataclass(frozen=True)
class Kind:
    """A kind of background: how many pictures it is made of, and how; `odds` in training, relative to other kinds."""

    sources: int
    paint: Painter
    odds: float = 1.0


@dataclass(frozen=True)
class Backdrop:
    """One background of 224x224: `sources` are indices of street scenes for ``streets``, of photographs otherwise."""

    kind: str
    sources: tuple[int, ...]
    seed: int

    def paint(self, photos: Sequence[Photo], scenes: Sequence[Path]) -> Image.Image:
        """The RGB picture."""
        paths = [scenes[i] if self.kind == "streets" else photos[i].path for i in self.sources]
        return KINDS[self.kind].paint(np.random.default_rng(self.seed), [open_rgb(path) for path in paths])

    def names(self, photos: Sequence[Photo], scenes: Sequence[Path]) -> list[str]:
        """Names of its source pictures."""
        return [scenes[i].name if self.kind == "streets" else photos[i].path.name for i in self.sources]


def square(image: Image.Image, at: tuple[float, float], share: float, size: int, mirror: bool = False) -> Image.Image:
    """A square of `share` of the shorter side, `at` (0..1, 0..1) of the slack, at `size` pixels."""
    side = min(image.size) * share
    x, y = (image.width - side) * at[0], (image.height - side) * at[1]
    # Rounding must not move the box across the edge.
    x, y = max(0.0, min(x, image.width - side)), max(0.0, min(y, image.height - side))
    return cut(image, (x, y, x + side, y + side), (size, size), mirror)


def some_square(rng: np.random.Generator, image: Image.Image, low: float, high: float) -> Image.Image:
    """A random square crop whose side is `low` to `high` of the shorter side, mirrored half the time."""
    at = (float(rng.random()), float(rng.random()))
    return square(image, at, float(rng.uniform(low, high)), SIZE, bool(rng.random() < 0.5))


def photograph(rng: np.random.Generator, images: Sequence[Image.Image]) -> Image.Image:
    """Most of a picture."""
    return some_square(rng, images[0], 0.6, 1.0)


def corner(rng: np.random.Generator, images: Sequence[Image.Image]) -> Image.Image:
    """A corner of a photograph, enlarged: its margin, with at most a part of its object."""
    at = (float(rng.integers(2)), float(rng.integers(2)))
    return square(images[0], at, float(rng.uniform(0.25, 0.5)), SIZE, bool(rng.random() < 0.5))


def detail(rng: np.random.Generator, images: Sequence[Image.Image]) -> Image.Image:
    """A detail of a photograph, enlarged: parts of things, and what lies around them."""
    return some_square(rng, images[0], 0.3, 0.5)


def shuffled(rng: np.random.Generator, images: Sequence[Image.Image]) -> Image.Image:
    """A picture cut into 4x4 to 14x14 tiles in random order, some of them mirrored."""
    tiles = int(rng.choice([4, 7, 8, 14]))
    side = SIZE // tiles
    pixels = np.asarray(photograph(rng, images)).reshape(tiles, side, tiles, side, 3).swapaxes(1, 2)
    mixed = pixels.reshape(-1, side, side, 3)[rng.permutation(tiles * tiles)]
    mixed = np.where(rng.random((len(mixed), 1, 1, 1)) < 0.5, mixed[:, :, ::-1], mixed)
    return Image.fromarray(mixed.reshape(tiles, tiles, side, side, 3).swapaxes(1, 2).reshape(SIZE, SIZE, 3))


def blurred(rng: np.random.Generator, images: Sequence[Image.Image]) -> Image.Image:
    """A picture blurred so much that its object is a shape at most."""
    return photograph(rng, images).filter(ImageFilter.GaussianBlur(float(rng.uniform(3, 12))))


def texture(rng: np.random.Generator, images: Sequence[Image.Image]) -> Image.Image:
    """A small patch of a picture, repeated as a mirrored tile."""
    patch = int(rng.integers(20, 65))
    image = some_square(rng, images[0], 0.5, 1.0)
    x, y = (int(v) for v in rng.integers(0, SIZE - patch, 2))
    tile = image.crop((x, y, x + patch, y + patch))
    if rng.random() < 0.5:
        grown = int(patch * rng.uniform(1.0, 2.5))
        tile = tile.resize((grown, grown), Image.Resampling.BICUBIC)
    row = np.concatenate([np.asarray(tile), np.asarray(tile)[:, ::-1]], axis=1)
    both = np.concatenate([row, row[::-1]])
    times = -(-2 * SIZE // len(both)) + 1
    left, top = (int(v) for v in rng.integers(0, len(both), 2))
    return Image.fromarray(np.tile(both, (times, times, 1))[top : top + SIZE, left : left + SIZE])


def noise(rng: np.random.Generator, images: Sequence[Image.Image]) -> Image.Image:
    """A gradient between two colours, coloured noise of several sizes, or both."""
    dark, light = rng.uniform(0, 255, (2, 3))
    angle, (v, u) = rng.uniform(0, 2 * np.pi), np.mgrid[0:SIZE, 0:SIZE] / SIZE
    ramp = u * np.cos(angle) + v * np.sin(angle) if rng.random() < 0.5 else np.hypot(u - rng.random(), v - rng.random())
    ramp = (ramp - ramp.min()) / np.ptp(ramp)
    found = dark + ramp[..., None] * (light - dark)
    if rng.random() < 0.5:
        frequency = np.maximum(np.hypot(*np.meshgrid(np.fft.fftfreq(SIZE), np.fft.fftfreq(SIZE))), 1 / SIZE)
        spectrum = np.fft.fft2(rng.standard_normal((SIZE, SIZE, 3)), axes=(0, 1))
        clouds = np.fft.ifft2(spectrum / frequency[..., None] ** rng.uniform(0.3, 2.0), axes=(0, 1)).real
        found = found + clouds / clouds.std() * rng.uniform(10, 70)
    return Image.fromarray(found.clip(0, 255).astype(np.uint8))


def mosaic(rng: np.random.Generator, images: Sequence[Image.Image]) -> Image.Image:
    """A grid of 3x3 to 5x5 details of several photographs."""
    tiles = int(rng.integers(3, 6))
    edges = np.linspace(0, SIZE, tiles + 1).astype(int)
    canvas = Image.new("RGB", (SIZE, SIZE))
    for top, bottom in pairwise(edges.tolist()):
        for left, right in pairwise(edges.tolist()):
            source = images[int(rng.integers(len(images)))]
            at = (float(rng.random()), float(rng.random()))
            tile = square(source, at, float(rng.uniform(0.15, 0.5)), right - left)
            canvas.paste(tile.resize((right - left, bottom - top)), (left, top))
    return canvas


def leaves(rng: np.random.Generator, images: Sequence[Image.Image]) -> Image.Image:
    """Many overlapping shapes, each filled with a colour or a piece of a picture."""
    canvas = some_square(rng, images[0], 0.2, 0.5).filter(ImageFilter.GaussianBlur(6))
    fills = [some_square(rng, image, 0.2, 0.6) for image in images]
    for _ in range(int(rng.integers(25, 70))):
        w, h = (int(v) for v in rng.integers(14, 90, 2))
        left, top = int(rng.integers(-w // 2, SIZE - w // 2)), int(rng.integers(-h // 2, SIZE - h // 2))
        shape = Image.new("L", (w, h), 0)
        pen = ImageDraw.Draw(shape)
        if rng.random() < 0.6:
            pen.ellipse((0, 0, w - 1, h - 1), fill=255)
        else:
            corners = rng.uniform(0, 1, (int(rng.integers(3, 6)), 2)) * (w, h)
            pen.polygon([(float(x), float(y)) for x, y in corners], fill=255)
        if rng.random() < 0.5:
            fill = Image.new("RGB", (w, h), tuple(int(v) for v in rng.integers(0, 256, 3)))
        else:
            source = fills[int(rng.integers(len(fills)))]
            x, y = int(rng.integers(0, SIZE - w)), int(rng.integers(0, SIZE - h))
            fill = source.crop((x, y, x + w, y + h))
        canvas.paste(fill, (left, top), shape)
    return canvas


def grey(rng: np.random.Generator, images: Sequence[Image.Image]) -> Image.Image:
    """One grey."""
    return Image.new("RGB", (SIZE, SIZE), GREY)


TRAINED: Mapping[str, Kind] = {
    "streets": Kind(1, photograph, 4),
    "corners": Kind(1, corner, 2),
    "details": Kind(1, detail, 4),
    "shuffled": Kind(1, shuffled, 1.5),
    "blurred": Kind(1, blurred, 1.5),
    "textures": Kind(1, texture, 1.5),
    "noise": Kind(0, noise, 3),
    "mosaics": Kind(6, mosaic, 2.5),
    "leaves": Kind(4, leaves, 2),
}
# Kinds that no view is trained on; ``streets`` are reported too, with scenes never trained on.
UNSEEN: Mapping[str, Kind] = {
    "photographs": Kind(1, photograph),
    "landscapes": Kind(1, photograph),
    "interiors": Kind(1, photograph),
    "grey": Kind(0, grey),
}
KINDS: Mapping[str, Kind] = {**TRAINED, **UNSEEN}


def outline(edge: str, size: int, mask: Image.Image | None) -> Image.Image:
    """How much of a pasted square of `size` pixels covers the background, (size, size) grey values 0..255.

    Args:
        edge: ``hard``, ``feathered`` (a square whose border fades), ``oval`` (fading too) or ``mask``.
        mask: the shape of an object, for ``mask``; it is centred.
    """
    if edge == "hard":
        return Image.new("L", (size, size), 255)
    if edge == "mask" and mask is not None:
        inner = ImageOps.contain(mask, (size, size), Image.Resampling.BILINEAR)
        return ImageOps.pad(inner, (size, size), color=0).filter(ImageFilter.GaussianBlur(0.7))
    soft = max(1.0, size * 0.06)
    inset = round(2 * soft)
    shape = Image.new("L", (size, size), 0)
    pen, box = ImageDraw.Draw(shape), (inset, inset, size - 1 - inset, size - 1 - inset)
    if edge == "oval":
        pen.ellipse((inset // 2, inset // 2, size - 1 - inset // 2, size - 1 - inset // 2), fill=255)
    else:
        pen.rectangle(box, fill=255)
    return shape.filter(ImageFilter.GaussianBlur(soft))


@dataclass(frozen=True)
class Sources:
    """Where the backgrounds and outlines of some views come from: `kinds` of background, the number of street
    `scenes`, indices of `photos` for all other kinds, and of photographs with a mask (`shapes`)."""

    kinds: tuple[str, ...]
    scenes: int
    photos: Sequence[int]
    shapes: tuple[int, ...] = ()

    def backdrop(self, rng: np.random.Generator, kinds: Sequence[str] = ()) -> Backdrop:
        """A random background of one of `kinds`, by default of its own."""
        offered = list(kinds or self.kinds)
        odds = np.array([KINDS[kind].odds for kind in offered])
        kind = str(rng.choice(offered, p=odds / odds.sum()))
        if kind == "streets":
            chosen = [int(rng.integers(self.scenes))]
        else:
            chosen = [int(self.photos[int(rng.integers(len(self.photos)))]) for _ in range(KINDS[kind].sources)]
        return Backdrop(kind, tuple(chosen), int(rng.integers(2**31)))
