"""Words of a comparison's figure: titles, caption, record."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, Protocol

from viz.core.trace import Trace
from viz.figures.comparison.data import Column, Compared
from viz.figures.comparison.notes import notes_of
from viz.figures.comparison.tables import as_json
from viz.figures.content import Content, Shows, percent
from viz.figures.latex import _FITS, _SHOWN
from viz.figures.latex_names import include
from viz.figures.presets import preset
from viz.figures.record import drawing_versions, panel_entry
from viz.figures.text import drawable, numbers
from viz.latex_text import escaped
from viz.run.export import model_entry, picture_entry, predictions_entry

FIGURE_VERSION = 1
Boxes = bool | Literal["class_maps"]
BOXES: tuple[Boxes, ...] = (True, False, "class_maps")


class Grid(Shows, Protocol):
    """What the words ask of a comparison's figure: `viz.figures.comparison.grid.CompareFigure`."""

    comparison: Compared
    steps: tuple[int, ...]
    boxes: Boxes
    traces: list[Trace]


def is_boxed(column: Column, boxes: Boxes) -> bool:
    """Whether a column's display boxes are drawn."""
    return column.map.kind == "cam" if boxes == "class_maps" else bool(boxes)


def title_of(made: Compared, index: int, step: int, fits: Callable[[str], bool]) -> str:
    """Model, its own step, and class with probability or quantity.

    Args:
        fits: whether a text fits in one line; a longer model's name loses its middle, the caption has it whole.
    """
    column = made.columns[index]
    own = column.own_step(step)
    name = shortened(drawable(column.trace.card.name), lambda text: fits(text + ":"))
    at = "" if column.trace.steps == 1 else f"step\u00a0{own}, "
    if column.heatmaps[step - 1] is None:
        return drawable(f"{name}: {at}no value of {column.quantity}")
    what = column.quantity
    if column.map.kind == "cam" and isinstance(column.map.cls, int):
        probability = float(column.trace.probabilities[own - 1, column.map.cls])
        what = f"{column.trace.head.labels[column.map.cls]} {percent(probability)}"
    elif isinstance(column.map.cls, int):
        what = f"{column.quantity}, {column.trace.head.labels[column.map.cls]}"
    return drawable(f"{name}: {at}{what}")


def shortened(text: str, fits: Callable[[str], bool]) -> str:
    """The text, with an ellipsis in its middle where it does not fit: names differ at their ends."""
    if fits(text):
        return text
    for kept in range(len(text) - 1, 1, -1):
        cut = text[: (kept + 1) // 2] + "\u2026" + text[len(text) - kept // 2 :]
        if fits(cut):
            return cut
    return text


def record_of_comparison(made: Grid) -> dict[str, Any]:
    """All that makes the figure again, and what it shows."""
    comparison, spec = made.comparison, made.spec
    return {
        "comparison_figure_version": FIGURE_VERSION,
        "picture": picture_entry(made.trace),
        "class": comparison.class_label,
        "scale": comparison.scale_mode,
        "box": None if comparison.box is None else list(comparison.box),
        "columns": [
            {
                "label": c.label,
                "asked": str(c.asked),
                "map": str(c.map),
                "model": model_entry(c.trace.card),
                "precision": c.trace.precision,
                "geometry": c.trace.geometry.as_json(),
                "steps": c.trace.steps,
                "predictions": predictions_entry(c.trace),
            }
            for c in comparison.columns
        ],
        "steps": list(made.steps),
        "boxes": made.boxes,
        "figure": spec.to_json(),
        "width_inches": preset(spec.preset).width(spec.columns),
        "panels": [
            panel_entry(c) | {"boxes": [list(b.xyxy) for _, b in c.boxes], "model": t.card.name}
            for c, t in zip(made.contents, made.traces, strict=True)
        ],
        "notes": list(notes_of(comparison)),
        "agreement": as_json(comparison)["steps"],
        # Nothing in a figure is random.
        "seed": None,
        "versions": drawing_versions(),
    }


def compare_latex(made: Grid, file_name: str) -> str:
    """The snippet; `file_name` is what \\includegraphics names."""
    spec = made.spec
    style = preset(spec.preset)
    wide = style.two_columns and spec.columns == 2
    environment = "figure*" if wide else "figure"
    width = r"\columnwidth" if style.two_columns and not wide else r"\textwidth"
    path = Path(file_name)
    label = re.sub(r"[^A-Za-z0-9-]+", "-", path.stem).strip("-") or "searchlight"
    included = "\n".join(include(path, width))
    return (
        f"% {style.title}: {style.width(spec.columns):g} in wide; drawn at that size, so do not scale it.\n"
        f"\\begin{{{environment}}}[t]\n  \\centering\n{included}\n"
        f"  \\caption{{{compare_caption(made)}}}\n  \\label{{fig:{label}}}\n\\end{{{environment}}}\n"
    )


def compare_caption(made: Grid) -> str:
    """The caption, in LaTeX: models, rows, ranges, agreement, boxes, crops."""
    comparison = made.comparison
    models = []
    for i, c in enumerate(comparison.columns, 1):
        card = c.trace.card
        sha = f" (checkpoint sha256 {escaped(card.sha256[:12])})" if card.sha256 else ""
        steps = f"{c.trace.steps} step{'s' if c.trace.steps > 1 else ''}"
        models.append(f"({i}) {escaped(card.name)}{sha}, {escaped(_what(made, i - 1))}, {steps}, {c.trace.precision}")
    rows = f"; rows: step {', '.join(map(str, made.steps))}" if comparison.steps > 1 else ""
    out = [f"Columns: {'; '.join(models)}{rows}.", _picture(made), *map(escaped, notes_of(comparison))]
    out += _ranges(made)
    out.append(_agreement(made))
    boxed = [is_boxed(c, made.boxes) for c in comparison.columns]
    if any(boxed):
        which = "Boxes" if all(boxed) else "Boxes of class maps"
        kept = "the largest part" if comparison.components == "largest" else "every connected part"
        out.append(
            f"{which} enclose {kept} of the bilinearly interpolated map at or above {comparison.threshold:g} of the "
            "way from its smallest to its largest value; they are for display, not a localization protocol."
        )
    if comparison.box is not None:
        out.append("The dashed white box is the author's.")
    fits = dict.fromkeys((c.trace.geometry.mode, c.trace.geometry.network) for c in comparison.columns)
    for mode, (height, width) in fits:
        who = "Every network" if len(fits) == 1 else "A network of this figure"
        out.append(rf"{who} saw {_FITS[mode]} at ${width}\times{height}$ pixels.")
    out += map(escaped, made.lost)
    return " ".join(s for s in out if s)


def _what(made: Grid, index: int) -> str:
    c = made.comparison.columns[index]
    if isinstance(c.map.cls, int):
        return f"{c.quantity} of {c.trace.head.labels[c.map.cls]}"
    return str(c.map)


def _picture(made: Grid) -> str:
    picture = made.trace.picture
    return f"Picture: {escaped(picture.name)} (sha256 {picture.sha256[:12]})."


def _ranges(made: Grid) -> list[str]:
    """For each column its raw ranges, cells and how they are drawn."""
    out = []
    count = len(made.comparison.columns)
    for i in range(count):
        shown: list[Content] = [c for c in made.contents[i::count] if c.scale is not None]
        if not shown or shown[0].scale is None:
            continue
        first = shown[0]
        scale = shown[0].scale
        low, high = numbers(scale.low, scale.high, scale.low, scale.high)
        raw = ", ".join(
            f"({c.letter}) {escaped(a)} to {escaped(b)}"
            for c in shown
            for a, b in [numbers(scale.low, scale.high, *c.raw_range)]
        )
        rows, columns = first.heatmaps[0].native.shape
        out.append(
            f"Column {i + 1}: {escaped(first.source)}, {escaped(low)} to {escaped(high)}; raw ranges {raw}; "
            rf"${rows}\times{columns}$ cells, {_SHOWN[first.interpolation]}, palette {escaped(first.palette)} at "
            rf"{100 * first.opacity:.0f}\,\% opacity."
        )
    return out


def _agreement(made: Grid) -> str:
    """Rank correlations of the last row."""
    comparison, step = made.comparison, made.steps[-1]
    table, count = comparison.matrix("spearman", step), len(comparison.columns)
    found = [
        f"({i + 1}, {j + 1}) {table[i, j]:.2f}".replace("-", "$-$")
        for i in range(count)
        for j in range(i + 1, count)
        if math.isfinite(table[i, j])
    ]
    at = f" at step {step}" if comparison.steps > 1 else ""
    return f"Spearman rank correlation of the maps{at}: {', '.join(found)}." if found else ""
