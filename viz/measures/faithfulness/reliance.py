"""Reliance: how the answer changes when a gate is replaced by something that does not know the picture.

Four replacements, from the most to the least outside what the network met in training:

- ``neutral``: the value that makes the network plain, where there is one (of several gates: together);
- ``flat``: the gate's own mean (over places; over channels for a channel gate): how much is kept, where is lost;
- ``mean``: its mean over a set of pictures;
- ``other``: its value for another picture, each of a set in turn, averaged.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from viz.capture.probe import Edit
from viz.errors import ProbeError
from viz.measures.faithfulness.gates import (
    GateBank,
    fixed_edits,
    flat_edits,
    gate_values,
    input_keys,
    neutral_edits,
)
from viz.measures.faithfulness.passes import Passes, log_odds, probability
from viz.measures.faithfulness.results import Row, plain, row

REPLACEMENTS = ("neutral", "flat", "mean", "other")
_MEASURES = ("probability_drop", "log_odds_drop", "best_drop", "top1_kept", "total_variation")


@dataclass(frozen=True)
class Replaced:
    """The answer with gates replaced.

    Attributes:
        gates: labels of the replaced probes. how: one of `REPLACEMENTS`.
        probability, log_odds: of the class, after. best: share of passes whose best class is the class, 0 to 1.
        top1_kept: share of passes whose best class stays, 0 to 1.
        total_variation: half the summed absolute change of all probabilities, 0 to 1.
        passes: how many replacements are averaged. reason: why there is no number, in a sentence; else empty.
        answer: the best class after, where there is one pass.
    """

    gates: tuple[str, ...]
    how: str
    probability: float = math.nan
    log_odds: float = math.nan
    best: float = math.nan
    top1_kept: float = math.nan
    total_variation: float = math.nan
    passes: int = 0
    reason: str = ""
    answer: int | None = None

    @property
    def name(self) -> str:
        """Gates and replacement, as in ``channel_gate+spatial_gate: mean``."""
        return f"{'+'.join(self.gates)}: {self.how}"


@dataclass(frozen=True)
class Reliance:
    """Reliance of one picture's answer on the gates.

    Attributes:
        probability, log_odds: of the class, before. best: 1 where it is the best class, else 0.
        others: which pictures stand for "mean" and "other". replaced: one entry a set of gates and replacement.
    """

    class_index: int
    step: int
    probability: float
    log_odds: float
    best: float
    others: str
    replaced: tuple[Replaced, ...]

    def rows(self) -> list[Row]:
        """Drops (before minus after), and how much of the answer stays; one row a number.

        Where the class is the true one, the mean of ``best_drop`` over a data set is the drop in top-1 accuracy.
        """
        found = []
        for r in self.replaced:
            drops = (self.probability - r.probability, self.log_odds - r.log_odds, self.best - r.best)
            values = (*drops, r.top1_kept, r.total_variation)
            found += [row("reliance", "", r.name, m, v) for m, v in zip(_MEASURES, values, strict=True)]
        return found

    def to_json(self) -> dict[str, Any]:
        """Plain values; what is no number is None."""
        return {"control": "reliance", **plain(self)}


def reliance(
    passes: Passes,
    x: Tensor,
    classes: Tensor,
    *,
    bank: GateBank | None = None,
    probes: Sequence[str] | None = None,
) -> list[Reliance]:
    """Reliance of each picture of a batch.

    Args:
        x: (N, 3, h, w). classes: (N,).
        bank: gates of other pictures; None leaves "mean" and "other" without a number.
        probes: names, labels or globs; None takes the family's gates. Several labels are replaced one by one and all
            together; all modules with a label are replaced at once.

    Raises:
        ProbeError: no gate fires up to the step, or a probe that was asked for does not exist.
    """
    labels, names = _fired(passes, x, probes)
    before = passes.logits(x)
    keys = input_keys(x)
    asked = _Asked(passes, x, classes, before, keys, bank)
    found: list[list[Replaced]] = [[] for _ in keys]
    for group in [*((label,) for label in labels), *([labels] if len(labels) > 1 else [])]:
        chosen = [n for n in names if n.rpartition(".")[2] in group]
        for how in REPLACEMENTS:
            for item, entry in enumerate(_replace(asked, group, chosen, how)):
                found[item].append(entry)
    p, odds = probability(before, classes), log_odds(before, classes)
    return [
        Reliance(
            int(classes[i]),
            passes.step,
            float(p[i]),
            float(odds[i]),
            float(before[i].argmax() == classes[i].to(before.device)),
            bank.label if bank else "",
            tuple(entries),
        )
        for i, entries in enumerate(found)
    ]


def _fired(passes: Passes, x: Tensor, probes: Sequence[str] | None) -> tuple[tuple[str, ...], list[str]]:
    """Labels and full names of the gates that fire; an edit of a silent probe would read as "no reliance"."""
    values = gate_values(passes, x[:1], probes)
    if not values:
        if passes.network.family is None:
            raise ProbeError("This network has no attention module, so there is no gate to replace.")
        raise ProbeError(f"No gate of this network acts up to step {passes.step}; choose a later step.")
    names = list(dict.fromkeys(name for name, _ in values))
    return tuple(dict.fromkeys(n.rpartition(".")[2] for n in names)), names


@dataclass(frozen=True, eq=False)
class _Asked:
    """What all replacements of one call share: `before` are the logits of the pictures as they are."""

    passes: Passes
    x: Tensor
    classes: Tensor
    before: Tensor
    keys: tuple[str, ...]
    bank: GateBank | None


def _replace(asked: _Asked, group: tuple[str, ...], names: Sequence[str], how: str) -> list[Replaced]:
    passes, keys, bank = asked.passes, asked.keys, asked.bank

    def refused(reason: str) -> list[Replaced]:
        return [Replaced(group, how, reason=reason) for _ in keys]

    everyone = [True] * len(keys)
    passing: list[tuple[Mapping[str, Edit], Sequence[bool]]]
    if how == "neutral":
        edits = neutral_edits(passes.network, names)
        if edits is None:
            words = " + ".join(group).replace("_", " ")
            return refused(f"The {words} has no neutral value; its own mean is the nearest test.")
        passing = [(edits, everyone)]
    elif how == "flat":
        passing = [(flat_edits(passes.network, names), everyone)]
    elif bank is None or any(name not in bank.names for name in names):
        return refused("No gates of other pictures were given.")
    elif how == "mean":
        passing = [(fixed_edits(bank.means, names), everyone)]
    else:
        passing = [
            (fixed_edits({k: v[m : m + 1] for k, v in bank.examples.items()}, names), [key != own for own in keys])
            for m, key in enumerate(bank.keys)
        ]
    answers = [(passes.logits(asked.x, edits), use) for edits, use in passing if any(use)]
    return [_averaged(asked, item, answers, group, how) for item in range(len(keys))]


def _averaged(
    asked: _Asked,
    item: int,
    answers: Sequence[tuple[Tensor, Sequence[bool]]],
    group: tuple[str, ...],
    how: str,
) -> Replaced:
    before = asked.before[item]
    used = [logits[item] for logits, use in answers if use[item]]
    if not used:
        return Replaced(group, how, reason="There is no other picture to take the gate from.")
    after = torch.stack(used)
    chosen = asked.classes[item].cpu().expand(len(used))
    change = (after.softmax(dim=1) - before.softmax(dim=0)).abs().sum(dim=1) / 2
    return Replaced(
        group,
        how,
        float(probability(after, chosen).mean()),
        float(log_odds(after, chosen).mean()),
        float((after.argmax(dim=1).cpu() == chosen).double().mean()),
        float((after.argmax(dim=1) == before.argmax()).double().mean()),
        float(change.mean()),
        len(used),
        answer=int(after[0].argmax()) if len(used) == 1 else None,
    )
