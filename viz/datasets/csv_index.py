"""Layout ``csv``: an ``index.csv`` beside the pictures.

Columns: ``image`` (relative path; needed), ``label``, ``name``, ``class_index``, ``split``, ``width``, ``height``,
``boxes`` (a JSON list of [x0, y0, x1, y1]) or ``x0, y0, x1, y1`` (one box a row; rows of one picture and label are one
sample), ``mask`` (relative path of a file: white on black, or class numbers of which all but 0 are
object and 255 is void; what may mean several things is refused, see `viz.datasets.mask_files`). With a ``classes.txt``
and no label the masks hold class numbers: one sample for each class that a mask holds, and a class named void, ignore
or unlabelled is ignored.
Boxes are taken as continuous coordinates with exclusive far edges.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from pathlib import Path

from viz.datasets.builder import Builder, chosen, whole
from viz.datasets.core import Box, Dataset, DatasetError
from viz.datasets.files import read_rows, shown
from viz.datasets.index_masks import add_classes, class_names
from viz.datasets.masks import FileMask

NAME = "csv"
LOOKS_FOR = "an index.csv with a column image"
_CORNERS = ("x0", "y0", "x1", "y1")


@dataclass
class _Entry:
    path: Path
    label: str
    name: str
    class_index: int | None
    size: tuple[int, int] | None
    boxes: list[Box] = field(default_factory=list)
    masks: list[Path] = field(default_factory=list)


def fits(root: Path) -> bool:
    """Whether the folder holds an index, or is one."""
    return (root / "index.csv").is_file() or (root.is_file() and root.suffix.lower() == ".csv")


def read(root: Path, split: str | None) -> Dataset:
    """The data set of an index.

    Raises:
        DatasetError: the index cannot be read, lacks the picture column or the split.
    """
    index = root if root.is_file() else root / "index.csv"
    builder = Builder(index.parent)
    columns, rows = read_rows(index)
    if "image" not in columns:
        raise DatasetError(f"{shown(index.name)} has no column image; it has: {shown(', '.join(columns))}.")
    splits: dict[str, None] = {}
    entries: dict[tuple[Path, str], _Entry] = {}
    for line, row in rows:
        if row.get("split"):
            splits[row["split"]] = None
        if split is None or row.get("split") == split:
            _take(builder, entries, f"line {line}", row)
    names = class_names(index.parent / "classes.txt") if "label" not in columns else None
    chosen(split, tuple(splits))
    for entry in entries.values():
        if names is not None and entry.masks:
            add_classes(builder, entry.path, entry.masks[0], names, entry.size)
            continue
        builder.add(
            entry.path,
            entry.label,
            size=entry.size,
            boxes=tuple(entry.boxes),
            mask=FileMask(tuple(entry.masks)) if entry.masks else None,
            class_index=entry.class_index,
            name=entry.name,
        )
    return builder.build(NAME, split, tuple(splits))


def _take(builder: Builder, entries: dict[tuple[Path, str], _Entry], line: str, row: dict[str, str]) -> None:
    """Add a row to the entries, one for each picture and label."""
    path = builder.path(line, row["image"])
    if path is None:
        return
    label = row.get("label") or row.get("name", "") or row.get("class_index", "")
    class_index = _class_index(builder, line, row.get("class_index", ""))
    size = builder.size(row["image"], row.get("width"), row.get("height"))
    fresh = _Entry(path, label, row.get("name", ""), class_index, size)
    entry = entries.setdefault((path, label), fresh)
    if entry.size != size:
        message = f"{shown(row['image'])} is given two sizes, the second on {line}; none is used."
        builder.problem(row["image"], "two sizes", message)
        entries[path, label] = entry = replace(entry, size=None)
    entry.boxes += builder.boxes(row["image"], _raw_boxes(builder, row), size)
    if row.get("mask"):
        mask = builder.path(line, row["mask"])
        entry.masks += [] if mask is None else [mask]


def _class_index(builder: Builder, line: str, text: str) -> int | None:
    if not text:
        return None
    try:
        index = whole(text)
    except ValueError:
        index = -1
    if not 0 <= index < 1000:
        builder.problem(line, "class unknown", f"The class_index on {line} is not 0 to 999; it is not used.")
        return None
    return index


def _raw_boxes(builder: Builder, row: dict[str, str]) -> list[list[object]]:
    found: list[list[object]] = []
    text = row.get("boxes", "")
    if text:
        try:
            value = json.loads(text)
        except (ValueError, RecursionError):
            value = None
        if not isinstance(value, list):
            name = shown(row["image"])
            builder.problem(
                row["image"], "box unreadable", f"The boxes of {name} are not a JSON list; they are left out."
            )
        else:
            found += [v if isinstance(v, list) else [] for v in value]
    corners = [row.get(k, "") for k in _CORNERS]
    return [*found, list(corners)] if any(corners) else found
