"""The columns of a CSV index: which are read, under which names, and which are not."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

from viz.datasets.builder import Builder
from viz.datasets.core import DatasetError
from viz.datasets.files import shown

KNOWN = ("image", "label", "name", "class_index", "split", "width", "height", "boxes", "mask")
# Corners in the usual words. A corner with a size (x, y, w, h) is not among them: x and y may be the centre.
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
        ours: (the table's column, our name) of those that are read, but for corners.
        corners: the table's four columns of box corners, in the order x0, y0, x1, y1; empty where it has none.
    """

    ours: tuple[tuple[str, str], ...]
    corners: tuple[str, ...]

    def row(self, row: dict[str, str]) -> dict[str, str]:
        """A row under our names."""
        return {ours: row[theirs] for theirs, ours in self.ours}


def understood(builder: Builder, file: str, columns: list[str], *, linked: bool = False) -> Columns:
    """Which columns are read; the rest are problems.

    Args:
        file: name of the table, fit for a sentence. linked: it is a link; if that leads to no index at all, no
            words of that file are shown.

    Raises:
        DatasetError: no picture column, corners in two sets of columns, or boxes in no form that says one thing.
    """
    folded: dict[str, str] = {}
    for column in (*columns, *(c for c in columns if c == c.casefold())):  # a name in lower case is meant before others
        folded[column.casefold()] = column
    if "image" not in folded:
        if linked:
            raise DatasetError(f"{file} is a link to a file without a column image.")
        raise DatasetError(f"{file} has no column image; it has: {shown(', '.join(columns))}.")
    sets = [names for names in CORNERS if all(n in folded for n in names)]
    if len(sets) > 1:
        both = " and ".join(", ".join(folded[n] for n in names) for names in sets[:2])
        raise DatasetError(f"{file} has box corners in {both}; which are meant is unknown: leave one of them.")
    corners = tuple(folded[n] for n in sets[0]) if sets else ()
    ours = tuple((folded[name], name) for name in KNOWN if name in folded)
    read = {*corners, *(theirs for theirs, _ in ours)}
    left = [c for c in columns if c not in read]
    like = [c for c in left if _LIKE_BOXES.fullmatch(c.casefold())]
    if like and not corners and "boxes" not in folded:
        message = (
            f"{file} has boxes in the columns {shown(', '.join(like))}, which may mean several things (corners, a"
            " corner or a centre with a size); give x0, y0, x1, y1 or boxes"
        )
        if "mask" not in folded:
            raise DatasetError(f"{message}.")
        builder.problem(file, "box columns not read", f"{message}. They are not read.")
    for column in left:
        builder.problem(column, "column not read", f"The column {shown(column)} of {file} is not read.")
    return Columns(ours, corners)


def raw_boxes(builder: Builder, image: str, text: str, corners: list[str]) -> list[list[object]]:
    """A row's boxes as they stand: of the cell ``boxes`` and of its corner columns."""
    found: list[list[object]] = []
    if text:
        found += _of_cell(builder, image, text)
    return [*found, list(corners)] if any(corners) else found


def _of_cell(builder: Builder, image: str, text: str) -> list[list[object]]:
    try:
        value: Any = json.loads(text)
    except (ValueError, RecursionError):
        value = None
    name = shown(image)
    if not isinstance(value, list):
        builder.problem(image, "box unreadable", f"The boxes of {name} are not a JSON list; they are left out.")
        return []
    if value and not any(isinstance(v, list | dict) for v in value):
        if len(value) == 4:  # one box, without the list around it
            return [value]
        message = f"The boxes of {name} are a list of {len(value)} numbers, not of lists of four; they are left out."
        builder.problem(image, "box unreadable", message)
        return []
    return [v if isinstance(v, list) else [] for v in value]
