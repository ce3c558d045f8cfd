"""Layout ``csv``: an ``index.csv`` beside the pictures.

Columns: ``image`` (relative path; needed), ``label``, ``name``, ``class_index``, ``split``, ``width``, ``height``,
``boxes`` (a JSON list of [x0, y0, x1, y1]) or ``x0, y0, x1, y1`` (one box a row; also ``xmin, ymin, xmax, ymax`` and
other usual words, see `viz.datasets.csv_columns`), ``mask`` (relative path of a file:
white on black, or class numbers of which all but 0 are object and 255 is void; what may mean several things is refused,
see `viz.datasets.mask_files`). Rows of one picture and label are one sample with all their boxes and masks; a box that
was there, or a row that brings nothing new, is a problem ("listed twice"). A column that is not read is a problem, too.
Cells are separated by commas, semicolons or tabs.

``label`` is a WordNet id, an ImageNet name, or the data set's own word. Where every label of the index is a whole
number from 0 to 999, the labels are ImageNet's class numbers, unless a column ``name`` is there and says otherwise.
``class_index`` is ImageNet's number (0 to 999) of this row, whatever the label is: rows of one picture and label with
different numbers are samples of their own.

With a ``classes.txt`` and no label the masks hold class numbers: one sample for each class that a mask holds, and a
class named void, ignore or unlabelled is ignored.
Boxes are taken as continuous coordinates with exclusive far edges.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from viz.datasets.builder import Builder, chosen, whole
from viz.datasets.core import Box, Dataset
from viz.datasets.csv_columns import raw_boxes, understood
from viz.datasets.files import shown
from viz.datasets.index_masks import add_classes, class_names
from viz.datasets.labels import IMAGENET, class_of, name_of
from viz.datasets.masks import FileMask
from viz.datasets.tables import read_rows

NAME = "csv"
LOOKS_FOR = "an index.csv with a column image"
_Key = tuple[Path, str, int | None]


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
    return (root / "index.csv").is_file() or (root.is_file() and root.suffix.lower() in (".csv", ".tsv"))


def read(root: Path, split: str | None) -> Dataset:
    """The data set of an index.

    Raises:
        DatasetError: the index cannot be read, lacks the picture column or the split.
    """
    index = root if root.is_file() else root / "index.csv"
    builder = Builder(index.parent)
    unnamed: Counter[str] = Counter()
    there, rows = read_rows(index, "image", unnamed)
    columns = understood(builder, shown(index.name), there, linked=index.is_symlink())
    splits: dict[str, None] = {}
    entries: dict[_Key, _Entry] = {}
    numbers = _Numbers()
    for line, raw in rows:
        row = columns.row(raw)
        numbers.see(row)
        if row.get("split"):
            splits[row["split"]] = None
        if split is None or row.get("split") == split:
            _take(builder, entries, f"line {line}", row, [raw[c] for c in columns.corners])
    if unnamed:
        message = f"{shown(index.name)} has cells in columns without a name ({unnamed['']} in all), which are not read."
        builder.problem(shown(index.name), "column not read", message)
    labelled = any(ours == "label" for _, ours in columns.ours)
    names = None if labelled else class_names(index.parent / "classes.txt")
    chosen(split, tuple(splits))
    if numbers.guessed and any(e.class_index is None for e in entries.values()):
        # Another set's own numbers look the same: whoever reads the result must know.
        builder.problem(
            shown(index.name),
            "labels are numbers",
            "The labels are numbers without names; they are read as ImageNet's 0 to 999.",
        )
    for entry in _joined(entries, numbers):
        if names is not None and entry.masks:
            if len(entry.masks) > 1:
                name = shown(builder.relative(entry.path))
                builder.problem(name, "two masks", f"{name} has several masks of class numbers; the first counts.")
            add_classes(builder, entry.path, entry.masks[0], names, entry.size)
            continue
        number = numbers.of(entry.label) if entry.class_index is None else None
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


def _take(builder: Builder, entries: dict[_Key, _Entry], line: str, row: dict[str, str], corners: list[str]) -> None:
    """Add a row to the entries, one for each picture, label and class number."""
    path = builder.picture(line, row["image"])
    if path is None:
        return
    label = row.get("label") or row.get("name", "") or row.get("class_index", "")
    class_index = _class_index(builder, line, row.get("class_index", ""))
    size = builder.size(row["image"], row.get("width"), row.get("height"))
    fresh = _Entry(path, label, row.get("name", ""), class_index, size)
    entry = entries.setdefault((path, label, class_index), fresh)
    if entry.size != size:
        message = f"{shown(row['image'])} is given two sizes, the second on {line}; none is used."
        builder.problem(row["image"], "two sizes", message)
        entry.size = None
    raw = raw_boxes(builder, row["image"], row.get("boxes", ""), corners)
    mask = builder.path(line, row["mask"]) if row.get("mask") else None
    boxes = builder.boxes(row["image"], raw, size)
    again = _add(entry.boxes, boxes)
    new = len(boxes) > again
    if mask is not None and mask not in entry.masks:
        entry.masks.append(mask)
        new = True
    # A row whose boxes or mask cannot be used was told already.
    idle = entry is not fresh and not new and not raw and (mask is not None or not row.get("mask"))
    if again or idle:
        what = f"{again} {'box' if again == 1 else 'boxes'} again, left out" if again else "nothing new"
        message = f"{shown(row['image'])} is listed twice with the same class: {line} gives {what}."
        builder.problem(row["image"], "listed twice", message)


def _joined(entries: dict[_Key, _Entry], numbers: _Numbers) -> list[_Entry]:
    """The entries; one whose rows give no class number joins that of its label's own number, where there is one."""
    left = []
    for (path, label, class_index), entry in entries.items():
        if class_index is None:
            own = numbers.of(label)
            own = class_of(label) if own is None else own
            other = None if own is None else entries.get((path, label, own))
            if other is not None:
                _add(other.boxes, tuple(entry.boxes))
                other.masks += [m for m in entry.masks if m not in other.masks]
                other.size = other.size if other.size == entry.size else None
                continue
        left.append(entry)
    return left


def _add(boxes: list[Box], more: tuple[Box, ...]) -> int:
    """Add the boxes that are not there; how many were."""
    again = 0
    for box in more:
        if box in boxes:
            again += 1
        else:
            boxes.append(box)
    return again


@dataclass
class _Numbers:
    """Whether the labels of an index are ImageNet's class numbers; asked after all rows were seen.

    Another data set's classes are numbered from 0, too: names, where there are any, decide.
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
        index = _number(label)
        self.seen, self.others = True, self.others or index is None
        if not name or index is None:
            return
        self.named = True
        # Lists of ImageNet's classes give several words for one, with commas between.
        found = [i for i in (class_of(word) for word in (name, *name.split(","))) if i is not None]
        self.confirmed = self.confirmed or index in found or name_of(index).casefold() == name.casefold()
        self.others = self.others or bool(found and index not in found)

    @property
    def guessed(self) -> bool:
        """Whether labels are read as ImageNet's numbers and no name says that they are."""
        return self.seen and not self.others and not self.confirmed and not self.named

    def of(self, label: str) -> int | None:
        """The class number of a label, or None where labels are no class numbers."""
        numbers = self.seen and not self.others and (self.confirmed or not self.named)
        return _number(label) if numbers and label else None


def _number(text: str) -> int | None:
    """A class number of ImageNet, as whole number or as tables with gaps write it (217.0)."""
    try:
        found = whole(text)
    except ValueError:
        return None
    return found if 0 <= found < IMAGENET else None


def _class_index(builder: Builder, line: str, text: str) -> int | None:
    if not text:
        return None
    index = _number(text)
    if index is None:
        builder.problem(line, "class unknown", f"The class_index on {line} is not 0 to 999; it is not used.")
        return None
    return index
