"""Layout of a figure, in inches from the upper left corner. Nothing is measured after drawing, so nothing is cut."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from viz.errors import FigureError
from viz.figures.content import Content, group_key, letter_of
from viz.figures.presets import Font, Preset, preset
from viz.figures.spec import FigureSpec
from viz.figures.text import POINTS, fits, wrapped
from viz.geometry import Geometry, Rect

MARGIN = 0.03
COLUMN_GAP = 0.09
ROW_GAP = 0.08
BAR_HEIGHT = 0.07
TICK_GAP = 0.035
LINE = 1.2
# Narrower panels leave no room for "step 2: giant panda" in two lines.
LEAST_WIDTH = 0.98
NARROWEST = 0.6
LEAST_CHANNELS_HEIGHT = 0.72
TALLEST = 1.6
# Long titles take more lines first, then smaller type, the same over all panels.
MOST_LINES = 4
SHRINK = (1.0, 0.9, 0.8, 0.7)


@dataclass(frozen=True)
class Place:
    """A rectangle in inches; `y` counts down from the upper edge."""

    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True)
class BarBox:
    """A colour bar: its strip, the lines below its numbers, and the index of the panel whose scale it shows."""

    strip: Place
    lines: tuple[str, ...]
    panel: int


@dataclass(frozen=True)
class PanelBox:
    """A panel: its picture, the lines above it from `text_y` down, and its own colour bar, if any."""

    image: Place
    lines: tuple[str, ...]
    text_y: float
    bar: BarBox | None


@dataclass(frozen=True)
class Layout:
    """A whole figure: size in inches, size of the titles in points (`label`), panels, and the shared colour bars."""

    width: float
    height: float
    font: Font
    preset: Preset
    label: float
    panels: tuple[PanelBox, ...]
    bars: tuple[BarBox, ...]
    view: Rect


def line_height(size: float) -> float:
    """Inches from one line of `size` points to the next."""
    return size * LINE / POINTS


def whole(geometry: Geometry) -> Rect:
    """The whole picture, in its own pixels."""
    height, width = geometry.picture
    return (0.0, 0.0, float(width), float(height))


def inside(a: Rect, b: Rect) -> Rect:
    """The part of `a` within `b`."""
    return (max(a[0], b[0]), max(a[1], b[1]), min(a[2], b[2]), min(a[3], b[3]))


def view_of(spec: FigureSpec, geometry: Geometry) -> Rect:
    """The part of the picture (x0, y0, x1, y1) that the panels show."""
    return whole(geometry) if spec.view == "picture" else inside(geometry.seen, whole(geometry))


def panels_in_a_row(count: int, width: float, wanted: int | None) -> int:
    """How many panels are side by side: as many as stay wide enough, in rows of about equal length."""
    if wanted is not None:
        return min(wanted, count)
    most = max(1, int((width - 2 * MARGIN + COLUMN_GAP) / (LEAST_WIDTH + COLUMN_GAP)))
    return math.ceil(count / math.ceil(count / most))


def panel_width(total: float, per_row: int) -> float:
    """Width in inches of each of `per_row` panels in a figure of that width."""
    return (total - 2 * MARGIN - (per_row - 1) * COLUMN_GAP) / per_row


def lay_out(spec: FigureSpec, contents: Sequence[Content], geometry: Geometry) -> Layout:
    """Place the panels in rows, titles above; colour bars below their panel or, when shared, below all panels."""
    style = preset(spec.preset)
    font, total, view = spec.font or style.font, style.width(spec.columns), view_of(spec, geometry)
    per_row = panels_in_a_row(len(contents), total, spec.per_row)
    width = panel_width(total, per_row)
    if width < NARROWEST:
        most = int((total - 2 * MARGIN + COLUMN_GAP) / (NARROWEST + COLUMN_GAP))
        raise FigureError(f"{per_row} panels per row are too narrow to read at {total:g} inches. Use at most {most}.")
    aspect = (view[3] - view[1]) / (view[2] - view[0])
    # A very tall picture is drawn narrower than its place rather than filling the page.
    shown_width = width * min(1.0, TALLEST / aspect)
    titles = [_title(spec, c) for c in contents]
    # The largest type in which every title is whole; full size where none is small enough.
    sizes = [share * style.label for share in SHRINK]
    label = next((s for s in sizes if all(fits(t, width, font, s, MOST_LINES) for t in titles)), style.label)
    boxes: list[PanelBox] = []
    y = MARGIN
    for start in range(0, len(contents), per_row):
        row = range(start, min(start + per_row, len(contents)))
        lines = {i: wrapped(titles[i], width, font, label, MOST_LINES) for i in row}
        image_y = y + max(len(one) for one in lines.values()) * line_height(label) + 0.02
        below = 0.0
        for column, i in enumerate(row):
            content = contents[i]
            x = MARGIN + column * (width + COLUMN_GAP)
            height = shown_width * aspect
            image = Place(x, image_y, shown_width, height)
            if content.values is not None:
                image = Place(x, image_y, width, max(min(height, shown_width), LEAST_CHANNELS_HEIGHT))
            bar, foot = None, image.height
            if spec.colour_bar and content.is_map and not spec.shared_scale:
                strip = Place(x, image_y + height + 0.05, shown_width, BAR_HEIGHT)
                bar = _bar(i, content.unit or content.quantity, strip, font, style)
                foot = height + 0.05 + _bar_height(bar, style)
            # Short titles are close to their panel, not at the top of the row.
            boxes.append(PanelBox(image, lines[i], image_y - 0.02 - len(lines[i]) * line_height(label), bar))
            below = max(below, foot)
        y = image_y + below + ROW_GAP
    bars: list[BarBox] = []
    if spec.colour_bar and spec.shared_scale:
        bars, y = _shared(spec, contents, y + 0.02, total=total, font=font, style=style)
    return Layout(total, y - ROW_GAP + MARGIN, font, style, label, tuple(boxes), tuple(bars), view)


def _title(spec: FigureSpec, content: Content) -> str:
    """What is written above a panel: its letter and its title."""
    letter = f"({content.letter})" if spec.letters else ""
    title = content.title if spec.titles else ""
    return f"{letter} {title}".strip().replace(") step", ")\u00a0step") if title else letter


def _bar(index: int, text: str, strip: Place, font: Font, style: Preset) -> BarBox:
    return BarBox(strip, wrapped(text, strip.width, font, style.tick, MOST_LINES), index)


def _bar_height(bar: BarBox, style: Preset) -> float:
    return BAR_HEIGHT + TICK_GAP + (1 + len(bar.lines)) * line_height(style.tick)


def spans(members: Sequence[int]) -> str:
    """Letters of panels, runs of three and more abbreviated: b–f, h."""
    runs: list[list[str]] = []
    for position, i in enumerate(members):
        if position == 0 or i != members[position - 1] + 1:
            runs.append([])
        runs[-1].append(letter_of(i))
    return ", ".join(f"{run[0]}–{run[-1]}" if len(run) > 2 else ", ".join(run) for run in runs)


def _shared(
    spec: FigureSpec, contents: Sequence[Content], y: float, *, total: float, font: Font, style: Preset
) -> tuple[list[BarBox], float]:
    """One colour bar for each group of maps, and the height below them."""
    groups: dict[tuple[str, ...], list[int]] = {}
    for i, content in enumerate(contents):
        if content.is_map:
            groups.setdefault(group_key(content), []).append(i)
    per_row = max(1, min(len(groups), int(total / 1.4)))
    slot = (total - 2 * MARGIN + 3 * COLUMN_GAP) / per_row
    bars: list[BarBox] = []
    for i, members in enumerate(groups.values()):
        # The end labels are centred on the ends where there is room; the strip keeps clear of the margin.
        strip = Place(MARGIN + i % per_row * slot, y, min(slot - 3 * COLUMN_GAP, 2.6), BAR_HEIGHT)
        first = contents[members[0]]
        marks = f" ({spans(members)})" if spec.letters and len(groups) > 1 else ""
        # A unit that is part of the quantity, such as "gate", is not repeated.
        unit = f", {first.unit}" if first.unit and first.unit not in first.quantity else ""
        bars.append(_bar(members[0], first.quantity + marks + unit, strip, font, style))
        if i % per_row == per_row - 1 or i == len(groups) - 1:
            y += max(_bar_height(bar, style) for bar in bars[i - i % per_row :]) + ROW_GAP
    return bars, y
