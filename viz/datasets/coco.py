"""Layout ``coco``: instances in COCO's form (Lin et al., ECCV 2014). File locations: `viz.datasets.coco_files`.

One sample per (picture, category), in the order of the file's pictures and then of its categories. A box is [x, y,
width, height] and becomes (x, y, x + width, y + height) with exclusive far edges. An ``iscrowd`` annotation gives no
box; its region is ignored in the mask.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from viz.datasets.boxes import four_numbers, is_share, number, with_far_corner
from viz.datasets.builder import Builder, choose_split
from viz.datasets.coco_files import folder_of, index_files, pictures_of
from viz.datasets.coco_ids import (
    Category,
    Entry,
    categories_of,
    file_name,
    identifier,
    images_of,
    without_duplicates,
)
from viz.datasets.core import Box, Dataset, DatasetError, shown
from viz.datasets.files import read_json
from viz.datasets.masks import Region, RegionMask, regions_of

NAME = "coco"
LOOKS_FOR = (
    "annotations/instances_SPLIT.json, labels.json beside data/, SPLIT/_annotations.coco.json, or such a .json file"
)


@dataclass
class _Objects:
    """The objects of one category in one picture."""

    boxes: list[Box | None] = field(default_factory=list)
    regions: list[Region] = field(default_factory=list)
    ignored: list[Region] = field(default_factory=list)
    crowd_only: bool = True
    complete: bool = True  # every object has its region


def fits(root: Path) -> bool:
    """Whether there are instance files."""
    return bool(index_files(root))


def read(root: Path, split: str | None) -> Dataset:
    """The data set of one split."""
    files = index_files(root)
    split = str(choose_split(split, tuple(files), needed=True))
    data = read_json(files[split])
    parts = [data.get(k) if isinstance(data, dict) else None for k in ("images", "annotations", "categories")]
    if not all(isinstance(p, list) for p in parts):
        raise DatasetError(
            f"{shown(files[split].name)} is not in COCO's form: it needs the lists images, annotations and categories."
        )
    entries, annotations, named = ([x for x in p if isinstance(x, dict)] for p in parts if p is not None)
    builder = Builder(folder_of(root, files[split]))
    base = pictures_of(builder.inside, files[split], split, map(file_name, entries))
    categories, unclear_categories = categories_of(builder, named)
    images, unclear_images = images_of(builder, entries)
    unclear = {"picture": unclear_images, "class": unclear_categories}
    objects = _by_picture(builder, without_duplicates(builder, annotations), images, categories, unclear)
    for key, image in images.items():
        name = file_name(image)
        path = builder.picture(name, name, base, builder.root)
        if path is None:
            continue
        size = builder.size(name, image.get("width"), image.get("height"))
        by_category = objects.pop(key, {})
        if not by_category:
            builder.problem(name, "no object", "has no object")
        for category in dict.fromkeys(categories.values()):
            if category in by_category:
                _add(builder, path, category, by_category[category], size)
    return builder.build(NAME, split, tuple(files))


def _by_picture(
    builder: Builder,
    annotations: Iterable[Entry],
    images: Mapping[str, Entry],
    categories: Mapping[str, Category],
    unclear: Mapping[str, set[str]],
) -> dict[str, dict[Category, _Objects]]:
    """The objects of each picture by category; annotations with an unknown or unclear id are reported."""
    found: dict[str, dict[Category, _Objects]] = {}
    for entry in annotations:
        picture, category = identifier(entry.get("image_id")), identifier(entry.get("category_id"))
        identity = f"annotation {identifier(entry.get('id')) or '?'}"
        if picture in unclear["picture"]:
            builder.problem(identity, "picture unclear", "its picture is skipped")
        elif category in unclear["class"]:
            builder.problem(identity, "class unclear", "its category is skipped")
        elif picture is None or picture not in images:
            builder.problem(identity, "picture unknown", "its image_id is not in the file; skipped")
        elif category is None or category not in categories:
            builder.problem(identity, "class unknown", "its category_id is not in the file; skipped")
        else:
            objects = found.setdefault(picture, {}).setdefault(categories[category], _Objects())
            _collect(builder, objects, identity, entry, images[picture])
    return found


def _collect(builder: Builder, objects: _Objects, identity: str, entry: Entry, image: Entry) -> None:
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


def _add(builder: Builder, path: Path, category: Category, objects: _Objects, size: tuple[int, int] | None) -> None:
    name, label = builder.relative(path), category.label
    if objects.crowd_only:
        builder.problem(f"{name}#{label}", "crowd only", "shown as a crowd only; skipped")
        return
    mask = None
    if size is not None and objects.regions and objects.complete:
        mask = RegionMask(size, tuple(objects.regions), tuple(objects.ignored))
    boxes = builder.boxes(name, objects.boxes, size)
    builder.add(path, label, size=size, boxes=boxes, mask=mask, kind=category.kind)
