"""`compare(picture, models, ...)`: several models on one picture, side by side; one trace a model."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from viz.attribution.methods import DEFAULT_OPTIONS, AttributionOptions
from viz.core.boxes import DEFAULT_THRESHOLD, Box, Components, boxes, iou
from viz.core.heatmap import Heatmap, Scale, finite_range
from viz.core.trace import Trace
from viz.errors import ModelError, ProbeError, VizError
from viz.figures.comparison.attributions import with_attributions
from viz.figures.comparison.choice import MapChoice, definite, map_at, parse_map
from viz.geometry import Mode
from viz.measures.agreement import Agreement, agreement
from viz.models.cards import class_number
from viz.picture import Picture, PictureSource, open_picture
from viz.run.engine import Engine, Model

if TYPE_CHECKING:
    from viz.figures.compare import CompareFigure

FEWEST, MOST = 2, 6
ColumnScale = Literal["shared", "each"]
COLUMN_SCALES: tuple[ColumnScale, ...] = get_args(ColumnScale)
UserBox = tuple[float, float, float, float]


@dataclass(frozen=True, eq=False)
class Column:
    """One model's part of a comparison.

    Attributes:
        label: the model's name; with the map's, where a model stands in several columns.
        trace: what the model did. asked: the map as it was asked for. choice: with class or probe made definite.
        quantity: what is measured, in words.
        heatmaps: one a step of the comparison; None where the map has no value yet. After the last value that the
            model has, that one stands.
        boxes: display boxes of each of them, the largest first.
    """

    label: str
    trace: Trace
    asked: str
    choice: MapChoice
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
class Comparison:
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

    @cached_property
    def notes(self) -> tuple[str, ...]:
        """What a reader must know: steps, scales, crops, classes, in sentences."""
        from viz.figures.comparison.notes import notes_of

        return notes_of(self)

    def to_json(self) -> dict[str, Any]:
        """Agreement, boxes and IoU of every step as plain values; what has no number is None."""
        from viz.figures.comparison.tables import as_json

        return as_json(self)

    def to_csv(self) -> str:
        """One line for each step and pair of columns, and for each column with the user's box."""
        from viz.figures.comparison.tables import as_csv

        return as_csv(self)

    def to_figure(self, steps: Sequence[int] | None = None, **options: Any) -> CompareFigure:
        """The grid as a paper figure, see `viz.figures.compare.compare_figure`."""
        from viz.figures.compare import compare_figure

        return compare_figure(self, steps, **options)


def scale_group(column: Column) -> str:
    """Columns with the same group can share a range: those that measure in the same unit."""
    return column.unit or column.quantity


def _iou(a: Box | None, b: UserBox | None) -> float:
    return math.nan if a is None or b is None else iou(a.xyxy, b)


def compare(
    picture: PictureSource,
    models: Sequence[str | Path | Model | Trace],
    maps: str | Sequence[str | MapChoice] | None = None,
    *,
    class_index: int | str | None = None,
    scale: ColumnScale = "shared",
    threshold: float = DEFAULT_THRESHOLD,
    components: Components = "largest",
    box: Sequence[float] | None = None,
    geometry: Mode | None = None,
    engine: Engine | None = None,
    attribution: AttributionOptions = DEFAULT_OPTIONS,
) -> Comparison:
    """Several models on one picture: maps side by side, their agreement, their boxes.

    Where models have different numbers of steps, step s of a model with fewer is its last one; `notes` say so.

    Args:
        picture: a Picture, or what `viz.open_picture` takes.
        models: 2 to 6 names of the catalogue, paths of checkpoint files, loaded models, or traces of this picture
            (these cost no forward pass). The same model may stand in several columns with different maps.
        maps: one for all columns or one for each: ``class_map``, ``class_map@CLASS``, a probe's label or full name,
            ``PROBE#CHANNEL``, a derived map such as ``mean(PROBE)`` (see `viz.core.derived`), ``feature#CHANNEL``, or
            an attribution such as ``gradcam`` (see `viz.attribution`; a given trace must hold it). Default: the class
            map of one class for all.
        class_index: number or name of that class; default the first model's best class at its last step.
        scale: ``shared`` or ``each``, see `Comparison`.
        threshold, components: of the display boxes, see `viz.boxes`.
        box: the user's own box (x0, y0, x1, y1) in picture pixels, far edges exclusive.
        geometry: another way to fit the picture than each model's own.
        engine: where loaded models and traces are kept; default a new one.
        attribution: options of attribution maps.

    Raises:
        VizError and its kinds: one sentence each.
    """
    given: object = models
    if isinstance(given, str | Path) or not isinstance(given, Sequence) or not FEWEST <= len(given) <= MOST:
        count = len(given) if isinstance(given, Sequence) and not isinstance(given, str) else 1
        raise ModelError(f"A comparison takes {FEWEST} to {MOST} models, not {count}.")
    if scale not in COLUMN_SCALES:
        raise VizError(f"The scale of a comparison must be one of {', '.join(COLUMN_SCALES)}, not {scale!r}.")
    choices = _choices(maps, len(models))
    opened = open_picture(picture)
    engine = engine or Engine()
    traces = _traces(opened, models, geometry, engine)
    if any(c.method is not None for c in choices):
        label = _class_label(traces[0], class_index)
        traces = [
            with_attributions(t, m, c, label, options=attribution, engine=engine)
            for t, m, c in zip(traces, models, choices, strict=True)
        ]
    return compare_traces(
        traces,
        choices,
        class_index=class_index,
        scale=scale,
        threshold=threshold,
        components=components,
        box=user_box(box, opened),
        attribution=attribution,
    )


def compare_traces(
    traces: Sequence[Trace],
    choices: Sequence[MapChoice],
    *,
    class_index: int | str | None,
    scale: ColumnScale,
    threshold: float,
    components: Components,
    box: UserBox | None,
    attribution: AttributionOptions = DEFAULT_OPTIONS,
) -> Comparison:
    """The comparison of traces of one picture, with one map for each."""
    label = _class_label(traces[0], class_index)
    look = _Look(label, threshold, components, attribution)
    made = [_column(t, m, look) for t, m in zip(traces, choices, strict=True)]
    names = [c.label for c in made]
    made = [replace(c, label=f"{c.label} ({_which(c)})") if names.count(c.label) > 1 else c for c in made]
    again = [c.label for c in made]
    made = [
        replace(c, label=f"{c.label} {again[: i + 1].count(c.label)}") if again.count(c.label) > 1 else c
        for i, c in enumerate(made)
    ]
    return Comparison(tuple(_lengthened(made)), scale, label, box, threshold, components, attribution)


@dataclass(frozen=True)
class _Look:
    """What all columns of a comparison share."""

    label: str
    threshold: float
    components: Components
    attribution: AttributionOptions


def _class_label(first: Trace, class_index: int | str | None) -> str:
    """The class asked for, else the first model's best at its last step."""
    if class_index is None:
        return first.top(-1, 1)[0].label
    return first.head.labels[class_number(first.head.labels, class_index)]


def _which(column: Column) -> str:
    """What tells a model's columns apart, the same for every picture: the quantity, and a class that was asked for."""
    _, at, cls = column.asked.partition("@")
    return f"{column.quantity} of {cls}" if at else column.quantity


def user_box(box: Sequence[float] | None, picture: Picture) -> UserBox | None:
    """The user's box, checked against the picture.

    Raises:
        VizError: not four numbers in order, or not inside the picture.
    """
    if box is None:
        return None
    try:
        x0, y0, x1, y1 = (float(v) for v in box)
    except (TypeError, ValueError, OverflowError):
        raise VizError("A box has four numbers: x0, y0, x1, y1 in picture pixels.") from None
    height, width = picture.size
    if not (0 <= x0 < x1 <= width and 0 <= y0 < y1 <= height):
        raise VizError(
            f"The box must lie in the picture of {width} x {height} pixels, with x0 below x1 and y0 below y1."
        )
    return x0, y0, x1, y1


def _choices(maps: str | Sequence[str | MapChoice] | None, count: int) -> list[MapChoice]:
    given = [maps or "class_map"] if maps is None or isinstance(maps, str) else list(maps)
    if len(given) == 1:
        given = given * count
    if len(given) != count:
        raise VizError(f"Give one map for all {count} models or one for each, not {len(given)}.")
    return [parse_map(m) for m in given]


def _traces(
    picture: Picture, models: Sequence[str | Path | Model | Trace], geometry: Mode | None, engine: Engine
) -> list[Trace]:
    out: list[Trace] = []
    made: dict[int, Trace] = {}
    for model in models:
        if isinstance(model, Trace):
            if model.picture.sha256 != picture.sha256 or model.picture.size != picture.size:
                raise VizError(f"The trace of {model.card.name} belongs to another picture.")
            out.append(model)
        elif isinstance(model, Model):
            if id(model) not in made:
                made[id(model)] = model.trace(picture, geometry=geometry)
            out.append(made[id(model)])
        else:
            out.append(engine.trace(picture, str(model), geometry))
    return out


def _column(trace: Trace, choice: MapChoice, look: _Look) -> Column:
    found, quantity = definite(trace, choice, look.label, look.attribution)
    heatmaps = tuple(map_at(trace, found, step, look.attribution) for step in range(1, trace.steps + 1))
    # A value that only the first steps have (an input, say) stands for the later ones as well.
    last = max((i for i, h in enumerate(heatmaps) if h is not None), default=-1)
    heatmaps = heatmaps[: last + 1] + heatmaps[last : last + 1] * (trace.steps - last - 1)
    if last < 0:
        raise ProbeError(f"{choice.probe} of {trace.card.name} has no value at steps 1 to {trace.steps}.")
    marked = tuple(() if h is None else tuple(boxes(h, look.threshold, look.components)) for h in heatmaps)
    return Column(trace.card.name, trace, choice.text, found, quantity, heatmaps, marked)


def _lengthened(columns: Sequence[Column]) -> list[Column]:
    """Columns of one length: a model with fewer steps keeps its last."""
    steps = max(c.trace.steps for c in columns)
    out = []
    for c in columns:
        more = steps - len(c.heatmaps)
        out.append(replace(c, heatmaps=c.heatmaps + c.heatmaps[-1:] * more, boxes=c.boxes + c.boxes[-1:] * more))
    return out
