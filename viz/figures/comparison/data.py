"""Data of a comparison: columns of one picture, their shared steps, scales, agreement, boxes and notes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from viz.core.boxes import DEFAULT_THRESHOLD, Box, Components, iou
from viz.core.card import step_number
from viz.core.finite import notes_on
from viz.core.heatmap import Heatmap, Scale, finite_range
from viz.core.map_spec import MapSpec
from viz.core.methods import DEFAULT_OPTIONS, AttributionOptions
from viz.core.trace import Trace
from viz.errors import VizError
from viz.figures.attributions import method_sentence
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
        label: the model's name, with the map's where a model has several columns.
        trace: of the model. asked: the map as it was asked for. map: with class and tap made definite.
        quantity: what is measured, in words.
        heatmaps: one per step of the comparison; None where the map has no value yet. The model's last value is
            repeated at later steps.
        boxes: display boxes of each heat map, the largest first.
    """

    label: str
    trace: Trace
    asked: MapSpec
    map: MapSpec
    quantity: str
    heatmaps: tuple[Heatmap | None, ...]
    boxes: tuple[tuple[Box, ...], ...]

    def own_step(self, step: int) -> int:
        """The model's own step that is shown at a step of the comparison: its last one where it has fewer."""
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
        columns: one per model, 2 to 6.
        scale_mode: ``shared`` puts all columns with the same unit on one range, over all steps; ``each`` gives every
            column the range over its own steps. Different units never share a range.
        class_label: class of the class maps that name none.
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
        """Steps of the comparison: those of the model with the most."""
        return max(c.trace.steps for c in self.columns)

    def step_number(self, step: int) -> int:
        """1-based step from 1.., or from -1 (last), -2, ...

        Raises:
            ModelError: no such step.
        """
        return step_number(step, self.steps, "This comparison")

    def sharing(self, column: Column) -> list[Column]:
        """The columns that share one range with a column, itself included."""
        if self.scale_mode == "each":
            return [column]
        return [c for c in self.columns if scale_group(c) == scale_group(column)]

    def scale(self, column: int) -> Scale:
        """The range of a column's colours."""
        mates = self.sharing(self.columns[column])
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
        """float64 (columns, columns): one measure of `Agreement` at a step; NaN where it is undefined."""
        if measure not in ("spearman", "top_iou", "top_share"):
            raise VizError(f"Unknown measure {measure!r}. Choose one of: spearman, top_iou, top_share.")
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

    @cached_property
    def notes(self) -> tuple[str, ...]:
        """What a reader must know, in sentences: steps, scales, classes, attributions, crops, values not finite."""
        sentences = (_steps, _scales, _classes, _attributions, _crops)
        return tuple(dict.fromkeys([*(note for about in sentences for note in about(self)), *self.lost]))

    @property
    def lost(self) -> list[str]:
        """Which maps contain non-finite values, in sentences."""
        out: list[str] = []
        for c in self.columns:
            maps = {h.step: h.native for h in c.heatmaps if h is not None}
            named = [(f"{c.label}, {c.quantity}, step {step}", native) for step, native in maps.items()]
            out += notes_on(named, c.trace.precision)
        return out


def scale_group(column: Column) -> str:
    """Columns of one group can share a range: those with the same unit."""
    return column.unit or column.quantity


def _iou(a: Box | None, b: UserBox | None) -> float:
    return math.nan if a is None or b is None else iou(a.xyxy, b)


def _steps(made: Compared) -> list[str]:
    out = []
    for c in made.columns:
        what = f"{c.quantity} of {c.trace.card.name}"
        if c.trace.steps < made.steps:
            has = "1 step" if c.trace.steps == 1 else f"{c.trace.steps} steps"
            out.append(f"{c.trace.card.name} has {has}; at later steps its last one stands.")
        last = max(h.step for h in c.heatmaps if h is not None)
        if last < c.trace.steps:
            out.append(f"{what} has its last value at step {last}; it stands at later steps.")
        missing = [str(s) for s in range(1, made.steps + 1) if c.heatmaps[s - 1] is None]
        if missing:
            out.append(f"{what} has no value at step {', '.join(missing)}.")
    return out


def _scales(made: Compared) -> list[str]:
    if made.scale_mode == "each":
        return [f"Each column has its own range{', over its own steps' if made.steps > 1 else ''}."]
    over = " and all steps" if made.steps > 1 else ""
    out = []
    for i, column in enumerate(made.columns):
        members = made.sharing(column)
        if members[0] is not column:
            continue
        scale = made.scale(i)
        span = f"{scale.low:.4g} to {scale.high:.4g} ({scale_group(column)})"
        if len(members) == 1:
            out.append(f"{column.label} measures in its own unit and has its own range: {span}.")
        else:
            every = len(members) == len(made.columns)
            who = "all columns" if every else " and ".join(c.label for c in members)
            out.append(f"One range for {who}{over}: {span}.")
    return out


def _classes(made: Compared) -> list[str]:
    named = {c.label: c.trace.labels[c.map.cls] for c in made.columns if isinstance(c.map.cls, int)}
    if not named:
        return []
    kinds = {c.map.kind for c in made.columns}
    words = {"cam": "class maps", "output": "outputs", "attribution": "attributions"}
    which = " and ".join(word for kind, word in words.items() if kind in kinds).capitalize()
    if len(set(named.values())) == 1:
        return [f"{which} are of {next(iter(named.values()))}."]
    return [f"{which} are of different classes: " + "; ".join(f"{k}: {v}" for k, v in named.items()) + "."]


def _attributions(made: Compared) -> list[str]:
    """For each method and its options, a sentence."""
    out = []
    for c in made.columns:
        if c.map.kind == "attribution":
            found = next(a for a in c.trace.attributions if (a.method, a.class_index) == (c.map.head, c.map.cls))
            how = method_sentence(found, made.attribution.words(c.map.method))
            out.append(f"{how[:1].upper()}{how[1:]}, computed with Captum {found.captum}.")
    return out


def _crops(made: Compared) -> list[str]:
    if len({c.trace.geometry.seen for c in made.columns}) == 1:
        return []
    return ["The networks saw different parts of the picture; agreement counts only what both of a pair saw."]
