"""The result of an evaluation: plain values, the same bytes however many processes made them. Form of the JSON:

    kind            "evaluation"
    versions        of Searchlight and of what computes
    data            name, layout, split, fingerprint (of the index), picture_bytes (digest of all pictures that were
                    read), samples, pictures, far_edge,
                    chosen_of (how many samples there were before some were chosen by their names' hash; None: all
                    are here), index_problems {kind: count}, problems [{id, kind, message}] (the first 100 of each
                    kind),
                    failed_count, failed [{id, reason}] (at most 100, in order), boxes_cut (samples with a box beyond
                    the picture's edge), empty_masks (masks without an object, not used),
                    without_class (samples whose label is no class of the network), without_boxes, with_masks
    tuning          mode: "cross-validated" | "split" | "same"; words: one sentence: where thresholds come from;
                    folds, splits (into folds; numbers are the mean over them), split, fingerprint,
                    samples, failed_count of the tuning split (None where they do not apply)
    protocol        size, geometry, interval, thresholds (how many), levels, deltas [30, 50, 70], classes ("label" or
                    "predicted"), precision, mixed_precision, batch, threads, device, attribution, words [sentences]
    bootstrap       level, draws, pxap_draws, words
    models          [{name, sha256, family, steps, classification: [for each step {step, top1, top5}],
                    union: None or {unfiltered: {top1, top5}, filtered: {top1, top5}}}]
    rows            one for each model and source, floors first (their model is None):
        model, source, step (None for floors), kind "floor" | "class map" | "attention" | "attribution", title, n,
        n_masks
        boxes       None where no sample has boxes, else {
            max      {"v1": {"30", "50", "70"}, "v2": {...}, "v2_mean"}: percent, the reference's number: the threshold
                     that is best on these very pictures (optimistic)
            reported {"v1": {"30", "50", "70"}, "v2": {...}, "v2_mean"}: each {value, low, high, n} in percent at
                     thresholds from elsewhere (see tuning)
            thresholds {"v1": {"30": [one a fold], ...}, "v2": ...}: shares of a map's largest value (of the centred
                     box: sides as shares of the square), of the first split into folds
            gt_known_splits None or {low, high}: the lowest and highest gt_known of single splits
            gt_known (reported v1 at 50), top1_loc, top5_loc: {value, low, high, n} or None for floors
            difference None or {value, low, high, n}: gt_known minus that of the first class map of the first model,
                     the same pictures, in points
            curve    {"thresholds": [...], "v1": {"30": [percent], "50", "70"}, "v2": {...}}, one value a level
        }
        pxap        None without masks, else {value, low, high, n}
        cases       {"best": [...], "worst": [...]}: each {id, index, iou (in steps of 1/255)} at the bound of 50 % (v1)
    notes           [sentences that a reader must know]

Timing and host are not part of it: they stand in the log.
"""

from __future__ import annotations

import json
from typing import Any

from viz.errors import VizError
from viz.files import as_text_bytes

Result = dict[str, Any]


def to_bytes(result: Result) -> bytes:
    """The result as JSON: the same result gives the same bytes.

    Raises:
        VizError: a number in it is not finite.
    """
    try:
        text = json.dumps(result, indent=1, ensure_ascii=False, allow_nan=False)
    except ValueError:
        raise VizError("The result holds a number that is not finite, which JSON cannot hold.") from None
    return as_text_bytes(text + "\n")


def from_bytes(data: bytes) -> Result:
    """The inverse of `to_bytes`.

    Raises:
        VizError: not the result of an evaluation.
    """
    try:
        result = json.loads(data)
    except ValueError:
        raise VizError("The file is no JSON.") from None
    if not isinstance(result, dict) or result.get("kind") != "evaluation" or "rows" not in result:
        raise VizError("The file is not the result of an evaluation.")
    return result
