"""TDAM, kind ``rule``: boxes, step filter and union accuracy. Not a family of its own: `tdam` calls it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tests.parity.case import Case, NotUnderstoodError
from viz.measures.localization.tdam_rule import (
    BOX_RATIO,
    IOU_THRESHOLD,
    RESOLUTION,
    box_iou,
    filter_steps,
    grey_heat,
    jet_grey_levels,
    rule_box,
    union_accuracy,
)

_GIVEN = re.compile(r"maps|filter_\w+/(map_index|logits|target)")


def evaluate_rule(case: Case) -> Mapping[str, NDArray[Any]]:
    """Every array of a rule case; ``maps``, ``map_index``, ``logits`` and ``target`` are what the others start from."""
    rule = case.manifest.get("rule") or {}
    unknown = set(rule) - {"image_res", "iou_thresh", "threshold_ratio"}
    if unknown:
        raise NotUnderstoodError(f"rule names {sorted(unknown)}")
    resolution = int(rule.get("image_res", RESOLUTION))
    threshold = float(rule.get("iou_thresh", IOU_THRESHOLD))
    ratios: Mapping[str, float] = rule.get("threshold_ratio") or {}
    given = case.expected
    made: dict[str, NDArray[Any]] = {}

    def boxes(ratio: float) -> NDArray[np.int64]:
        return np.array([rule_box(m, ratio, resolution) for m in given["maps"]], dtype=np.int64)

    for name in given:
        group, _, what = name.rpartition("/")
        if _GIVEN.fullmatch(name):
            made[name] = given[name]
        elif name in ratios:
            made[name] = boxes(ratios[name])
        elif name.startswith("iou_") and f"boxes_{name[4:]}" in ratios:
            found = boxes(ratios[f"boxes_{name[4:]}"])
            made[name] = np.array([[box_iou(a, b) for b in found] for a in found])
        elif match := re.fullmatch(r"heat_gray_map(\d+)", name):
            made[name] = grey_heat(given["maps"][int(match[1])], resolution)
        elif name == "jet_gray_lut":
            made[name] = jet_grey_levels()
        elif group.startswith("filter_") and what in ("outputs", "acc1_acc5"):
            # The filter's own boxes are always taken at the one ratio that the original writes into it.
            places = boxes(BOX_RATIO)[given[f"{group}/map_index"]]
            outputs = filter_steps(given[f"{group}/logits"], places, threshold)
            made[name] = outputs
            if what == "acc1_acc5":
                made[name] = np.array(union_accuracy(outputs, given[f"{group}/target"]))
    return made
