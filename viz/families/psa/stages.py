"""PSA: from module to module by depth, and inside each from the pooling weights to the spatial gate."""

from __future__ import annotations

from viz.core.stage import MOST_STAGES, Stage, View
from viz.core.trace import Trace
from viz.families.stages import (
    Found,
    answer_stage,
    at,
    input_stage,
    paths_with,
    prediction,
    span,
    thinned,
    view_stage,
    within,
)


def stages(trace: Trace) -> tuple[Stage, ...]:
    """Input, pooling weights, channel gate, spatial score (and softmax), spatial gate, for every module; the answer.

    Networks with many modules keep the spatial gates alone, thinned evenly.
    """
    paths = paths_with(trace, "spatial_gate")
    steps = range(1, trace.steps + 1)
    stops: list[Stage] = []
    for t in steps:
        for path in paths:
            found, where = at(trace, path, t), within(path, paths)
            if found:
                stops += _module(trace, found, where, path if len(paths) > 1 else "")
        stops.append(answer_stage(trace, t, "answer", "The gated maps go on through the upper layers."))
    if len(stops) <= MOST_STAGES:
        return tuple(stops)
    gates = [f for f in stops[:-1] if f.title.endswith("spatial gate")]
    return (*thinned(gates, MOST_STAGES - 1), stops[-1])


def _module(trace: Trace, found: Found, where: str, path: str) -> list[Stage]:
    lead = f"{path}: " if path else ""
    stops = input_stage(trace, found.get("bottom"), where)
    if pool := found.get("channel_pool"):
        words = (
            f"Pooling weights{where}: how much each place counts in the channel gate. Shown as log2 of share x cells, "
            "{span}; 0 is the even share."
        )
        stops.append(view_stage(trace, pool, "pooling weights", words, "log"))
    if gate := found.get("channel_gate"):
        stops.append(_channel_gate(trace, found, where))
    score = found.get("spatial_score")
    softmax = found.get("spatial_softmax")
    after = "softmax over the places" if softmax else "sigmoid"
    if score:
        words = f"Spatial score{where} before the {after}: {{span}}."
        stops.append(view_stage(trace, score, "spatial score", words))
    if softmax:
        words = f"Softmax of the score{where}, as log2 of share x cells: {{span}}; 0 is the even share."
        stops.append(view_stage(trace, softmax, "spatial softmax", words, "log"))
    gate = found["spatial_gate"]
    words = f"Spatial gate{where}: {{span}}; it rests at 0.5."
    if softmax:
        words += " The sigmoid of a softmax stays within a hair of 0.5: read the softmax before it."
    stops.append(view_stage(trace, gate, "spatial gate", words))
    if not path:
        return stops
    return [Stage(f.step, lead + f.title, f.caption, f.records, f.show) for f in stops]


def _channel_gate(trace: Trace, found: Found, where: str) -> Stage:
    gate, bottom = found["channel_gate"], found.get("bottom")
    said = f"Channel gate{where}: one number a channel ({len(gate.values)}), {span(gate.values)}; it rests at 0.5."
    if bottom is not None and len(bottom.values) == len(gate.values):
        words = f"{said} Shown: the input after this gate, mean over the channels, {{span}}."
        return view_stage(trace, bottom, "channel gate", words, "gated", vector=gate)
    caption = f"{said} A vector has no map; shown is the class map of {prediction(trace, gate.step)}."
    return Stage(gate.step, "channel gate", caption, (gate,), View(vector=gate.name))
