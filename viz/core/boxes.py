"""Display boxes: rectangles around the strong parts of a map, in picture pixels and with a threshold per picture.

Numbers for papers follow a protocol with one threshold for the whole data set, see `viz.measures.localization`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np

from viz.core.heatmap import Heatmap, finite_range
from viz.errors import VizError

DEFAULT_THRESHOLD = 0.5
Components = Literal["largest", "all"]


@dataclass(frozen=True)
class Box:
    """A rectangle in picture pixels; `x1` and `y1` are exclusive.

    `area` is the number of pixels of its component, `peak` the largest map value there.
    """

    x0: int
    y0: int
    x1: int
    y1: int
    area: int
    peak: float

    @property
    def xyxy(self) -> tuple[int, int, int, int]:
        return (self.x0, self.y0, self.x1, self.y1)


def boxes(
    heatmap: Heatmap,
    threshold: float = DEFAULT_THRESHOLD,
    components: Components = "largest",
    *,
    min_area: float = 0.0,
    size: tuple[int, int] | None = None,
) -> list[Box]:
    """Boxes around the connected components (8 neighbours) of a map at or above a threshold.

    Args:
        threshold: 0 is the smallest and 1 the largest value of the map inside what the network saw.
        components: ``largest`` (by pixels) or ``all``, largest first.
        min_area: of a component, as a share (0..1) of the picture.
        size: (height, width) to compute at, for speed; boxes are always in picture pixels.

    Returns:
        Boxes; none if the map is constant or has no finite value.

    Raises:
        VizError: not a map, or an argument out of range.
    """
    given: object = heatmap
    if not isinstance(given, Heatmap):
        what = type(given).__name__
        raise VizError(f"Boxes need a Heatmap, such as trace.class_map(), not a {what}.")
    if not 0 <= threshold <= 1:
        raise VizError(f"The threshold must lie between 0 and 1, not {threshold}.")
    if components not in ("largest", "all"):
        raise VizError(f"Unknown components {components!r}. Choose 'largest' or 'all'.")
    if not 0 <= min_area <= 1:
        raise VizError(f"The minimum area must be a share of the picture between 0 and 1, not {min_area}.")
    values = heatmap.values if size is None else heatmap.at(size)
    low, high = finite_range([values])
    if not high > low:
        return []
    level = low + threshold * (high - low)
    with np.errstate(invalid="ignore"):
        mask = (values >= level).astype(np.uint8)
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
    fy = heatmap.geometry.picture[0] / values.shape[0]
    fx = heatmap.geometry.picture[1] / values.shape[1]
    found: list[Box] = []
    for i in sorted(range(1, count), key=lambda i: -int(stats[i, cv2.CC_STAT_AREA])):
        x, y, w, h, area = (int(v) for v in stats[i])
        if area < min_area * values.size:
            continue
        inside = labels[y : y + h, x : x + w] == i
        peak = float(values[y : y + h, x : x + w][inside].max())
        edges = (round(x * fx), round(y * fy), round((x + w) * fx), round((y + h) * fy))
        found.append(Box(*edges, round(area * fx * fy), peak))
        if components == "largest":
            break
    return found


def iou(a: tuple[float, float, float, float], b: tuple[float, float, float, float]) -> float:
    """Intersection over union of two boxes (x0, y0, x1, y1) with exclusive x1, y1; 0 for empty boxes."""
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    inter = width * height
    union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - inter
    return float(inter / union) if union > 0 else 0.0
