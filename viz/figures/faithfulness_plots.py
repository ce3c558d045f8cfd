"""Interactive plots (Plotly) of faithfulness controls: curves with their baselines, similarity under random weights.

They follow the rules of `viz.figures.plots`."""

from __future__ import annotations

from collections.abc import Sequence

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from viz.core.finite import finite
from viz.figures.plots import BLUE, MODEBAR, ORANGE, TEAL, TEXT, ZERO, dressed
from viz.measures.faithfulness.curves import Curve, CurveControl, CurveResult
from viz.measures.faithfulness.randomisation import Randomisation, Stage

TITLES: dict[CurveControl, str] = {
    "deletion": "Deletion: a good map falls early",
    "insertion": "Insertion: a good map rises early",
    "road_morf": "ROAD, most relevant first: a good map falls early",
    "road_lerf": "ROAD, least relevant first: a good map falls late",
}
_MODES = {
    "cascading": "Random from the classifier down to ...",
    "independent": "One block random at a time",
}
_PART, _GAP = 190, 78  # pixels: one curve; between two
_BAR, _BAR_GAP = 30, 70
_ABOVE, _BELOW = 86, 46


def curves_plot(results: Sequence[CurveResult]) -> go.Figure:
    """Probability of the class over the share of pixels changed, one part per control, below each other.

    Args:
        results: of one map, at least one.

    Each part has the map's own curve, those of random maps with as many cells, and that of a centre Gaussian.
    """
    tall = len(results) * _PART + (len(results) - 1) * _GAP
    figure = make_subplots(
        len(results), 1, vertical_spacing=_GAP / tall, subplot_titles=[TITLES[r.control] for r in results]
    )
    for row, result in enumerate(results, 1):
        for k, curve in enumerate(result.random):
            _curve(figure, row, curve, ("random", "rgba(128,132,140,0.8)", "dot"), first=row == 1 and k == 0)
        _curve(figure, row, result.centre, ("centre", ORANGE, "dash"), first=row == 1)
        if result.curve is not None:
            _curve(figure, row, result.curve, ("this map", BLUE, "solid"), first=row == 1)
        what = "pixels shown" if result.control == "insertion" else "pixels removed"
        figure.update_xaxes(title_text=f"{what}, %", title_standoff=4, range=[-2, 102], row=row, col=1)
        figure.update_yaxes(title_text="probability, %", range=[-3, 103], row=row, col=1)
    return _dressed(figure, tall)


def _curve(figure: go.Figure, row: int, curve: Curve, look: tuple[str, str, str], *, first: bool) -> None:
    name, colour, dash = look
    line = go.Scatter(
        x=[100 * f for f in curve.fractions],
        y=[100 * p for p in curve.probability],
        mode="lines+markers",
        name=name,
        legendgroup=name,
        showlegend=first,
        line={"color": colour, "dash": dash, "width": 3 if dash == "solid" else 1.6},
        marker={"size": 6 if dash == "solid" else 4},
        hovertemplate=f"{name}: %{{y:.2f}} % at %{{x:.0f}} %<extra></extra>",
    )
    figure.add_trace(line, row=row, col=1)


def randomisation_plot(result: Randomisation) -> go.Figure:
    """Similarity of the map to the trained network's, one pair of bars per stage: rank correlation and SSIM; 1 is the
    same map. Dotted lines: how far the rank correlation of as many independent cells reaches by chance."""
    modes = list(dict.fromkeys(s.mode for s in result.stages))
    groups = [[s for s in result.stages if s.mode == mode] for mode in modes]
    heights = [_BAR * len(g) for g in groups]
    tall = sum(heights) + (len(groups) - 1) * _BAR_GAP
    figure = make_subplots(
        len(groups),
        1,
        vertical_spacing=_BAR_GAP / tall if len(groups) > 1 else 0,
        row_heights=heights,
        subplot_titles=[_MODES.get(m, m) for m in modes],
    )
    for row, stages in enumerate(groups, 1):
        _similarity_bars(figure, row, stages)
        for level in {-min(1.0, result.chance), min(1.0, result.chance)}:
            figure.add_vline(x=level, line={"color": ZERO, "width": 1, "dash": "dot"}, row=row, col=1)
        figure.update_xaxes(range=[-1.05, 1.05], row=row, col=1)
        figure.update_yaxes(autorange="reversed", row=row, col=1)
    figure.update_xaxes(title_text="likeness, 1 is the same map", row=len(groups), col=1)
    return _dressed(figure, tall).update_layout(barmode="group", bargap=0.25, bargroupgap=0)


def _similarity_bars(figure: go.Figure, row: int, stages: Sequence[Stage]) -> None:
    measures = (
        ("rank correlation", BLUE, [s.similarity.spearman for s in stages]),
        ("SSIM", TEAL, [s.similarity.ssim for s in stages]),
    )
    for name, colour, values in measures:
        bars = go.Bar(
            x=[finite(v) for v in values],
            y=[s.blocks[-1] for s in stages],
            orientation="h",
            name=name,
            legendgroup=name,
            showlegend=row == 1,
            marker={"color": colour, "line": {"width": 0}},
            customdata=[f"{100 * s.probability:.2g} %" for s in stages],
            hovertemplate=f"%{{y}}: {name} %{{x:.3f}}; class at %{{customdata}}<extra></extra>",
        )
        figure.add_trace(bars, row=row, col=1)


def _dressed(figure: go.Figure, tall: int) -> go.Figure:
    """The figure with the look of all plots; `tall` is the height of its parts in pixels."""
    height = tall + _ABOVE + _BELOW
    # Above the first title; the buttons have the line above it.
    legend = {"orientation": "h", "yref": "container", "y": 1 - 34 / height, "yanchor": "top", "x": 0}
    margin = {"t": _ABOVE, "b": _BELOW}
    dressed(figure, height, margin=margin, showlegend=True, legend=legend, modebar=MODEBAR)
    return figure.update_annotations(font={"size": 12.5, "color": TEXT}, x=0, xanchor="left", xshift=-40)
