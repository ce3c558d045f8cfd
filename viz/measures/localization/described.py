"""What an evaluation was made of, as parts of its result: data, tuning, protocol, models."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import numpy as np
from numpy.typing import NDArray

from viz.core.card import ModelCard
from viz.core.finite import cause
from viz.datasets import Dataset
from viz.errors import ModelError, VizError
from viz.measures.intervals import interval
from viz.measures.jobs.journal import Journal
from viz.measures.localization.options import Options
from viz.measures.localization.proof import MADE_FROM
from viz.measures.localization.protocol import DELTAS, SIZE
from viz.measures.localization.tuning import SPLITS, Tuning
from viz.measures.localization.words import NO_THRESHOLD, protocol_words, tuning_words

MOST_FAILED = 100


@dataclass(frozen=True)
class Setting:
    """What an evaluation was made of.

    Attributes:
        cards: of the models, in order. data: the data set that is reported, then that for tuning, if any.
        tuning: how thresholds are chosen. folds: of the cross-validation. repeats: of it, each with other folds.
        device: kind of device of the networks.
    """

    cards: tuple[ModelCard, ...]
    data: tuple[Dataset, ...]
    options: Options
    tuning: Tuning
    folds: int = 5
    device: str = "cpu"
    repeats: int = SPLITS

    @property
    def splits(self) -> int:
        """Splits into folds that numbers are the mean over."""
        return self.repeats if self.tuning == "cross-validated" else 1

    @property
    def sides(self) -> int:
        """Folds that thresholds are chosen in."""
        return self.folds if self.tuning == "cross-validated" else 1


def percent(values: Sequence[float] | NDArray[Any], groups: list[str]) -> dict[str, Any]:
    return interval(np.asarray(values, np.float64) * 100, groups).to_dict(2)


def data_part(journal: Journal, data: Dataset) -> dict[str, Any]:
    failed, digests = failures(journal, 0), picture_digests(journal, data)
    listed = [{"id": data[i].id, "reason": failed[i]} for i in sorted(failed)[:MOST_FAILED]]
    good = [s for place, s in enumerate(data) if place not in failed]
    return {
        "name": data.name,
        "layout": data.layout,
        "split": data.split,
        "fingerprint": data.fingerprint,
        "samples": len(data),
        "chosen_of": data.whole,
        "pictures": data.pictures,
        "far_edge": data.far_edge,
        "picture_bytes": digest_of(digests),
        "index_problems": data.counts,
        "problems": [{"id": p.id, "kind": p.kind, "message": p.message} for p in data.problems],
        "failed_count": len(failed),
        "failed": listed,
        "boxes_cut": _noted(journal, "c"),
        "empty_masks": _noted(journal, "e"),
        "without_class": sum(s.class_index is None for s in good),
        "without_boxes": sum(not s.boxes for s in good),
        "with_masks": sum(s.mask is not None for s in good),
    }


def _noted(journal: Journal, key: str) -> int:
    """Samples of the reported data whose rows carry a note."""
    return len({row["i"] for row in journal.rows() if row["d"] == 0 and key in row})


def failures(journal: Journal, data: int) -> dict[int, str]:
    """Why samples of a data set could not be read, by position."""
    return {int(row["i"]): row["failed"] for row in journal.rows() if row["d"] == data and "failed" in row}


def picture_digests(journal: Journal, data: Dataset) -> NDArray[np.uint64]:
    """The first bytes of the sha256 of every picture that was read (0 where none was)."""
    found = np.zeros(len(data), np.uint64)
    for row in journal.rows():
        if row["d"] == 0 and "h" in row:
            found[int(row["i"])] = int(row["h"], 16)
    return found


def check_unchanged(journal: Journal, data: Sequence[Dataset]) -> None:
    """Every sample was the same for every model.

    Raises:
        VizError: a picture, its mask or its annotation was another for one model than for another.
    """
    found = [np.zeros(len(one), np.uint64) for one in data]
    for row in journal.rows():
        if MADE_FROM not in row:
            continue
        seen, place, value = found[row["d"]], int(row["i"]), np.uint64(int(row[MADE_FROM][:16], 16))
        if seen[place] not in (0, value):
            name = data[row["d"]][place].id
            raise VizError(f"{name} or its mask changed while the run was at work; run the same command again.")
        seen[place] = value


def digest_of(digests: NDArray[np.uint64]) -> str:
    """sha256 of the pictures' own digests, in order: the same pictures give the same."""
    return sha256(digests.astype("<u8").tobytes()).hexdigest()


def not_finite(journal: Journal, setting: Setting) -> list[dict[str, Any]]:
    """How many samples of the reported data had an answer (source None) or a map that is not finite, by model.

    Raises:
        ModelError: a model has no finite answer at all, so nothing of it can be reported.
    """
    counts: Counter[tuple[int, str]] = Counter()
    measured: Counter[int] = Counter()
    for row in journal.rows():
        if row["d"] == 0 and "failed" not in row:
            measured[row["m"]] += 1
            counts.update((row["m"], name) for name in row.get("nf", ()))
    precision = setting.options.mixed or setting.options.precision
    for m, count in sorted(measured.items()):
        if counts[m, ""] == count:
            name = setting.cards[m].name
            raise ModelError(f"The answer of {name} is not finite on any of {count} samples. {cause(precision)}")
    order = ["", *(str(s) for s in setting.options.sources)]
    return [
        {"model": setting.cards[m].name, "source": name or None, "samples": counts[m, name]}
        for m, name in sorted(counts, key=lambda k: (k[0], order.index(k[1])))
    ]


def tuning_part(journal: Journal, setting: Setting) -> dict[str, Any]:
    split = setting.tuning == "split"
    second = setting.data[1] if split else None
    return {
        "mode": setting.tuning,
        "words": tuning_words(setting.tuning, setting.folds, None if second is None else second.split, setting.splits)
        if any(s.boxes for s in setting.data[0])
        else NO_THRESHOLD,
        "folds": setting.folds if setting.tuning == "cross-validated" else None,
        "splits": setting.splits if setting.tuning == "cross-validated" else None,
        "split": None if second is None else second.split,
        "fingerprint": None if second is None else second.fingerprint,
        "samples": None if second is None else len(second),
        "failed_count": None if second is None else len(failures(journal, 1)),
    }


def protocol_part(setting: Setting) -> dict[str, Any]:
    options = setting.options
    return {
        "size": SIZE,
        "geometry": "squash",
        "interval": options.interval,
        "thresholds": len(options.thresholds.values),
        "levels": len(options.thresholds.levels),
        "deltas": list(DELTAS),
        "classes": options.classes,
        "precision": options.precision,
        "mixed_precision": options.mixed,
        "batch": options.batch,
        "threads": options.threads,
        "device": setting.device,
        "attribution": options.to_json()["attribution"],
        "words": protocol_words(),
    }


def models_part(journal: Journal, setting: Setting) -> list[dict[str, Any]]:
    """Classification of every model, step by step, and the union over steps."""
    groups = [s.group for s in setting.data[0]]
    # -1 where a sample has no class, or could not be read.
    ranks = [np.full((len(groups), card.steps), -1, np.int32) for card in setting.cards]
    unions = [np.full((len(groups), 2, 2), -1, np.int8) for _ in setting.cards]
    for row in journal.rows():
        if row["d"] == 0 and "rank" in row:
            ranks[row["m"]][row["i"]] = row["rank"]
            unions[row["m"]][row["i"]] = row.get("union", -1)
    return [_model_part(*found, groups) for found in zip(setting.cards, ranks, unions, strict=True)]


def _model_part(card: ModelCard, ranks: NDArray[Any], unions: NDArray[Any], groups: list[str]) -> dict[str, Any]:
    places = np.flatnonzero(ranks[:, 0] >= 0)
    mine = [groups[p] for p in places]
    union = {
        name: {f"top{k}": percent(unions[places, i, j], mine) for j, k in enumerate((1, 5))}
        for i, name in enumerate(("unfiltered", "filtered"))
    }
    return {
        "name": card.name,
        "sha256": card.sha256,
        "family": card.family,
        "steps": card.steps,
        "classification": [
            {"step": t + 1, **{f"top{k}": percent(ranks[places, t] < k, mine) for k in (1, 5)}}
            for t in range(card.steps)
        ],
        "union": union if card.steps > 1 else None,
    }
