"""The columns of a CSV index: which ones are read, and under which names."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

from viz.datasets.builder import Builder
from viz.datasets.core import DatasetError, shown

KNOWN = ("image", "label", "name", "class_index", "split", "width", "height", "boxes", "mask")
# The usual names of corners. x, y, w, h is not among them: x and y may be a corner or the centre.
CORNERS = (
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


@dataclass(frozen=True)
class Columns:
    """How a table's columns are read.

    Attributes:
        names: our name of each column that is read, except for corners: the table's name.
        corners: the table's columns x0, y0, x1, y1 of box corners; empty where it has none.
    """

    names: dict[str, str]
    corners: tuple[str, ...]

    def row(self, row: dict[str, str]) -> dict[str, str]:
        """A row under our names."""
        return {name: row[column] for name, column in self.names.items()}


def columns_of(builder: Builder, file: str, columns: list[str], *, linked: bool) -> Columns:
    """The columns that are read; the others are reported.

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
    sets = [tuple(folded[n] for n in names) for names in CORNERS if all(n in folded for n in names)]
    if len(sets) > 1:
        both = " and ".join(", ".join(names) for names in sets[:2])
        raise DatasetError(f"{file} has box corners in {both}, which is ambiguous; remove one set.")
    corners = sets[0] if sets else ()
    names = {name: folded[name] for name in KNOWN if name in folded}
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
    return Columns(names, corners)


def raw_boxes(builder: Builder, image: str, text: str, corners: list[str]) -> list[list[object]]:
    """The boxes of a row, not yet checked: those of the cell ``boxes`` and that of the corner columns."""
    found = _of_cell(builder, image, text) if text else []
    return [*found, list(corners)] if any(corners) else found


def _of_cell(builder: Builder, image: str, text: str) -> list[list[object]]:
    try:
        value: Any = json.loads(text)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, list):
        builder.problem(image, "box unreadable", "boxes is not a JSON list; skipped")
        return []
    if not value or any(isinstance(v, list | dict) for v in value):
        return [v if isinstance(v, list) else [] for v in value]
    if len(value) == 4:  # one box, without the list around it
        return [value]
    builder.problem(image, "box unreadable", f"boxes is a list of {len(value)} numbers, not of lists of four; skipped")
    return []
