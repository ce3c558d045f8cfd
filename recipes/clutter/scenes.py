"""Views of the clutter task: something pasted into a background of some kind, with decoys beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from recipes.backdrops import TRAINED, Backdrop, Sources, outline, square
from recipes.pictures import SIZE, Photo, Pictures, open_rgb, read_index, whole
from recipes.views import EVEN_WEIGHTS, SINGLE_WEIGHTS, TRAIN_WEIGHTS, Region, ViewSet, draw
from recipes.views import Kind as Draw
from viz.errors import PictureError

# Sides of the pasted picture in pixels of the 224x224 view: in training, and in the report.
TRAINED_SIDES, REPORTED_SIDES = (60, 216), (72, 127)
# Edges of the pasted pictures and their shares; a picture with a mask of its object is cut out by it.
EDGES = {"hard": 0.45, "feathered": 0.3, "oval": 0.25}
DECOYS = ("textures", "blurred", "shuffled", "noise", "corners", "details", "mosaics")
MOST_DECOYS, DECOY_SIDES = 3, (60, 130)
# Decoys may cover this share of the object.
OVERLAP = 0.1
# The collages use the streams of the same seed below this number.
FIRST_STREAM = 100
SPLITS = {"train": "train", "choose": "val", "report": "test"}
# Numbers of views, in order of their streams of random numbers. A set's name says the
# purpose, the pasted classes and the background.
COUNTS = {
    "train": 12000,
    "train_alone": 6000,
    "choose_unseen_streets": 400,
    "choose_unseen_photographs": 400,
    "choose_unseen_grey": 200,
    "report_unseen_streets": 500,
    "report_unseen_photographs": 1000,
    "report_unseen_landscapes": 1000,
    "report_unseen_interiors": 1000,
    "report_unseen_grey": 500,
    "report_nette_photographs": 500,
    "report_caltech_photographs": 500,
}
# Sets of whole pictures, and the pool of each.
WHOLE = {
    "train_whole": "train",
    "alone_nette": "report_nette",
    "alone_unseen": "report_unseen",
    "alone_choose_nette": "choose_nette",
    "alone_choose_unseen": "choose_unseen",
}


@dataclass(frozen=True)
class Paste:
    """One thing on the background, a square at `region` (x0, y0, x1, y1) in pixels of the view.

    `photo` is shown with `zoom` <= 1 of its sides, at `at` (0..1, 0..1) of the slack, perhaps mirrored; a decoy has a
    `filler` in its place. `edge` is one of `EDGES` or ``mask``; then the mask of the photograph `shape` cuts it out,
    and a picture is shown as far as its mask's box.
    """

    region: Region
    photo: int = -1
    zoom: float = 1.0
    at: tuple[float, float] = (0.5, 0.5)
    mirror: bool = False
    edge: str = "hard"
    shape: int = -1
    filler: Backdrop | None = None

    def onto(self, canvas: Image.Image, photos: Sequence[Photo], scenes: Sequence[Path]) -> None:
        """Paint it."""
        x0, y0, x1, _ = self.region
        size = x1 - x0
        mask, box = object_mask(photos[self.shape]) if self.edge == "mask" else (None, None)
        if mask is not None and self.mirror:
            mask = ImageOps.mirror(mask)
        if self.filler is not None:
            image = self.filler.paint(photos, scenes).resize((size, size), Image.Resampling.BICUBIC)
        elif box is not None:
            image = ImageOps.pad(open_rgb(photos[self.photo].path).crop(box), (size, size))
            image = ImageOps.mirror(image) if self.mirror else image
        else:
            image = square(open_rgb(photos[self.photo].path), self.at, self.zoom, size, self.mirror)
        canvas.paste(image, (x0, y0), outline(self.edge, size, mask))


@dataclass(frozen=True)
class Scene:
    """One view: `paste` on a background with `decoys`. Without a background the picture fills the view."""

    paste: Paste
    backdrop: Backdrop | None = None
    decoys: tuple[Paste, ...] = ()

    @property
    def photo(self) -> int:
        """Index of the pasted picture."""
        return self.paste.photo

    @property
    def region(self) -> Region:
        """The pixels that the pasted picture fills."""
        return self.paste.region

    def paint(self, photos: Sequence[Photo], scenes: Sequence[Path]) -> Image.Image:
        """The 224x224 RGB view."""
        if self.backdrop is None:
            one = self.paste
            return square(whole(photos[one.photo]), one.at, one.zoom, SIZE, one.mirror)
        canvas = self.backdrop.paint(photos, scenes)
        for paste in (*self.decoys, self.paste):
            paste.onto(canvas, photos, scenes)
        return canvas

    def key(self, photos: Sequence[Photo], scenes: Sequence[Path]) -> object:
        """Its description and the names of its pictures."""
        photo, fills = photos[self.photo], [p.filler for p in self.decoys]
        names = [f.names(photos, scenes) for f in (self.backdrop, *fills) if f is not None]
        return self, photo.source, photo.path.name, names

    def groups(self) -> list[int]:
        """The pasted picture and the background's pictures, which the bootstrap draws again."""
        behind = () if self.backdrop is None else self.backdrop.sources
        return [self.photo, *(10**6 + i for i in behind)]


def object_mask(photo: Photo) -> tuple[Image.Image, tuple[int, int, int, int]]:
    """The object's mask cut to its box, and the box in pixels of the file.

    Raises:
        PictureError: there is no mask, or it is empty.
    """
    if photo.mask is None:
        raise PictureError(f"{photo.path.name} has no mask.")
    mask = ImageOps.grayscale(open_rgb(photo.mask))
    box = mask.getbbox()
    if box is None:
        raise PictureError(f"The mask of {photo.path.name} is empty.")
    return mask.crop(box), box


def read_scenes(folder: Path, split: str) -> list[Path]:
    """Pictures of the scenes of a split (columns ``image`` and ``split`` of ``index.csv``), in order of the file.

    Raises:
        PictureError: the file is missing, lacks a column or has no scene of the split.
    """
    try:
        found = [folder / r["image"] for r in read_index(folder) if r["split"] == split]
    except KeyError as error:
        raise PictureError(f"The index.csv of {folder.name} has no column {error}.") from error
    if not found:
        raise PictureError(f"The index.csv of {folder.name} has no scene of the split {split!r}.")
    return found


def reported(rng: np.random.Generator, photos: Sequence[int], sources: Sources) -> Scene:
    """A view to measure on: the whole picture at a random place and size, with hard edges and no decoys."""
    return Scene(Paste(placed(rng, REPORTED_SIDES), photos[0]), sources.backdrop(rng))


def trained(rng: np.random.Generator, photos: Sequence[int], sources: Sources) -> Scene:
    """A view to train on: a random part of the picture, cut out in some way, among decoys cut out in the same ways."""
    photo, region = photos[0], placed(rng, TRAINED_SIDES)
    edge = str(rng.choice(list(EDGES), p=list(EDGES.values()))) if photo not in sources.shapes else "mask"
    zoom = float(rng.uniform(0.7, 1.0))
    at = (float(rng.random()), float(rng.random()))
    asked = Paste(region, photo, zoom, at, bool(rng.random() < 0.5), edge, photo if edge == "mask" else -1)
    backdrop, decoys = sources.backdrop(rng), []
    for _ in range(int(rng.integers(MOST_DECOYS + 1))):
        beside = placed(rng, DECOY_SIDES)
        if covers(beside, region) > OVERLAP:
            continue
        own = backdrop.kind in DECOYS and rng.random() < 0.3
        filler = sources.backdrop(rng, (backdrop.kind,) if own else DECOYS)
        shape = int(sources.shapes[int(rng.integers(len(sources.shapes)))]) if edge == "mask" else -1
        decoys.append(Paste(beside, edge=edge, shape=shape, filler=filler))
    return Scene(asked, backdrop, tuple(decoys))


def placed(rng: np.random.Generator, sides: tuple[int, int]) -> Region:
    """A random square inside the view; the logarithm of its side is uniform."""
    side = round(float(np.exp(rng.uniform(*np.log(sides)))))
    x0, y0 = (int(rng.integers(0, SIZE - side + 1)) for _ in range(2))
    return (x0, y0, x0 + side, y0 + side)


def covers(one: Region, other: Region) -> float:
    """Share of `other` that `one` covers."""
    width, height = min(one[2], other[2]) - max(one[0], other[0]), min(one[3], other[3]) - max(one[1], other[1])
    return max(0, width) * max(0, height) / ((other[2] - other[0]) * (other[3] - other[1]))


def crop_alone(rng: np.random.Generator, photos: Sequence[int]) -> Scene:
    """A single picture, slightly cropped and mirrored: an ordinary picture for training."""
    zoom, at = float(rng.uniform(0.7, 1.0)), (float(rng.random()), float(rng.random()))
    return alone(photos[0], zoom, at, bool(rng.random() < 0.5))


def alone(photo: int, zoom: float = 1.0, at: tuple[float, float] = (0.5, 0.5), mirror: bool = False) -> Scene:
    """A single picture."""
    return Scene(Paste((0, 0, SIZE, SIZE), photo, zoom, at, mirror))


def draw_scenes(
    pictures: Pictures, counts: Mapping[str, int], scenes: Mapping[str, Sequence[Path]]
) -> dict[str, ViewSet[Scene]]:
    """All views by name of their set, each set from its own stream of random numbers, and the whole pictures.

    Args:
        scenes: of each split (``train``, ``val``, ``test``).
    """
    pools = pictures.pools
    shapes = tuple(i for i in pools["train"] if pictures.photos[i].mask is not None)
    behind = {"landscapes": pools["landscapes"], "interiors": pools["interiors"], "grey": ()}

    def kind(name: str) -> Draw[Scene]:
        if name == "train_alone":
            return Draw(SINGLE_WEIGHTS, 1, crop_alone)
        purpose, _, rest = name.partition("_")
        split = SPLITS[purpose]
        if name == "train":
            sources = Sources(tuple(TRAINED), len(scenes[split]), pools["train"], shapes)
            return Draw(TRAIN_WEIGHTS, 1, partial(trained, sources=sources), split)
        pasted, _, backdrop = rest.partition("_")
        photographs = pools["choose_nette" if purpose == "choose" else "report_backdrops"]
        sources = Sources((backdrop,), len(scenes[split]), behind.get(backdrop, photographs))
        return Draw(EVEN_WEIGHTS, 1, partial(reported, sources=sources), split, f"{purpose}_{pasted}")

    return draw(pictures, counts, kind, FIRST_STREAM) | {
        name: ViewSet(tuple(alone(i) for i in pools[pool]), tuple((pictures.labels[i],) for i in pools[pool]))
        for name, pool in WHOLE.items()
    }
