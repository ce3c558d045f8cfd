"""Layout ``cub``: Caltech-UCSD Birds-200-2011 (Wah et al., CNS-TR-2011-001, its README).

``images.txt``, ``image_class_labels.txt``, ``bounding_boxes.txt`` (x, y, width, height), ``train_test_split.txt`` and
``classes.txt``, each line starting with a number that the files share; pictures in ``images/``; outlines in
``segmentations/`` where they were unpacked, their greys being shares of annotators: at least half is object. Boxes
become (x, y, x + width, y + height) with exclusive far edges; the index gives no picture sizes, so boxes are not
clipped.
"""

from __future__ import annotations

import re
from pathlib import Path

from viz.datasets.builder import Builder, chosen, number
from viz.datasets.core import Dataset, DatasetError
from viz.datasets.files import lines, shown
from viz.datasets.masks import FileMask

NAME = "cub"
LOOKS_FOR = "images.txt and bounding_boxes.txt, as CUB-200-2011"
SPLITS = ("train", "test")


def fits(root: Path) -> bool:
    """Whether the folder holds CUB's lists."""
    return (root / "images.txt").is_file() and (root / "bounding_boxes.txt").is_file()


def read(root: Path, split: str | None) -> Dataset:
    """The data set, whole or one of its splits train and test.

    Raises:
        DatasetError: a list is missing or cannot be read, or there is no such split.
    """
    there = (root / "train_test_split.txt").is_file()
    chosen(split, SPLITS if there else ())
    builder = Builder(root)
    labels = _table(root / "image_class_labels.txt")
    boxes = _table(root / "bounding_boxes.txt")
    train = _table(root / "train_test_split.txt") if there else {}
    names = _table(root / "classes.txt") if (root / "classes.txt").is_file() else {}
    outlines = (root / "segmentations").is_dir()
    images = _table(root / "images.txt")
    for key in (k for k in dict.fromkeys((*labels, *boxes)) if k not in images):
        builder.problem(f"number {key}", "picture unknown", f"The number {shown(key)} is that of no picture; left out.")
    for key, name in images.items():
        if split is not None and key not in train:
            builder.problem(name, "split unknown", f"{shown(name)} is in no split; it is left out.")
        if split is not None and train.get(key) != ("1" if split == "train" else "0"):
            continue
        path = builder.picture(name, name, builder.inside.root / "images")
        if path is None:
            continue
        number_of_class = labels.get(key, "")
        if not number_of_class:
            builder.problem(name, "class unknown", f"{shown(name)} has no class.")
        label = names.get(number_of_class, number_of_class)
        mask = builder.path(name, f"segmentations/{Path(name).with_suffix('.png').as_posix()}") if outlines else None
        builder.add(
            path,
            label,
            boxes=builder.boxes(name, [_corners(boxes[key])] if key in boxes else [], None),
            mask=FileMask((mask,), shares=True) if mask is not None else None,
            name=re.sub(r"^\d+\.", "", label).replace("_", " "),
        )
    return builder.build(NAME, split, SPLITS if there else ())


def _table(path: Path) -> dict[str, str]:
    """The lines ``number rest`` of a list.

    Raises:
        DatasetError: a line has only one part, or a number comes twice with different ones.
    """
    found: dict[str, str] = {}
    for line in lines(path):
        key, _, rest = line.partition(" ")
        if not rest:
            raise DatasetError(f"{shown(path.name)} has the line {shown(line)!r}, which lacks its second part.")
        if found.setdefault(key, rest.strip()) != rest.strip():
            raise DatasetError(f"{shown(path.name)} has the number {shown(key)} twice, with different lines.")
    return found


def _corners(text: str) -> list[object]:
    parts: list[object] = list(text.split())
    try:
        x, y, w, h = (number(v) for v in parts)
    except ValueError:
        return parts
    return [x, y, x + w, y + h]
