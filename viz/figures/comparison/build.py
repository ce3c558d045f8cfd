"""`compare(picture, models, ...)`: several models on one picture, side by side; one trace per model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from viz.core.boxes import DEFAULT_THRESHOLD, Components, boxes
from viz.core.card import class_number
from viz.core.map_spec import MapSpec, parse
from viz.core.methods import DEFAULT_OPTIONS, AttributionOptions
from viz.core.stage import CAM
from viz.core.trace import Trace
from viz.errors import FigureError, ModelError, ProbeError, VizError
from viz.figures.comparison.columns import definite, map_at, with_attributions
from viz.figures.comparison.data import COLUMN_SCALES, FEWEST, MOST, Column, ColumnScale, Compared, UserBox
from viz.figures.comparison.grid import BOXES, Boxes, CompareFigure
from viz.figures.comparison.tables import FIELDS, as_json, rows_of
from viz.figures.defaults import thinned
from viz.figures.spec import MAX_PANELS, FigureSpec, Panel
from viz.files import csv_text
from viz.geometry import Mode
from viz.picture import Picture, PictureSource, open_picture
from viz.run.engine import Engine, Model

# Options of `FigureSpec` that the figure of a comparison takes.
OPTIONS = ("palette", "opacity", "interpolation", "titles", "letters", "colour_bar", "crop_frame", "font", "dpi")


@dataclass(frozen=True, eq=False)
class Comparison(Compared):
    """Several models on one picture, with tables and figure; see `Compared` for its attributes."""

    def to_json(self) -> dict[str, Any]:
        """Agreement, boxes and IoU of every step as plain values; non-finite values become None."""
        return as_json(self)

    def to_csv(self) -> str:
        """One line for each step and pair of columns, and for each column with the user's box."""
        return csv_text(rows_of(self), FIELDS)

    def to_figure(
        self,
        steps: Sequence[int] | None = None,
        preset: str = "cvpr",
        columns: int | None = None,
        *,
        boxes: Boxes = True,
        **options: Any,
    ) -> CompareFigure:
        """The grid as a paper figure: columns are models, rows are steps; `scale_mode` is that of the comparison.

        Args:
            steps: rows, each a step of the comparison (negative ones count from the last); default all, at most six.
            preset: venue, see `viz.figures.PRESETS`. columns: 1 or 2; default 1 for up to three models.
            boxes: draw display boxes on every map, on none (False), or on class maps only (``class_maps``: a box of a
                gate often spans all that the network saw). The user's own box is drawn in any case.
            options: of `FigureSpec`: palette, opacity, interpolation, titles, letters, colour_bar, crop_frame, font,
                dpi.

        Raises:
            FigureError, ModelError: one sentence each.
        """
        for name in options:
            if name not in OPTIONS:
                known = ", ".join(OPTIONS)
                raise FigureError(f"Unknown option {name!r} of a comparison's figure. Choose from: {known}.")
        if boxes not in BOXES:
            raise FigureError(f"Invalid boxes {str(boxes)[:20]!r}. Choose one of: {', '.join(map(str, BOXES))}.")
        count = len(self.columns)
        rows = thinned(self.steps) if steps is None else [self.step_number(s) for s in steps]
        if not rows or len(rows) * count > MAX_PANELS:
            raise FigureError(f"A figure has 1 to {MAX_PANELS} panels, not {len(rows) * count}. Choose other steps.")
        spec = FigureSpec(
            (Panel("picture"),),
            preset,
            (1 if count <= 3 else 2) if columns is None else columns,
            per_row=count,
            shared_scale=self.scale_mode == "shared",
            threshold=self.threshold,
            components=self.components,
            attribution=self.attribution,
            **options,
        )
        return CompareFigure(self, rows, spec, boxes=boxes)


def compare(
    picture: PictureSource,
    models: Sequence[str | Path | Model | Trace],
    maps: str | Sequence[str | MapSpec] | None = None,
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

    A model with fewer steps than another repeats its last one; `notes` say so.

    Args:
        picture: a Picture, or what `viz.open_picture` takes.
        models: 2 to 6 names of the catalogue, paths of checkpoint files, loaded models, or traces of this picture
            (these cost no forward pass). A model may have several columns with different maps.
        maps: one for all columns or one for each, see `viz.core.map_spec`. A given trace must hold its attribution. A
            map with a step is that step's in every row. Default: the class map of one class for all, or the map of a
            dense answer.
        class_index: number or name of that class; default: the first model's best class at its last step.
        scale: ``shared`` or ``each``, see `Comparison`.
        threshold, components: of the display boxes, see `viz.boxes`.
        box: the user's own box (x0, y0, x1, y1) in picture pixels, far edges exclusive.
        geometry: how the picture is fitted; default: each model's own way.
        engine: keeps loaded models and traces; default: a new one.
        attribution: options of attribution maps.

    Raises:
        VizError and its kinds: one sentence each.
    """
    count = 1 if isinstance(models, str | Path) else len(models)
    if not FEWEST <= count <= MOST:
        raise ModelError(f"A comparison takes {FEWEST} to {MOST} models, not {count}.")
    if scale not in COLUMN_SCALES:
        raise VizError(f"Unknown scale {scale!r} of a comparison. Choose one of: {', '.join(COLUMN_SCALES)}.")
    choices = _choices(maps, len(models))
    opened = open_picture(picture)
    engine = engine or Engine()
    traces = _traces(opened, models, geometry, engine)
    chosen = [c or t.output_map or CAM for c, t in zip(choices, traces, strict=True)]
    if any(c.kind == "attribution" for c in chosen):
        label = _class_label(traces[0], class_index)
        traces = [
            with_attributions(t, m, c, label, options=attribution, engine=engine)
            for t, m, c in zip(traces, models, chosen, strict=True)
        ]
    return compare_traces(
        traces,
        chosen,
        class_index=class_index,
        scale=scale,
        threshold=threshold,
        components=components,
        box=user_box(box, opened),
        attribution=attribution,
    )


def compare_traces(
    traces: Sequence[Trace],
    choices: Sequence[MapSpec],
    *,
    class_index: int | str | None,
    scale: ColumnScale,
    threshold: float,
    components: Components,
    box: UserBox | None,
    attribution: AttributionOptions = DEFAULT_OPTIONS,
) -> Comparison:
    """The comparison of traces of one picture, with one map for each."""
    label, steps = _class_label(traces[0], class_index), max(t.steps for t in traces)
    columns = []
    for trace, choice in zip(traces, choices, strict=True):
        spec, quantity = definite(trace, choice, label, attribution)
        heatmaps = [map_at(trace, spec, step, attribution) for step in range(1, trace.steps + 1)]
        last = max((i for i, h in enumerate(heatmaps) if h is not None), default=-1)
        if last < 0:
            raise ProbeError(f"{choice} of {trace.card.name} has no value at steps 1 to {trace.steps}.")
        found = [() if h is None else tuple(boxes(h, threshold, components)) for h in heatmaps[: last + 1]]
        # The last value is repeated: a model may have fewer steps, and some values exist in the first steps only.
        shown = [min(step, last) for step in range(steps)]
        maps, boxed = tuple(heatmaps[i] for i in shown), tuple(found[i] for i in shown)
        columns.append(Column(trace.card.name, trace, choice, spec, quantity, maps, boxed))
    return Comparison(_labelled(columns), scale, label, box, threshold, components, attribution)


def _labelled(columns: list[Column]) -> tuple[Column, ...]:
    """The columns with distinct labels: columns of one model get their map's name, and a number where that is equal."""
    names = [c.label for c in columns]
    for i, column in enumerate(columns):
        if names.count(names[i]) > 1:
            # The same for every picture: the quantity, and a class that was asked for.
            cls = "" if column.asked.cls is None else f" of {column.asked.cls}"
            columns[i] = replace(column, label=f"{names[i]} ({column.quantity}{cls})")
    names = [c.label for c in columns]
    for i, column in enumerate(columns):
        if names.count(names[i]) > 1:
            columns[i] = replace(column, label=f"{names[i]} {names[: i + 1].count(names[i])}")
    return tuple(columns)


def _class_label(first: Trace, class_index: int | str | None) -> str:
    """The class asked for, else the first model's best at its last step; empty for an answer without classes."""
    if class_index is None:
        return first.top(-1, 1)[0].label if first.top(-1, 1) else ""
    return first.labels[class_number(first.labels, class_index)]


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


def _choices(maps: str | Sequence[str | MapSpec] | None, count: int) -> list[MapSpec | None]:
    """One map per column; None takes the map of the model's answer."""
    if not maps:
        return [None] * count
    given = [maps] if isinstance(maps, str) else list(maps)
    given = given * count if len(given) == 1 else given
    if len(given) != count:
        raise VizError(f"Give one map for all {count} models or one for each, not {len(given)}.")
    return [parse(m) for m in given]


def _traces(
    picture: Picture, models: Sequence[str | Path | Model | Trace], geometry: Mode | None, engine: Engine
) -> list[Trace]:
    out: list[Trace] = []
    traces: dict[int, Trace] = {}
    for model in models:
        if isinstance(model, Trace):
            if model.picture.sha256 != picture.sha256 or model.picture.size != picture.size:
                raise VizError(f"The trace of {model.card.name} belongs to another picture.")
            out.append(model)
        elif isinstance(model, Model):
            if id(model) not in traces:
                traces[id(model)] = model.trace(picture, geometry=geometry)
            out.append(traces[id(model)])
        else:
            out.append(engine.trace(picture, str(model), geometry))
    return out
