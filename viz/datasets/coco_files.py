"""File locations of a COCO data set: its annotations by split, and the folder of its pictures.

COCO's own: ``annotations/instances_SPLIT.json`` with ``SPLIT/`` or ``images/SPLIT/``. FiftyOne: ``labels.json`` with
``data/``. Roboflow: ``SPLIT/_annotations.coco.json`` beside the pictures. CVAT and others: ``annotations/NAME.json``
with ``images/``; Label Studio: ``result.json`` with ``images/``.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterable
from itertools import islice
from pathlib import Path

from viz.datasets.core import DatasetError
from viz.datasets.paths import Inside
from viz.picture_files import is_hidden

_PREFIX = "instances_"
_ROBOFLOW = "_annotations.coco.json"
_ALONE = ("labels.json", "annotations.json", "result.json", "coco.json", "instances.json", _ROBOFLOW)
# COCO's other tasks, in the same folder as the instances.
_OTHERS = ("captions_", "person_keypoints_", "panoptic_", "stuff_", "image_info_")
_KEYS = (b'"images"', b'"annotations"', b'"categories"')
_PROBED = 200


def index_files(root: Path) -> dict[str, Path]:
    """Annotation files by split, found by the most specific names; empty where there are none."""
    if root.is_file():
        return {_split_of(root): root} if root.suffix.lower() == ".json" else {}
    for folder in (root / "annotations", root):
        if found := _visible(folder, f"{_PREFIX}*.json"):
            return {_split_of(p): p for p in found}
    others = [p for p in _visible(root / "annotations", "*.json") if not p.name.startswith(_OTHERS)]
    for group in (others, [root / name for name in _ALONE]):
        if found := [p for p in group if _is_instances(p)]:
            return {_split_of(p): p for p in found}
    per_split = [p for name in (_ROBOFLOW, "labels.json") for p in _visible(root, f"*/{name}")]
    return {p.parent.name: p for p in per_split if _is_instances(p)}


def folder_of(root: Path, index: Path) -> Path:
    """The data set's folder: `root`, or the one that an index file belongs to."""
    if root.is_dir():
        return root
    return index.parent.parent if index.parent.name == "annotations" else index.parent


def pictures_of(inside: Inside, index: Path, split: str, names: Iterable[str]) -> Path:
    """The folder that the pictures' names are relative to: the usual one that contains most of the first names.

    Args:
        index: the annotation file. names: of the pictures, as in the file.
    """
    root = inside.root
    beside = root / index.parent.relative_to(inside.given) if index.parent.is_relative_to(inside.given) else root
    folders = [root / split, root / "images" / split, root / "images", root / "data" / split]
    folders += [beside / "data", beside / "images", root / "data", beside, root]
    first_names = list(islice(names, _PROBED))
    usable = [f for f in dict.fromkeys(folders) if f.is_dir() and f.is_relative_to(root)]
    counts = {f: sum(_has_file(inside, name, f) for name in first_names) for f in usable}
    best = max(counts, key=lambda f: counts[f], default=root)
    if counts.get(best):
        return best
    return next((f for f in folders[:3] if f.is_dir()), root)


def _has_file(inside: Inside, name: str, folder: Path) -> bool:
    try:
        return inside(name, folder, inside.root).is_file()
    except (DatasetError, OSError):
        return False


def _split_of(path: Path) -> str:
    return path.parent.name if path.name == _ROBOFLOW else path.stem.removeprefix(_PREFIX)


def _visible(folder: Path, pattern: str) -> list[Path]:
    return [p for p in sorted(folder.glob(pattern)) if not is_hidden(p.name)]


def _is_instances(path: Path) -> bool:
    """Whether a JSON file has the keys of COCO's form; it is searched, not parsed."""
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            return all(data.find(key) >= 0 for key in _KEYS)
    except (OSError, ValueError):
        return False
