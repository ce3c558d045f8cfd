"""What one map is worth against the truth of one picture, as a row entry; and the floors that look at no picture."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from viz.measures.localization.packing import pack_bits, pack_counts, pack_shares
from viz.measures.localization.protocol import (
    SIZE,
    Boxes,
    Thresholds,
    best_ious,
    boxes_at,
    hits,
    pixel_histograms,
    protocol_map,
)

# Sides of the fixed centred box, as shares of the square.
SIDES = tuple(round(0.01 * i, 2) for i in range(1, 101))
# Deviation of the centre Gaussian as a share of the side; boxes and ranks of pixels do not depend on it.
GAUSSIAN_DEVIATION = 0.25


@dataclass(frozen=True, eq=False)
class Truth:
    """Ground truth on the protocol's square: `boxes` int64 (G, 4) or None, `mask` uint8 (size, size) or None."""

    boxes: NDArray[np.int64] | None
    mask: NDArray[np.uint8] | None


def centre_gaussian(size: int = SIZE) -> NDArray[np.float64]:
    """A Gaussian round the middle of the square, (size, size)."""
    axis = ((np.arange(size) + 0.5) / size - 0.5) / GAUSSIAN_DEVIATION
    bell = np.exp(-(axis**2) / 2)
    return np.asarray(bell[:, None] * bell[None, :], dtype=np.float64)


@cache
def centre_boxes(size: int = SIZE) -> Boxes:
    """Centred squares, one a side of `SIDES`."""
    half = np.array(SIDES) * size / 2
    near, far = np.rint(size / 2 - half).astype(np.int64), np.rint(size / 2 + half).astype(np.int64)
    far = np.minimum(far, size - 1)
    rows = np.stack([near, near, far, far], axis=1)
    return Boxes(rows, rows, np.arange(len(rows)))


@cache
def gaussian_floor(interval: float) -> tuple[NDArray[np.float64], Boxes]:
    """The centre Gaussian as score map, and its boxes: the same for every picture."""
    score_map = protocol_map(centre_gaussian())
    return score_map, boxes_at(score_map, Thresholds(interval))


def entry(
    boxes: Boxes | None, score_map: NDArray[np.float64] | None, truth: Truth, thresholds: Thresholds
) -> Mapping[str, Any]:
    """What is kept of one map: which levels are right (V1, V2), how well (V1), and pixel histograms."""
    found: dict[str, Any] = {}
    if truth.boxes is not None and boxes is not None:
        largest, every = best_ious(boxes, truth.boxes)
        found |= {"b1": pack_bits(hits(largest)), "b2": pack_bits(hits(every)), "iou": pack_shares(largest)}
    if truth.mask is not None and score_map is not None:
        found["px"] = pack_counts(pixel_histograms(score_map, truth.mask, thresholds))
    return found


def map_entry(native: ArrayLike, truth: Truth, thresholds: Thresholds) -> Mapping[str, Any]:
    """The entry of a map (h, w)."""
    score_map = protocol_map(native)
    boxes = boxes_at(score_map, thresholds) if truth.boxes is not None else None
    return entry(boxes, score_map, truth, thresholds)


def floor_entries(truth: Truth, thresholds: Thresholds) -> dict[str, Mapping[str, Any]]:
    """The entries of the two floors. A box that is the same everywhere has no pixel precision."""
    score_map, boxes = gaussian_floor(thresholds.interval)
    return {
        "centre_box": entry(centre_boxes(), None, truth, thresholds),
        "centre_gaussian": entry(boxes, score_map, truth, thresholds),
    }
