"""What a comparison holds: columns of one picture, their shared steps, scales, agreement and boxes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from viz.core.boxes import DEFAULT_THRESHOLD, Box, Components, iou
from viz.core.heatmap import Heatmap, Scale, finite_range
from viz.core.map_spec import MapSpec
from viz.core.methods import DEFAULT_OPTIONS, AttributionOptions
from viz.core.trace import Trace
from viz.errors import ModelError, VizError
from viz.measures.agreement import Agreement, agreement
from viz.picture import Picture

FEWEST, MOST = 2, 6
ColumnScale = Literal["shared", "each"]
COLUMN_SCALES: tuple[ColumnScale, ...] = get_args(ColumnScale)
UserBox = tuple[float, float, float, float]


@dataclass(frozen=True, eq=False)
class Column:
    """One model's part of a comparison.

    Attributes:
        label: the model's name; with the map's, where a model stands in several columns.
        trace: what the model did. asked: the map as it was asked for. map: with class and tap made definite.
        quantity: what is measured, in words.
        heatmaps: one a step of the comparison; None where the map has no value yet. After the last value that the
            model has, that one stands.
        boxes: display boxes of each of them, the largest first.
    """

    label: str
    trace: Trace
    asked: MapSpec
    map: MapSpec
    quantity: str
    heatmaps: tuple[Heatmap | None, ...]
    boxes: tuple[tuple[Box, ...], ...]

    def own_step(self, step: int) -> int:
        """The step of this model whose map stands at a step of the comparison: its last one where it has fewer."""
        heat = self.heatmaps[step - 1]
        return min(step, self.trace.steps) if heat is None else heat.step

    @property
    def unit(self) -> str:
        """Unit of the values."""
        return next((h.unit for h in self.heatmaps if h is not None), "")


@dataclass(frozen=True, eq=False)
class Compared:
    """Several models on one picture.

    Attributes:
        columns: one a model, 2 to 6.
        scale_mode: ``shared`` puts all columns that measure in one unit on one range, over all steps; ``each`` gives
            every column the range over its own steps. Different units never share a range.
        class_label: the class of class maps that name none of their own.
        box: the user's box (x0, y0, x1, y1) in picture pixels, or None.
        threshold, components: of the display boxes.
        attribution: options of attribution columns.
    """

    columns: tuple[Column, ...]
    scale_mode: ColumnScale
    class_label: str
    box: UserBox | None = None
    threshold: float = DEFAULT_THRESHOLD
    components: Components = "largest"
    attribution: AttributionOptions = DEFAULT_OPTIONS

    @property
    def picture(self) -> Picture:
        """The picture."""
        return self.columns[0].trace.picture

    @cached_property
    def steps(self) -> int:
        """Steps of the comparison: those of the model that has most."""
        return max(c.trace.steps for c in self.columns)

    def step_number(self, step: int) -> int:
        """1-based step from 1.., or from -1 (last), -2, ...

        Raises:
            ModelError: no such step.
        """
        number = step if step > 0 else self.steps + 1 + step
        if step == 0 or not 1 <= number <= self.steps:
            raise ModelError(f"This comparison has steps 1 to {self.steps}; there is no step {step}.")
        return number

    def scale(self, column: int) -> Scale:
        """The range of a column's colours."""
        mine = self.columns[column]
        mates = [mine]
        if self.scale_mode == "shared":
            mates = [c for c in self.columns if scale_group(c) == scale_group(mine)]
        low, high = finite_range([h.native for c in mates for h in c.heatmaps if h is not None])
        return Scale("steps", low, high)

    @cached_property
    def agreements(self) -> tuple[tuple[tuple[Agreement, ...], ...], ...]:
        """For each step, the agreement of column i with column j."""
        out = []
        for step in range(self.steps):
            maps = [c.heatmaps[step] for c in self.columns]
            upper = {(i, j): agreement(maps[i], maps[j]) for i in range(len(maps)) for j in range(i, len(maps))}
            out.append(tuple(tuple(upper[min(i, j), max(i, j)] for j in range(len(maps))) for i in range(len(maps))))
        return tuple(out)

    def matrix(
        self, measure: Literal["spearman", "top_iou", "top_share"] = "spearman", step: int = -1
    ) -> NDArray[np.float64]:
        """float64 (columns, columns): one measure of `Agreement` at a step; NaN where it has no meaning."""
        if measure not in ("spearman", "top_iou", "top_share"):
            raise VizError(f"The measure must be spearman, top_iou or top_share, not {measure!r}.")
        return np.array([[getattr(a, measure) for a in row] for row in self.agreements[self.step_number(step) - 1]])

    def box_of(self, column: int, step: int = -1) -> Box | None:
        """A column's largest display box, or None where its map is flat or missing."""
        return next(iter(self.columns[column].boxes[self.step_number(step) - 1]), None)

    def box_iou(self, step: int = -1) -> NDArray[np.float64]:
        """float64 (columns, columns): IoU of the largest display boxes; NaN where a column has none."""
        found = [self.box_of(i, step) for i in range(len(self.columns))]
        return np.array([[_iou(a, b.xyxy if b else None) for b in found] for a in found])

    def user_iou(self, step: int = -1) -> NDArray[np.float64]:
        """float64 (columns,): IoU of the largest display boxes with the user's; NaN where one is missing."""
        return np.array([_iou(self.box_of(i, step), self.box) for i in range(len(self.columns))])


def scale_group(column: Column) -> str:
    """Columns with the same group can share a range: those that measure in the same unit."""
    return column.unit or column.quantity


def _iou(a: Box | None, b: UserBox | None) -> float:
    return math.nan if a is None or b is None else iou(a.xyxy, b)
