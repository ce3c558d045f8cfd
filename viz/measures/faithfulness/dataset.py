"""The controls over many pictures: rows of plain numbers for each, and their means with bootstrap intervals."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from viz.core.finite import check_answer
from viz.environment import plain_torch
from viz.errors import VizError
from viz.measures.faithfulness.gates import GateBank, gate_values
from viz.measures.faithfulness.passes import Passes, log_odds, probability
from viz.measures.faithfulness.randomisation import randomisation
from viz.measures.faithfulness.reliance import reliance
from viz.measures.faithfulness.report import CURVES, PARTS, QUICK, Options, Part, curves_of, source_for, stability_of
from viz.measures.faithfulness.results import Row, plain, row
from viz.measures.faithfulness.sources import Source
from viz.measures.intervals import interval

if TYPE_CHECKING:
    from viz.run.engine import Model

KEY = ("control", "source", "variant", "measure")


@dataclass(frozen=True)
class Summary:
    """Mean of one measure over pictures with its 95 % bootstrap interval.

    `n` pictures' values are in it; `missing` are those without a number (a map that orders nothing, say); NaN where
    there is none at all.
    """

    control: str
    source: str
    variant: str
    measure: str
    mean: float
    low: float
    high: float
    n: int
    missing: int

    def to_json(self) -> dict[str, Any]:
        """Plain values; what is no number is None."""
        found: dict[str, Any] = plain(self)
        return found


@plain_torch()
def measure(
    model: Model,
    x: Tensor,
    classes: Tensor | None = None,
    options: Options = QUICK,
    *,
    sources: Sequence[str | Source] = ("cam",),
    controls: Sequence[Part] = PARTS,
    step: int = -1,
    bank: GateBank | None = None,
) -> list[Row]:
    """All controls on a batch of prepared inputs.

    Args:
        x: (N, 3, h, w), as `viz.geometry.prepare` gives them. classes: (N,), default the network's best of the step.
        sources: which maps. controls: which parts; reliance is left out where the network has no gate.
        bank: gates of other pictures, for reliance.

    Returns:
        Rows of ``item`` (0 .. N - 1), ``control``, ``source``, ``variant``, ``measure``, ``value`` (NaN where there is
        no number). The control ``network`` is the answer on the whole picture.

    Raises:
        VizError and its kinds: one sentence each.
    """
    strange = [c for c in controls if c not in PARTS]
    if strange:
        raise VizError(f"The controls are {', '.join(PARTS)}; there is no {str(strange[0])[:40]!r}.")
    passes = Passes.of(model, step, options.batch)
    logits = passes.logits(x)
    check_answer(logits.numpy(), model.card.name, str(model.dtype).removeprefix("torch."))
    classes = logits.argmax(dim=1) if classes is None else classes.cpu()
    asked = [source_for(model, s, passes.step, options) for s in sources]
    found: list[list[Row]] = [_answer(logits, classes, i) for i in range(len(x))]
    if "reliance" in controls:
        _add(found, _relied(passes, x, classes, options, bank))
    if any(c in CURVES for c in controls):
        maps = [_maps(passes, s, x, classes) for s in asked]
        for i, rows in enumerate(found):
            own = {s.name: m[i] for s, m in zip(asked, maps, strict=True)}
            for part in (c for c in CURVES if c in controls):
                for curve in curves_of(passes, x[i : i + 1], int(classes[i]), own, part=part, options=options):
                    rows += curve.rows()
    if "randomisation" in controls:
        for of_source in randomisation(
            passes, x, classes, asked, modes=options.modes, how=options.how, seed=options.seed
        ):
            _add(found, [made.rows() for made in of_source])
    if "stability" in controls:
        for i, rows in enumerate(found):
            for stable in stability_of(model, passes, x[i : i + 1], int(classes[i]), sources=asked, options=options):
                rows += stable.rows()
    return [{"item": i, **r} for i, rows in enumerate(found) for r in rows]


def _add(found: list[list[Row]], more: Sequence[list[Row]]) -> None:
    for rows, own in zip(found, more, strict=True):
        rows += own


def _relied(passes: Passes, x: Tensor, classes: Tensor, options: Options, bank: GateBank | None) -> list[list[Row]]:
    """Rows of reliance; none where there is no gate up to the step (plain networks, a first step without attention)."""
    if options.probes is None and not gate_values(passes, x[:1]):
        return [[] for _ in x]
    return [r.rows() for r in reliance(passes, x, classes, bank=bank, probes=options.probes)]


def _answer(logits: Tensor, classes: Tensor, item: int) -> list[Row]:
    one, of = logits[item : item + 1], classes[item : item + 1]
    return [
        row("network", "", "", "probability", float(probability(one, of)[0])),
        row("network", "", "", "log_odds", float(log_odds(one, of)[0])),
        row("network", "", "", "best", float(one.argmax() == of[0])),
    ]


def _maps(passes: Passes, source: Source, x: Tensor, classes: Tensor) -> Tensor:
    found = []
    for part, of in zip(torch.split(x, passes.batch), torch.split(classes, passes.batch), strict=True):
        with passes.alone():
            found.append(source(passes.network, passes.placed(part), of))
    return torch.cat(found)


def summarise(rows: Iterable[Mapping[str, Any]], *, group: str = "item") -> list[Summary]:
    """Mean and interval of every measure, in the order of first appearance.

    Args:
        rows: as `measure` gives them; a value of None or NaN counts as missing.
        group: which entry names the picture: pictures are drawn again, not rows.
    """
    values: dict[tuple[str, ...], list[float]] = {}
    groups: dict[tuple[str, ...], list[str]] = {}
    for r in rows:
        key = tuple(str(r[k]) for k in KEY)
        value = r["value"]
        values.setdefault(key, []).append(math.nan if value is None else float(value))
        groups.setdefault(key, []).append(str(r[group]))
    out = []
    for key, found in values.items():
        made = interval(found, groups[key])
        out.append(
            Summary(key[0], key[1], key[2], key[3], made.value, made.low, made.high, made.n, len(found) - made.n)
        )
    return out
