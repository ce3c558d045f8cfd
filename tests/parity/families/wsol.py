"""Weakly-supervised localization: MaxBoxAcc, MaxBoxAccV2 and PxAP of the reference evaluation, from maps and boxes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tests.parity.case import Case, NotUnderstoodError
from viz.measures.localization.protocol import (
    Thresholds,
    best_ious,
    boxes_at,
    hits,
    max_accuracy,
    pixel_histograms,
    protocol_map,
    pxap,
    resize_boxes,
)

FAMILY = "wsol"
_GIVEN = ("coarse_maps", "image_sizes", "gt_boxes", "box_threshold_indices", "masks", "ignored")
_KNOWN = {"interval", "iou_thresholds"}


def evaluate(case: Case) -> Mapping[str, NDArray[Any]]:
    """Every array of a rule case; coarse maps, sizes, boxes and masks are what the others start from."""
    if case.kind != "rule":
        raise NotUnderstoodError(f"kind {case.kind!r} of wsol")
    given = case.expected
    thresholds = Thresholds(float(case.manifest.get("interval", 0.01)))
    made: dict[str, NDArray[Any]] = {name: given[name] for name in _GIVEN if name in given}
    maps = [protocol_map(m) for m in given["coarse_maps"]]
    for name in given:
        if match := re.fullmatch(r"normalised_map(\d+)", name):
            made[name] = maps[int(match[1])].astype(np.float32)
    if "gt_boxes" in given:
        made |= _boxes(case, maps, thresholds)
    if "masks" in given:
        made |= _masks(given, maps, thresholds)
    return made


def _boxes(case: Case, maps: list[NDArray[np.float64]], thresholds: Thresholds) -> dict[str, NDArray[Any]]:
    given = case.expected
    deltas = [int(d) for d in case.manifest.get("iou_thresholds", (30, 50, 70))]
    curves = {(v, d): np.zeros(len(thresholds.values), np.int64) for v in (1, 2) for d in deltas}
    truths, chosen = [], []
    for i, score_map in enumerate(maps):
        width, height = given["image_sizes"][i]
        mine = given["gt_boxes"][given["gt_boxes"][:, 0] == i][:, 1:]
        truth = resize_boxes(mine, (int(height), int(width)))
        truths += [[i, *box] for box in truth.tolist()]
        boxes = boxes_at(score_map, thresholds)
        if "box_threshold_indices" in given:
            chosen.append(boxes.largest[thresholds.level_of[given["box_threshold_indices"]]])
        for version, ious in enumerate(best_ious(boxes, truth), 1):
            for delta, right in zip(deltas, hits(ious, deltas), strict=True):
                curves[version, delta] += right[thresholds.level_of]
    made: dict[str, NDArray[Any]] = {f"curve_v{v}_{d}": curve for (v, d), curve in curves.items()}
    best = {v: np.array([max_accuracy(curves[v, d], len(maps)) for d in deltas]) for v in (1, 2)}
    made |= {f"max_v{v}": values for v, values in best.items()}
    made |= {f"maxboxacc_iou{d}_v{v}": np.asarray(x) for v in (1, 2) for d, x in zip(deltas, best[v], strict=True)}
    made["maxboxacc_v2"] = np.asarray(best[2].mean())
    made["resized_gt"] = np.array(truths, np.int64)
    if chosen:
        made["boxes_v1"] = np.stack(chosen)
    return made


def _masks(
    given: Mapping[str, NDArray[Any]], maps: list[NDArray[np.float64]], thresholds: Thresholds
) -> dict[str, NDArray[Any]]:
    total: NDArray[Any] = np.zeros((2, len(thresholds.values) + 2))
    for i, score_map in enumerate(maps):
        mask = np.unpackbits(given["masks"][i], axis=-1)
        if "ignored" in given:
            mask = np.where(np.unpackbits(given["ignored"][i], axis=-1) == 1, np.uint8(255), mask)
        total = total + pixel_histograms(score_map, mask.astype(np.uint8), thresholds)
    return {"true_hist": total[0], "false_hist": total[1], "pxap": np.asarray(pxap(total))}
