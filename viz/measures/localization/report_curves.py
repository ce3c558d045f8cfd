"""Box accuracy over the threshold, one line a source, as SVG written by hand: no script, no font, no outside file."""

from __future__ import annotations

from html import escape

from viz.measures.localization.report_columns import Row, label
from viz.measures.localization.results import Result

# Okabe and Ito's colours that hold on white and on black, and dashes, so that colour never tells alone.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#8c6bb1", "#7f7f7f")
DASHES = ("", "7 3", "2 3", "9 3 2 3")
WIDTH, HEIGHT = 360, 250
LEFT, RIGHT, TOP, BOTTOM = 40, 10, 26, 38


def stroke(place: int) -> str:
    """SVG attributes of the line of a place in the table."""
    dash = DASHES[(place // len(COLOURS) + place) % len(DASHES)]
    return f'stroke="{COLOURS[place % len(COLOURS)]}"' + (f' stroke-dasharray="{dash}"' if dash else "")


def swatch(place: int) -> str:
    """A short piece of a row's line, for the legend."""
    line = f'<line x1="1" y1="6" x2="33" y2="6" stroke-width="2.5" {stroke(place)}/>'
    return f'<svg class="swatch" viewBox="0 0 34 12" width="34" height="12" aria-hidden="true">{line}</svg>'


def drawn_rows(result: Result) -> list[tuple[int, Row]]:
    """The rows that have boxes, with their place in the table."""
    return [(i, row) for i, row in enumerate(result["rows"]) if row["boxes"] is not None]


def chart(result: Result, version: str, delta: str, title: str) -> str:
    """One chart: percent right (0 to 100) over the threshold (0 to 1, share of a map's largest value).

    The centred box has no threshold: its reported value is a straight line. Short marks below a line's end of scale
    say at which thresholds the row is reported, where these do not come from this curve alone.
    """
    rows = drawn_rows(result)
    parts = [
        f'<svg class="chart" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(title, quote=True)}">',
        f'<text x="{LEFT}" y="15" class="head">{escape(title)}</text>',
        *(_rule(v) for v in (0, 25, 50, 75, 100)),
        *(_tick(t) for t in (0.0, 0.25, 0.5, 0.75, 1.0)),
        f'<text x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 4}" class="axis" text-anchor="middle">'
        "threshold (share of the map's largest value)</text>",
    ]
    parts += [_line(i, row, version, delta, label(row, result)) for i, row in rows]
    return "".join([*parts, "</svg>"])


def _x(threshold: float) -> float:
    return LEFT + threshold * (WIDTH - LEFT - RIGHT)


def _y(percent: float) -> float:
    return HEIGHT - BOTTOM - percent / 100 * (HEIGHT - TOP - BOTTOM)


def _rule(percent: int) -> str:
    y = _y(percent)
    return (
        f'<line class="rule" x1="{LEFT}" y1="{y:.1f}" x2="{WIDTH - RIGHT}" y2="{y:.1f}"/>'
        f'<text x="{LEFT - 5}" y="{y + 4:.1f}" class="axis" text-anchor="end">{percent}{" %" if percent == 100 else ""}'
        "</text>"
    )


def _tick(threshold: float) -> str:
    y = HEIGHT - BOTTOM + 14
    return f'<text x="{_x(threshold):.1f}" y="{y}" class="axis" text-anchor="middle">{threshold:g}</text>'


def _line(place: int, row: Row, version: str, delta: str, name: str) -> str:
    boxes = row["boxes"]
    title = f"<title>{escape(name)}</title>"
    style = f'fill="none" stroke-width="2" {stroke(place)}'
    if row["source"] == "centre_box":
        value = boxes["reported"][version][delta]["value"]
        if value is None:
            return ""
        y = _y(value)
        return f'<path {style} d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}">{title}</path>'
    curve = boxes["curve"]
    thresholds, values = curve["thresholds"], curve[version][delta]
    points = " ".join(f"{_x(t):.1f},{_y(v):.1f}" for t, v in zip(thresholds, values, strict=True))
    marks = "".join(
        f'<line x1="{_x(t):.1f}" y1="{HEIGHT - BOTTOM}" x2="{_x(t):.1f}" y2="{HEIGHT - BOTTOM - 7}" stroke-width="2" '
        f'stroke="{COLOURS[place % len(COLOURS)]}"/>'
        for t in sorted(set(boxes["thresholds"][version][delta]))
    )
    return f'<polyline {style} points="{points}">{title}</polyline>{marks}'
