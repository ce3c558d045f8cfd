"""Layout ``coco``: instances in COCO's form (Lin et al., ECCV 2014); where the files lie: `viz.datasets.coco_files`.

One sample a (picture, category), in the order of the file's pictures and then of its categories. A box is [x, y, width,
height] and becomes (x, y, x + width, y + height) with exclusive far edges. What is marked ``iscrowd`` gives no box; its
region is ignored in the mask. Identifiers that do not name one picture or category are problems, never guessed
(`viz.datasets.coco_ids`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from viz.datasets.box_checks import is_share
from viz.datasets.builder import Builder, chosen, number
from viz.datasets.coco_files import folder_of, index_files, pictures_of
from viz.datasets.coco_ids import Category, Entry, categories_of, identifier, images_of, once_each
from viz.datasets.core import Dataset, DatasetError
from viz.datasets.files import read_json, shown
from viz.datasets.masks import Region, RegionMask, regions_of

NAME = "coco"
LOOKS_FOR = (
    "annotations/instances_SPLIT.json, labels.json beside data/, SPLIT/_annotations.coco.json, or such a .json file"
)


@dataclass
class _Objects:
    boxes: list[list[object]] = field(default_factory=list)
    found: list[Region] = field(default_factory=list)
    ignored: list[Region] = field(default_factory=list)
    single: bool = False  # holds something that is no crowd
    whole: bool = True  # every object has its region


def fits(root: Path) -> bool:
    """Whether there are instance files."""
    return bool(index_files(root))


def read(root: Path, split: str | None) -> Dataset:
    """The data set of one split.

    Raises:
        DatasetError: no such split, or the file is not of this form.
    """
    files = index_files(root)
    chosen_split = chosen(split, tuple(files), needed=True)
    index = files[str(chosen_split)]
    data = read_json(index)
    parts = [data.get(k) if isinstance(data, dict) else None for k in ("images", "annotations", "categories")]
    if not all(isinstance(p, list) for p in parts):
        raise DatasetError(f"{shown(index.name)} is not of COCO's form: it needs images, annotations and categories.")
    entries, annotations, named = ([x for x in p if isinstance(x, dict)] for p in parts if p is not None)
    builder = Builder(folder_of(root, index))
    files_named = (str(e.get("file_name") or e.get("id")) for e in entries)
    base = pictures_of(builder.inside, index, str(chosen_split), files_named)
    categories, unclear = categories_of(builder, named)
    images, doubtful = images_of(builder, entries)
    objects = _by_picture(builder, once_each(builder, annotations), images, categories, (doubtful, unclear))
    for key, image in images.items():
        name = str(image.get("file_name") or image.get("id"))
        path = builder.picture(name, name, base, builder.inside.root)
        if path is None:
            continue
        size = builder.size(name, image.get("width"), image.get("height"))
        mine = objects.pop(key, {})
        if not mine:
            builder.problem(name, "no object", f"{shown(name)} has no object.")
        for category in dict.fromkeys(categories.values()):
            if category in mine:
                _add(builder, path, category, mine[category], size)
    return builder.build(NAME, chosen_split, tuple(files))


def _by_picture(
    builder: Builder,
    annotations: Iterable[Entry],
    images: Mapping[str, Entry],
    categories: Mapping[str, Category],
    unclear: tuple[set[str], set[str]],
) -> dict[str, dict[Category, _Objects]]:
    """What each picture holds of each category; annotations that point nowhere, or to one of the `unclear` identifiers
    (of pictures, of categories), are problems."""
    found: dict[str, dict[Category, _Objects]] = {}
    for entry in annotations:
        picture, category = identifier(entry.get("image_id")), identifier(entry.get("category_id"))
        identity = f"annotation {identifier(entry.get('id')) or '?'}"
        if picture in unclear[0] or category in unclear[1]:
            what = "picture" if picture in unclear[0] else "class"
            builder.problem(identity, f"{what} unclear", f"{shown(identity)} belongs to a {what} that is left out.")
        elif picture is None or picture not in images:
            builder.problem(identity, "picture unknown", f"{shown(identity)} belongs to no picture of the file.")
        elif category is None or category not in categories:
            builder.problem(identity, "class unknown", f"{shown(identity)} has a category that the file does not name.")
        else:
            objects = found.setdefault(picture, {}).setdefault(categories[category], _Objects())
            _take(builder, objects, identity, entry, images[picture])
    return found


def _take(builder: Builder, objects: _Objects, identity: str, entry: Entry, image: Entry) -> None:
    crowd = str(entry.get("iscrowd")).casefold() in ("1", "1.0", "true")
    corners = _corners(entry.get("bbox"))
    if not crowd:
        objects.single = True
        objects.boxes.append(corners)
    if not entry.get("segmentation"):
        objects.whole = objects.whole and crowd
        return
    try:
        size = (int(number(image.get("height"))), int(number(image.get("width"))))
        regions = regions_of(entry["segmentation"], size)
        extent = _extent(entry["segmentation"])
        if extent is not None and is_share(*extent):
            raise ValueError("a region within one pixel is in shares of the picture")
    except (ValueError, TypeError, OverflowError):
        objects.whole = objects.whole and crowd
        message = f"The region of {shown(identity)} cannot be read; its picture's mask is left out."
        builder.problem(identity, "mask unreadable", message)
        return
    if extent is not None and not crowd and _apart(corners, extent):
        objects.whole = False
        message = f"The region and the box of {shown(identity)} lie apart; its picture's mask is left out."
        builder.problem(identity, "box and region differ", message)
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


def _extent(polygons: object) -> tuple[float, float, float, float] | None:
    """Corners around polygons that were found readable; None for run lengths."""
    if not isinstance(polygons, list):
        return None
    xs = [min(p[0::2]) for p in polygons], [max(p[0::2]) for p in polygons]
    ys = [min(p[1::2]) for p in polygons], [max(p[1::2]) for p in polygons]
    return (min(xs[0]), min(ys[0]), max(xs[1]), max(ys[1]))


def _apart(corners: list[object], extent: tuple[float, float, float, float]) -> bool:
    """Whether a box and a region have no pixel in common."""
    if len(corners) != 4:
        return False
    x0, y0, x1, y1 = (number(v) for v in corners)
    return x1 <= extent[0] or y1 <= extent[1] or extent[2] <= x0 or extent[3] <= y0


def _add(builder: Builder, path: Path, category: Category, objects: _Objects, size: tuple[int, int] | None) -> None:
    name, label = builder.relative(path), category.label
    if not objects.single:
        builder.problem(f"{name}#{label}", "crowd only", f"{shown(name)} shows {shown(label)} as a crowd only.")
        return
    mask = None
    if size is not None and objects.found and objects.whole:
        mask = RegionMask(size, tuple(objects.found), tuple(objects.ignored))
    boxes = builder.boxes(name, objects.boxes, size)
    builder.add(path, label, size=size, boxes=boxes, mask=mask, kind=category.kind)
