"""Layout ``coco``: ``annotations/instances_SPLIT.json`` (Lin et al., ECCV 2014), or such a file itself.

Pictures lie in ``SPLIT/``, ``images/SPLIT/`` or ``images/``. One sample a (picture, category), in the order of the
file's pictures and then of its categories. A box is [x, y, width, height] and becomes (x, y, x + width, y + height)
with exclusive far edges. What is marked ``iscrowd`` gives no box; its region is ignored in the mask.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from viz.datasets.builder import Builder, chosen, number
from viz.datasets.core import Dataset, DatasetError
from viz.datasets.files import read_json, shown
from viz.datasets.masks import Region, RegionMask, regions_of

NAME = "coco"
LOOKS_FOR = "annotations/instances_SPLIT.json, or such a .json file"
_PREFIX = "instances_"


@dataclass
class _Objects:
    boxes: list[list[object]] = field(default_factory=list)
    found: list[Region] = field(default_factory=list)
    ignored: list[Region] = field(default_factory=list)
    single: bool = False  # holds something that is no crowd
    whole: bool = True  # every object has its region


def fits(root: Path) -> bool:
    """Whether there are instance files."""
    return bool(_files(root))


def read(root: Path, split: str | None) -> Dataset:
    """The data set of one split.

    Raises:
        DatasetError: no such split, or the file is not of this form.
    """
    files = _files(root)
    chosen_split = chosen(split, tuple(files), needed=True)
    index = files[str(chosen_split)]
    folder = index.parent.parent if index.parent.name == "annotations" else index.parent
    data = read_json(index)
    parts = [data.get(k) if isinstance(data, dict) else None for k in ("images", "annotations", "categories")]
    if not all(isinstance(p, list) for p in parts):
        raise DatasetError(f"{shown(index.name)} is not of COCO's form: it needs images, annotations and categories.")
    images, annotations, categories = ([x for x in p if isinstance(x, dict)] for p in parts if p is not None)
    builder = Builder(folder)
    base = _pictures(builder.inside.root, str(chosen_split))
    names = {_key(c.get("id")): str(c.get("name") or c.get("id")) for c in categories}
    objects = _by_picture(builder, annotations, {_key(i.get("id")): i for i in images}, names)
    for image in images:
        name = str(image.get("file_name") or image.get("id"))
        path = builder.path(name, name, base)
        if path is None:
            continue
        size = builder.size(name, image.get("width"), image.get("height"))
        mine = objects.pop(_key(image.get("id")), {})
        if not mine:
            builder.problem(name, "no object", f"{shown(name)} has no object.")
        for key, label in names.items():
            if key in mine:
                _add(builder, path, label, mine[key], size)
    return builder.build(NAME, chosen_split, tuple(files))


def _files(root: Path) -> dict[str, Path]:
    if root.is_file():
        return {root.stem.removeprefix(_PREFIX): root} if root.suffix.lower() == ".json" else {}
    return {p.stem.removeprefix(_PREFIX): p for p in sorted((root / "annotations").glob(f"{_PREFIX}*.json"))}


def _pictures(folder: Path, split: str) -> Path:
    for candidate in (folder / split, folder / "images" / split, folder / "images"):
        if candidate.is_dir():
            return candidate
    return folder


def _key(value: Any) -> str:
    """Identifiers are numbers in COCO's own files and text in some others'."""
    return str(value) if isinstance(value, int | str) else ""


def _by_picture(
    builder: Builder, annotations: list[dict[str, Any]], images: Mapping[str, dict[str, Any]], names: Mapping[str, str]
) -> dict[str, dict[str, _Objects]]:
    """What each picture holds of each category; annotations that point nowhere are problems."""
    found: dict[str, dict[str, _Objects]] = {}
    for entry in annotations:
        picture, category = _key(entry.get("image_id")), _key(entry.get("category_id"))
        identity = f"annotation {_key(entry.get('id')) or '?'}"
        if picture not in images:
            builder.problem(identity, "picture unknown", f"{shown(identity)} belongs to no picture of the file.")
        elif category not in names:
            builder.problem(identity, "class unknown", f"{shown(identity)} has a category that the file does not name.")
        else:
            objects = found.setdefault(picture, {}).setdefault(category, _Objects())
            _take(builder, objects, identity, entry, images[picture])
    return found


def _take(
    builder: Builder, objects: _Objects, identity: str, entry: Mapping[str, Any], image: Mapping[str, Any]
) -> None:
    crowd = entry.get("iscrowd") == 1
    if not crowd:
        objects.single = True
        objects.boxes.append(_corners(entry.get("bbox")))
    if not entry.get("segmentation"):
        objects.whole = objects.whole and crowd
        return
    try:
        size = (int(number(image.get("height"))), int(number(image.get("width"))))
        regions = regions_of(entry["segmentation"], size)
    except (ValueError, TypeError, OverflowError):
        objects.whole = objects.whole and crowd
        message = f"The region of {shown(identity)} cannot be read; its picture's mask is left out."
        builder.problem(identity, "mask unreadable", message)
        return
    (objects.ignored if crowd else objects.found).extend(regions)


def _corners(box: object) -> list[object]:
    if not isinstance(box, list) or len(box) != 4:
        return []
    try:
        x, y, w, h = (number(v) for v in box)
    except ValueError:
        return []
    return [x, y, x + w, y + h]


def _add(builder: Builder, path: Path, label: str, objects: _Objects, size: tuple[int, int] | None) -> None:
    name = builder.relative(path)
    if not objects.single:
        builder.problem(f"{name}#{label}", "crowd only", f"{shown(name)} shows {shown(label)} as a crowd only.")
        return
    mask = None
    if size is not None and objects.found and objects.whole:
        mask = RegionMask(size, tuple(objects.found), tuple(objects.ignored))
    builder.add(path, label, size=size, boxes=builder.boxes(name, objects.boxes, size), mask=mask)
