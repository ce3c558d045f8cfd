"""The grid of a comparison as a paper figure: one column a model, one row a step, the photo with map and boxes.

Panels, layout, drawing, numbers and files are those of every other figure; only the trace changes between columns.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_pdf import FigureCanvasPdf
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure as Canvas
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from viz.core.heatmap import symmetric
from viz.errors import FigureError
from viz.figures.build import Figure
from viz.figures.comparison.data import Column, Compared, scale_group
from viz.figures.comparison.text import BOXES, Boxes, compare_latex, is_boxed, record_of_comparison, title_of
from viz.figures.content import Content, letter_of
from viz.figures.draw import _METADATA, FORMATS, _Drawing, settings
from viz.figures.layout import COLUMN_GAP, MARGIN, Layout, Place, lay_out
from viz.figures.presets import preset as preset_of
from viz.figures.spec import MAX_PANELS, FigureSpec, Panel
from viz.figures.text import width_of

if TYPE_CHECKING:
    from viz.core.trace import Trace

OWN_BOX = "white"


class CompareFigure(Figure):
    """A figure of a comparison. Nothing is drawn before `to_bytes` or `save` is called.

    Attributes:
        comparison: what is shown. steps: its rows. spec: how. traces: of each panel, in order.
        boxes: on which maps, as `compare_figure` takes it.
    """

    def __init__(self, comparison: Compared, steps: Sequence[int], spec: FigureSpec, *, boxes: Boxes) -> None:
        self.comparison, self.steps, self.boxes = comparison, tuple(steps), boxes
        self.trace = comparison.columns[0].trace
        made: list[Content] = []
        self.traces: list[Trace] = []
        for step in self.steps:
            for index, column in enumerate(comparison.columns):
                letter = letter_of(len(made))
                title = title_of(comparison, index, step, self._room(spec, letter))
                boxed = is_boxed(column, boxes)
                made.append(_content(comparison, index, step, spec=spec, letter=letter, title=title, boxes=boxed))
                self.traces.append(column.trace)
        self.contents = tuple(made)
        values = {k: getattr(spec, k) for k in spec.__dataclass_fields__ if k != "panels"}
        self.spec = FigureSpec(tuple(c.panel for c in made), **values)

    @staticmethod
    def _room(spec: FigureSpec, letter: str) -> Callable[[str], bool]:
        """Whether a text fits beside the letter in one line over a panel."""
        style, count = preset_of(spec.preset), spec.per_row or 1
        width = (style.width(spec.columns) - 2 * MARGIN - (count - 1) * COLUMN_GAP) / count
        mark = f"({letter}) " if spec.letters else ""
        return lambda text: width_of(mark + text, spec.font or style.font, style.label) <= width

    @cached_property
    def layout(self) -> Layout:
        """Where everything lies, in inches."""
        return lay_out(self.spec, self.contents, self.trace.geometry)

    @cached_property
    def notes(self) -> tuple[str, ...]:
        """What an author should know before printing, in sentences."""
        flat = [
            f"{c.label} has no box at step {s}, because its map is flat."
            for s in self.steps
            for c in self.comparison.columns
            if is_boxed(c, self.boxes) and c.heatmaps[s - 1] is not None and not c.boxes[s - 1]
        ]
        return (*super().notes, *flat)

    def to_bytes(self, fmt: str = "pdf", dpi: int | None = None) -> bytes:
        """The figure as a file's bytes, see `Figure.to_bytes`."""
        dots = self._checked_dpi(fmt, dpi)
        with settings():
            canvas = Canvas(figsize=self.size, dpi=dots, facecolor="white")
            _Grid(canvas, self, vector=fmt != "png").panels(self.contents)
            buffer = io.BytesIO()
            if fmt == "pdf":
                FigureCanvasPdf(canvas).print_pdf(buffer, metadata=_METADATA["pdf"])
            elif fmt == "svg":
                FigureCanvasSVG(canvas).print_svg(buffer, metadata=_METADATA["svg"])
            else:
                FigureCanvasAgg(canvas).print_png(buffer, metadata=_METADATA["png"])
        return buffer.getvalue()

    def _checked_dpi(self, fmt: str, dpi: int | None) -> int:
        if fmt not in FORMATS:
            raise FigureError(f"A figure is saved as {', '.join(FORMATS)}, not {str(fmt)[:20]!r}.")
        dots = self.spec.dpi if dpi is None else dpi
        if not 36 <= dots <= 1200:
            raise FigureError(f"The dpi must lie between 36 and 1200, not {dots}.")
        if fmt == "png" and self.layout.height * self.layout.width * dots * dots > 120e6:
            raise FigureError("The picture file would have more than 120 megapixels; take fewer dpi, or a PDF.")
        return dots

    def record(self) -> dict[str, Any]:
        """All that makes the figure again, as plain values: `comparison_from_record` reads it."""
        return record_of_comparison(self)

    def latex(self, file_name: str = "figure.pdf") -> str:
        """A LaTeX figure whose caption states models, steps, scales, agreement and crops."""
        return compare_latex(self, file_name)

    def maps(self) -> dict[str, NDArray[Any]]:
        """The values behind the figure: native maps and boxes by panel, each model's logits and geometry."""
        out: dict[str, NDArray[Any]] = {}
        for i, column in enumerate(self.comparison.columns, 1):
            g = column.trace.geometry
            out[f"column{i}.logits"] = column.trace.logits
            out |= {
                f"column{i}.geometry.{k}": np.array(getattr(g, k)) for k in ("picture", "network", "seen", "placed")
            }
        count = len(self.comparison.columns)
        for i, c in enumerate(self.contents):
            for heat in c.heatmaps:
                out[f"{c.letter}.{heat.name}@{heat.step}"] = heat.native
            if c.heatmaps and is_boxed(self.comparison.columns[i % count], self.boxes):
                out[f"{c.letter}.boxes"] = np.array([b.xyxy for _, b in c.boxes], dtype=np.int64).reshape(-1, 4)
        if self.comparison.box is not None:
            out["box"] = np.array(self.comparison.box)
        return out


class _Grid(_Drawing):
    """A grid in the making: every panel with its own model's trace."""

    def __init__(self, canvas: Any, made: CompareFigure, *, vector: bool) -> None:
        super().__init__(canvas, made.trace, made.spec, made.layout, vector)
        self.box = made.comparison.box
        self.traces = {c.letter: t for c, t in zip(made.contents, made.traces, strict=True)}

    def picture(self, content: Content, place: Place) -> None:
        self.trace = self.traces[content.letter]
        super().picture(content, place)
        if self.box is not None:
            x0, y0, x1, y1 = self.box
            axes = self.figure.axes[-1]
            for line, colour, style in ((2.0, "black", "-"), (1.1, OWN_BOX, (0, (3, 2)))):
                axes.add_patch(Rectangle((x0, y0), x1 - x0, y1 - y0, fill=False, lw=line, ec=colour, ls=style))


def _panel(column: Column, step: int) -> Panel:
    if column.heatmaps[step - 1] is None:
        return Panel("picture")
    return Panel("map", column.map.at(column.own_step(step)))


def _content(
    made: Compared, index: int, step: int, *, spec: FigureSpec, letter: str, title: str, boxes: bool
) -> Content:
    column, panel = made.columns[index], _panel(made.columns[index], step)
    heat = column.heatmaps[step - 1]
    if heat is None:
        return Content(panel, letter, title, f"{column.label}: no value at step {step}")
    scale, source = made.scale(index), "range over all steps" if made.steps > 1 else "its own range"
    quantity = column.quantity
    mates = [c for c in made.columns if scale_group(c) == scale_group(column)]
    if made.scale_mode == "shared" and len(mates) > 1:
        # One name for all who share a bar.
        quantity = " and ".join(dict.fromkeys(c.quantity for c in mates))
        source = f"one range over {len(mates)} columns" + (" and all steps" if made.steps > 1 else "")
    neutrals = {_neutral(c) for c in (mates if made.scale_mode == "shared" else [column])}
    palette = spec.palette
    if palette == "auto":
        signed = heat.neutral is not None and len(neutrals) == 1 and column.map.kind != "cam"
        palette = "diverging" if signed else "inferno"
    if palette == "diverging" and (len(neutrals) > 1 or heat.neutral is None):
        palette = "inferno"
    elif palette == "diverging" and heat.neutral is not None:
        scale = symmetric(scale, heat.neutral)
        source += f", made symmetric around {heat.neutral:g}"
    own = column.own_step(step)
    return Content(
        panel,
        letter,
        title,
        f"{column.label}, {column.quantity}, step {own}",
        (heat,),
        quantity=quantity,
        unit=column.unit,
        neutral=heat.neutral,
        bounds=heat.bounds,
        scale=scale,
        source=source,
        palette=palette,
        opacity=spec.opacity,
        interpolation=spec.interpolation,
        boxes=tuple((own, box) for box in column.boxes[step - 1]) if boxes else (),
        threshold=made.threshold,
    )


def _neutral(column: Column) -> float | None:
    return next((h.neutral for h in column.heatmaps if h is not None), None)


def compare_figure(
    comparison: Compared,
    steps: Sequence[int] | None = None,
    preset: str = "cvpr",
    columns: int | None = None,
    *,
    boxes: Boxes = True,
    **options: Any,
) -> CompareFigure:
    """The grid of a comparison: columns are models, rows are steps.

    Args:
        comparison: what `viz.compare` gave; its `scale_mode` is that of the figure.
        steps: rows, each a step of the comparison (negative ones count from the last); default all, at most six.
        preset: venue, see `viz.figures.PRESETS`. columns: 1 or 2; default 1 for up to three models.
        boxes: draw display boxes on every map, on none (False), or on class maps alone (``class_maps``: a box of a gate
            often spans all that the network saw). The user's own box is drawn in any case.
        options: of `FigureSpec`: palette, opacity, interpolation, titles, letters, colour_bar, crop_frame, font, dpi.

    Raises:
        FigureError, ModelError: one sentence each.
    """
    allowed = ("palette", "opacity", "interpolation", "titles", "letters", "colour_bar", "crop_frame", "font", "dpi")
    for name in options:
        if name not in allowed:
            raise FigureError(f"The figure of a comparison has no option {name!r}; it has {', '.join(allowed)}.")
    if boxes not in BOXES:
        raise FigureError(f"Boxes must be one of {', '.join(map(str, BOXES))}, not {str(boxes)[:20]!r}.")
    count = len(comparison.columns)
    if steps is None:
        # Many steps are thinned evenly, the first and the last kept, so that a page holds the figure.
        rows = sorted({1 + round(i * (comparison.steps - 1) / 5) for i in range(6)})
    else:
        rows = [comparison.step_number(s) for s in steps]
    if not rows or len(rows) * count > MAX_PANELS:
        raise FigureError(f"A figure has 1 to {MAX_PANELS} panels, not {len(rows) * count}; choose other steps.")
    spec = FigureSpec(
        (Panel("picture"),),
        preset,
        (1 if count <= 3 else 2) if columns is None else columns,
        per_row=count,
        shared_scale=comparison.scale_mode == "shared",
        threshold=comparison.threshold,
        components=comparison.components,
        attribution=comparison.attribution,
        **options,
    )
    return CompareFigure(comparison, rows, spec, boxes=boxes)
