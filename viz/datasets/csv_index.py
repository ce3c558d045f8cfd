"""Layout ``csv``: an ``index.csv`` beside the pictures.

Columns: ``image`` (relative path; required), ``label``, ``name``, ``class_index``, ``split``, ``width``, ``height``,
``boxes`` (a JSON list of [x0, y0, x1, y1]) or ``x0, y0, x1, y1`` (one box per row; for other names see
`viz.datasets.csv_columns`), and ``mask`` (relative path: white on black, or class numbers where 0 is background and 255
is void; ambiguous files are refused, see `viz.datasets.mask_files`). Cells are separated by commas, semicolons or tabs.
Boxes have continuous coordinates and exclusive far edges.

Rows of one picture and label are one sample with all their boxes and masks. A repeated box, a row that adds nothing and
an unknown column are reported.

``label`` is a WordNet id, an ImageNet name, or the data set's own name. If every label of the index is a whole number
from 0 to 999, labels are ImageNet class indices, unless a column ``name`` contradicts it. ``class_index`` is the row's
ImageNet index (0 to 999), whatever the label is: rows of one picture and label with different indices are separate
samples. With a ``classes.txt`` and no label column, masks contain class numbers: one sample for each class in a mask.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from viz.datasets.boxes import whole
from viz.datasets.builder import Builder, choose_split
from viz.datasets.core import Box, Dataset, shown
from viz.datasets.csv_columns import columns_of, raw_boxes
from viz.datasets.index_masks import add_classes, class_names
from viz.datasets.labels import IMAGENET, class_of, name_of
from viz.datasets.masks import FileMask
from viz.datasets.tables import Table

NAME = "csv"
LOOKS_FOR = "an index.csv with a column image"
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


def fits(root: Path) -> bool:
    """Whether the folder has an index, or is one."""
    return (root / "index.csv").is_file() or (root.is_file() and root.suffix.lower() in (".csv", ".tsv"))


def read(root: Path, split: str | None) -> Dataset:
    """The data set of an index, or one of its splits."""
    index = root if root.is_file() else root / "index.csv"
    file = shown(index.name)
    builder = Builder(index.parent)
    table = Table(index, "image")
    columns = columns_of(builder, file, table.columns, linked=index.is_symlink())
    splits: dict[str, None] = {}
    entries: dict[_Key, _Entry] = {}
    numbers = _NumericLabels()
    for line, cells in table:
        row = columns.row(cells)
        numbers.see(row)
        if row.get("split"):
            splits[row["split"]] = None
        if split is None or row.get("split") == split:
            _collect(builder, entries, f"line {line}", row, [cells[c] for c in columns.corners])
    if table.unnamed_cells:
        what = f"{table.unnamed_cells} cells are in columns without a name; ignored"
        builder.problem(file, "column not read", what)
    names = None if "label" in columns.names else class_names(index.parent / "classes.txt")
    choose_split(split, tuple(splits))
    if numbers.guessed and any(e.class_index is None for e in entries.values()):
        # Another data set's own class numbers look the same, so the assumption is reported.
        builder.problem(file, "labels are numbers", "labels are numbers without names; read as ImageNet's 0 to 999")
    for entry in _merged(entries, numbers):
        if names is not None and entry.masks:
            if len(entry.masks) > 1:
                what = "has several masks of class numbers; the first one is used"
                builder.problem(builder.relative(entry.path), "two masks", what)
            add_classes(builder, entry.path, entry.masks[0], names, entry.size)
            continue
        number = numbers.index_of(entry.label) if entry.class_index is None else None
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
        builder.problem(image, "two sizes", f"has two sizes, the second on {line}; both are ignored")
        entry.size = None
    raw = raw_boxes(builder, image, row.get("boxes", ""), corners)
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


def _merged(entries: dict[_Key, _Entry], numbers: _NumericLabels) -> list[_Entry]:
    """The entries; one without a class index joins the one whose class index is that of their label."""
    kept = []
    for (path, label, class_index), entry in entries.items():
        if class_index is None:
            own = numbers.index_of(label)
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


@dataclass
class _NumericLabels:
    """Whether the labels of an index are ImageNet class indices; valid after all rows were seen.

    Another data set's classes are numbered from 0, too; the column ``name`` decides where there is one.
    """

    seen: bool = False
    others: bool = False
    named: bool = False
    confirmed: bool = False

    def see(self, row: dict[str, str]) -> None:
        """Look at a row of any split."""
        label, name = row.get("label", ""), row.get("name", "")
        if not label:
            return
        index = _imagenet_index(label)
        self.seen, self.others = True, self.others or index is None
        if not name or index is None:
            return
        self.named = True
        # Lists of ImageNet's classes give several synonyms of one, separated by commas.
        found = [i for i in (class_of(word) for word in (name, *name.split(","))) if i is not None]
        self.confirmed = self.confirmed or index in found or name_of(index).casefold() == name.casefold()
        self.others = self.others or bool(found and index not in found)

    @property
    def guessed(self) -> bool:
        """Whether labels are read as ImageNet indices although no name confirms it."""
        return self.seen and not self.others and not self.confirmed and not self.named

    def index_of(self, label: str) -> int | None:
        """The ImageNet index that a label is; None where labels are not indices."""
        numeric = self.seen and not self.others and (self.confirmed or not self.named)
        return _imagenet_index(label) if numeric and label else None


def _imagenet_index(text: str) -> int | None:
    """An ImageNet index as a whole number, or as tables with missing values write it (217.0)."""
    try:
        found = whole(text)
    except ValueError:
        return None
    return found if 0 <= found < IMAGENET else None
