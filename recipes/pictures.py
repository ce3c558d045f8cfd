"""The pictures of the recipes, read from the user's folders, and their split into training, selection and report.

Three folders with an ``index.csv``: ``imagenette`` (label = WordNet id, split train / val / loc_val, boxes),
``samples`` (one picture of each of the 1000 ImageNet classes, class_index) and ``caltech`` (labels outside ImageNet,
labelled by plain Lite0). Whole classes are held out of training, in two disjoint sets.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image
from torch import Tensor

from viz.datasets.core import Box
from viz.errors import PictureError

SIZE = 224
CROP_MARGIN = 32
UNKNOWN = -1
CONFIDENT = 0.5
# Sources of Caltech-101's pictures: those with a mask of the object are apart, because masks make cut-outs.
CALTECH = ("caltech", "outlined")
# ImageNet classes (0 .. 999) that show a place rather than a thing. They are backgrounds of the report only.
LANDSCAPES = frozenset({970, *range(972, 981)})
INTERIORS = frozenset(
    {406, 415, 424, 454, 467, 498, 509, 526, 532, 564, 582, 598, 624, 736, 743, 762, 788, 819, 831, 860, 865, 894}
)


@dataclass(frozen=True)
class Photo:
    """One picture of the data.

    `class_index` is its ImageNet class 0 .. 999, or -1; `boxes` are (x0, y0, x1, y1) in pixels of the 224x224 picture;
    `mask` is a picture of the object's shape, as large as the photograph.
    """

    path: Path
    source: str
    label: str
    class_index: int
    split: str
    boxes: tuple[Box, ...] = ()
    mask: Path | None = None


@dataclass(frozen=True)
class HeldOut:
    """Classes held out of training: `choose_*` to select settings, `report_*` only for the report."""

    seed: int
    choose_classes: tuple[int, ...]
    report_classes: tuple[int, ...]
    choose_caltech: tuple[str, ...]
    report_caltech: tuple[str, ...]

    @property
    def classes(self) -> frozenset[int]:
        return frozenset(self.choose_classes + self.report_classes)

    @property
    def caltech(self) -> frozenset[str]:
        return frozenset(self.choose_caltech + self.report_caltech)


@dataclass(frozen=True)
class Pictures:
    """All pictures, their classes (-1 where unknown), and their split: `pools` holds indices in `photos` by purpose."""

    photos: Sequence[Photo]
    labels: Sequence[int]
    held_out: HeldOut
    pools: Mapping[str, tuple[int, ...]]


def read_index(folder: Path) -> list[dict[str, str]]:
    """Rows of the folder's ``index.csv``.

    Raises:
        PictureError: the file is missing.
    """
    index = folder / "index.csv"
    if not index.is_file():
        raise PictureError(f"{folder.name} has no index.csv.")
    with index.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def read_photos(imagenette: Path, samples: Path, caltech: Path) -> list[Photo]:
    """All pictures of the three folders, in a fixed order.

    Raises:
        PictureError: an index.csv is missing or lacks a column.
    """
    sample_rows, nette_rows, caltech_rows = (read_index(folder) for folder in (samples, imagenette, caltech))
    try:
        index_of = {row["label"]: int(row["class_index"]) for row in sample_rows}
        photos = [Photo(samples / r["image"], "samples", r["label"], int(r["class_index"]), "") for r in sample_rows]
        for r in nette_rows:
            boxes = tuple((b[0], b[1], b[2], b[3]) for b in json.loads(r["boxes"] or "[]"))
            known = index_of[r["label"]]
            photos.append(Photo(imagenette / r["image"], "imagenette", r["label"], known, r["split"], boxes))
        for r in caltech_rows:
            mask = caltech / r["mask"] if r.get("mask") else None
            source = "caltech" if mask is None else "outlined"
            photos.append(Photo(caltech / r["image"], source, r["label"], UNKNOWN, r["split"], mask=mask))
    except (KeyError, ValueError, IndexError) as error:
        raise PictureError("An index.csv lacks a column or holds an unexpected value.") from error
    return photos


def labels_of(photos: Sequence[Photo], logits: Tensor) -> list[int]:
    """ImageNet class of each picture: its own, else plain Lite0's confident answer, else -1.

    Args:
        logits: (pictures, 1000) of plain Lite0 on each single picture.
    """
    sure, named = logits.softmax(dim=1).max(dim=1)
    return [
        p.class_index if p.class_index != UNKNOWN else int(n) if float(s) >= CONFIDENT else UNKNOWN
        for p, s, n in zip(photos, sure, named, strict=True)
    ]


def hold_out(photos: Sequence[Photo], seed: int, classes: int = 300, caltech: int = 30) -> HeldOut:
    """Draw the held-out classes, a third for selection and two thirds for the report; none of ``imagenette``."""
    rng = np.random.default_rng(seed)
    nette = {p.class_index for p in photos if p.source == "imagenette"}
    known = sorted({p.class_index for p in photos if p.source == "samples"} - nette)
    names = sorted({p.label for p in photos if p.source in CALTECH})
    one = [int(c) for c in rng.permutation(known)[:classes]]
    two = [str(n) for n in rng.permutation(np.array(names, dtype=str))[:caltech]]
    a, b = len(one) // 3, len(two) // 3
    choose, report = tuple(sorted(one[:a])), tuple(sorted(one[a:]))
    return HeldOut(seed, choose, report, tuple(sorted(two[:b])), tuple(sorted(two[b:])))


def split_pictures(photos: Sequence[Photo], labels: Sequence[int], held: HeldOut) -> Pictures:
    """Split the pictures. No picture of a held-out class, by label or by plain Lite0's answer, is used in training."""

    places_shown = LANDSCAPES | INTERIORS

    def trains(photo: Photo, label: int) -> bool:
        kept = photo.label not in held.caltech if photo.source in CALTECH else photo.split in ("", "train")
        return kept and label != UNKNOWN and label not in held.classes | places_shown

    def places(source: str, fits: Callable[[Photo], bool]) -> tuple[int, ...]:
        return tuple(i for i, photo in enumerate(photos) if photo.source == source and fits(photo))

    caltech = tuple(i for name in CALTECH for i in places(name, lambda p: p.label in held.report_caltech))
    pools = {
        "train": tuple(i for i, (photo, label) in enumerate(zip(photos, labels, strict=True)) if trains(photo, label)),
        "choose_nette": places("imagenette", lambda p: p.split == "val"),
        "choose_unseen": places("samples", lambda p: p.class_index in set(held.choose_classes) - places_shown),
        "report_nette": places("imagenette", lambda p: p.split == "loc_val"),
        "report_unseen": places("samples", lambda p: p.class_index in set(held.report_classes) - places_shown),
        "report_caltech": tuple(i for i in caltech if labels[i] != UNKNOWN),
        "report_backdrops": places("imagenette", lambda p: p.split == "loc_val") + caltech,
        "landscapes": places("samples", lambda p: p.class_index in LANDSCAPES),
        "interiors": places("samples", lambda p: p.class_index in INTERIORS),
    }
    return Pictures(photos, labels, held, pools)


def open_rgb(path: Path) -> Image.Image:
    """Open a picture of the data as RGB.

    Raises:
        PictureError: the file cannot be read.
    """
    try:
        with Image.open(path) as image:
            return image.convert("RGB")
    except OSError as error:
        raise PictureError(f"{path.name} cannot be read as a picture.") from error


def cut(image: Image.Image, box: Box, size: tuple[int, int], mirror: bool = False) -> Image.Image:
    """A box of a picture, bicubic at `size` = (width, height); the picture itself if neither changes."""
    if image.size != size or box != (0, 0, *size):
        image = image.resize(size, Image.Resampling.BICUBIC, box=box)
    return image.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if mirror else image


def whole(photo: Photo) -> Image.Image:
    """The network's view of a single picture, 224x224: centre crop of s/(s+32) of the short side, bicubic.

    Pictures that are already 224x224 stay as they are, and so do their boxes.
    """
    image = open_rgb(photo.path)
    if image.size == (SIZE, SIZE):
        return image
    side = min(image.size) * SIZE / (SIZE + CROP_MARGIN)
    left, top = (image.width - side) / 2, (image.height - side) / 2
    return cut(image, (left, top, left + side, top + side), (SIZE, SIZE))
