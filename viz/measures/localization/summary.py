"""The result of an evaluation from its journal, in two passes over the rows: counts, then samples at thresholds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from hashlib import sha256
from typing import Any

import numpy as np
from numpy.typing import NDArray

from viz.core.card import ModelCard
from viz.core.finite import cause
from viz.core.map_spec import MapSpec, parse
from viz.core.words import words
from viz.errors import ModelError, VizError
from viz.families.family import family_of
from viz.measures.intervals import DRAWS, LEVEL, Bootstrap, Interval, interval
from viz.measures.jobs.journal import Journal
from viz.measures.jobs.rows import MADE_FROM, Read, Row
from viz.measures.localization import results
from viz.measures.localization.notes import NO_THRESHOLD, notes_of, protocol_words, tuning_words
from viz.measures.localization.options import Key, Plan
from viz.measures.localization.protocol import DELTAS, SIZE
from viz.measures.localization.scores import SIDES
from viz.measures.localization.tally import MIDDLE, PXAP_DRAWS, Outcome, Outcomes, Tallies, Tally
from viz.measures.localization.tuning import folds_of, levels_for

CASES = 6
# Kinds of maps as results name them.
_KINDS = {"cam": "class map", "attribution": "attribution", "baseline": "floor"}


def percent(values: Sequence[float] | NDArray[Any], groups: Sequence[str]) -> Interval:
    """Mean and interval of shares, in percent."""
    return interval(np.asarray(values, np.float64) * 100, groups).rounded(2)


def summarise(journal: Journal, plan: Plan, versions: Mapping[str, str]) -> results.Result:
    """The result of all rows.

    Raises:
        VizError: nothing can be reported, or a picture changed between two models.
    """
    folds = np.stack([folds_of(plan.groups, plan.folds, split) for split in range(plan.splits)])
    facts, tallies = Facts(plan), [Tallies(0, folds, plan.groups, plan.options.thresholds)]
    if plan.tuning == "split":
        groups = [s.group for s in plan.data[1]]
        tallies.append(Tallies(1, np.zeros((1, len(groups)), np.int64), groups, plan.options.thresholds))
    for row in journal.rows():
        facts.update(row)
        for one in tallies:
            one.update(row)
    counts, others = tallies[0].found, tallies[-1].found if len(tallies) > 1 else {}
    # A centred box does not rank pixels: it has no row without boxes.
    measured = sorted((key for key, tally in counts.items() if tally.n.sum() or tally.masks), key=plan.place)
    if not measured:
        raise VizError(facts.nothing())
    chosen = {key: _chosen(counts[key], plan, others.get(key)) for key in counts if counts[key].n.sum()}
    outcomes = Outcomes(folds, chosen, {key: plan.step(key) for key in chosen})
    for row in journal.rows():
        outcomes.update(row)
    made = _Rows(plan, counts, outcomes.found, chosen)
    drawn = "pictures are drawn again; thresholds stay as chosen"
    found = results.Result(
        kind="evaluation",
        versions=dict(versions),
        data=facts.data(),
        tuning=facts.tuned(),
        protocol=_protocol(plan),
        bootstrap=Bootstrap(LEVEL, DRAWS, drawn, pxap_draws=PXAP_DRAWS),
        models=facts.networks(),
        rows=tuple(made.row(key) for key in measured),
        not_finite=facts.lost(),
        notes=(),
    )
    return replace(found, notes=notes_of(found))


def _chosen(counts: Tally, plan: Plan, other: Tally | None) -> NDArray[np.int64]:
    """(splits, versions, deltas, folds) levels; -1 in a split that has no picture to choose from.

    Raises:
        VizError: the first split has none.
    """
    tuning = plan.tuning
    if tuning == "split" and (other is None or not other.n.sum()):
        raise VizError("No sample of the split that thresholds are tuned on has a box and could be read.")
    can = (counts.n.sum(axis=1) - counts.n.max(axis=1) >= 1) | (tuning != "cross-validated")
    if not can[0]:
        raise VizError("Cross-validation needs samples with boxes in at least two folds; use another split for tuning.")
    splits, folds, versions, deltas, _ = counts.right.shape
    levels = np.full((splits, versions, deltas, folds), -1, np.int64)
    for split, v, d in np.ndindex(levels.shape[:3]):
        if can[split]:
            tuned = None if other is None else other.right[0, :, v, d].sum(axis=0)
            levels[split, v, d] = levels_for(counts.right[split, :, v, d], tuning, tuned)
    return levels


def _protocol(plan: Plan) -> results.Protocol:
    options = plan.options
    return results.Protocol(
        size=SIZE,
        geometry="squash",
        interval=options.interval,
        thresholds=len(options.thresholds.values),
        levels=len(options.thresholds.levels),
        deltas=DELTAS,
        classes=options.classes,
        precision=options.precision,
        mixed_precision=options.mixed,
        batch=options.batch,
        threads=options.threads,
        device=plan.device.partition(":")[0],
        attribution=options.to_json()["attribution"],
        words=protocol_words(),
    )


class Facts:
    """What the rows hold besides scores: what was read, what was changed, how the models answered."""

    def __init__(self, plan: Plan) -> None:
        self.plan, sizes = plan, [len(one) for one in plan.data]
        self.read = [Read(one.samples) for one in plan.data]
        self.made_from = [np.zeros(n, np.uint64) for n in sizes]
        # Samples with a box beyond the picture's edge, and with an empty mask.
        self.noted: dict[str, set[int]] = {"c": set(), "e": set()}
        # Samples of each model; those whose answer ("") or map is not finite.
        self.measured, self.odd = Counter[int](), Counter[tuple[int, str]]()
        # -1 where a sample has no class, or could not be read.
        self.ranks = [np.full((sizes[0], card.steps), -1, np.int32) for card in plan.cards]
        self.unions = [np.full((sizes[0], 2, 2), -1, np.int8) for _ in plan.cards]

    def update(self, row: Row) -> None:
        """Add a row.

        Raises:
            VizError: a picture, its mask or its annotation differs from another model's row.
        """
        d, place, m = int(row["d"]), int(row["i"]), int(row["m"])
        self.read[d].update(row)
        if "failed" in row:
            return
        digest = np.uint64(int(row[MADE_FROM][:16], 16))
        if self.made_from[d][place] not in (0, digest):
            name = self.plan.data[d][place].id
            raise VizError(f"{name} or its mask changed during the run; run the same command again.")
        self.made_from[d][place] = digest
        if d:
            return
        for note, places in self.noted.items():
            places |= {place} if note in row else set()
        self.measured[m] += 1
        self.odd.update((m, name) for name in row.get("nf", ()))
        if "rank" in row:
            self.ranks[m][place] = row["rank"]
            self.unions[m][place] = row.get("union", -1)

    def nothing(self) -> str:
        """Why there is nothing to report."""
        failed, count = self.read[0].failed, len(self.plan.data[0])
        if len(failed) == count:
            return f"None of the {count} samples could be read; the first: {next(iter(failed.values()))}"
        return "No sample that could be read has a box or a mask."

    def data(self) -> results.Data:
        """The reported data set."""
        data, read = self.plan.data[0], self.read[0]
        good = [s for place, s in enumerate(data) if place not in read.failed]
        return results.Data(
            name=data.name,
            layout=data.layout,
            split=data.split,
            fingerprint=data.fingerprint,
            samples=len(data),
            chosen_of=data.whole,
            pictures=data.pictures,
            far_edge=data.far_edge,
            picture_bytes=read.digest(),
            index_problems=data.counts,
            problems=tuple({"id": p.id, "kind": p.kind, "message": p.message} for p in data.problems),
            failed_count=len(read.failed),
            failed=tuple({"id": name, "reason": reason} for name, reason in read.listed()),
            boxes_cut=len(self.noted["c"]),
            empty_masks=len(self.noted["e"]),
            without_class=sum(s.class_index is None for s in good),
            without_boxes=sum(not s.boxes for s in good),
            with_masks=sum(s.mask is not None for s in good),
        )

    def tuned(self) -> results.Tuned:
        """How thresholds were chosen."""
        s = self.plan
        numbers = (s.folds, s.splits) if s.tuning == "cross-validated" else (None, None)
        other: tuple[Any, ...] = (None,) * 4
        if s.tuning == "split":
            second = s.data[1]
            other = (second.split, second.fingerprint, len(second), len(self.read[1].failed))
        boxed = any(sample.boxes for sample in s.data[0])
        sentence = tuning_words(s.tuning, s.folds, other[0], s.splits) if boxed else NO_THRESHOLD
        return results.Tuned(s.tuning, sentence, *numbers, *other)

    def lost(self) -> tuple[results.Lost, ...]:
        """Number of samples of the reported data with a non-finite answer or map, by model.

        Raises:
            ModelError: no answer of a model is finite, so nothing can be reported of it.
        """
        options, cards = self.plan.options, self.plan.cards
        for m, count in sorted(self.measured.items()):
            if self.odd[m, ""] == count:
                why = cause(options.mixed or options.precision)
                raise ModelError(f"The answer of {cards[m].name} is not finite on any of {count} samples. {why}")
        order = ["", *(str(s) for s in options.sources)]
        keys = sorted((k for k in self.odd if self.odd[k]), key=lambda k: (k[0], order.index(k[1])))
        return tuple(results.Lost(cards[m].name, name or None, self.odd[m, name]) for m, name in keys)

    def networks(self) -> tuple[results.Network, ...]:
        """Classification of every model, step by step, and the union over steps."""
        found = zip(self.plan.cards, self.ranks, self.unions, strict=True)
        return tuple(network_part(*one, self.plan.groups) for one in found)


def network_part(card: ModelCard, ranks: NDArray[Any], unions: NDArray[Any], groups: Sequence[str]) -> results.Network:
    """One model's part of the result."""
    places = np.flatnonzero(ranks[:, 0] >= 0).tolist()
    pictures = [groups[p] for p in places]
    classification = tuple(
        results.StepTop(t + 1, *(percent(ranks[places, t] < k, pictures) for k in (1, 5))) for t in range(card.steps)
    )
    union: Any = {
        name: {f"top{k}": percent(unions[places, i, j], pictures) for j, k in enumerate((1, 5))}
        for i, name in enumerate(("unfiltered", "filtered"))
    }
    steps = card.steps
    return results.Network(card.name, card.sha256, card.family, steps, classification, union if steps > 1 else None)


@dataclass(frozen=True)
class _Rows:
    """Makes the rows of a result; `found` are the samples at the `chosen` levels."""

    plan: Plan
    counts: Mapping[Key, Tally]
    found: Mapping[Key, Outcome]
    chosen: Mapping[Key, NDArray[np.int64]]

    @cached_property
    def reference(self) -> Key | None:
        """The first class map of the first model, with which others are compared."""
        keys = ((0, str(s)) for s in self.plan.options.sources if s.kind == "cam")
        return next((key for key in keys if key in self.found), None)

    def row(self, key: Key) -> results.Row:
        """One row."""
        source, counts = parse(key[1]), self.counts[key]
        card = None if key[0] < 0 else self.plan.cards[key[0]]
        has_boxes = key in self.found and len(self.found[key].places) > 0
        return results.Row(
            model=card.name if card else None,
            source=str(source),
            step=self.plan.step(key) + 1 if card else None,
            kind=_KINDS.get(source.kind, "attention"),
            title=_title(source, card.family if card else None),
            n=int(counts.n[0].sum()),
            n_masks=counts.masks,
            boxes=self._boxes(key) if has_boxes else None,
            pxap=counts.pxap(),
            cases=self._cases(self.found[key]) if has_boxes else {"best": (), "worst": ()},
        )

    def _percent(self, values: NDArray[Any], places: NDArray[np.int64]) -> Interval:
        return percent(values, [self.plan.groups[place] for place in places])

    def _difference(self, key: Key) -> Interval | None:
        """Difference from the reference in points, over the samples that both have."""
        if self.reference is None or self.reference == key:
            return None
        gaps = self.found[key].right[:, 0, MIDDLE] - self.found[self.reference].right[:, 0, MIDDLE]
        both = np.flatnonzero(np.isfinite(gaps))
        return self._percent(gaps[both], both) if len(both) else None

    def _boxes(self, key: Key) -> results.Boxes:
        out, chosen, counts = self.found[key], self.chosen[key], self.counts[key]
        places, n = out.places, int(counts.n[0].sum())
        right, rank = out.right[places], out.rank[places]
        shares = counts.right[0].sum(axis=0) * 100 / n  # (versions, deltas, L)
        axis = np.array(SIDES) if key[1] == "centre_box" else self.plan.options.thresholds.levels / 255
        deltas = list(enumerate(results.NAMES))
        most = [{d: round(float(shares[v, j].max()), 2) for j, d in deltas} for v in (0, 1)]
        reported = [{d: self._percent(right[:, v, j], places) for j, d in deltas} for v in (0, 1)]
        levels = [{d: tuple(round(float(axis[k]), 4) for k in chosen[0, v, j]) for j, d in deltas} for v in (0, 1)]
        curve = [{d: tuple(round(float(c), 2) for c in shares[v, j]) for j, d in deltas} for v in (0, 1)]
        known = right[:, 0, MIDDLE]
        answered = (rank >= 0).all() and key[0] >= 0
        return results.Boxes(
            max=results.Most(most[0], most[1], round(float(np.mean(shares[1].max(axis=1))), 2)),
            reported=results.Reported(reported[0], reported[1], self._percent(right[:, 1].mean(axis=1), places)),
            thresholds={"v1": levels[0], "v2": levels[1]},
            gt_known=reported[0]["50"],
            gt_known_splits=_over_splits(out, n),
            top1_loc=self._percent(known * (rank < 1), places) if answered else None,
            top5_loc=self._percent(known * (rank < 5), places) if answered else None,
            curve=results.Curve(tuple(round(float(a), 4) for a in axis), *curve),
            difference=self._difference(key),
        )

    def _cases(self, out: Outcome) -> dict[Any, tuple[results.Case, ...]]:
        """The samples with the highest and the lowest IoU; a hash of the name breaks ties."""
        data = self.plan.data[0]
        tie = {p: sha256(data[p].id.encode("utf-8", "replace")).hexdigest() for p in out.places.tolist()}
        order = sorted(tie, key=lambda p: (-out.iou[p], tie[p]))
        picked = {"best": order[:CASES], "worst": order[::-1][: min(CASES, max(len(order) - CASES, 0))]}
        return {
            name: tuple(results.Case(data[p].id, p, round(float(out.iou[p]), 3)) for p in places)
            for name, places in picked.items()
        }


def _title(source: MapSpec, family: str | None) -> str:
    own = family_of(family).own
    return f"own attention: {words(own)}" if source.kind == "attention" and own is not None else words(source)


def _over_splits(out: Outcome, n: int) -> dict[Any, float] | None:
    """Lowest and highest GT-known of the splits in percent, which shows how much depends on chance."""
    if np.isfinite(out.hits).sum() < 2:
        return None
    ends = {"low": np.nanmin(out.hits), "high": np.nanmax(out.hits)}
    return {name: round(float(value) * 100 / n, 2) for name, value in ends.items()}
