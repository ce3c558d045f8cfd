"""Layout ``csv``: an ``index.csv`` beside the pictures.

Columns: ``image`` (relative path; required), ``label``, ``name``, ``class_index``, ``split``, ``width``, ``height``,
``boxes`` (a JSON list of [x0, y0, x1, y1]) or ``x0, y0, x1, y1`` (one box per row; for other names see `_CORNERS`), and
``mask`` (relative path: white on black, or class numbers where 0 is background and 255 is void; ambiguous files are
refused, see `viz.datasets.mask_files`). Cells are separated by commas, semicolons or tabs. Boxes have continuous
coordinates and exclusive far edges.

Rows of one picture and label are one sample with all their boxes and masks. A repeated box, a row that adds nothing and
an unknown column are reported.

``label`` is a WordNet id, an ImageNet name, or the data set's own name. If every label of the index is a whole number
from 0 to 999, labels are ImageNet class indices, unless a column ``name`` contradicts it. ``class_index`` is the row's
ImageNet index (0 to 999), whatever the label is: rows of one picture and label with different indices are separate
samples. With a ``classes.txt`` and no label column, masks contain class numbers: one sample for each class in a mask.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from viz.datasets.boxes import whole
from viz.datasets.builder import Builder, choose_split
from viz.datasets.core import Box, Dataset, DatasetError, shown
from viz.datasets.files import Table, lines_if_any
from viz.datasets.labels import IMAGENET, class_of, name_of
from viz.datasets.masks import FileMask

NAME = "csv"
LOOKS_FOR = "an index.csv with a column image"
_KNOWN = ("image", "label", "name", "class_index", "split", "width", "height", "boxes", "mask")
# The usual names of corners. x, y, w, h is not among them: x and y may be a corner or the centre.
_CORNERS = (
    ("x0", "y0", "x1", "y1"),
    ("x1", "y1", "x2", "y2"),
    ("xmin", "ymin", "xmax", "ymax"),
    ("x_min", "y_min", "x_max", "y_max"),
    ("left", "top", "right", "bottom"),
    ("bbox_x0", "bbox_y0", "bbox_x1", "bbox_y1"),
    ("bbox_x1", "bbox_y1", "bbox_x2", "bbox_y2"),
    ("bbox_xmin", "bbox_ymin", "bbox_xmax", "bbox_ymax"),
)
_LIKE_BOXES = re.compile(
    r"(?:b?box(?:es)?[_ ]?)?(?:[xywh][0-3]?|[xy]_?(?:min|max|c|center|centre)|c[xy]|left|top|right|bottom)"
    r"|b?box(?:es)?|bounding_?box(?:es)?|bbox_?(?:width|height)"
)
_Key = tuple[Path, str, int | None]


@dataclass
class _Entry:
    """The rows of one picture, label and class index."""

    path: Path
    label: str
    name: str
    class_index: int | None
    size: tuple[int, int] | None
    boxes: list[Box] = field(default_factory=list)
    masks: list[Path] = field(default_factory=list)


def find(root: Path) -> bool:
    """Whether the folder has an index, or is one."""
    return (root / "index.csv").is_file() or (root.is_file() and root.suffix.lower() in (".csv", ".tsv"))


def read(root: Path, split: str | None) -> Dataset:
    """The data set of an index, or one of its splits."""
    index = root if root.is_file() else root / "index.csv"
    file = shown(index.name)
    builder = Builder(index.parent)
    table = Table(index, "image")
    columns, corners = _columns_of(builder, file, table.columns, linked=index.is_symlink())
    splits: dict[str, None] = {}
    entries: dict[_Key, _Entry] = {}
    labels: dict[tuple[str, str], None] = {}
    for line, cells in table:
        row = {name: cells[column] for name, column in columns.items()}
        labels[row.get("label", ""), row.get("name", "")] = None
        if row.get("split"):
            splits[row["split"]] = None
        if split is None or row.get("split") == split:
            _collect(builder, entries, f"line {line}", row, [cells[c] for c in corners])
    if table.unnamed_cells:
        what = f"{table.unnamed_cells} cells are in columns without a name; ignored"
        builder.problem(file, "column not read", what)
    names = None if "label" in columns else lines_if_any(index.parent / "classes.txt")
    choose_split(split, tuple(splits))
    as_indices, confirmed = _read_as_indices(labels)
    if as_indices and not confirmed and any(e.class_index is None for e in entries.values()):
        # Another data set's own class numbers look the same, so the assumption is reported.
        builder.problem(file, "labels are numbers", "labels are numbers without names; read as ImageNet's 0 to 999")
    for entry in _merged(entries, as_indices):
        if names is not None and entry.masks:
            if len(entry.masks) > 1:
                what = "several masks of class numbers; the first one is used"
                builder.problem(builder.relative(entry.path), "two masks", what)
            builder.add_classes(entry.path, entry.masks[0], names, entry.size)
            continue
        number = _imagenet_index(entry.label) if as_indices and entry.class_index is None else None
        builder.add(
            entry.path,
            entry.label,
            size=entry.size,
            boxes=tuple(entry.boxes),
            mask=FileMask(tuple(entry.masks)) if entry.masks else None,
            class_index=entry.class_index if number is None else number,
            name=entry.name or ("" if number is None else name_of(number)),
        )
    return builder.build(NAME, split, tuple(splits))


def _collect(builder: Builder, entries: dict[_Key, _Entry], line: str, row: dict[str, str], corners: list[str]) -> None:
    """Add a row to its entry."""
    image, name = row["image"], row.get("name", "")
    path = builder.picture(line, image)
    if path is None:
        return
    given = row.get("class_index", "")
    label = row.get("label") or name or given
    class_index = _imagenet_index(given)
    if given and class_index is None:
        builder.problem(line, "class unknown", "class_index is not 0 to 999; ignored")
    size = builder.size(image, row.get("width"), row.get("height"))
    fresh = _Entry(path, label, name, class_index, size)
    entry = entries.setdefault((path, label, class_index), fresh)
    if entry.size != size:
        builder.problem(image, "two sizes", f"two sizes, the second on {line}; both are ignored")
        entry.size = None
    raw = _raw_boxes(builder, image, row.get("boxes", ""), corners)
    mask = builder.path(line, row["mask"]) if row.get("mask") else None
    boxes = builder.boxes(image, raw, size)
    repeated = _add_new(entry.boxes, boxes)
    new_mask = mask is not None and not _add_new(entry.masks, (mask,))
    if repeated:
        boxes_again = "1 box" if repeated == 1 else f"{repeated} boxes"
        what = f"listed twice with the same class; skipped {boxes_again} repeated on {line}"
        builder.problem(image, "listed twice", what)
    elif entry is not fresh and not new_mask and not raw and (mask is not None or not row.get("mask")):
        # Boxes and masks that cannot be read have been reported already.
        builder.problem(image, "listed twice", f"listed twice with the same class; {line} adds nothing")


def _merged(entries: dict[_Key, _Entry], as_indices: bool) -> list[_Entry]:
    """The entries; one without a class index joins the one whose class index is that of their label."""
    kept = []
    for (path, label, class_index), entry in entries.items():
        if class_index is None:
            own = _imagenet_index(label) if as_indices else None
            own = class_of(label) if own is None else own
            other = None if own is None else entries.get((path, label, own))
            if other is not None:
                _add_new(other.boxes, tuple(entry.boxes))
                _add_new(other.masks, tuple(entry.masks))
                other.size = other.size if other.size == entry.size else None
                continue
        kept.append(entry)
    return kept


def _add_new(found: list[Any], more: tuple[Any, ...]) -> int:
    """Append the values that are not in the list yet, and count the others."""
    repeated = 0
    for value in more:
        if value in found:
            repeated += 1
        else:
            found.append(value)
    return repeated


def _read_as_indices(labels: Iterable[tuple[str, str]]) -> tuple[bool, bool]:
    """Whether the labels of an index are ImageNet class indices, and whether a name confirms it.

    Another data set's classes are numbered from 0, too; the names decide where there are any.

    Args:
        labels: all (label, name) of the index; names may be empty.
    """
    indices = {label: _imagenet_index(label) for label, _ in labels if label}
    if not indices or None in indices.values():
        return False, False
    named = confirmed = False
    for label, name in labels:
        index = indices.get(label)
        if not name or index is None:
            continue
        named = True
        # Lists of ImageNet's classes give several synonyms of one, separated by commas.
        found = {class_of(word) for word in (name, *name.split(","))} - {None}
        if found and index not in found:
            return False, False
        confirmed = confirmed or index in found or name_of(index).casefold() == name.casefold()
    return confirmed or not named, confirmed


def _imagenet_index(text: str) -> int | None:
    """An ImageNet index as a whole number, or as tables with missing values write it (217.0)."""
    try:
        found = whole(text)
    except ValueError:
        return None
    return found if 0 <= found < IMAGENET else None


def _columns_of(
    builder: Builder, file: str, columns: list[str], *, linked: bool
) -> tuple[dict[str, str], tuple[str, ...]]:
    """The table's names of our columns, and of its columns x0, y0, x1, y1, if any; other columns are reported.

    Args:
        file: name of the table, fit for a message.
        linked: the table is a link. If it leads to a file that is not an index, its text is not shown.

    Raises:
        DatasetError: no picture column, two sets of corner columns, or boxes only in ambiguous columns.
    """
    lower_case = [c for c in columns if c == c.casefold()]  # these override columns that differ in case
    folded = {column.casefold(): column for column in (*columns, *lower_case)}
    if "image" not in folded:
        if linked:
            raise DatasetError(f"{file} is a link to a file without a column image.")
        raise DatasetError(f"{file} has no column image; it has: {shown(', '.join(columns))}.")
    sets = [tuple(folded[n] for n in names) for names in _CORNERS if all(n in folded for n in names)]
    if len(sets) > 1:
        both = " and ".join(", ".join(names) for names in sets[:2])
        raise DatasetError(f"{file} has box corners in {both}, which is ambiguous; remove one set.")
    corners = sets[0] if sets else ()
    names = {name: folded[name] for name in _KNOWN if name in folded}
    unread = [c for c in columns if c not in corners and c not in names.values()]
    ambiguous = [c for c in unread if _LIKE_BOXES.fullmatch(c.casefold())]
    if ambiguous and not corners and "boxes" not in names:
        what = (
            f"boxes in the columns {shown(', '.join(ambiguous))} are ambiguous (corners, a corner or a centre with a"
            " size)"
        )
        if "mask" not in names:
            raise DatasetError(f"{file}: {what}. Give x0, y0, x1, y1 or boxes.")
        builder.problem(file, "box columns not read", f"{what}; ignored. Give x0, y0, x1, y1 or boxes")
    for column in unread:
        builder.problem(column, "column not read", f"unknown column of {file}; ignored")
    return names, corners


def _raw_boxes(builder: Builder, image: str, text: str, corners: list[str]) -> list[list[object]]:
    """The boxes of a row, not yet checked: those of the cell ``boxes`` and that of the corner columns."""
    given: list[list[object]] = [list(corners)] if any(corners) else []
    if not text:
        return given
    try:
        value: Any = json.loads(text)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, list):
        builder.problem(image, "box unreadable", "boxes is not a JSON list; skipped")
        return given
    if not value or any(isinstance(v, list | dict) for v in value):
        return [*(v if isinstance(v, list) else [] for v in value), *given]
    if len(value) == 4:  # one box, without the list around it
        return [value, *given]
    builder.problem(image, "box unreadable", f"boxes is a list of {len(value)} numbers, not of lists of four; skipped")
    return given
