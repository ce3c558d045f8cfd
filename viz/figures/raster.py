"""Pixels of a panel: the photo at a bounded size, native cells, and the blended overlay that the screen shows, too."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.patches import Rectangle
from matplotlib.transforms import Affine2D, Bbox, TransformedBbox
from numpy.typing import NDArray
from PIL import Image

from viz.core.heatmap import Heatmap, Scale, colour, overlay
from viz.figures.content import Content
from viz.figures.layout import inside, whole
from viz.geometry import Geometry, Rect

# Enough for print at the widest preset, and a page that still opens quickly.
LONGEST_SIDE = 1000
PRINT_DPI = 600
RGBA = NDArray[np.uint8]


def photo(rgb: NDArray[np.uint8], width_in: float, share: float = 1.0) -> NDArray[np.uint8]:
    """The photo (H, W, 3): at most 1000 pixels on its long side and 600 per printed inch; antialiased, never enlarged.

    Args:
        width_in: printed width in inches of what is shown.
        share: how much of the photo's width is shown, 0..1.
    """
    height, width = rgb.shape[:2]
    factor = min(1.0, LONGEST_SIDE / max(height, width), width_in * PRINT_DPI / (share * width))
    if factor >= 1:
        return rgb
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    return np.asarray(Image.fromarray(rgb).resize(size, Image.Resampling.LANCZOS))


def cells(heatmap: Heatmap, scale: Scale, palette_name: str) -> RGBA:
    """One pixel per native cell, uint8 (h, w, 4); transparent where a value is not finite, as in `overlay`."""
    native = np.where(np.isfinite(heatmap.native), heatmap.native, np.float32(np.nan))
    return colour(native, scale, palette_name)


def cells_extent(geometry: Geometry) -> Rect:
    """Extent of the grid of cells in picture pixels; with letterbox it exceeds the picture."""
    x0, y0, x1, y1 = geometry.box_to_picture((0, 0, geometry.network[1], geometry.network[0]))
    return (float(x0), float(y0), float(x1), float(y1))


def opaque(rgb: NDArray[np.uint8]) -> RGBA:
    """uint8 (H, W, 4) without transparency."""
    return np.dstack([rgb, np.full(rgb.shape[:2], 255, np.uint8)])


class Raster(Artist):
    """An image that is stored once in a vector file, at its own resolution, however many panels show it.

    Matplotlib's own image artist makes a new array for each drawing, so the same photo in seven panels would be stored
    seven times; the PDF backend recognises one array by its identity.

    Args:
        pixels: uint8 (h, w, 4). extent: of the pixels, (x0, y0, x1, y1) in data coordinates with y down.
        clip: the part that may be painted, in the same coordinates.
        opacity: 0..1.
    """

    def __init__(self, pixels: RGBA, extent: Rect, clip: Rect, opacity: float) -> None:
        super().__init__()
        self._pixels, self._extent, self._clip_to, self._opacity = pixels, extent, clip, opacity

    def draw(self, renderer: Any) -> None:
        """Paint on a renderer that scales images itself (PDF, SVG)."""
        data = self.get_transform()
        (left, top), (right, bottom) = data.transform(self._extent[:2]), data.transform(self._extent[2:])
        gc = renderer.new_gc()
        gc.set_alpha(self._opacity)
        gc.set_clip_rectangle(TransformedBbox(Bbox([self._clip_to[:2], self._clip_to[2:]]), data))
        place = Affine2D().scale(right - left, bottom - top).translate(left, top)
        renderer.draw_image(gc, 0, 0, self._pixels, place)
        gc.restore()


def paint(
    axes: Any,
    pixels: Any,
    extent: Rect,
    *,
    vector: bool,
    clip: Rect | None = None,
    opacity: float | None = None,
    interpolation: str = "nearest",
) -> None:
    """Draw pixels in axes whose y axis runs down, and keep the limits of the axes.

    Args:
        extent, clip: as for `Raster`. vector: whether the renderer scales images itself.
        interpolation: Matplotlib's, for other renderers.
    """
    x0, y0, x1, y1 = extent
    if vector:
        axes.add_artist(Raster(pixels, extent, clip or extent, 1.0 if opacity is None else opacity))
        return
    limits = axes.get_xlim(), axes.get_ylim()
    image = axes.imshow(pixels, extent=(x0, x1, y1, y0), aspect="auto", interpolation=interpolation, alpha=opacity)
    if clip is not None:
        image.set_clip_path(outline(clip, transform=axes.transData))
    axes.set(xlim=limits[0], ylim=limits[1])


def outline(box: Rect, **look: Any) -> Rectangle:
    """An empty rectangle from its corners."""
    x0, y0, x1, y1 = box
    return Rectangle((x0, y0), x1 - x0, y1 - y0, fill=False, **look)


def draw_photo(axes: Any, content: Content, rgb: Any, rgba: Any, *, vector: bool, view: Rect) -> None:
    """The photo and its map, with the operations of `overlay`, in axes whose data are picture pixels."""
    geometry, scale = content.trace.geometry, content.scale
    base, grid = rgba, None
    if content.is_map and scale is not None:
        heat = content.heatmaps[0]
        if content.interpolation == "cells":
            grid = cells(heat, scale, content.palette)
        else:
            look: dict[str, Any] = {"opacity": content.opacity, "interpolation": content.interpolation}
            base = opaque(overlay(rgb, heat, scale, palette_name=content.palette, **look))
    # The axes do not clip images that the renderer scales itself.
    paint(axes, base, whole(geometry), vector=vector, clip=view if vector else None, interpolation="auto")
    if grid is not None:
        seen = inside(inside(geometry.seen, whole(geometry)), view)
        paint(axes, grid, cells_extent(geometry), vector=vector, clip=seen, opacity=content.opacity)
