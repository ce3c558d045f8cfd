"""What is asked of an answer: a function from a network's raw answer to one number for each picture.

A target works on torch tensors, so that gradients flow to it, and on NumPy arrays alike.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from viz.core.output import DenseClasses, DenseValues, Detections, Output
from viz.errors import ModelError
from viz.geometry import Geometry

Region = tuple[int, ...]


class Target(Protocol):
    """A question whose answer is one number a picture."""

    def __call__(self, answer: Any) -> Any:
        """(N, ...) to (N,)."""
        ...


@dataclass(frozen=True)
class ClassTarget:
    """The score of a class of (N, classes)."""

    class_index: int

    def __call__(self, answer: Any) -> Any:
        return answer[:, self.class_index]


@dataclass(frozen=True)
class CellsTarget:
    """The mean over some cells of (N, h, w), or of one class of (N, classes, h, w).

    `cells` counts row by row; None takes all.

    Source of the question over a region: Vinogradova et al., AAAI 2020 (arXiv 2002.11434).
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


def target_of(output: Output, geometry: Geometry, step: int, class_index: int | None, region: Region | None) -> Target:
    """The target of a class, or of a region of the picture, in an answer.

    Without a region a class of a dense answer is asked about where it is the best class (everywhere, where it is so
    nowhere), and a value everywhere. A detected class is asked about its best object, in a region about the best one
    whose middle lies there.

    Args:
        class_index: needed where the answer has classes.
        region: x0, y0, x1, y1 in picture pixels, or the point x, y.

    Raises:
        ModelError: the answer has no places to ask about; the network does not see the region; no such object.
    """
    if isinstance(output, DenseClasses | DenseValues):
        asked = output.seen
        if region is not None:
            asked = geometry.cells_inside(_corners(region, geometry), (asked.shape[0], asked.shape[1]))
        elif isinstance(output, DenseClasses):
            own = asked & (output.classes[step - 1] == class_index)
            asked = own if own.any() else asked
        return CellsTarget(tuple(int(i) for i in np.flatnonzero(asked)), class_index)
    if isinstance(output, Detections):
        return _object_target(output, geometry, step, int(class_index or 0), region)
    if region is not None:
        raise ModelError("This network answers for the whole picture; only a dense answer can be asked about a region.")
    return ClassTarget(int(class_index or 0))


def region_words(region: Region) -> str:
    """A region for titles and captions."""
    if len(region) == 2:
        return f"at ({region[0]}, {region[1]})"
    return f"in ({region[0]}, {region[1]}) to ({region[2]}, {region[3]})"


def _corners(region: Region, geometry: Geometry) -> tuple[float, float, float, float]:
    """The seen part of a region in pixels of the network's input; of a point the pixel that it lies in."""
    x0, y0, x1, y1 = region if len(region) == 4 else (*region, region[0] + 1, region[1] + 1)
    rows, cols = geometry.seen_pixels()
    x0, x1 = max(x0, cols.start), min(x1, cols.stop)
    y0, y1 = max(y0, rows.start), min(y1, rows.stop)
    if x0 >= x1 or y0 >= y1:
        raise ModelError(f"The network sees nothing {region_words(region)} of this picture.")
    left, top, right, bottom = (float(v) for v in geometry.box_to_network((x0, y0, x1, y1)))
    return left, top, right, bottom


def _object_target(
    output: Detections, geometry: Geometry, step: int, class_index: int, region: Region | None
) -> CandidateTarget:
    found = output.objects[step - 1]
    corners = None if region is None else _corners(region, geometry)
    for box, cls, candidate in zip(found.boxes, found.classes, found.candidates, strict=True):
        x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
        here = corners is None or (corners[0] <= x < corners[2] and corners[1] <= y < corners[3])
        if cls == class_index and here:
            return CandidateTarget(int(candidate), class_index)
    where = "" if region is None else f" {region_words(region)}"
    raise ModelError(f"The network found no {output.labels[class_index]}{where}, so there is no score to explain.")
