"""Bounding boxes of an index: parsed, checked and clipped. Boxes are corners (x0, y0, x1, y1)."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from viz.datasets.core import Box, DatasetError, FarEdge, Problems, shown

# No annotated object ends this close to the origin.
_LARGEST_SHARE = 1.5
_PROBLEMS = {
    "box unreadable": "a box is not four finite numbers; skipped",
    "box in shares": "a box lies within one pixel, so it may be in fractions of the picture's size; skipped",
    "box reversed or empty": "a box is reversed or empty; skipped",
    "box outside": "a box lies outside the picture; skipped",
    "box clipped": "a box extends beyond the picture; clipped",
}


def number(value: Any) -> float:
    """A finite number from text or a number, or ValueError."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValueError("not a number")
    try:
        found = float(value)
    except OverflowError:
        found = math.inf
    if not abs(found) <= 1e9:
        raise ValueError("not a finite number")
    return found


def whole(value: Any) -> int:
    """A whole number from text or a number, or ValueError."""
    found = number(value)
    if found != int(found):
        raise ValueError("not a whole number")
    return int(found)


def four_numbers(values: Iterable[Any] | None) -> Box | None:
    """The values as numbers; None unless they are four finite numbers."""
    try:
        a, b, c, d = (number(v) for v in values or ())
    except (ValueError, TypeError):
        return None
    return (a, b, c, d)


def with_far_corner(box: Box | None) -> Box | None:
    """The corners of a box given as x, y, width, height."""
    return None if box is None else (box[0], box[1], box[0] + box[2], box[1] + box[3])


def is_share(box: Box) -> bool:
    """Whether a box lies within the first pixel: its corners are fractions of the picture's size, not pixels."""
    x0, y0, x1, y1 = box
    return max(x1, y1) <= _LARGEST_SHARE and min(x0, y0) >= -0.5


@dataclass
class BoxReader:
    """Checks all boxes of a data set and detects boxes in fractions (0 to 1) or percent (0 to 100)."""

    problems: Problems
    far_edge: FarEdge
    _shares: int = 0
    _usable: int = 0
    _farthest: float = 0.0
    _fractional: bool = False
    _smallest_side: float = math.inf

    def read(self, name: str, values: Iterable[Any] | None, size: tuple[int, int] | None) -> Box | None:
        """A box, clipped to the picture where its (height, width) is known; None and a problem if it is unusable."""
        problem, box = self._check(four_numbers(values), size)
        if problem:
            self.problems.add(name, problem, _PROBLEMS[problem])
        return box

    def _check(self, box: Box | None, size: tuple[int, int] | None) -> tuple[str, Box | None]:
        """The kind of problem, if any, and what can be used of the box."""
        if box is None:
            return "box unreadable", None
        if is_share(box):
            self._shares += 1
            return "box in shares", None
        self._usable += 1
        self._farthest = max(self._farthest, *box)
        self._fractional = self._fractional or any(v != int(v) for v in box)
        self._smallest_side = min((self._smallest_side, *(size or ())))
        x0, y0, x1, y1 = box
        exclusive = self.far_edge == "exclusive"
        if x1 < x0 or y1 < y0 or (exclusive and (x1 == x0 or y1 == y0)):
            return "box reversed or empty", None
        # An inclusive far edge is the last pixel or, in some files, the one after it.
        h, w = (float(side) for side in size or (math.inf, math.inf))
        if x0 >= w or y0 >= h or x1 < 0 or y1 < 0 or (exclusive and (x1 <= 0 or y1 <= 0)):
            return "box outside", None
        clipped = (max(x0, 0.0), max(y0, 0.0), min(x1, w), min(y1, h))
        return "" if clipped == box else "box clipped", clipped

    def finish(self, name: str, *, has_masks: bool) -> None:
        """Report boxes that may be in percent: fractional numbers up to 100 in larger pictures.

        Raises:
            DatasetError: all boxes are fractions of the picture's size, and there are no masks.
        """
        if self._shares and not self._usable and not has_masks:
            raise DatasetError(
                "Every box of this data set lies within one pixel, so the boxes seem to be fractions of the picture's"
                " size. Give them in pixels."
            )
        known = math.isfinite(self._smallest_side)
        enough = self._smallest_side >= 150 and self._usable >= 3 if known else self._usable >= 10
        if enough and self._fractional and 90 <= self._farthest <= 100:
            what = f"all {self._usable} boxes end within 100 and have fractions: they may be in percent; read as pixels"
            self.problems.add(shown(name), "boxes may be percent", what)
