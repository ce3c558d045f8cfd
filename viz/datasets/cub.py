"""Layout ``cub``: Caltech-UCSD Birds-200-2011 (Wah et al., CNS-TR-2011-001, its README).

``images.txt``, ``image_class_labels.txt``, ``bounding_boxes.txt`` (x, y, width, height), ``train_test_split.txt`` and
``classes.txt``; each line starts with a number that identifies the picture or class. Pictures are in ``images/`` and,
optionally, segmentations in ``segmentations/``; their greys are fractions of annotators, and at least half is object.
Boxes become (x, y, x + width, y + height) with exclusive far edges; they are not clipped, because the lists have no
picture sizes.
"""

from __future__ import annotations

import re
from pathlib import Path

from viz.datasets.boxes import four_numbers, with_far_corner
from viz.datasets.builder import Builder, choose_split
from viz.datasets.core import Dataset
from viz.datasets.files import keyed_table
from viz.datasets.masks import FileMask

NAME = "cub"
LOOKS_FOR = "images.txt and bounding_boxes.txt, as CUB-200-2011"
SPLITS = ("train", "test")


def find(root: Path) -> bool:
    """Whether the folder has CUB's lists."""
    return (root / "images.txt").is_file() and (root / "bounding_boxes.txt").is_file()


def read(root: Path, split: str | None) -> Dataset:
    """The whole data set, or its split train or test."""
    splits = SPLITS if (root / "train_test_split.txt").is_file() else ()
    choose_split(split, splits)
    builder = Builder(root)
    labels = _table(root / "image_class_labels.txt")
    boxes = _table(root / "bounding_boxes.txt")
    is_train = _table(root / "train_test_split.txt") if splits else {}
    names = _table(root / "classes.txt") if (root / "classes.txt").is_file() else {}
    has_masks = (root / "segmentations").is_dir()
    images = _table(root / "images.txt")
    for key in dict.fromkeys((*labels, *boxes)):
        if key not in images:
            builder.problem(f"number {key}", "picture unknown", "no picture has this number; skipped")
    for key, name in images.items():
        if split is not None and key not in is_train:
            builder.problem(name, "split unknown", "not in any split; skipped")
        if split is not None and is_train.get(key) != ("1" if split == "train" else "0"):
            continue
        path = builder.picture(name, name, builder.root / "images")
        if path is None:
            continue
        if key not in labels:
            builder.problem(name, "class unknown", "no class")
        label = names.get(labels.get(key, ""), labels.get(key, ""))
        mask = builder.path(name, f"segmentations/{Path(name).with_suffix('.png').as_posix()}") if has_masks else None
        corners = [with_far_corner(four_numbers(boxes[key].split()))] if key in boxes else []
        builder.add(
            path,
            label,
            boxes=builder.boxes(name, corners, None),
            mask=FileMask((mask,), shares=True) if mask is not None else None,
            name=re.sub(r"^\d+\.", "", label).replace("_", " "),
        )
    return builder.build(NAME, split, splits)


def _table(path: Path) -> dict[str, str]:
    """The lines ``number rest`` of a list."""
    return {key: rest for key, (rest,) in keyed_table(path, (1,), None, maxsplit=1).items()}
