"""Boxes that may not be in pixels: shares of the picture (0 to 1) and percent (0 to 100)."""

from __future__ import annotations

from dataclasses import dataclass

from viz.datasets.core import Problems

# A far edge this near to the corner belongs to no object that could be boxed.
_LARGEST_SHARE = 1.5
SHARES = "box in shares"


def is_share(x0: float, y0: float, x1: float, y1: float) -> bool:
    """Whether a box (corners) lies within the first pixel, as boxes in shares of the picture do."""
    return max(x1, y1) <= _LARGEST_SHARE and min(x0, y0) >= -0.5


@dataclass
class Extent:
    """How far the boxes of a data set reach.

    Attributes:
        boxes: seen so far. shares: of them, those that lie within the first pixel.
    """

    boxes: int = 0
    shares: int = 0
    _usable: int = 0
    _farthest: float = 0.0
    _fractions: bool = False
    _smallest: int | None = None

    def see(self, box: tuple[float, float, float, float], size: tuple[int, int] | None) -> bool:
        """Count a box (corners; size is (height, width)); whether it may be used: it is not in shares."""
        self.boxes += 1
        if is_share(*box):
            self.shares += 1
            return False
        self._usable += 1
        self._farthest = max(self._farthest, *box)
        self._fractions = self._fractions or any(v != int(v) for v in box)
        if size is not None:
            self._smallest = min(size) if self._smallest is None else min(self._smallest, *size)
        return True

    def tell(self, name: str, problems: Problems) -> None:
        """Add a problem where all boxes look like percent: fractions up to 100 in larger pictures."""
        larger = self._usable >= 10 if self._smallest is None else self._smallest >= 150 and self._usable >= 3
        if larger and self._fractions and 90 <= self._farthest <= 100:
            message = (
                f"All {self._usable} boxes of {name} end within 100 and have fractions: they may be percent of the"
                " picture. They are read as pixels."
            )
            problems.add(name, "boxes may be percent", message)
