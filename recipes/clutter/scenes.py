"""Objects in clutter: one small picture pasted into a street scene."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from recipes.pictures import SIZE, Photo, Pictures, cut, open_rgb, read_index, whole
from recipes.views import EVEN_WEIGHTS, SINGLE_WEIGHTS, TRAIN_WEIGHTS, Kind, Region, ViewSet, draw
from viz.errors import PictureError

# Sides of the pasted picture in pixels of the 224x224 view.
SMALLEST, LARGEST = 72, 127
# The collages use the streams of the same seed below this number.
FIRST_STREAM = 100
# Numbers of views behind the bundled checkpoints, in order of their streams of random numbers.
COUNTS = {
    "train": 12000,
    "train_alone": 6000,
    "choose_nette": 500,
    "choose_unseen": 500,
    "report_nette": 500,
    "report_unseen": 1000,
    "report_caltech": 500,
}
# Sets of whole pictures, and the pool of each.
WHOLE = {
    "train_whole": "train",
    "alone_nette": "report_nette",
    "alone_unseen": "report_unseen",
    "alone_choose_nette": "choose_nette",
    "alone_choose_unseen": "choose_unseen",
}
SPLITS = {"train": "train", "choose": "val", "report": "test"}


@dataclass(frozen=True)
class Scene:
    """One view.

    `background` is an index in the list of scenes, or -1 for none: then the view is a single picture. `crop`
    (left, top, side) is the square of the background, relative to its slack and its shorter side; `photo` is an index
    in the list of pictures; `region` (x0, y0, x1, y1) the pixels that the picture fills; `zoom` <= 1 keeps that share
    of the picture's sides, at `at` (0..1, 0..1) of the slack; `mirror` and `mirror_scene` flip.
    """

    photo: int
    background: int = -1
    crop: tuple[float, float, float] = (0.0, 0.0, 1.0)
    region: Region = (0, 0, SIZE, SIZE)
    zoom: float = 1.0
    at: tuple[float, float] = (0.5, 0.5)
    mirror: bool = False
    mirror_scene: bool = False

    def paint(self, photos: Sequence[Photo], scenes: Sequence[Path]) -> Image.Image:
        """The 224x224 RGB view."""
        x0, y0, x1, _ = self.region
        alone = self.background < 0
        image = whole(photos[self.photo]) if alone else open_rgb(photos[self.photo].path)
        picture = _square(image, (*self.at, self.zoom), x1 - x0, self.mirror)
        if alone:
            return picture
        canvas = _square(open_rgb(scenes[self.background]), self.crop, SIZE, self.mirror_scene)
        canvas.paste(picture, (x0, y0))
        return canvas

    def key(self, photos: Sequence[Photo], scenes: Sequence[Path]) -> object:
        """Its description and the names of its pictures."""
        photo = photos[self.photo]
        return self, photo.source, photo.path.name, scenes[self.background].name if self.background >= 0 else ""


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


def place(rng: np.random.Generator, photos: Sequence[int], *, backgrounds: int, vary: bool) -> Scene:
    """Describe one view: a random crop of a random background, the picture at a random position and size.

    Args:
        photos: index of the one picture. backgrounds: number of scenes. vary: also crop and mirror the picture.
    """
    side = int(rng.integers(SMALLEST, LARGEST + 1))
    x0, y0 = (int(rng.integers(0, SIZE - side + 1)) for _ in range(2))
    share = float(rng.uniform(0.6, 1.0))
    crop = (float(rng.random()), float(rng.random()), share)
    region = (x0, y0, x0 + side, y0 + side)
    background = int(rng.integers(backgrounds))
    flip_scene = bool(rng.random() < 0.5)
    if not vary:
        return Scene(photos[0], background, crop, region, mirror_scene=flip_scene)
    zoom, at = float(rng.uniform(0.7, 1.0)), (float(rng.random()), float(rng.random()))
    return Scene(photos[0], background, crop, region, zoom, at, bool(rng.random() < 0.5), flip_scene)


def crop_alone(rng: np.random.Generator, photos: Sequence[int]) -> Scene:
    """A single picture, slightly cropped and mirrored: an ordinary picture for training."""
    zoom, at = float(rng.uniform(0.7, 1.0)), (float(rng.random()), float(rng.random()))
    return Scene(photos[0], zoom=zoom, at=at, mirror=bool(rng.random() < 0.5))


def draw_scenes(
    pictures: Pictures, counts: Mapping[str, int], scenes: Mapping[str, Sequence[Path]]
) -> dict[str, ViewSet[Scene]]:
    """All views by name of their set, each set from its own stream of random numbers, and the whole pictures.

    Args:
        scenes: of each split (``train``, ``val``, ``test``).
    """

    def kind(name: str) -> Kind[Scene]:
        if name == "train_alone":
            return Kind(SINGLE_WEIGHTS, 1, crop_alone)
        trains, split = name == "train", SPLITS[name.partition("_")[0]]
        paste = partial(place, backgrounds=len(scenes[split]), vary=trains)
        return Kind(TRAIN_WEIGHTS if trains else EVEN_WEIGHTS, 1, paste, split)

    pools = {name: pictures.pools[pool] for name, pool in WHOLE.items()}
    return draw(pictures, counts, kind, FIRST_STREAM) | {
        name: ViewSet(tuple(Scene(i) for i in pool), tuple((pictures.labels[i],) for i in pool))
        for name, pool in pools.items()
    }


def _square(image: Image.Image, crop: tuple[float, float, float], size: int, mirror: bool) -> Image.Image:
    """A square of `crop` = (x, y, share): `share` of the shorter side, at x, y (0..1) of the slack."""
    left, top, share = crop
    side = min(image.size) * share
    x, y = (image.width - side) * left, (image.height - side) * top
    # Rounding must not move the box across the edge.
    x, y = max(0.0, min(x, image.width - side)), max(0.0, min(y, image.height - side))
    return cut(image, (x, y, x + side, y + side), (size, size), mirror)
