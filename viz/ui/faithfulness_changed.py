"""Which answer stands in the place of the old one after a gate was replaced."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch

from viz.attention.probe import Edit
from viz.engine import Model
from viz.faithfulness import GateBank, Report
from viz.faithfulness.gates import fixed_edits, flat_edits, gate_values, neutral_edits
from viz.faithfulness.passes import Passes
from viz.geometry import Mode, prepare
from viz.networks.base import StepNetwork
from viz.picture import Picture


def new_classes(
    model: Model, picture: Picture, report: Report, bank: GateBank | None, geometry: Mode | None
) -> dict[str, str]:
    """The best class after each single replacement that changed it, by the replacement's name."""
    found = report.reliance
    changed = [r for r in found.replaced if r.passes == 1 and r.top1_kept == 0] if found is not None else []
    if not changed:
        return {}
    passes = Passes.of(model, report.step)
    x, _ = prepare(picture, model.card.preprocessing, geometry or model.geometry)
    fired = list(dict.fromkeys(name for name, _ in gate_values(passes, x)))
    out = {}
    for r in changed:
        names = [n for n in fired if n.rpartition(".")[2] in r.gates]
        edits = _edits(model.network, names, r.how, bank)
        if edits:
            with torch.inference_mode():
                best = int(passes.logits(passes.placed(x), edits)[0].argmax())
            out[r.name] = model.head.labels[best]
    return out


def _edits(network: StepNetwork, names: Sequence[str], how: str, bank: GateBank | None) -> Mapping[str, Edit] | None:
    if how == "neutral":
        return neutral_edits(network, names)
    if how == "flat":
        return flat_edits(network, names)
    return fixed_edits(bank.means, names) if how == "mean" and bank is not None else None
