"""TDAM as a family: one stage per computation step."""

from __future__ import annotations

from viz.core.map_spec import MapSpec
from viz.core.stage import Stage
from viz.core.trace import Trace
from viz.families.family import Family
from viz.families.stages import span


def _factor(trace: Trace, step: int) -> str:
    """The factor on the features where it is not the gate itself: our own network divides a gate by its mean."""
    gates = [r.values for r in trace.records if r.label == "spatial_gate" and r.step == step]
    if trace.card.network != "lite0_tdam" or not gates:
        return ""
    return f" The features are multiplied by the spatial gate over its mean: {span(gates[-1] / gates[-1].mean())}."


def stages(trace: Trace) -> tuple[Stage, ...]:
    """Step 1 has no top-down signal; step t uses the searchlight made from the result of step t - 1."""
    last_stage_only = trace.card.network == "td_resnet"
    stops = []
    for t in range(1, trace.steps + 1):
        records = tuple(r for r in trace.records if r.step == t)
        prediction = f"Prediction: {trace.output.says(t)}."
        if t == 1:
            where = "the last stage" if last_stage_only else "this result"
            caption = f"Step 1: no top-down signal reaches {where}. {prediction}"
        else:
            caption = (
                f"Step {t}: the result of step {t - 1} makes a searchlight, which gates the input of the upper layers; "
                f"these run again. {prediction}{_factor(trace, t)}"
            )
        stops.append(Stage(t, f"step {t}", caption, records))
    return tuple(stops)


FAMILY = Family(
    "tdam",
    stages,
    own=MapSpec("spatial_gate"),
    gates=("spatial_gate",),
    optional_gates=("channel_gate",),
    first_value="first searchlight",
    missing="No searchlight at this step: it starts after the first pass.",
)
