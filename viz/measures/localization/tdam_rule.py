"""Box rule, step filter and union accuracy of published code for networks with steps: protocol numbers, not display
boxes.

Paper: Jaiswal et al., ECCV 2022 (arXiv 2111.13470). Rule of shantanuj/TDAM_Top_down_attention_module@1e4a2cd,
``training_and_usage_scripts/custom_utils.py``. Boxes are (x, y, w, h) in pixels of the protocol's square (224), not of
the user's picture.

Peculiarities of that rule, kept on purpose: the contour with the most *stored points* wins, not the largest one; a
contour of 15 points or fewer never counts, so an exact rectangle, the whole square and a constant map all give
(0, 0, 0, 0); with three or more steps a replaced entry can change again (see `filter_steps`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from viz.core.boxes import iou

RESOLUTION = 224
BOX_RATIO = 0.15
IOU_THRESHOLD = 0.5
# Maps are scaled to 0..155 before the JET palette, a range over which its grey level rises with the value.
TOP_LEVEL = 155
FEWEST_POINTS = 15

Box = tuple[int, int, int, int]


def jet_grey_levels() -> NDArray[np.uint8]:
    """Grey level (256,) of each colour of OpenCV's JET palette."""
    ramp = np.arange(256, dtype=np.uint8)[None]
    return cv2.cvtColor(cv2.applyColorMap(ramp, cv2.COLORMAP_JET), cv2.COLOR_BGR2GRAY)[0]


def grey_heat(class_map: ArrayLike, resolution: int = RESOLUTION) -> NDArray[np.uint8]:
    """Grey levels (resolution, resolution) of a class map (h, w), not normalised: resized, scaled, JET, back to grey.

    Raises:
        ValueError: the map is not two-dimensional, empty or not finite.
    """
    values = np.ascontiguousarray(class_map, dtype=np.float32)
    if values.ndim != 2 or values.size == 0 or not np.isfinite(values).all():
        raise ValueError(f"The class map must be a finite (h, w) array, not one of shape {values.shape}.")
    large = cv2.resize(values, (resolution, resolution))
    levels = cv2.normalize(large, np.empty(0), 0, TOP_LEVEL, cv2.NORM_MINMAX, cv2.CV_8U)
    return np.asarray(cv2.cvtColor(cv2.applyColorMap(levels, cv2.COLORMAP_JET), cv2.COLOR_BGR2GRAY), dtype=np.uint8)


def rule_box(class_map: ArrayLike, ratio: float = BOX_RATIO, resolution: int = RESOLUTION) -> Box:
    """Box (x, y, w, h) of a class map (h, w), or (0, 0, 0, 0) where the rule finds none.

    Args:
        class_map: not normalised. ratio: threshold as a share of 255 on the grey levels; 0.15 in the step filter.
        resolution: side of the protocol's square in pixels.

    Raises:
        ValueError: the map is not two-dimensional, empty or not finite.
    """
    grey = grey_heat(class_map, resolution)
    _, mask = cv2.threshold(grey, int(ratio * 255), 255, cv2.THRESH_BINARY)
    contours: Sequence[Any]
    contours, _ = cv2.findContours(mask, cv2.RETR_LIST, cv2.CHAIN_APPROX_SIMPLE)
    best, most = (0, 0, 0, 0), FEWEST_POINTS
    for contour in contours:
        if len(contour) > most:  # strict: the first of equal ones wins
            x, y, w, h = cv2.boundingRect(contour)
            best, most = (int(x), int(y), int(w), int(h)), len(contour)
    return best


def box_iou(a: ArrayLike, b: ArrayLike) -> float:
    """Intersection over union of two boxes (x, y, w, h); 0 where they do not overlap or one is empty."""
    corners = [(x, y, x + w, y + h) for x, y, w, h in np.array([a, b], dtype=np.float64).tolist()]
    return iou(*corners)


@dataclass
class _Cell:
    """One step of one picture. Entries share cells, as the original's entries are views of one tensor."""

    probability: np.float32
    logits: NDArray[np.float32]


def filter_steps(logits: ArrayLike, boxes: ArrayLike, iou_threshold: float = IOU_THRESHOLD) -> NDArray[np.float32]:
    """Logits (T, N, classes) after the rule's filter: overlapping steps become duplicates of the more confident one.

    Step by step, the new box is compared with every entry so far. Where they overlap by more than `iou_threshold`, the
    one whose top class has the higher probability replaces the other (a tie keeps the old one). The new step is then
    always added. A replaced entry shares the values of the later step, so it follows when these are replaced in turn;
    its box does not. This matters from T = 3 on.

    Args:
        logits: of step 1 .. T. boxes: (T, N, 4) as (x, y, w, h), of each step's top class.
        iou_threshold: strict bound of overlap.

    Raises:
        ValueError: shapes do not match.
    """
    given = np.asarray(logits, dtype=np.float32)
    places = np.asarray(boxes)
    if given.ndim != 3 or places.shape != (*given.shape[:2], 4):
        raise ValueError(f"The logits {given.shape} must be (T, N, classes), the boxes {places.shape} (T, N, 4).")
    filtered = np.empty_like(given)
    for n in range(given.shape[1]):
        cells: list[_Cell] = []
        kept: list[NDArray[Any]] = []
        for t in range(given.shape[0]):
            cell, box = _Cell(_top_probability(given[t, n]), given[t, n].copy()), places[t, n]
            for j, old in enumerate(cells):
                if not box_iou(kept[j], box) > iou_threshold:
                    continue
                if cell.probability > old.probability:
                    cells[j], kept[j] = cell, box
                else:
                    cell.probability, cell.logits, box = old.probability, old.logits.copy(), kept[j]
            cells.append(cell)
            kept.append(box)
        for t, cell in enumerate(cells):
            filtered[t, n] = cell.logits
    return filtered


def _top_probability(logits: NDArray[np.float32]) -> np.float32:
    return np.float32(1) / np.exp(logits - logits.max()).sum(dtype=np.float32)


def union_accuracy(outputs: ArrayLike, targets: ArrayLike, ranks: Sequence[int] = (1, 5)) -> tuple[float, ...]:
    """Top-k accuracies in percent, where a picture is right if *any* step is right.

    This union, over filtered steps, is most likely what the repository's README calls accuracy, not the plain top-1 of
    the last step.

    Args:
        outputs: logits (T, N, classes), filtered or not. targets: (N,) class indices. ranks: the k of each accuracy.

    Raises:
        ValueError: shapes do not match, or a rank is out of range.
    """
    scores, wanted = np.asarray(outputs), np.asarray(targets)
    if scores.ndim != 3 or wanted.shape != scores.shape[1:2] or wanted.size == 0:
        raise ValueError(f"The outputs {scores.shape} must be (T, N, classes), the targets {wanted.shape} (N,).")
    if not ranks or min(ranks) < 1 or max(ranks) > scores.shape[2]:
        raise ValueError(f"The ranks {tuple(ranks)} must lie between 1 and {scores.shape[2]}.")
    order = np.argsort(-scores, axis=2, kind="stable")[:, :, : max(ranks)]
    hits = (order == wanted[None, :, None]).any(axis=0)  # (N, ranks)
    # Single precision, as in the original: the last digit is then the same.
    share = np.float32(100.0 / wanted.size)
    return tuple(float(np.float32(hits[:, :k].any(axis=1).sum()) * share) for k in ranks)
