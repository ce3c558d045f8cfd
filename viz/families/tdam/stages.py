"""TDAM: one stop for each computation step."""

from __future__ import annotations

from viz.core.stage import Stage
from viz.core.trace import Trace
from viz.families.stages import prediction, span


def _factor(trace: Trace, step: int) -> str:
    """What multiplies the map where that is not the gate itself: our own network divides a gate by its mean."""
    gates = [r.values for r in trace.records if r.label == "spatial_gate" and r.step == step]
    if trace.card.network != "lite0_tdam" or not gates:
        return ""
    return f" The map is multiplied by the spatial gate over its mean: {span(gates[-1] / gates[-1].mean())}."


def stages(trace: Trace) -> tuple[Stage, ...]:
    """TDAM: step 1 has no top-down signal; step t uses the searchlight made from the result of step t - 1."""
    last_stage_only = trace.card.network == "td_resnet"
    stops = []
    for t in range(1, trace.steps + 1):
        records = tuple(r for r in trace.records if r.step == t)
        said = prediction(trace, t)
        if t == 1:
            where = "the last stage" if last_stage_only else "this result"
            caption = f"Step 1: no top-down signal reaches {where}. It says {said}."
        else:
            caption = (
                f"Step {t}: the result of step {t - 1} makes a searchlight, the searchlight gates the input of the "
                f"upper layers, and they answer again. It says {said}.{_factor(trace, t)}"
            )
        stops.append(Stage(t, f"step {t}", caption, records))
    return tuple(stops)
