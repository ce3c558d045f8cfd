"""The controls over a batch of pictures: rows of plain numbers for each. Their means: see `set_result`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from torch import Tensor

from viz.core.finite import check_answer
from viz.environment import plain_torch
from viz.errors import VizError
from viz.measures.faithfulness.gates import GateBank, gate_values
from viz.measures.faithfulness.passes import Passes, log_odds, probability
from viz.measures.faithfulness.report import PARTS, QUICK, Controls, Options, Part, source_for
from viz.measures.faithfulness.results import Row, row
from viz.measures.faithfulness.sources import Source

if TYPE_CHECKING:
    from viz.run.engine import Model


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
    made = Controls(model, passes, x, classes, asked, options, bank)
    found: list[list[Row]] = [_answer(logits, classes, i) for i in range(len(x))]
    for part in (p for p in PARTS if p in controls):
        # There is no gate in plain networks, nor at step 1 of TDAM.
        if part == "reliance" and options.probes is None and not gate_values(passes, x[:1]):
            continue
        for rows, results in zip(found, made.of(part), strict=True):
            rows += [r for result in results for r in result.rows()]
    return [{"item": i, **r} for i, rows in enumerate(found) for r in rows]


def _answer(logits: Tensor, classes: Tensor, item: int) -> list[Row]:
    one, of = logits[item : item + 1], classes[item : item + 1]
    return [
        row("network", "", "", "probability", float(probability(one, of)[0])),
        row("network", "", "", "log_odds", float(log_odds(one, of)[0])),
        row("network", "", "", "best", float(one.argmax() == of[0])),
    ]
