"""Layout ``coco``: instances in COCO's form (Lin et al., ECCV 2014).

COCO's own files: ``annotations/instances_SPLIT.json`` with ``SPLIT/`` or ``images/SPLIT/``. FiftyOne: ``labels.json``
with ``data/``. Roboflow: ``SPLIT/_annotations.coco.json`` beside the pictures. CVAT and others:
``annotations/NAME.json`` with ``images/``. Label Studio: ``result.json`` with ``images/``.

One sample per (picture, category), in the order of the file's pictures and then of its categories. A box is [x, y,
width, height] and becomes (x, y, x + width, y + height) with exclusive far edges. An ``iscrowd`` annotation gives no
box; its region is ignored in the mask. Ambiguous ids are reported, not guessed.
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from viz.datasets.boxes import four_numbers, is_share, number, with_far_corner
from viz.datasets.builder import Builder, choose_split
from viz.datasets.core import Box, Dataset, DatasetError, shown
from viz.datasets.files import read_json
from viz.datasets.masks import Region, RegionMask, regions_of
from viz.datasets.paths import Inside
from viz.picture_files import is_hidden

NAME = "coco"
LOOKS_FOR = (
    "annotations/instances_SPLIT.json, labels.json beside data/, SPLIT/_annotations.coco.json, or such a .json file"
)
_PREFIX = "instances_"
_ROBOFLOW = "_annotations.coco.json"
_ALONE = ("labels.json", "annotations.json", "result.json", "coco.json", "instances.json", _ROBOFLOW)
# COCO's other tasks, in the same folder as the instances.
_OTHERS = ("captions_", "person_keypoints_", "panoptic_", "stuff_", "image_info_")
_KEYS = (b'"images"', b'"annotations"', b'"categories"')
_PROBED = 200
_Entry = dict[str, Any]
# Above this, floats no longer distinguish whole numbers.
_EXACT = 2**53


@dataclass(frozen=True)
class _Category:
    """A category: its label and its superclass (``supercategory``)."""

    label: str
    superclass: str


@dataclass
class _Objects:
    """The objects of one category in one picture."""

    boxes: list[Box | None] = field(default_factory=list)
    regions: list[Region] = field(default_factory=list)
    ignored: list[Region] = field(default_factory=list)
    crowd_only: bool = True
    complete: bool = True  # every object has its region


def find(root: Path) -> dict[str, Path]:
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


def read(root: Path, split: str | None) -> Dataset:
    """The data set of one split."""
    files = find(root)
    split = str(choose_split(split, tuple(files), needed=True))
    data = read_json(files[split])
    parts = [data.get(k) if isinstance(data, dict) else None for k in ("images", "annotations", "categories")]
    if not all(isinstance(p, list) for p in parts):
        raise DatasetError(
            f"{shown(files[split].name)} is not in COCO's form: it needs the lists images, annotations and categories."
        )
    entries, annotations, named = ([x for x in p if isinstance(x, dict)] for p in parts if p is not None)
    builder = Builder(_folder_of(root, files[split]))
    base = _pictures_of(builder.inside, files[split], split, map(_file_name, entries))
    categories, images = _categories_of(builder, named), _images_of(builder, entries)
    objects = _by_picture(builder, _without_duplicates(builder, annotations), images, categories)
    for key, image in images.items():
        if image is None:
            continue
        name = _file_name(image)
        path = builder.picture(name, name, base, builder.root)
        if path is None:
            continue
        size = builder.size(name, image.get("width"), image.get("height"))
        by_category = objects.pop(key, {})
        if not by_category:
            builder.problem(name, "no object", "no object")
        for category in dict.fromkeys(categories.values()):
            if category in by_category:
                _add(builder, path, category, by_category[category], size)
    return builder.build(NAME, split, tuple(files))


def _folder_of(root: Path, index: Path) -> Path:
    """The data set's folder: `root`, or the one that an index file belongs to."""
    if root.is_dir():
        return root
    return index.parent.parent if index.parent.name == "annotations" else index.parent


def _pictures_of(inside: Inside, index: Path, split: str, names: Iterable[str]) -> Path:
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


def _identifier(value: object) -> str:
    """An id as text; 1, 1.0 (as tables with missing values write it) and "1" are equal. Empty for anything else."""
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() and abs(value) < _EXACT else ""
    return str(value).strip() if isinstance(value, int | str) and not isinstance(value, bool) else ""


def _file_name(image: _Entry) -> str:
    """The file name of a picture's entry; its id where it has none."""
    return str(image.get("file_name") or image.get("id"))


def _categories_of(builder: Builder, entries: Iterable[_Entry]) -> dict[str, _Category | None]:
    """Categories by id; None for an id with two names, which is reported.

    Categories of the same name are one class if they have the same superclass; otherwise it is added to their labels.
    """
    found: dict[str, dict[_Category, None]] = {}
    for entry in entries:
        key = _identifier(entry.get("id"))
        if not key:
            what = f"a category has the id {shown(repr(entry.get('id')))}, which is not a whole number or text; skipped"
            builder.problem("categories", "id unreadable", what)
            continue
        label = str(entry.get("name") or entry.get("id")).strip()
        category = _Category(label, str(entry.get("supercategory") or "").strip())
        found.setdefault(key, {})[category] = None
    by_id: dict[str, _Category | None] = {}
    by_label: dict[str, list[_Category]] = {}
    for key, several in found.items():
        names = list(dict.fromkeys(c.label for c in several))
        if len(names) > 1:
            what = f"the id is used for {shown(' and '.join(names))}; its annotations are skipped"
            builder.problem(f"category {key}", "id used twice", what)
            by_id[key] = None
            continue
        by_id[key] = category = next(iter(several)) if len(several) == 1 else _Category(names[0], "")
        by_label.setdefault(category.label, []).append(category)
    for label, same in by_label.items():
        if len(same) > 1:
            how = "as one class" if len(set(same)) == 1 else "separately, by supercategory"
            builder.problem(label, "class named twice", f"{len(same)} categories have this name; they are read {how}")
    for key, one in by_id.items():
        if one is not None and len(set(by_label[one.label])) > 1:
            by_id[key] = _Category(f"{one.label} ({one.superclass or 'no supercategory'})", one.superclass)
    return by_id


def _images_of(builder: Builder, entries: Iterable[_Entry]) -> dict[str, _Entry | None]:
    """Pictures by id in the file's order; None for an id of two files, and for the ids of a file with two."""
    found: dict[str, _Entry] = {}
    doubtful: set[str] = set()
    by_file: dict[str, list[str]] = {}
    for entry in entries:
        name = _file_name(entry)
        key = _identifier(entry.get("id"))
        if not key:
            what = f"the id {shown(repr(entry.get('id')))} is not a whole number or text; skipped"
            builder.problem(name, "id unreadable", what)
        elif key not in found:
            found[key] = entry
            by_file.setdefault(os.path.normpath(name.replace("\\", "/")), []).append(key)
        elif all(found[key].get(k) == entry.get(k) for k in ("file_name", "width", "height")):
            builder.problem(name, "listed twice", "listed twice with the same id")
        else:
            doubtful.add(key)
            what = f"its id {shown(key)} is also the id of {shown(_file_name(found[key]))}; both are skipped"
            builder.problem(name, "id used twice", what)
    for keys in by_file.values():
        if len(keys) > 1:
            doubtful.update(keys)
            what = f"listed with {len(keys)} different ids; all are skipped"
            builder.problem(_file_name(found[keys[0]]), "picture named twice", what)
    return {key: None if key in doubtful else entry for key, entry in found.items()}


def _without_duplicates(builder: Builder, annotations: Iterable[_Entry]) -> Iterator[_Entry]:
    """The annotations; a repeated one is skipped, different ones of the same id are kept, and both are reported."""
    seen: dict[str, _Entry] = {}
    for entry in annotations:
        key = _identifier(entry.get("id"))
        first = seen.setdefault(key, entry) if key else entry
        if first is not entry and first == entry:
            builder.problem(f"annotation {key}", "listed twice", "listed twice; the second one is skipped")
            continue
        if first is not entry:
            builder.problem(f"annotation {key}", "id used twice", "two annotations have this id; both are used")
        yield entry


def _by_picture(
    builder: Builder,
    annotations: Iterable[_Entry],
    images: Mapping[str, _Entry | None],
    categories: Mapping[str, _Category | None],
) -> dict[str, dict[_Category, _Objects]]:
    """The objects of each picture by category; annotations with an unknown or unclear id are reported."""
    found: dict[str, dict[_Category, _Objects]] = {}
    for entry in annotations:
        image_id, category_id = _identifier(entry.get("image_id")), _identifier(entry.get("category_id"))
        image, category = images.get(image_id), categories.get(category_id)
        identity = f"annotation {_identifier(entry.get('id')) or '?'}"
        if image is not None and category is not None:
            objects = found.setdefault(image_id, {}).setdefault(category, _Objects())
            _collect(builder, objects, identity, entry, image)
        elif image is None and image_id in images:
            builder.problem(identity, "picture unclear", "its picture is skipped")
        elif category is None and category_id in categories:
            builder.problem(identity, "class unclear", "its category is skipped")
        elif image is None:
            builder.problem(identity, "picture unknown", "its image_id is not in the file; skipped")
        else:
            builder.problem(identity, "class unknown", "its category_id is not in the file; skipped")
    return found


def _collect(builder: Builder, objects: _Objects, identity: str, entry: _Entry, image: _Entry) -> None:
    """Add the box and the regions of an annotation."""
    crowd = str(entry.get("iscrowd")).casefold() in ("1", "1.0", "true")
    box, segmentation = entry.get("bbox"), entry.get("segmentation")
    corners = with_far_corner(four_numbers(box if isinstance(box, list) else None))
    if not crowd:
        objects.crowd_only = False
        objects.boxes.append(corners)
    regions, extent = None, None
    if segmentation:
        try:
            regions = regions_of(segmentation, (int(number(image.get("height"))), int(number(image.get("width")))))
            extent = _extent(segmentation)
            in_shares = extent is not None and is_share(extent)
        except (ValueError, TypeError, OverflowError):
            regions = None
        if regions is None or in_shares:
            regions = None
            builder.problem(identity, "mask unreadable", "its region cannot be read; the picture's mask is skipped")
        elif not crowd and extent is not None and corners is not None and _are_apart(corners, extent):
            regions = None
            what = "its region and its box do not overlap; the picture's mask is skipped"
            builder.problem(identity, "box and region differ", what)
    if regions is not None:
        (objects.ignored if crowd else objects.regions).extend(regions)
    elif not crowd:
        objects.complete = False


def _extent(segmentation: object) -> Box | None:
    """The bounding box of valid polygons; None for run lengths."""
    if not isinstance(segmentation, list):
        return None
    xs = [x for polygon in segmentation for x in polygon[0::2]]
    ys = [y for polygon in segmentation for y in polygon[1::2]]
    return (min(xs), min(ys), max(xs), max(ys))


def _are_apart(a: Box, b: Box) -> bool:
    """Whether two boxes have no pixel in common."""
    return a[2] <= b[0] or a[3] <= b[1] or b[2] <= a[0] or b[3] <= a[1]


def _add(builder: Builder, path: Path, category: _Category, objects: _Objects, size: tuple[int, int] | None) -> None:
    name, label = builder.relative(path), category.label
    if objects.crowd_only:
        builder.problem(f"{name}#{label}", "crowd only", "shown as a crowd only; skipped")
        return
    mask = None
    if size is not None and objects.regions and objects.complete:
        mask = RegionMask(size, tuple(objects.regions), tuple(objects.ignored))
    boxes = builder.boxes(name, objects.boxes, size)
    builder.add(path, label, size=size, boxes=boxes, mask=mask, superclass=category.superclass)
