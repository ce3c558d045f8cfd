"""The pictures of a recipe: the user's folders read from their ``index.csv``, and who may be trained on.

Three folders: ``imagenette`` (label = WordNet id, split train / val / loc_val, boxes), ``samples`` (one picture for
each of the 1000 ImageNet classes, class_index) and ``caltech`` (labels outside ImageNet; the recipe names these by
what plain Lite0 says of them). Whole classes are held out of training, in two disjoint sets: one for choosing, one for
reporting.
"""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from viz.errors import PictureError

SIZE = 224
CROP_MARGIN = 32
UNKNOWN = -1


@dataclass(frozen=True)
class Photo:
    """One picture of the data: where it lies and what is known of it.

    `class_index` is its ImageNet class 0 .. 999, or -1; `boxes` are (x0, y0, x1, y1) in pixels of the 224x224 picture.
    """

    path: Path
    source: str
    label: str
    class_index: int
    split: str
    boxes: tuple[tuple[float, float, float, float], ...] = ()


@dataclass(frozen=True)
class HeldOut:
    """Classes never trained on. `choose_*` serve to choose settings, `report_*` only to report."""

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


def read_photos(imagenette: Path, samples: Path, caltech: Path) -> list[Photo]:
    """All pictures of the three folders, in a fixed order.

    Raises:
        PictureError: a folder has no index.csv, or its columns are not the expected ones.
    """
    sample_rows, nette_rows, caltech_rows = (_rows(folder) for folder in (samples, imagenette, caltech))
    try:
        index_of = {row["label"]: int(row["class_index"]) for row in sample_rows}
        photos = [Photo(samples / r["image"], "samples", r["label"], int(r["class_index"]), "") for r in sample_rows]
        photos += [
            Photo(
                imagenette / r["image"],
                "imagenette",
                r["label"],
                index_of[r["label"]],
                r["split"],
                tuple((b[0], b[1], b[2], b[3]) for b in json.loads(r["boxes"] or "[]")),
            )
            for r in nette_rows
        ]
        photos += [Photo(caltech / r["image"], "caltech", r["label"], UNKNOWN, r["split"]) for r in caltech_rows]
    except (KeyError, ValueError, IndexError) as error:
        raise PictureError("An index.csv lacks a column or holds a value that is not expected there.") from error
    return photos


def _rows(folder: Path) -> list[dict[str, str]]:
    index = folder / "index.csv"
    if not index.is_file():
        raise PictureError(f"{folder} holds no index.csv.")
    with index.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def hold_out(photos: list[Photo], seed: int, classes: int = 300, caltech: int = 30) -> HeldOut:
    """Draw the held-out classes: a third of them to choose by, two thirds to report on.

    The classes of ``imagenette`` are never drawn.
    """
    rng = np.random.default_rng(seed)
    nette = {p.class_index for p in photos if p.source == "imagenette"}
    known = sorted({p.class_index for p in photos if p.source == "samples"} - nette)
    names = sorted({p.label for p in photos if p.source == "caltech"})
    drawn = [int(c) for c in rng.permutation(known)[:classes]]
    drawn_names = [str(n) for n in rng.permutation(np.array(names, dtype=str))[:caltech]]
    a, b = len(drawn) // 3, len(drawn_names) // 3
    return HeldOut(
        seed,
        tuple(sorted(drawn[:a])),
        tuple(sorted(drawn[a:])),
        tuple(sorted(drawn_names[:b])),
        tuple(sorted(drawn_names[b:])),
    )


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


def whole(photo: Photo) -> Image.Image:
    """The network's view of one picture alone, 224x224: centre crop of s/(s+32) of the short side, bicubic.

    Pictures that are already 224x224 are taken as they are (so are their boxes).
    """
    image = open_rgb(photo.path)
    if image.size == (SIZE, SIZE):
        return image
    side = min(image.size) * SIZE / (SIZE + CROP_MARGIN)
    left, top = (image.width - side) / 2, (image.height - side) / 2
    return image.resize((SIZE, SIZE), Image.Resampling.BICUBIC, box=(left, top, left + side, top + side))
