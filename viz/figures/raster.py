"""Pixels of a panel: the photo at a bounded size, native cells, and the blended overlay that the screen shows too."""

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
from viz.geometry import Geometry, Rect

# Enough for print at the widest preset, and a page that still opens quickly.
LONGEST_SIDE = 1000
PRINT_DPI = 600
RGBA = NDArray[np.uint8]


def photo(rgb: NDArray[np.uint8], width_in: float, share: float = 1.0) -> NDArray[np.uint8]:
    """The photo (H, W, 3), at most 1000 pixels on its long side and 600 a printed inch; antialiased, never enlarged.

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
    """One pixel a native cell, uint8 (h, w, 4); transparent where a value is not finite, as in `overlay`."""
    native = np.where(np.isfinite(heatmap.native), heatmap.native, np.float32(np.nan))
    return colour(native, scale, palette_name)


def cells_extent(geometry: Geometry) -> Rect:
    """Where the whole grid of cells lies in picture pixels; with letterbox it reaches past the picture."""
    x0, y0, x1, y1 = geometry.box_to_picture((0, 0, geometry.network[1], geometry.network[0]))
    return (float(x0), float(y0), float(x1), float(y1))


def opaque(rgb: NDArray[np.uint8]) -> RGBA:
    """uint8 (H, W, 4) without transparency."""
    return np.dstack([rgb, np.full(rgb.shape[:2], 255, np.uint8)])


class Raster(Artist):
    """An image that a vector file holds at its own resolution, once, however many panels show it.

    Matplotlib's own image artist makes a new array for each drawing, so the same photo in seven panels would be stored
    seven times; the PDF backend recognises one array by its identity.

    Args:
        pixels: uint8 (h, w, 4). extent: where they lie, (x0, y0, x1, y1) in data coordinates with y down.
        clip: the part that may be painted, in the same coordinates.
        opacity: 0..1.
    """

    def __init__(self, pixels: RGBA, extent: Rect, clip: Rect, opacity: float = 1.0) -> None:
        super().__init__()
        self._pixels, self._extent, self._clip_to, self._opacity = pixels, extent, clip, opacity

    def draw(self, renderer: Any) -> None:
        """Paint on a renderer that scales images itself (PDF, SVG)."""
        data = self.get_transform()
        x0, y0, x1, y1 = self._extent
        left, top = data.transform((x0, y0))
        right, bottom = data.transform((x1, y1))
        gc = renderer.new_gc()
        gc.set_alpha(self._opacity)
        a, b, c, d = self._clip_to
        gc.set_clip_rectangle(TransformedBbox(Bbox([[a, b], [c, d]]), data))
        place = Affine2D().scale(right - left, bottom - top).translate(left, top)
        renderer.draw_image(gc, 0, 0, self._pixels, place)
        gc.restore()


def inside(a: Rect, b: Rect) -> Rect:
    """The part of `a` within `b`."""
    return (max(a[0], b[0]), max(a[1], b[1]), min(a[2], b[2]), min(a[3], b[3]))


def draw_photo(
    axes: Any, content: Content, rgb: Any, rgba: Any, *, geometry: Geometry, vector: bool, view: Rect
) -> None:
    """The photo and its map, with the operations of `overlay`, in axes whose data are picture pixels."""
    height, width = geometry.picture
    whole: Rect = (0.0, 0.0, float(width), float(height))
    seen = inside(inside(geometry.seen, whole), view)
    heat, scale = (content.heatmaps[0] if content.heatmaps else None), content.scale
    base = rgba
    grid = None
    if content.is_map and heat is not None and scale is not None:
        if content.interpolation == "cells":
            grid = cells(heat, scale, content.palette)
        else:
            base = opaque(
                overlay(
                    rgb,
                    heat,
                    scale,
                    palette_name=content.palette,
                    opacity=content.opacity,
                    interpolation=content.interpolation,
                )
            )
    if vector:
        axes.add_artist(Raster(base, whole, view))
        if grid is not None:
            axes.add_artist(Raster(grid, cells_extent(geometry), seen, content.opacity))
        return
    limits = axes.get_xlim(), axes.get_ylim()
    axes.imshow(base, extent=(0, width, height, 0), aspect="auto", interpolation="auto")
    if grid is not None:
        x0, y0, x1, y1 = cells_extent(geometry)
        image = axes.imshow(
            grid, extent=(x0, x1, y1, y0), aspect="auto", interpolation="nearest", alpha=content.opacity
        )
        image.set_clip_path(
            Rectangle((seen[0], seen[1]), seen[2] - seen[0], seen[3] - seen[1], transform=axes.transData)
        )
    axes.set(xlim=limits[0], ylim=limits[1])
