"""Detection: objects with boxes, classes and scores."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from viz.core.card import ModelCard
from viz.core.output import FloatArray, Found, Output
from viz.core.target import CandidateTarget, Region, corners_of, region_words
from viz.errors import ModelError
from viz.geometry import Geometry
from viz.read_only import ReadOnlyArrays

LEAST_SCORE, MOST_OVERLAP, MOST_OBJECTS = 0.25, 0.45, 300


@dataclass(frozen=True, eq=False)
class Objects(ReadOnlyArrays):
    """The objects of one step, best first.

    Attributes:
        boxes: float32 (n, 4), corners x0, y0, x1, y1 in pixels of the network's input.
        scores: float32 (n,), 0 to 1. classes: (n,).
        candidates: (n,) rows of the raw answer.
    """

    boxes: FloatArray
    scores: FloatArray
    classes: NDArray[np.intp]
    candidates: NDArray[np.intp]


@dataclass(frozen=True, eq=False)
class Detections(Output):
    """The objects of each step.

    The raw answer is (candidates, 4 + classes): corners in pixels of the network's input, then a score per class, 0 to
    1, before non-maximum suppression.
    """

    objects: tuple[Objects, ...]
    labels: tuple[str, ...]
    words: ClassVar[str] = "boxes with classes and scores"
    axes: ClassVar[int] = 2
    asked: ClassVar[str] = "score"
    number: ClassVar[str] = "score"

    @classmethod
    def of(
        cls, answers: Sequence[FloatArray], geometry: Geometry, labels: tuple[str, ...], card: ModelCard
    ) -> Detections:
        return cls(tuple(_objects(a) for a in answers), labels)

    @classmethod
    def classes_in(cls, shape: tuple[int, ...]) -> int:
        return shape[1] - 4

    @property
    def steps(self) -> int:
        return len(self.objects)

    def arrays(self) -> dict[str, NDArray[Any]]:
        rows = [np.column_stack([o.boxes, o.scores, o.classes]).astype(np.float32) for o in self.objects]
        return {f"boxes:{step}": found for step, found in enumerate(rows, 1)}

    def says(self, step: int) -> str:
        o = self.objects[step - 1]
        if not len(o.scores):
            return "no object"
        what = "object" if len(o.scores) == 1 else "objects"
        return f"{len(o.scores)} {what}, best {self.labels[int(o.classes[0])]} ({o.scores[0]:.2f})"

    def target(self, geometry: Geometry, step: int, class_index: int | None, region: Region | None) -> CandidateTarget:
        """The score of the best object of the class, with its centre in the region if one is given."""
        found, index = self.objects[step - 1], int(class_index or 0)
        left, top, right, bottom = (
            (-np.inf, -np.inf, np.inf, np.inf) if region is None else corners_of(region, geometry)
        )
        x, y = (found.boxes[:, :2] + found.boxes[:, 2:]).T / 2
        here = (found.classes == index) & (x >= left) & (x < right) & (y >= top) & (y < bottom)
        if not here.any():
            where = "" if region is None else f" {region_words(region)}"
            raise ModelError(f"The network found no {self.labels[index]}{where}, so there is no score to explain.")
        return CandidateTarget(int(found.candidates[here.argmax()]), index)

    @cached_property
    def ranking(self) -> tuple[tuple[Found, ...], ...]:
        out = []
        for o in self.objects:
            best: dict[int, float] = {}
            for c, s in zip(o.classes, o.scores, strict=True):
                best.setdefault(int(c), float(s))
            out.append(tuple(Found(c, self.labels[c], s) for c, s in best.items()))
        return tuple(out)

    def objects_in(self, geometry: Geometry) -> list[dict[str, Any]]:
        return [
            {
                "step": step,
                "class": int(c),
                "label": self.labels[c],
                "score": float(s),
                "xyxy": [float(v) for v in geometry.box_to_picture(box)],
            }
            for step, o in enumerate(self.objects, 1)
            for box, c, s in zip(o.boxes, o.classes, o.scores, strict=True)
        ]


def _objects(answer: FloatArray) -> Objects:
    """Candidates above the minimum score, after non-maximum suppression within each class."""
    import cv2  # heavy; model cards are read without it

    corners, classes = answer[:, :4], answer[:, 4:].argmax(axis=1)
    scores = answer[np.arange(len(answer)), 4 + classes]
    sides = np.column_stack([corners[:, :2], corners[:, 2:] - corners[:, :2]])
    kept = cv2.dnn.NMSBoxesBatched(sides.tolist(), scores.tolist(), classes.tolist(), LEAST_SCORE, MOST_OVERLAP)
    rows = np.array(kept, dtype=np.intp).reshape(-1)
    rows = rows[np.argsort(-scores[rows], kind="stable")][:MOST_OBJECTS]
    return Objects(corners[rows], scores[rows], classes[rows], rows)


OUTPUT = Detections
