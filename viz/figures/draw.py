"""Drawing with Matplotlib's object API: no pyplot, no global figure. `render` is the only entry point.

Matplotlib reads some settings (font type of PDF, salt of SVG) from a table shared by the whole process. They are set
while drawing, under a lock, from Matplotlib's own defaults: a user's matplotlibrc cannot change a figure.
"""

from __future__ import annotations

import io
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import matplotlib
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_pdf import FigureCanvasPdf
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure as Canvas
from matplotlib.patheffects import withStroke

from viz.core.heatmap import palette
from viz.core.kernels import directions
from viz.errors import FigureError
from viz.figures.content import Content
from viz.figures.layout import TICK_GAP, BarBox, Layout, Place, inside, line_height, whole
from viz.figures.raster import cells_extent, draw_photo, opaque, outline, paint, photo
from viz.figures.spec import FigureSpec
from viz.figures.text import clipped, numbers, properties, width_of
from viz.geometry import Geometry, Rect

FORMATS = ("pdf", "svg", "png")
INK = "#1a1a1a"
SOFT = "#8a8a8a"
BARS = "#44617b"
# Okabe and Ito's colours, which colour-blind readers can tell apart.
BOX_COLOURS = ("#56b4e9", "#e69f00", "#009e73", "#cc79a7", "#d55e00", "#f0e442")
OWN_BOX = "white"
MOST_PIXELS = 120e6
_LOCK = threading.Lock()
_SETTINGS: dict[str, Any] = {
    "pdf.fonttype": 42,  # TrueType; the default Type 3 is refused by many submission systems
    "pdf.compression": 6,
    # Outlines instead of text elements: an SVG cannot carry the font, and another font would break the layout.
    "svg.fonttype": "path",
    "svg.hashsalt": "searchlight",
    # Without this the photo and the cells over it would be merged and resampled.
    "image.composite_image": False,
    "path.simplify": False,
    # Hinting snaps letters to whole pixels, which makes a line wider than it was measured.
    "text.hinting": "no_hinting",
}
_CANVASES = {"pdf": FigureCanvasPdf, "svg": FigureCanvasSVG, "png": FigureCanvasAgg}
_METADATA: dict[str, dict[str, Any]] = {
    "pdf": {"CreationDate": None, "ModDate": None, "Creator": "Searchlight", "Producer": None},
    "svg": {"Date": None, "Creator": "Searchlight"},
    "png": {"Software": None},
}


@contextmanager
def settings() -> Iterator[None]:
    """Matplotlib's defaults and ours, for this thread only; restored afterwards."""
    defaults = {k: v for k, v in matplotlib.rcParamsDefault.items() if not k.startswith(("backend", "savefig"))}
    with _LOCK, matplotlib.rc_context({**defaults, **_SETTINGS}):
        yield


def render(
    spec: FigureSpec,
    contents: tuple[Content, ...],
    layout: Layout,
    *,
    fmt: str,
    dpi: int | None = None,
    box: Rect | None = None,
) -> bytes:
    """The figure as the bytes of a file; the same arguments give the same bytes.

    Args:
        dpi: of PNG, 36 to 1200; default that of the spec. box: the user's own, x0, y0, x1, y1 in picture pixels.

    Raises:
        FigureError: another format or dpi.
    """
    dots = spec.dpi if dpi is None else dpi
    if fmt not in FORMATS:
        raise FigureError(f"Unknown format {str(fmt)[:20]!r} of a figure. Choose one of: {', '.join(FORMATS)}.")
    if not 36 <= dots <= 1200:
        raise FigureError(f"The dpi must lie between 36 and 1200, not {dots}.")
    if fmt == "png" and layout.height * layout.width * dots * dots > MOST_PIXELS:
        raise FigureError("The picture file would have more than 120 megapixels. Use fewer dpi, or a PDF.")
    with settings():
        figure = Canvas(figsize=(layout.width, layout.height), dpi=dots, facecolor="white")
        _Drawing(figure, contents, spec, layout, vector=fmt != "png", box=box).panels()
        buffer = io.BytesIO()
        # No bbox_inches="tight": it would change the width of the venue.
        getattr(_CANVASES[fmt](figure), f"print_{fmt}")(buffer, metadata=_METADATA[fmt])
    return buffer.getvalue()


@dataclass(eq=False)
class _Drawing:
    """One figure while it is drawn."""

    figure: Any
    contents: tuple[Content, ...]
    spec: FigureSpec
    layout: Layout
    vector: bool
    box: Rect | None

    def __post_init__(self) -> None:
        picture, view = self.contents[0].trace.picture, self.layout.view
        share = (view[2] - view[0]) / picture.size[1]
        self.photo = photo(picture.rgb, max(p.image.width for p in self.layout.panels), share)
        self.photo_rgba = opaque(self.photo)

    def panels(self) -> None:
        size = self.layout.label
        for content, box in zip(self.contents, self.layout.panels, strict=True):
            for i, line in enumerate(box.lines):
                self.text(box.image.x, box.text_y + i * line_height(size), line, size)
            if content.values is not None:
                self.channels(content, box.image)
            else:
                self.picture(content, box.image)
            if box.bar is not None:
                self.bar(self.contents[box.bar.panel], box.bar)
        for bar in self.layout.bars:
            self.bar(self.contents[bar.panel], bar)

    def axes(self, place: Place) -> Any:
        """Axes at a place in inches."""
        width, height = self.layout.width, self.layout.height
        low = 1 - (place.y + place.height) / height
        return self.figure.add_axes((place.x / width, low, place.width / width, place.height / height))

    def width(self, text: str, size: float) -> float:
        """Width in inches of a line of text."""
        return width_of(text, self.layout.font, size)

    def text(self, x: float, y: float, text: str, size: float, *, align: str = "left") -> None:
        """A line of text whose line box begins at (x, y) inches; user text is never read as mathematics."""
        self.figure.text(
            x / self.layout.width,
            1 - (y + 0.92 * size / 72) / self.layout.height,
            text,
            ha=align,
            va="baseline",
            color=INK,
            fontproperties=properties(text, self.layout.font, size),
            parse_math=False,
        )

    def picture(self, content: Content, place: Place) -> None:
        """The photo, and over it a map or boxes, and the crop frame."""
        axes = self.axes(place)
        x0, y0, x1, y1 = self.layout.view
        limits = {"xlim": (x0, x1), "ylim": (y1, y0)}
        axes.set(**limits)
        axes.set_axis_off()
        draw_photo(axes, content, self.photo, self.photo_rgba, vector=self.vector, view=self.layout.view)
        if content.panel.map is not None and content.panel.map.name == "directions":
            self.arrows(axes, content)
            axes.set(**limits)
        if self.spec.crop_frame and self.spec.view == "picture":
            self.frame(axes, content.trace.geometry)
        if content.boxes:
            self.boxes(axes, content, place)
        if self.box is not None:
            for line, colour, style in ((2.0, "black", "-"), (1.1, OWN_BOX, (0, (3, 2)))):
                axes.add_patch(outline(self.box, lw=line, ec=colour, ls=style))

    def arrows(self, axes: Any, content: Content) -> None:
        """Direction in which the kernel of each cell pulls; the longest arrow fills its cell."""
        record = content.trace.record(content.panel.probe or "", content.panel.spec.step)
        pulls = directions(record.values, record.tap.centre)
        h, w = pulls.shape[1:]
        x0, y0, x1, y1 = cells_extent(content.trace.geometry)
        wide, high = (x1 - x0) / w, (y1 - y0) / h
        unit = 0.9 * min(wide, high) / (float(np.hypot(pulls[0], pulls[1]).max()) or 1.0)
        x, y = np.meshgrid(x0 + (np.arange(w) + 0.5) * wide, y0 + (np.arange(h) + 0.5) * high)
        look = {"units": "xy", "angles": "xy", "scale_units": "xy", "scale": 1.0, "pivot": "mid"}
        look |= {"headwidth": 3.2, "headlength": 3.6, "headaxislength": 3.2, "minlength": 0.2}
        for width, colour in ((0.17, "black"), (0.09, "white")):
            axes.quiver(x, y, pulls[0] * unit, pulls[1] * unit, color=colour, width=width * min(wide, high), **look)

    def frame(self, axes: Any, geometry: Geometry) -> None:
        """The border of what the network saw, where that is not the whole picture: white between dark lines."""
        seen = inside(geometry.seen, whole(geometry))
        if seen != whole(geometry):
            for line, colour in ((1.1, "black"), (0.5, "white")):
                axes.add_patch(outline(seen, lw=line, ec=colour, joinstyle="miter"))

    def boxes(self, axes: Any, content: Content, place: Place) -> None:
        """Display boxes, one colour per step."""
        steps = sorted({s for s, _ in content.boxes})
        colours = {step: BOX_COLOURS[i % len(BOX_COLOURS)] for i, step in enumerate(steps)}
        # Earlier steps have wider lines, so that equal boxes on top of each other stay visible as bands.
        band = min(1.4, 3.0 / max(1, len(steps) - 1))
        lines = {step: 1.1 + band * (len(steps) - 1 - i) for i, step in enumerate(steps)}
        for dark in (True, False):
            for step, box in content.boxes:
                line, colour = (lines[step] + 0.6, "black") if dark else (lines[step], colours[step])
                axes.add_patch(outline(box.xyxy, lw=line, ec=colour, joinstyle="miter"))
        if not content.panel.all_steps or len(steps) < 2:
            return
        # The key to the colours is in a corner: numbers at the boxes would cover each other.
        per_inch = (self.layout.view[2] - self.layout.view[0]) / place.width
        size, x = self.layout.preset.label, self.layout.view[0] + 0.05 * per_inch
        for step in steps:
            axes.text(
                x,
                self.layout.view[3] - 0.05 * per_inch,
                str(step),
                color=colours[step],
                va="baseline",
                fontproperties=properties(str(step), self.layout.font, size),
                path_effects=[withStroke(linewidth=1.6, foreground="black")],
                parse_math=False,
            )
            x += (0.05 + self.width(str(step), size)) * per_inch

    def channels(self, content: Content, place: Place) -> None:
        """One filled step curve of all channels: readable from 16 to a few thousand of them."""
        values, scale, size = content.values, content.scale, self.layout.preset.tick
        if values is None or scale is None:
            return
        labels = numbers(scale.low, scale.high, *content.marks)
        left = max(self.width(t, size) for t in labels) + 0.06
        foot = line_height(size) + 0.03
        inner = Place(place.x + left, place.y + 0.03, place.width - left - 0.02, place.height - foot - 0.03)
        axes = self.axes(inner)
        heights = -np.sort(-values) if content.panel.order == "sorted" else values
        # A filled curve starts at the neutral value or at zero; where neither is in range, only the line is honest.
        base = content.neutral if content.neutral is not None else 0.0
        extent = (scale.high - scale.low) or 1.0
        low, high = scale.low - 0.04 * extent, scale.high + 0.04 * extent
        edges = np.arange(len(heights) + 1)
        if low <= base <= high:
            axes.stairs(heights, edges, baseline=base, fill=True, color=BARS, lw=0)
            axes.axhline(base, color=INK, lw=0.5)
        else:
            axes.stairs(heights, edges, baseline=None, color=BARS, lw=0.8)
        axes.set(xlim=(0, len(heights)), ylim=(low, high), xticks=[], yticks=sorted(content.marks))
        axes.set_yticklabels([])
        axes.tick_params(axis="y", length=2, width=0.5, color=SOFT, pad=1)
        for side in ("top", "right"):
            axes.spines[side].set_visible(False)
        for side in ("left", "bottom"):
            axes.spines[side].set(linewidth=0.5, color=SOFT)
        for mark, label in zip(content.marks, labels, strict=True):
            y = inner.y + inner.height * (high - mark) / (high - low) - 0.56 * size / 72
            if mark in (scale.low, scale.high) or min(abs(mark - scale.low), abs(mark - scale.high)) > 0.25 * extent:
                self.text(inner.x - 0.045, y, label, size, align="right")
        how = ", sorted" if content.panel.order == "sorted" else ""
        words = f"{len(heights)} channels{how}"
        if self.width(words, size) > inner.width:
            words = clipped(f"{len(heights)} ch.{how}", place.width, self.layout.font, size)
        middle = min(inner.x + inner.width / 2, place.x + place.width - self.width(words, size) / 2)
        self.text(middle, inner.y + inner.height + 0.03, words, size, align="center")

    def bar(self, content: Content, bar: BarBox) -> None:
        """A colour bar: the palette, its end numbers, the neutral value where there is room, and the quantity."""
        scale, strip, size = content.scale, bar.strip, self.layout.preset.tick
        if scale is None:
            return
        axes = self.axes(strip)
        axes.set(xlim=(0, 256), ylim=(1, 0), xticks=[], yticks=[])
        paint(axes, opaque(palette(content.palette)[None]), (0.0, 0.0, 256.0, 1.0), vector=self.vector)
        for spine in axes.spines.values():
            spine.set(linewidth=0.4, color=SOFT)
        for digits in (3, 2, 1):  # fewer where the strip is short
            labels = numbers(scale.low, scale.high, *content.marks, digits=digits)
            wide = [self.width(t, size) for t in labels]
            if wide[0] + wide[1] + 0.05 <= strip.width:
                break
        y = strip.y + strip.height + TICK_GAP
        self.text(strip.x, y, labels[0], size)
        self.text(strip.x + strip.width, y, labels[1], size, align="right")
        for neutral in content.marks[2:]:
            share = (neutral - scale.low) / (scale.high - scale.low)
            for line, colour in ((1.6, "black"), (0.7, "white")):
                axes.add_collection(LineCollection([[(256 * share, 0), (256 * share, 1)]], colors=colour, lw=line))
            at = strip.x + share * strip.width
            free = (strip.x + wide[0] + wide[2] / 2 + 0.06, strip.x + strip.width - wide[1] - wide[2] / 2 - 0.06)
            if free[0] <= at <= free[1]:
                self.text(at, y, labels[2], size, align="center")
        for i, words in enumerate(bar.lines):
            self.text(strip.x, y + (1 + i) * line_height(size), words, size)
