"""Reliance: how the answer changes when a gate is replaced by something independent of the picture.

Four replacements, from the most to the least unlike what the network met in training:

- ``neutral``: the value that makes the network plain, where there is one (for several gates: jointly);
- ``flat``: the gate's own mean (over places; over channels for a channel gate), which keeps its strength alone;
- ``mean``: its mean over a set of pictures;
- ``other``: its value for another picture, averaged over the pictures of a set.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from viz.capture.probe import Edit
from viz.errors import ProbeError
from viz.measures.faithfulness.control import Control
from viz.measures.faithfulness.gates import GateBank, fixed_edits, flat_edits, gate_values, input_keys, neutral_edits
from viz.measures.faithfulness.passes import Passes, log_odds, probability

REPLACEMENTS = ("neutral", "flat", "mean", "other")
# Edits of a pass, and the pictures that it counts for.
Pass = tuple[Mapping[str, Edit], Sequence[bool]]


@dataclass(frozen=True)
class Replaced:
    """The answer with gates replaced.

    Attributes:
        gates: labels of the replaced probes. how: one of `REPLACEMENTS`.
        probability, log_odds: of the class, afterwards. best: share of passes whose best class is the class, 0 to 1.
        top1_kept: share of passes that keep the best class, 0 to 1.
        total_variation: half the summed absolute change of all probabilities, 0 to 1.
        passes: number of replacements in the mean. reason: why the numbers are missing; else empty.
        answer: the best class afterwards, of a single pass.
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
        """Gates and replacement, such as ``channel_gate+spatial_gate: mean``."""
        return f"{'+'.join(self.gates)}: {self.how}"


@dataclass(frozen=True)
class Reliance(Control):
    """Reliance of one picture's answer on the gates.

    Attributes:
        probability, log_odds: of the class, before. best: 1 where it is the best class, else 0.
        others: the pictures of "mean" and "other". replaced: one entry per set of gates and replacement.
    """

    source = ""
    control: str = field(default="reliance", init=False)
    class_index: int
    step: int
    probability: float
    log_odds: float
    best: float
    others: str
    replaced: tuple[Replaced, ...]

    def numbers(self) -> Iterator[tuple[str, str, float]]:
        """Drops (before minus after), and how much of the answer stays.

        Where the class is the true one, the mean of ``best_drop`` over a data set is the drop in top-1 accuracy.
        """
        for r in self.replaced:
            yield r.name, "probability_drop", self.probability - r.probability
            yield r.name, "log_odds_drop", self.log_odds - r.log_odds
            yield r.name, "best_drop", self.best - r.best
            yield r.name, "top1_kept", r.top1_kept
            yield r.name, "total_variation", r.total_variation


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
        bank: gates of other pictures; without it, "mean" and "other" have no numbers.
        probes: names, labels or globs; None takes the family's gates. Several labels are replaced one by one and
            jointly; all modules with a label are replaced at once.

    Raises:
        ProbeError: no gate fires up to the step, or a requested probe does not exist.
    """
    labels, names = _fired(passes, x, probes)
    before = passes.logits(x)
    keys = input_keys(x)
    found: list[list[Replaced]] = [[] for _ in keys]
    for group in [*((label,) for label in labels), *([labels] if len(labels) > 1 else [])]:
        chosen = [n for n in names if n.rpartition(".")[2] in group]
        for how in REPLACEMENTS:
            planned = _planned(passes, keys, bank, chosen, how)
            reason = planned if isinstance(planned, str) else "No other picture is available."
            passing = [] if isinstance(planned, str) else planned
            answers = [(passes.logits(x, edits), counts) for edits, counts in passing if any(counts)]
            for item, entries in enumerate(found):
                used = [logits[item] for logits, counts in answers if counts[item]]
                mean = _averaged(before[item], torch.stack(used), classes[item], group, how) if used else None
                entries.append(mean or Replaced(group, how, reason=reason))
    p, odds = probability(before, classes), log_odds(before, classes)
    best, others = before.argmax(dim=1) == classes.to(before.device), bank.label if bank else ""
    return [
        Reliance(int(classes[i]), passes.step, float(p[i]), float(odds[i]), float(best[i]), others, tuple(entries))
        for i, entries in enumerate(found)
    ]


def _fired(passes: Passes, x: Tensor, probes: Sequence[str] | None) -> tuple[tuple[str, ...], list[str]]:
    """Labels and full names of the gates that fire; editing a silent probe would look like "no reliance"."""
    values = gate_values(passes, x[:1], probes)
    if not values:
        if passes.network.family is None:
            raise ProbeError("This network has no attention module, so it has no gate to replace.")
        raise ProbeError(f"No gate of this network acts up to step {passes.step}; choose a later step.")
    names = list(dict.fromkeys(name for name, _ in values))
    return tuple(dict.fromkeys(n.rpartition(".")[2] for n in names)), names


def _planned(
    passes: Passes,
    keys: tuple[str, ...],
    bank: GateBank | None,
    names: Sequence[str],
    how: str,
) -> list[Pass] | str:
    """The passes of a replacement, or why it cannot be made."""
    everyone = [True] * len(keys)
    if how == "neutral":
        edits = neutral_edits(passes.network, names)
        if edits is None:
            words = " + ".join(dict.fromkeys(n.rpartition(".")[2] for n in names)).replace("_", " ")
            return f"The {words} has no neutral value; its own mean is the closest test."
        return [(edits, everyone)]
    if how == "flat":
        return [(flat_edits(passes.network, names), everyone)]
    if bank is None or any(name not in bank.names for name in names):
        return "No gates of other pictures were given."
    if how == "mean":
        return [(fixed_edits(bank.means, names), everyone)]
    return [
        (fixed_edits({k: v[m : m + 1] for k, v in bank.examples.items()}, names), [key != own for own in keys])
        for m, key in enumerate(bank.keys)
    ]


def _averaged(before: Tensor, after: Tensor, class_index: Tensor, group: tuple[str, ...], how: str) -> Replaced:
    """The mean over passes: logits `before` (classes,) and `after` (passes, classes)."""
    count, best = len(after), after.argmax(dim=1)
    chosen = class_index.cpu().expand(count)
    change = (after.softmax(dim=1) - before.softmax(dim=0)).abs().sum(dim=1) / 2
    values = {
        "probability": probability(after, chosen),
        "log_odds": log_odds(after, chosen),
        "best": (best == chosen).double(),
        "top1_kept": (best == before.argmax()).double(),
        "total_variation": change,
    }
    means: dict[str, Any] = {name: float(v.mean()) for name, v in values.items()}
    return Replaced(group, how, **means, passes=count, answer=int(best[0]) if count == 1 else None)
