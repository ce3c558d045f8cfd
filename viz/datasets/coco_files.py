"""Where the files of a COCO data set lie: its annotations by split, and the folder of its pictures.

COCO's own: ``annotations/instances_SPLIT.json`` with ``SPLIT/`` or ``images/SPLIT/``. FiftyOne: ``labels.json`` with
``data/``. Roboflow: ``SPLIT/_annotations.coco.json`` beside the pictures. CVAT and others: ``annotations/NAME.json``
with ``images/``; Label Studio: ``result.json`` with ``images/``.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterable
from pathlib import Path

from viz.datasets.core import DatasetError
from viz.datasets.files import Inside
from viz.picture_files import is_hidden

_PREFIX = "instances_"
_ROBOFLOW = "_annotations.coco.json"
_ALONE = ("labels.json", "annotations.json", "result.json", "coco.json", "instances.json", _ROBOFLOW)
# COCO's other tasks, which lie beside the instances.
_OTHERS = ("captions_", "person_keypoints_", "panoptic_", "stuff_", "image_info_")
_KEYS = (b'"images"', b'"annotations"', b'"categories"')
_PROBED = 200


def index_files(root: Path) -> dict[str, Path]:
    """Annotation files by split, the surest names first; empty where there are none."""
    if root.is_file():
        return {_split_of(root): root} if root.suffix.lower() == ".json" else {}
    for found in (_visible(root / "annotations", f"{_PREFIX}*.json"), _visible(root, f"{_PREFIX}*.json")):
        if found:
            return {_split_of(p): p for p in found}
    others = [p for p in _visible(root / "annotations", "*.json") if not p.name.startswith(_OTHERS)]
    alone = [root / name for name in _ALONE]
    split = [p for name in (_ROBOFLOW, "labels.json") for p in _visible(root, f"*/{name}")]
    for group in (others, alone):
        found = [p for p in group if _is_instances(p)]
        if found:
            return {_split_of(p): p for p in found}
    return {p.parent.name: p for p in split if _is_instances(p)}


def folder_of(root: Path, index: Path) -> Path:
    """The data set's folder: the one that was named, or the one that an index file belongs to."""
    if root.is_dir():
        return root
    return index.parent.parent if index.parent.name == "annotations" else index.parent


def pictures_of(inside: Inside, index: Path, split: str, names: Iterable[str]) -> Path:
    """The folder that the pictures' names are relative to: of the usual ones that which holds most of the first names.

    Args:
        index: the annotation file. names: of the pictures, as the file gives them.
    """
    root = inside.root
    beside = root / index.parent.relative_to(inside.given) if index.parent.is_relative_to(inside.given) else root
    folders = [root / split, root / "images" / split, root / "images", root / "data" / split]
    folders += [beside / "data", beside / "images", root / "data", beside, root]
    there = [f for f in dict.fromkeys(folders) if f.is_dir() and f.is_relative_to(root)]
    probed = [name for name, _ in zip(names, range(_PROBED), strict=False)]
    counts = {f: sum(_holds(inside, name, f) for name in probed) for f in there}
    best = max(counts.values(), default=0)
    if best:
        return next(f for f in there if counts[f] == best)
    return next((f for f in folders[:3] if f.is_dir()), root)


def _holds(inside: Inside, name: str, folder: Path) -> bool:
    try:
        return inside(name, folder, inside.root).is_file()
    except (DatasetError, OSError):
        return False


def _split_of(path: Path) -> str:
    return path.parent.name if path.name == _ROBOFLOW else path.stem.removeprefix(_PREFIX)


def _visible(folder: Path, pattern: str) -> list[Path]:
    return [p for p in sorted(folder.glob(pattern)) if not is_hidden(p.name)]


def _is_instances(path: Path) -> bool:
    """Whether a JSON file has the words of COCO's form; it is searched, not parsed."""
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            return all(data.find(key) >= 0 for key in _KEYS)
    except (OSError, ValueError):
        return False
