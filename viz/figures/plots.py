"""Interactive plots (Plotly): plain bars and lines, legible on a light and on a dark page.

Only traces and settings that plotly.js 3 and 4 share are used: the page draws these figures with version 3, the
self-contained HTML files carry the version of the installed Plotly. `customdata` of every bar is its channel.
"""

from __future__ import annotations

import html
import math
import textwrap
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import plotly.graph_objects as go
import plotly.io
from numpy.typing import NDArray
from plotly.subplots import make_subplots

from viz.core.record import VECTOR, Record
from viz.core.trace import Trace
from viz.errors import FigureError, ProbeError
from viz.families.family import family_of
from viz.figures.text import numbers

# Contrast of at least 3:1 on white and on near-black.
TEXT = "#7d828a"
GRID = "rgba(128,132,140,0.28)"
ZERO = "rgba(128,132,140,0.75)"
BLUE, ORANGE, TEAL = "#4d8fc4", "#d9822b", "#2aa18f"
LINES = (BLUE, ORANGE, TEAL, "#b56aa5", "#c0563b", "#9a8f1f")
MODEBAR = {"remove": ["select", "lasso", "autoScale"], "bgcolor": "rgba(0,0,0,0)", "color": TEXT}
_PHONE = 40  # characters of a line that a phone shows
LINE, BELOW = 17, 32  # pixels: a line of a title; the numbers below the last part
FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, sans-serif"


def channel_plot(
    trace: Trace, module_path: str | None = None, step: int = -1, *, label: str = "channel_gate"
) -> go.Figure:
    """A value per channel, in parts below each other: by channel, sorted, and the change since the step before, if any.

    Args:
        module_path: the attention module; None takes the deepest that has the value.
        step: the step that uses the value; -1 the last.
        label: a probe of kind ``channel``, or of kind ``joint``: then its mean over the cells.

    Raises:
        ProbeError: no such value, or not one per channel.
    """
    record = trace.record(f"{module_path}.{label}" if module_path else label, step)
    if not (record.tap.is_vector or record.tap.is_maps):
        raise ProbeError(f"{record.name} is of kind {record.kind}; a channel plot needs one value per channel.")
    record = channel_vector(record)
    steps = [r.step for r in trace.records if r.name == record.name]
    before = [s for s in steps if s < record.step]
    values = record.values
    words, unit = label.replace("_", " "), record.unit or "value"
    # Units and ranges are in the titles, in lines that fit on a phone.
    titles = [[f"step {record.step}: {words}, by channel", *_range_words(values, record, words)], ["the same, sorted"]]
    if before:
        titles.append([f"change from step {before[-1]}, by channel"])
    else:
        titles[1].append(f"{family_of(record.family).first_value}: nothing to compare")
    # From the upper edge of the first part to the lower edge of the last, in pixels.
    inside = 640 - 36 - 3 * LINE - BELOW if before else 340
    figure = make_subplots(
        len(titles),
        1,
        vertical_spacing=(26 + LINE * (1 if before else 2)) / inside,
        subplot_titles=["<br>".join(_plain(line) for line in lines) for lines in titles],
    )
    # Titles begin above the axis' numbers and grow upwards.
    figure.update_annotations(x=0, xanchor="left", align="left", xshift=-44, yshift=2)
    order = np.argsort(-values, kind="stable")
    base, text = _base(values, record.neutral)
    channels = np.arange(len(values))
    _bars(figure, 1, values, channels, base=base, look=(BLUE, unit))
    _bars(figure, 2, values[order], order, base=base, look=(TEAL, unit))
    if before:
        change = values - channel_vector(trace.record(record.name, before[-1])).values
        _bars(figure, 3, change, channels, base=0.0, look=(ORANGE, "change"))
        figure.update_xaxes(matches="x", row=3, col=1)
    for row in (1, 2):
        figure.update_yaxes(range=_range(values, base), row=row, col=1)
        # Named in the sorted part only, where the bars leave room.
        name = {"annotation_text": text, "annotation_position": "top right", "annotation_font_size": 11}
        line = {"color": ZERO, "width": 1, "dash": "dot"}
        figure.add_hline(y=base, line=line, **(name if row == 2 and text else {}), row=row, col=1)
    above = 36 + LINE * len(titles[0])  # a line of buttons, then the first title
    margin = {"t": above, "b": BELOW}
    # On a phone the buttons fill a line of their own above the titles.
    return dressed(figure, inside + above + BELOW, bargap=0.0, margin=margin, modebar=MODEBAR)


def channel_vector(record: Record) -> Record:
    """A joint value as one number per channel, its mean over the cells; a channel vector as it is."""
    if not record.tap.is_maps:
        return record
    means = record.values.mean(axis=(1, 2), dtype=np.float64).astype(np.float32)
    tap = replace(record.tap, axes=VECTOR, unit=f"{record.unit}, mean over the cells")
    return replace(record, tap=tap, values=means)


def _range_words(values: NDArray[np.float32], record: Record, words: str) -> list[str]:
    """Lines with the range of the values and of the operation; for scores before a sigmoid, the range after it."""
    low, high = float(values.min()), float(values.max())
    if record.tap.before_sigmoid:
        ends = [1 / (1 + math.exp(-max(-700.0, v))) for v in (low, high)]
        return [f"before the sigmoid {_span(low, high)}", f"sigmoid {_span(*ends)}"]
    unit = textwrap.wrap(record.unit, _PHONE) if record.unit and record.unit not in words else []
    if np.isfinite(record.bounds).all():
        return [*unit, f"{_span(low, high)}; possible {record.bounds[0]:g} to {record.bounds[1]:g}"]
    return [*unit, _span(low, high)]


def _span(low: float, high: float) -> str:
    return " to ".join(numbers(low, high, low, high, digits=2))


def top5_plot(trace: Trace, step: int = -1, count: int = 5) -> go.Figure:
    """The best classes of a step as horizontal bars, best on top; hovering shows the class number."""
    best = trace.top(step, count)[::-1]
    # The axis holds class numbers, labelled with names: two classes can share a name.
    numbered = [str(p.class_index) for p in best]
    bars = go.Bar(
        x=[100 * p[2] for p in best],
        y=numbered,
        customdata=[[p.class_index, p.label] for p in best],
        orientation="h",
        marker={"color": BLUE, "line": {"width": 0}},
        hovertemplate="%{customdata[1]} (class %{customdata[0]}): %{x:.2f} %<extra></extra>",
    )
    figure = go.Figure(bars)
    figure.update_yaxes(type="category", tickvals=numbered, ticktext=[_plain(p.label) for p in best])
    figure.update_xaxes(title_text=f"{trace.output.number}, %", range=[0, 100])
    return dressed(figure, 60 + 34 * len(best), bargap=0.25)


def steps_plot(trace: Trace, classes: Sequence[int] | None = None) -> go.Figure:
    """Probability of classes over the computation steps.

    Args:
        classes: class numbers; default the best three of the last step and the best of every other.

    Raises:
        FigureError: a class that the network does not have.
    """
    if classes is None:
        chosen = [p.class_index for p in trace.top(-1, 3)]
        chosen += [p.class_index for t in range(1, trace.steps) for p in trace.top(t, 1)]
        classes = list(dict.fromkeys(chosen))
    known = len(trace.labels)
    figure = go.Figure()
    for i, index in enumerate(classes):
        if not 0 <= index < known:
            raise FigureError(f"Unknown class {index}. This network has classes 0 to {known - 1}.")
        name = _plain(trace.labels[index])
        steps = list(range(1, trace.steps + 1))
        line = go.Scatter(
            x=steps,
            y=[100 * trace.output.number_of(t, index) for t in steps],
            customdata=[[index, name]] * len(steps),
            mode="lines+markers",
            name=name,
            line={"color": LINES[i % len(LINES)], "width": 2, "dash": "solid" if i < len(LINES) else "dot"},
            marker={"size": 8},
            hovertemplate="%{customdata[1]}, step %{x}: %{y:.2f} %<extra></extra>",
        )
        figure.add_trace(line)
    figure.update_xaxes(title_text="step", dtick=1, range=[0.8, trace.steps + 0.2])
    figure.update_yaxes(title_text="probability, %", range=[-3, 103])
    legend = {"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0}
    return dressed(figure, 300, bargap=0.25, showlegend=True, legend=legend)


def to_html(figure: go.Figure, title: str) -> str:
    """One HTML file that contains everything, its script too; its own policy forbids it to fetch anything."""
    tall = figure.layout.height or 450
    body = plotly.io.to_html(
        go.Figure(figure).update_layout(height=None, autosize=True),
        include_plotlyjs=True,
        include_mathjax=False,
        full_html=False,
        div_id="plot",
        default_width="100%",
        default_height="100%",
        config={"displaylogo": False, "responsive": True, "modeBarButtonsToRemove": ["sendDataToCloud"]},
    )
    policy = (
        "default-src 'none'; script-src 'unsafe-inline' 'unsafe-eval'; style-src 'unsafe-inline'; img-src data: blob:"
    )
    safe = html.escape(title)
    style = (
        f"body{{margin:1rem;font-family:{FONT};background:#fff;color:#222}}"
        # The plot fills the window, and scrolls where the window is too low for it.
        f"main{{height:max({tall}px,calc(100vh - 6rem))}}main>div{{height:100%}}"
        "@media(prefers-color-scheme:dark){body{background:#16181c;color:#ddd}}"
        "h1{font-size:1.1rem;font-weight:600;overflow-wrap:anywhere}"
    )
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><meta name="viewport" '
        f'content="width=device-width, initial-scale=1"><meta http-equiv="Content-Security-Policy" content="{policy}">'
        f"<title>{safe}</title><style>{style}</style></head>\n<body><h1>{safe}</h1>\n<main>{body}</main>\n</body></html>\n"
    )


def _bars(
    figure: go.Figure,
    part: int,
    values: NDArray[np.float32],
    channels: NDArray[Any],
    *,
    base: float,
    look: tuple[str, str],
) -> None:
    """Bars in one part, from `base` up or down, in the order of the values; `look` is their colour and their unit."""
    colour, unit = look
    bars = go.Bar(
        # Lists, not arrays: the page's older plotly.js cannot read packed numbers.
        x=list(range(len(values))),
        y=[float(v) - base for v in values],
        base=base,
        hovertext=[f"{float(v):.4g}" for v in values],
        customdata=channels.tolist(),
        marker={"color": colour, "line": {"width": 0}},
        hovertemplate=f"channel %{{customdata}}: %{{hovertext}}<br>({_plain(unit)})<extra></extra>",
    )
    figure.add_trace(bars, row=part, col=1)


def _base(values: NDArray[np.float32], neutral: float | None) -> tuple[float, str]:
    """Where bars start, and its name: the neutral value, else zero.

    Where all values are close together and far from zero, it is their mean: bars from zero would all look the same.
    """
    if neutral is not None:
        return neutral, f"neutral {neutral:g}"
    low, high = float(values.min()), float(values.max())
    if high - low < 0.5 * max(abs(low), abs(high)):
        mean = float(values.mean())
        return mean, f"mean {mean:.4g}"
    return 0.0, ""


def _range(values: NDArray[np.float32], base: float) -> list[float]:
    """Range of the axis: all values and the start of the bars."""
    low, high = min(float(values.min()), base), max(float(values.max()), base)
    room = 0.05 * ((high - low) or 1.0)
    return [low - room if low != 0 else 0.0, high + room]


def _plain(text: str) -> str:
    """The text without the HTML tags and placeholders that Plotly would interpret."""
    return html.escape(text, quote=False).replace("%{", "% {")


def dressed(figure: go.Figure, height: int, **layout: Any) -> go.Figure:
    """The figure with the look of all plots and its height in pixels; `layout` is merged into that look."""
    axis = {"gridcolor": GRID, "zerolinecolor": ZERO, "linecolor": GRID, "automargin": True}
    figure.update_xaxes(**axis)
    figure.update_yaxes(**axis)
    figure.update_annotations(font={"size": 12, "color": TEXT})
    figure.update_layout(
        template=go.layout.Template(),
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        font={"family": FONT, "size": 12, "color": TEXT},
        margin={"l": 48, "r": 12, "t": 44, "b": 44},
        height=height,
        showlegend=False,
        hoverlabel={"font": {"family": FONT, "size": 13}},
        dragmode="zoom",
    )
    return figure.update_layout(**layout)
