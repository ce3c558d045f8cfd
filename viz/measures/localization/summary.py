"""The result of an evaluation from its journal, in two passes over the rows: counts, then outcomes at thresholds."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256
from typing import Any

import numpy as np
from numpy.typing import NDArray

from viz.core.map_spec import MapSpec, parse
from viz.core.words import words
from viz.datasets import Dataset
from viz.errors import VizError
from viz.families.family import family_of
from viz.measures.intervals import DRAWS, LEVEL
from viz.measures.jobs.journal import Journal
from viz.measures.localization.described import (
    Setting,
    check_unchanged,
    data_part,
    failures,
    models_part,
    not_finite,
    percent,
    protocol_part,
    tuning_part,
)
from viz.measures.localization.protocol import DELTAS
from viz.measures.localization.results import Result
from viz.measures.localization.scores import SIDES
from viz.measures.localization.tally import (
    MIDDLE,
    PXAP_DRAWS,
    VERSIONS,
    Key,
    Outcomes,
    Shape,
    Tally,
    outcomes,
    pxap_interval,
    tally,
)
from viz.measures.localization.tuning import folds_of, levels_for
from viz.measures.localization.words import notes_of

# Kinds of sources as results name them.
_KINDS = {"cam": "class map", "attribution": "attribution", "baseline": "floor"}

CASES = 6


def summarise(journal: Journal, setting: Setting, versions: Mapping[str, str]) -> Result:
    """The result; see `viz.measures.localization.results` for its form."""
    data = setting.data[0]
    check_unchanged(journal, setting.data)
    groups = [s.group for s in data]
    folds = np.stack([folds_of(groups, setting.sides, split) for split in range(setting.splits)])
    counts = tally(journal.rows(), 0, folds, groups, _shape(setting, setting.sides, setting.splits))
    others: Mapping[Key, Tally] = {}
    if setting.tuning == "split":
        second = setting.data[1]
        others = tally(
            journal.rows(), 1, np.zeros((1, len(second)), np.int64), [s.group for s in second], _shape(setting, 1)
        )
    if not any(found.n.sum() or found.masks for found in counts.values()):
        raise VizError(_nothing(journal, data))
    chosen = {key: _chosen(counts[key], setting, others.get(key)) for key in counts if counts[key].n.sum()}
    steps = {key: _step(setting, key) for key in counts}
    found = outcomes(journal.rows(), folds, chosen, steps)
    reference = _reference(setting, found)
    # A centred box says nothing of pixels: without boxes it has no row.
    measured = [key for key in counts if counts[key].n.sum() or counts[key].masks]
    keys = sorted(measured, key=lambda k: (k[0], _order(setting, k[1])))
    rows = [_row(key, setting, counts[key], found.get(key), chosen.get(key), reference=reference) for key in keys]
    result: Result = {
        "kind": "evaluation",
        "versions": dict(versions),
        "data": data_part(journal, data),
        "tuning": tuning_part(journal, setting),
        "protocol": protocol_part(setting),
        "bootstrap": {
            "level": LEVEL,
            "draws": DRAWS,
            "pxap_draws": PXAP_DRAWS,
            "words": "pictures are drawn again; thresholds stay as chosen",
        },
        "models": models_part(journal, setting),
        "rows": rows,
    }
    lost = not_finite(journal, setting)
    if lost:
        result["not_finite"] = lost
    return result | {"notes": notes_of(result)}


def _shape(setting: Setting, folds: int, splits: int = 1) -> Shape:
    levels, bins = len(setting.options.thresholds.levels), len(setting.options.thresholds.values) + 2
    return Shape(lambda s: len(SIDES) if s == "centre_box" else levels, bins, folds, splits)


def _chosen(counts: Tally, setting: Setting, other: Tally | None) -> NDArray[np.int64]:
    """(splits, versions, deltas, folds) levels; -1 in a split that would choose from no picture at all.

    Raises:
        VizError: the first split would.
    """
    tuning = setting.tuning
    if tuning == "split" and (other is None or not other.n.sum()):
        raise VizError("No sample of the split that thresholds are tuned on has a box and could be read.")
    can = (counts.n.sum(axis=1) - counts.n.max(axis=1) >= 1) | (tuning != "cross-validated")
    if not can[0]:
        raise VizError("Cross-validation needs samples with boxes in at least two folds; use another split for tuning.")
    levels = np.full((len(can), len(VERSIONS), len(DELTAS), counts.n.shape[1]), -1, np.int64)
    for split, v, d in np.ndindex(levels.shape[:3]):
        if can[split]:
            tuned = None if other is None else other.right[0, :, v, d].sum(axis=0)
            levels[split, v, d] = levels_for(counts.right[split, :, v, d], tuning, tuned)
    return levels


def _nothing(journal: Journal, data: Dataset) -> str:
    """Why there is nothing to report."""
    failed = failures(journal, 0)
    if len(failed) == len(data):
        return f"None of the {len(data)} samples could be read; the first: {next(iter(failed.values()))}"
    return "No sample that could be read has a box or a mask."


def _order(setting: Setting, source: str) -> int:
    names = ["centre_box", "centre_gaussian", *(str(s) for s in setting.options.sources)]
    return names.index(source)


def _step(setting: Setting, key: Key) -> int:
    """0-based step of a source of a model."""
    step = parse(key[1]).step
    steps = setting.cards[max(key[0], 0)].steps
    return step - 1 if step > 0 else steps + step


def _reference(setting: Setting, found: Mapping[Key, Outcomes]) -> tuple[Key, dict[int, float]] | None:
    """The first class map of the first model and how often each sample is right by it; others are compared with it."""
    texts = [str(s) for s in setting.options.sources if s.kind == "cam"]
    key = next(((0, t) for t in texts if (0, t) in found), None)
    if key is None:
        return None
    out = found[key]
    return key, {place: float(r[0, MIDDLE]) for place, r in zip(out.place, out.right, strict=True)}


def _difference(
    key: Key, out: Outcomes, reference: tuple[Key, dict[int, float]] | None, data: Dataset
) -> dict[str, Any] | None:
    """In points, over the samples that both have."""
    if reference is None or reference[0] == key:
        return None
    both = [k for k, place in enumerate(out.place) if place in reference[1]]
    gaps = [float(out.right[k][0, MIDDLE]) - reference[1][out.place[k]] for k in both]
    return percent(gaps, [data[out.place[k]].group for k in both]) if both else None


def _row(
    key: Key,
    setting: Setting,
    counts: Tally,
    out: Outcomes | None,
    chosen: NDArray[np.int64] | None,
    *,
    reference: tuple[Key, dict[int, float]] | None,
) -> dict[str, Any]:
    source = parse(key[1])
    head = {
        "model": None if key[0] < 0 else setting.cards[key[0]].name,
        "source": str(source),
        "step": None if key[0] < 0 else _step(setting, key) + 1,
        "kind": _KINDS.get(source.kind, "attention"),
        "title": _title(source, None if key[0] < 0 else setting.cards[key[0]].family),
        "n": int(counts.n[0].sum()),
        "n_masks": counts.masks,
    }
    boxes = None
    cases: dict[str, Any] = {"best": [], "worst": []}
    if out is not None and chosen is not None and out.place:
        boxes = _boxes_part(key, setting, counts, out, chosen=chosen)
        boxes["difference"] = _difference(key, out, reference, setting.data[0])
        cases = _cases(setting.data[0], out)
    return head | {"boxes": boxes, "pxap": pxap_interval(counts), "cases": cases}


def _title(source: MapSpec, family: str | None) -> str:
    own = family_of(family).own
    return f"own attention: {words(own)}" if source.kind == "attention" and own is not None else words(source)


def _boxes_part(
    key: Key, setting: Setting, counts: Tally, out: Outcomes, *, chosen: NDArray[np.int64]
) -> dict[str, Any]:
    groups = [setting.data[0][place].group for place in out.place]
    right = np.array(out.right)  # (N, versions, deltas)
    total = counts.right[0].sum(axis=0)
    n = int(counts.n[0].sum())
    axis = np.array(SIDES) if key[1] == "centre_box" else setting.options.thresholds.levels / 255
    names = [str(d) for d in DELTAS]
    most: dict[str, Any] = {
        v: {d: round(float(total[i, j].max()) * 100 / n, 2) for j, d in enumerate(names)}
        for i, v in enumerate(VERSIONS)
    }
    most["v2_mean"] = round(float(np.mean([total[1, j].max() * 100 / n for j in range(len(DELTAS))])), 2)
    reported: dict[str, Any] = {
        v: {d: percent(right[:, i, j], groups) for j, d in enumerate(names)} for i, v in enumerate(VERSIONS)
    }
    reported["v2_mean"] = percent(right[:, 1].mean(axis=1), groups)
    known = right[:, 0, MIDDLE]
    rank = np.array(out.rank)
    answered = (rank >= 0).all() and key[0] >= 0
    return {
        "max": most,
        "reported": reported,
        "thresholds": {
            v: {d: [round(float(axis[k]), 4) for k in chosen[0, i, j]] for j, d in enumerate(names)}
            for i, v in enumerate(VERSIONS)
        },
        "gt_known": reported["v1"]["50"],
        "gt_known_splits": _over_splits(out, n),
        "top1_loc": percent(known * (rank < 1), groups) if answered else None,
        "top5_loc": percent(known * (rank < 5), groups) if answered else None,
        "curve": {
            "thresholds": [round(float(a), 4) for a in axis],
            **{
                v: {d: [round(float(c) * 100 / n, 2) for c in total[i, j]] for j, d in enumerate(names)}
                for i, v in enumerate(VERSIONS)
            },
        },
    }


def _over_splits(out: Outcomes, n: int) -> dict[str, float] | None:
    """Lowest and highest GT-known of the splits in percent: how much luck there is in one of them."""
    if out.hits is None or np.isfinite(out.hits).sum() < 2:
        return None
    return {
        "low": round(float(np.nanmin(out.hits)) * 100 / n, 2),
        "high": round(float(np.nanmax(out.hits)) * 100 / n, 2),
    }


def _cases(data: Dataset, out: Outcomes) -> dict[str, Any]:
    """The samples with the highest and lowest IoU; which of equal ones is decided by a hash of the name."""
    tie = [sha256(data[p].id.encode("utf-8", "replace")).hexdigest() for p in out.place]
    order = sorted(range(len(out.place)), key=lambda k: (-out.iou[k], tie[k]))
    picked = {"best": order[:CASES], "worst": order[::-1][: min(CASES, max(len(order) - CASES, 0))]}
    return {
        name: [{"id": data[out.place[k]].id, "index": out.place[k], "iou": round(out.iou[k], 3)} for k in ks]
        for name, ks in picked.items()
    }
