"""Agreement of two heat maps: rank correlation, and overlap of their strongest cells.

Both maps are sampled at the same points of the picture, where both networks saw it. The points are the centres of a
grid as fine as the finer map's own cells: drawing pixels would repeat the same few values thousands of times, and the
coarser grid would skip some of the finer map's. Two maps of one geometry and size are compared cell by cell, without
interpolation, where the picture fills the network's input; beside bars the points lie only about as far apart as the
cells. Neighbouring points of the coarser map are correlated, so no p-value is given.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from viz.core.heatmap import Heatmap
from viz.errors import VizError
from viz.geometry import Rect

TOP_SHARE = 0.1
LEAST_POINTS = 3
Doubles = NDArray[np.float64]


@dataclass(frozen=True)
class Agreement:
    """Agreement of two maps.

    Attributes:
        spearman: rank correlation, -1 to 1. NaN where a map is constant or too few points can be compared.
        top_iou: intersection over union of the strongest tenths of both maps, 0 to 1; about 0.05 for unrelated maps.
        top_share: the same intersection as a share of the smaller set, 0 to 1; about 0.1 for unrelated maps.
        rows, columns: of the grid of points. region: (x0, y0, x1, y1) in picture pixels, seen by both networks.
        reason: why numbers are missing, in a sentence; else empty.
    """

    spearman: float
    top_iou: float
    top_share: float
    rows: int
    columns: int
    region: Rect
    reason: str = ""


def ranks(values: ArrayLike) -> Doubles:
    """Ranks from 1, in the shape of the values; equal values share their mean rank."""
    array = np.asarray(values)
    _, place, counts = np.unique(array.ravel(), return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return (last - (counts - 1) / 2)[place].reshape(array.shape)


def spearman(a: ArrayLike, b: ArrayLike) -> float:
    """Rank correlation of two arrays of one size; NaN where one is constant or they have fewer than three values.

    Source: Spearman, American Journal of Psychology 15 (1904).
    """
    x, y = ranks(a).ravel(), ranks(b).ravel()
    if x.size < LEAST_POINTS:
        return math.nan
    x, y = x - x.mean(), y - y.mean()
    size = math.sqrt(float(x @ x) * float(y @ y))
    return min(1.0, max(-1.0, float(x @ y) / size)) if size > 0 else math.nan


def top_cells(values: ArrayLike, share: float = TOP_SHARE) -> NDArray[np.bool_]:
    """The strongest `share` of the values, rounded up; values equal to the last of them are included."""
    array = np.asarray(values, dtype=np.float64)
    # The tolerance keeps 0.1 * 30 from becoming 4.
    count = max(1, math.ceil(share * array.size - 1e-9))
    level = np.partition(array.ravel(), array.size - count)[array.size - count]
    return np.asarray(array >= level)


def top_overlap(a: ArrayLike, b: ArrayLike, share: float = TOP_SHARE) -> tuple[float, float]:
    """(intersection over union, share of the smaller set) of the strongest cells; NaN where an array is constant."""
    x, y = np.asarray(a), np.asarray(b)
    if x.size == 0 or x.min() == x.max() or y.min() == y.max():
        return math.nan, math.nan
    p, q = top_cells(x, share), top_cells(y, share)
    common = int((p & q).sum())
    return common / int((p | q).sum()), common / min(int(p.sum()), int(q.sum()))


def seen_by_both(a: Heatmap, b: Heatmap) -> Rect | None:
    """(x0, y0, x1, y1) in picture pixels of what both networks saw; None where that is empty.

    Raises:
        VizError: the pictures differ in size.
    """
    if a.geometry.picture != b.geometry.picture:
        raise VizError("Two maps can be compared on one picture only; these pictures differ in size.")
    height, width = a.geometry.picture
    x0, y0 = (max(a.geometry.seen[i], b.geometry.seen[i], 0.0) for i in (0, 1))
    x1 = min(a.geometry.seen[2], b.geometry.seen[2], float(width))
    y1 = min(a.geometry.seen[3], b.geometry.seen[3], float(height))
    return (x0, y0, x1, y1) if x1 > x0 and y1 > y0 else None


def cell_size(heatmap: Heatmap) -> tuple[float, float]:
    """(height, width) of one native cell in picture pixels."""
    g, (rows, columns) = heatmap.geometry, heatmap.native.shape
    x0, y0, x1, y1 = g.box_to_picture((0.0, 0.0, g.network[1] / columns, g.network[0] / rows))
    return float(y1 - y0), float(x1 - x0)


def sampled(heatmap: Heatmap, ys: NDArray[np.floating], xs: NDArray[np.floating]) -> NDArray[np.float32]:
    """The map at picture points, float32 (len(ys), len(xs)): bilinear between cell centres, with replicated edges.

    Leave out points that the network did not see: they get the nearest cell. NaN beside non-finite cells.
    """
    g, (rows, columns) = heatmap.geometry, heatmap.native.shape
    points = np.zeros((max(len(ys), len(xs)), 2))
    points[: len(xs), 0], points[: len(ys), 1] = xs, ys
    network = g.to_network(points)
    y = _weights(network[: len(ys), 1] * (rows / g.network[0]) - 0.5, rows)
    x = _weights(network[: len(xs), 0] * (columns / g.network[1]) - 0.5, columns)
    native = heatmap.native.astype(np.float64)
    good = np.isfinite(native)
    out = y @ np.where(good, native, 0.0) @ x.T
    if not good.all():  # as in `Heatmap.at`: a value is missing only where a non-finite cell contributes to it
        out[(y @ (~good) @ x.T) > 1e-9] = np.nan
    return out.astype(np.float32)


def _weights(position: NDArray[np.floating], cells: int) -> Doubles:
    """(points, cells): the weight of each cell at positions in cells from the first centre."""
    # At a cell's centre, rounding would leave its neighbour a weight of about 1e-16, which breaks ties.
    position = np.round(position, 9)
    return np.stack([np.interp(position, np.arange(cells), cell) for cell in np.eye(cells)], axis=1)


def agreement(a: Heatmap | None, b: Heatmap | None) -> Agreement:
    """Compare two maps of one picture. What cannot be compared gives NaN and a reason, not an exception.

    Args:
        a, b: maps of any resolution and geometry; None stands for a map that does not exist at this step.

    Raises:
        VizError: the pictures differ in size.
    """
    nothing = Agreement(math.nan, math.nan, math.nan, 0, 0, (0.0, 0.0, 0.0, 0.0))
    if a is None or b is None:
        return replace(nothing, reason="One of the two has no value at this step.")
    region = seen_by_both(a, b)
    if region is None:
        return replace(nothing, reason="The two networks saw no common part of the picture.")
    x0, y0, x1, y1 = region
    (ah, aw), (bh, bw) = cell_size(a), cell_size(b)
    rows, columns = max(1, round((y1 - y0) / min(ah, bh))), max(1, round((x1 - x0) / min(aw, bw)))
    ys = y0 + (np.arange(rows) + 0.5) * ((y1 - y0) / rows)
    xs = x0 + (np.arange(columns) + 0.5) * ((x1 - x0) / columns)
    p, q = sampled(a, ys, xs).ravel(), sampled(b, ys, xs).ravel()
    good = np.isfinite(p) & np.isfinite(q)
    p, q = p[good], q[good]
    nothing = replace(nothing, rows=rows, columns=columns, region=region)
    if p.size < LEAST_POINTS:
        return replace(nothing, reason="Fewer than three points can be compared.")
    constant = [v.min() == v.max() for v in (p, q)]
    if all(constant):
        return replace(nothing, reason="Both maps are constant there.")
    if any(constant):
        return replace(nothing, reason="One of the two maps is constant there, so it has no ranks.")
    return Agreement(spearman(p, q), *top_overlap(p, q), rows, columns, region)
