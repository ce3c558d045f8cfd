"""Objects among clutter: one picture pasted small into a street scene, described by numbers first and painted later.

The task that the bottom-up modules learn (`viz.training.clutter`): say what the pasted picture shows. The description
(`Scene`) is drawn from a seed, so that a cache of features can be made, interrupted and continued.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from viz.errors import PictureError
from viz.training.pictures import SIZE, Photo, open_rgb, whole

# Sides of the pasted picture in pixels of the 224x224 view.
SMALLEST, LARGEST = 72, 127
CELLS = 7
Region = tuple[int, int, int, int]


@dataclass(frozen=True)
class Scene:
    """One view.

    `background` is its place in the list of scenes, or -1 for none: then the view is the picture alone. `crop`
    (left, top, side) is the square of the background, in shares of its shorter side's slack; `photo` its place in the
    list of pictures; `region` (x0, y0, x1, y1) the pixels that the picture fills; `zoom` <= 1 keeps that share of
    the picture's sides, at `at` (0..1, 0..1) of the slack; `mirror` and `mirror_scene` flip.
    """

    photo: int
    background: int = -1
    crop: tuple[float, float, float] = (0.0, 0.0, 1.0)
    region: Region = (0, 0, SIZE, SIZE)
    zoom: float = 1.0
    at: tuple[float, float] = (0.5, 0.5)
    mirror: bool = False
    mirror_scene: bool = False


def read_scenes(folder: Path, split: str) -> list[Path]:
    """Pictures of the scenes of a split (columns ``image`` and ``split`` of ``index.csv``), in order of the file.

    Raises:
        PictureError: no index.csv, or not with these columns.
    """
    index = folder / "index.csv"
    if not index.is_file():
        raise PictureError(f"{folder.name} holds no index.csv.")
    with index.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    try:
        found = [folder / r["image"] for r in rows if r["split"] == split]
    except KeyError as error:
        raise PictureError(f"The index.csv of {folder.name} has no column {error}.") from error
    if not found:
        raise PictureError(f"The index.csv of {folder.name} names no scene of the split {split!r}.")
    return found


def place(rng: np.random.Generator, photo: int, backgrounds: int, *, vary: bool) -> Scene:
    """Describe one view: a random crop of a random background, the picture at a random place and size.

    Args:
        backgrounds: how many scenes there are. vary: also crop and mirror the picture (for training).
    """
    side = int(rng.integers(SMALLEST, LARGEST + 1))
    x0, y0 = (int(rng.integers(0, SIZE - side + 1)) for _ in range(2))
    share = float(rng.uniform(0.6, 1.0))
    crop = (float(rng.random()), float(rng.random()), share)
    region = (x0, y0, x0 + side, y0 + side)
    background = int(rng.integers(backgrounds))
    flip_scene = bool(rng.random() < 0.5)
    if not vary:
        return Scene(photo, background, crop, region, mirror_scene=flip_scene)
    zoom, at = float(rng.uniform(0.7, 1.0)), (float(rng.random()), float(rng.random()))
    return Scene(photo, background, crop, region, zoom, at, bool(rng.random() < 0.5), flip_scene)


def crop_alone(rng: np.random.Generator, photo: int) -> Scene:
    """A picture alone, cropped and mirrored a little: an ordinary picture for training."""
    zoom, at = float(rng.uniform(0.7, 1.0)), (float(rng.random()), float(rng.random()))
    return Scene(photo, zoom=zoom, at=at, mirror=bool(rng.random() < 0.5))


def paint_scene(scene: Scene, photos: Sequence[Photo], backgrounds: Sequence[Path]) -> Image.Image:
    """The 224x224 RGB view."""
    x0, y0, x1, _ = scene.region
    alone = scene.background < 0
    image = whole(photos[scene.photo]) if alone else open_rgb(photos[scene.photo].path)
    picture = _square(image, (scene.at[0], scene.at[1], scene.zoom), x1 - x0)
    if scene.mirror:
        picture = picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    if alone:
        return picture
    canvas = _square(open_rgb(backgrounds[scene.background]), scene.crop, SIZE)
    if scene.mirror_scene:
        canvas = canvas.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    canvas.paste(picture, (x0, y0))
    return canvas


def _square(image: Image.Image, crop: tuple[float, float, float], size: int) -> Image.Image:
    """A square of `crop` = (x, y, share): `share` of the shorter side, at x, y (0..1) of the slack."""
    left, top, share = crop
    side = min(image.size) * share
    if image.size == (size, size) and share == 1.0:
        return image.copy()
    x, y = (image.width - side) * left, (image.height - side) * top
    # Rounding must not push the box over the edge by a hair.
    x, y = max(0.0, min(x, image.width - side)), max(0.0, min(y, image.height - side))
    return image.resize((size, size), Image.Resampling.BICUBIC, box=(x, y, x + side, y + side))


def covered(scene: Scene, cells: int = CELLS) -> Tensor:
    """(cells, cells) share of each cell that the pasted picture fills."""
    x0, y0, x1, y1 = scene.region
    mask = torch.zeros(SIZE, SIZE)
    mask[y0:y1, x0:x1] = 1
    return F.avg_pool2d(mask[None, None], SIZE // cells)[0, 0]
