"""Targets of attributions: functions from a network's raw answer to one number per picture.

A target works on torch tensors, so that gradients flow to it, and on NumPy arrays alike. The output type decides which
target a question has, see `viz.core.output.Output.target`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from viz.errors import ModelError
from viz.geometry import Geometry

Region = tuple[int, ...]


# From (N, ...) to (N,).
Target: TypeAlias = Callable[[Any], Any]


@dataclass(frozen=True)
class ClassTarget:
    """The score of a class of (N, classes)."""

    class_index: int

    def __call__(self, answer: Any) -> Any:
        return answer[:, self.class_index]


@dataclass(frozen=True)
class CellsTarget:
    """The mean over some cells of (N, h, w), or of one class of (N, classes, h, w).

    `cells` are row-major indices; None takes all.

    Source of targets over a region: Vinogradova et al., AAAI 2020 (arXiv 2002.11434).
    """

    cells: tuple[int, ...] | None
    class_index: int | None = None

    def __call__(self, answer: Any) -> Any:
        maps = answer if self.class_index is None else answer[:, self.class_index]
        flat = maps.reshape(len(maps), -1)
        return (flat if self.cells is None else flat[:, list(self.cells)]).mean(-1)


@dataclass(frozen=True)
class CandidateTarget:
    """The score that one candidate of (N, candidates, 4 + classes) has for a class."""

    candidate: int
    class_index: int

    def __call__(self, answer: Any) -> Any:
        return answer[:, self.candidate, 4 + self.class_index]


def cells_target(cells: NDArray[np.bool_], class_index: int | None) -> CellsTarget:
    """The target over the True cells of a bool (h, w)."""
    return CellsTarget(tuple(int(i) for i in np.flatnonzero(cells)), class_index)


def cells_of(region: Region, geometry: Geometry, size: tuple[int, ...]) -> NDArray[np.bool_]:
    """bool (h, w): the cells of a region of the picture.

    Raises:
        ModelError: the network sees nothing of it.
    """
    return geometry.cells_inside(corners_of(region, geometry), (size[0], size[1]))


def corners_of(region: Region, geometry: Geometry) -> tuple[float, float, float, float]:
    """The seen part of a region (of a point: of its pixel) in pixels of the network's input.

    Raises:
        ModelError: the network sees nothing of it.
    """
    x0, y0, x1, y1 = region if len(region) == 4 else (*region, region[0] + 1, region[1] + 1)
    rows, cols = geometry.seen_pixels()
    x0, x1 = max(x0, cols.start), min(x1, cols.stop)
    y0, y1 = max(y0, rows.start), min(y1, rows.stop)
    if x0 >= x1 or y0 >= y1:
        raise ModelError(
            f"The network does not see the part of this picture {region_words(region)}; choose a place inside its crop."
        )
    left, top, right, bottom = (float(v) for v in geometry.box_to_network((x0, y0, x1, y1)))
    return left, top, right, bottom


def region_words(region: Region) -> str:
    """A region in words, for titles and captions."""
    if len(region) == 2:
        return f"at ({region[0]}, {region[1]})"
    return f"in ({region[0]}, {region[1]}) to ({region[2]}, {region[3]})"
