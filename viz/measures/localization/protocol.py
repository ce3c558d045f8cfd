"""Weakly-supervised localization by the reference protocol: MaxBoxAcc, MaxBoxAccV2 and PxAP, number for number.

Paper: Choe et al., "Evaluating Weakly Supervised Object Localization Methods Right", CVPR 2020 (arXiv 2001.07437).
Rules of clovaai/wsolevaluation@96f4b88, ``evaluation.py``, ``inference.py``, ``util.py``.

These are ``protocol`` numbers: maps and boxes lie on the square network input (224 x 224, the picture squashed), never
on the user's picture. Boxes are (x0, y0, x1, y1) in whole pixels, and an IoU counts both edges as inside.

Peculiarities of those rules, kept on purpose: the far edge of a box is one pixel beyond its last pixel, unless that
would leave the square; "largest" refers to contour area, so a blob of one pixel or one line has area 0; with all
contours the outline of a hole is a box, too; no contour gives the box (0, 0, 0, 0), which still covers one pixel.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from viz.errors import VizError

SIZE = 224
# IoU bounds in percent: MaxBoxAcc reports the middle one, V2 the mean of the three.
DELTAS = (30, 50, 70)
NO_BOX = (0, 0, 0, 0)
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Thresholds:
    """The thresholds of a sweep: 0, `interval`, 2 `interval`, ... below 1, as shares of a map's largest value.

    Maps have 256 levels, so 1,000 thresholds give at most 256 distinct masks: each is made once.
    """

    interval: float = 0.01

    def __post_init__(self) -> None:
        if not 0.0005 <= self.interval < 1:
            raise VizError(f"The interval of the thresholds must lie between 0.0005 and 1, not {self.interval}.")

    @cached_property
    def values(self) -> Floats:
        """All thresholds, float64 (T,)."""
        return np.arange(0, 1, self.interval)

    @cached_property
    def levels(self) -> NDArray[np.uint8]:
        """The distinct levels (L,), ascending: a mask is what lies strictly above its level."""
        return np.unique((self.values * 255).astype(np.uint8))

    @cached_property
    def level_of(self) -> Ints:
        """(T,) index in `levels` of each threshold."""
        return np.searchsorted(self.levels, (self.values * 255).astype(np.uint8)).astype(np.int64)


@dataclass(frozen=True, eq=False)
class Boxes:
    """The boxes of one map at every level.

    Attributes:
        largest: int64 (L, 4), the box of the contour with the largest area.
        every: int64 (B, 4), boxes of all contours, level by level. level: (B,) the level of each, ascending; every
            level has at least one.
    """

    largest: Ints
    every: Ints
    level: Ints


def protocol_map(native: ArrayLike) -> Floats:
    """The protocol's score map of a map (h, w) of any size: float64 (224, 224) in 0..1.

    Bicubic resize in double precision, then min-max scaling. A map that is constant or not finite is 0 everywhere.

    Raises:
        VizError: not a (h, w) array.
    """
    values = np.ascontiguousarray(native, dtype=np.float64)
    if values.ndim != 2 or values.size == 0:
        raise VizError(f"A score map must be a (h, w) array, not one of shape {values.shape}.")
    # Checked before the resize, too, which can leave differences in the last digit of a constant map.
    if not np.isfinite(values).all() or values.min() == values.max():
        return np.zeros((SIZE, SIZE))
    large = cv2.resize(values, (SIZE, SIZE), interpolation=cv2.INTER_CUBIC)
    low, high = large.min(), large.max()
    if not high > low:
        return np.zeros((SIZE, SIZE))
    return np.asarray((large - low) / (high - low), dtype=np.float64)


def boxes_at(score_map: Floats, thresholds: Thresholds) -> Boxes:
    """Boxes of a score map (H, W) in 0..1 at every level.

    Source: ``compute_bboxes_from_scoremaps`` of the reference.
    """
    grey = (score_map * 255).astype(np.uint8)
    height, width = grey.shape
    # Only the part that holds a mask is searched: the rest is empty.
    y0, y1 = _extent(grey.max(axis=1), thresholds.levels)
    x0, x1 = _extent(grey.max(axis=0), thresholds.levels)
    largest: list[tuple[int, int, int, int]] = []
    every: list[tuple[int, int, int, int]] = []
    owner: list[int] = []
    for place, level in enumerate(thresholds.levels.tolist()):
        if y1[place] == 0:
            largest.append(NO_BOX)
            every.append(NO_BOX)
            owner.append(place)
            continue
        part = grey[y0[place] : y1[place], x0[place] : x1[place]]
        mask = cv2.threshold(part, level, 255, cv2.THRESH_BINARY)[1]
        contours = cv2.findContours(mask, cv2.RETR_TREE, cv2.CHAIN_APPROX_SIMPLE, offset=(x0[place], y0[place]))[0]
        found = []
        for contour in contours:
            left, upper, w, h = cv2.boundingRect(contour)
            found.append((left, upper, min(left + w, width - 1), min(upper + h, height - 1)))
        # The first of equal areas wins, as with `max`.
        areas = [cv2.contourArea(c) for c in contours] if len(contours) > 1 else [0.0]
        largest.append(found[areas.index(max(areas))])
        every += found
        owner += [place] * len(found)
    return Boxes(np.array(largest, np.int64), np.array(every, np.int64), np.array(owner, np.int64))


def _extent(most: NDArray[np.uint8], levels: NDArray[np.uint8]) -> tuple[list[int], list[int]]:
    """First row (or column), and the one after the last, whose largest value lies above each level."""
    above = most[None, :] > levels[:, None]
    last = above.shape[1] - above[:, ::-1].argmax(axis=1)
    return above.argmax(axis=1).tolist(), np.where(above.any(axis=1), last, 0).tolist()


def box_ious(boxes: Ints, truth: Ints) -> Floats:
    """IoU of boxes (B, 4) with boxes (G, 4), both edges counted as inside: float64 (B, G)."""
    a, b = boxes.astype(np.float64), truth.astype(np.float64)
    x0 = np.maximum(a[:, None, 0], b[None, :, 0])
    y0 = np.maximum(a[:, None, 1], b[None, :, 1])
    x1 = np.minimum(a[:, None, 2], b[None, :, 2])
    y1 = np.minimum(a[:, None, 3], b[None, :, 3])
    common = np.maximum(x1 - x0 + 1, 0) * np.maximum(y1 - y0 + 1, 0)
    area_a = (a[:, 2] - a[:, 0] + 1) * (a[:, 3] - a[:, 1] + 1)
    area_b = (b[:, 2] - b[:, 0] + 1) * (b[:, 3] - b[:, 1] + 1)
    union = area_a[:, None] + area_b[None] - common
    return np.where(union > 0, common / np.where(union > 0, union, 1), 0.0)


def resize_boxes(boxes: ArrayLike, picture: tuple[int, int]) -> Ints:
    """Ground-truth boxes (G, 4) in pixels of a picture of (height, width), truncated to pixels of the square.

    Raises:
        VizError: not boxes with x0 <= x1 and y0 <= y1.
    """
    given = np.asarray(boxes, dtype=np.float64)
    if given.ndim != 2 or given.shape[1] != 4 or not len(given) or not np.isfinite(given).all():
        raise VizError("Ground-truth boxes must be rows of four numbers: x0, y0, x1, y1.")
    if (given[:, :2] > given[:, 2:]).any():
        raise VizError("A ground-truth box has x1 < x0 or y1 < y0.")
    height, width = picture
    scale = np.array([width, height, width, height], dtype=np.float64)
    return np.trunc(given * SIZE / scale).astype(np.int64)


def best_ious(boxes: Boxes, truth: Ints) -> tuple[Floats, Floats]:
    """The best IoU with a true box at every level (L,), of the largest contour's box (v1) and of any contour's (v2)."""
    largest = box_ious(boxes.largest, truth).max(axis=1)
    every = box_ious(boxes.every, truth).max(axis=1)
    starts = np.searchsorted(boxes.level, np.arange(len(boxes.largest)))
    return largest, np.maximum.reduceat(every, starts)


def hits(ious: Floats, deltas: Sequence[int] = DELTAS) -> NDArray[np.bool_]:
    """Whether each IoU (...,) reaches each bound in percent: bool (deltas, ...)."""
    return np.stack([ious >= delta / 100 for delta in deltas])


def pixel_histograms(score_map: Floats, mask: NDArray[np.uint8], thresholds: Thresholds) -> Ints:
    """Numbers of object and background pixels with a score in each bin: int64 (2, T + 2).

    Args:
        score_map: (H, W) in 0..1. mask: (H, W), 1 object, 0 background; other values are ignored.

    Raises:
        VizError: sizes differ.
    """
    if score_map.shape != mask.shape:
        raise VizError(f"The mask has size {mask.shape}, the score map {score_map.shape}.")
    edges = np.append(thresholds.values, [1.0, 2.0, 3.0])
    bins = np.searchsorted(edges, score_map, side="right") - 1
    count = len(edges) - 1
    return np.stack([np.bincount(bins[mask == kind], minlength=count) for kind in (1, 0)]).astype(np.int64)


def pxap(histograms: NDArray[np.integer] | Floats) -> float:
    """Pixel average precision in percent from summed histograms (2, bins); NaN without object pixels.

    The sum over falling thresholds of precision times the step in recall, as in the reference.
    """
    true = np.asarray(histograms[0], dtype=np.float64)[::-1].cumsum()
    false = np.asarray(histograms[1], dtype=np.float64)[::-1].cumsum()
    if not true[-1] > 0:
        return float("nan")
    found = true + false
    precision = true / np.where(found > 0, found, 1)
    recall = true / true[-1]
    return float((precision[1:] * np.diff(recall))[found[1:] > 0].sum() * 100)


def max_accuracy(correct: NDArray[np.integer], pictures: int) -> float:
    """MaxBoxAcc at one bound: the largest share of right pictures, in percent, over the thresholds (T,)."""
    if pictures < 1:
        raise VizError(f"An accuracy needs at least one picture, not {pictures}.")
    return float(np.asarray(correct, dtype=np.float64).max() * 100 / pictures)


def resize_mask(mask: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A mask (h, w) on the protocol's square, nearest neighbour."""
    return np.asarray(cv2.resize(mask, (SIZE, SIZE), interpolation=cv2.INTER_NEAREST), dtype=np.uint8)
