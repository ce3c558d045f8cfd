"""Scores of one map against the truth of one picture, packed as an entry of a row; and those of the baselines.

Packed arrays are small, exact and read back unchanged.
"""

from __future__ import annotations

import base64
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from viz.measures.localization import protocol
from viz.measures.localization.protocol import SIZE, Boxes, Thresholds, boxes_at, hits, protocol_map

# Sides of the fixed centred box, as shares of the square.
SIDES = tuple(round(0.01 * i, 2) for i in range(1, 101))
# Standard deviation of the centre Gaussian as a share of the side; boxes and pixel ranks do not depend on it.
GAUSSIAN_DEVIATION = 0.25


def pack_bits(values: NDArray[np.bool_]) -> str:
    """Booleans of any shape, eight per byte."""
    return base64.b64encode(np.packbits(values.ravel()).tobytes()).decode()


def unpack_bits(text: str, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """The inverse of `pack_bits`."""
    bits = np.unpackbits(np.frombuffer(base64.b64decode(text), np.uint8), count=int(np.prod(shape)))
    return bits.astype(bool).reshape(shape)


def pack_shares(values: NDArray[np.float64]) -> str:
    """Values from 0 to 1 in steps of 1/255: for ordering, not for counting."""
    return base64.b64encode(np.rint(values * 255).astype(np.uint8).tobytes()).decode()


def unpack_shares(text: str) -> NDArray[np.float64]:
    """The inverse of `pack_shares`, as float64 (L,)."""
    return np.frombuffer(base64.b64decode(text), np.uint8) / 255.0


def pack_counts(values: NDArray[np.integer[Any]]) -> str:
    """Whole numbers below 2**32, mostly zeros."""
    return base64.b64encode(zlib.compress(values.astype("<u4").tobytes(), 6)).decode()


def unpack_counts(text: str, shape: tuple[int, ...]) -> NDArray[np.int64]:
    """The inverse of `pack_counts`."""
    data = zlib.decompress(base64.b64decode(text))
    return np.frombuffer(data, "<u4").astype(np.int64).reshape(shape)


@dataclass(frozen=True, eq=False)
class Truth:
    """Ground truth on the protocol's square: `boxes` int64 (G, 4) or None, `mask` uint8 (size, size) or None."""

    boxes: NDArray[np.int64] | None
    mask: NDArray[np.uint8] | None


@cache
def centre_boxes() -> Boxes:
    """Centred squares, one per side of `SIDES`."""
    half = np.array(SIDES) * SIZE / 2
    near, far = np.rint(SIZE / 2 - half).astype(np.int64), np.rint(SIZE / 2 + half).astype(np.int64)
    far = np.minimum(far, SIZE - 1)
    rows = np.stack([near, near, far, far], axis=1)
    return Boxes(rows, rows, np.arange(len(rows)))


@cache
def centre_gaussian(interval: float) -> tuple[NDArray[np.float64], Boxes]:
    """A centre Gaussian as score map, and its boxes: the same for every picture."""
    axis = ((np.arange(SIZE) + 0.5) / SIZE - 0.5) / GAUSSIAN_DEVIATION
    bell = np.exp(-(axis**2) / 2)
    score_map = protocol_map(bell[:, None] * bell[None, :])
    return score_map, boxes_at(score_map, Thresholds(interval))


def entry(
    boxes: Boxes | None, score_map: NDArray[np.float64] | None, truth: Truth, thresholds: Thresholds
) -> Mapping[str, Any]:
    """What a row stores of one map: which levels are right (v1, v2), the IoU (v1), and pixel histograms."""
    found: dict[str, Any] = {}
    if truth.boxes is not None and boxes is not None:
        largest, every = protocol.best_ious(boxes, truth.boxes)
        found |= {"b1": pack_bits(hits(largest)), "b2": pack_bits(hits(every)), "iou": pack_shares(largest)}
    if truth.mask is not None and score_map is not None:
        found["px"] = pack_counts(protocol.pixel_histograms(score_map, truth.mask, thresholds))
    return found


def map_entry(native: ArrayLike, truth: Truth, thresholds: Thresholds) -> Mapping[str, Any]:
    """The entry of a map (h, w)."""
    score_map = protocol_map(native)
    boxes = boxes_at(score_map, thresholds) if truth.boxes is not None else None
    return entry(boxes, score_map, truth, thresholds)


def baseline_entries(truth: Truth, thresholds: Thresholds) -> dict[str, Mapping[str, Any]]:
    """The entries of the two baselines. A centred box does not rank pixels and has no histogram."""
    score_map, boxes = centre_gaussian(thresholds.interval)
    return {
        "centre_box": entry(centre_boxes(), None, truth, thresholds),
        "centre_gaussian": entry(boxes, score_map, truth, thresholds),
    }
