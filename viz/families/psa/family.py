"""PSA as a family: module by module, from the pooling weights to the spatial gate."""

from __future__ import annotations

from viz.core.map_spec import MapSpec
from viz.core.stage import Stage, View
from viz.core.trace import Trace
from viz.families.family import Family
from viz.families.stages import Found, input_stage, last_maps, last_record, module_stages, span, view_stage


def stages(trace: Trace) -> tuple[Stage, ...]:
    """Input, pooling weights, channel gate, spatial score (and softmax), spatial gate of each module; the answer."""
    return module_stages(trace, "spatial_gate", _module)


def _module(trace: Trace, found: Found, where: str) -> list[Stage]:
    stops = input_stage(trace, found.get("bottom"), where)
    if pool := found.get("channel_pool"):
        words = (
            f"Pooling weights{where}: how much each position counts in the channel gate. Shown as log2 of share x "
            "cells, {span}; 0 is the even share."
        )
        stops.append(view_stage(trace, pool, "pooling weights", words, "log"))
    if "channel_gate" in found:
        stops.append(_channel_gate(trace, found, where))
    softmax = found.get("spatial_softmax")
    if score := found.get("spatial_score"):
        after = "softmax over the positions" if softmax else "sigmoid"
        words = f"Spatial score{where} before the {after}: {{span}}."
        stops.append(view_stage(trace, score, "spatial score", words))
    if softmax:
        words = f"Softmax of the score{where}, as log2 of share x cells: {{span}}; 0 is the even share."
        stops.append(view_stage(trace, softmax, "spatial softmax", words, "log"))
    words = f"Spatial gate{where}: {{span}}; it rests at 0.5."
    if softmax:
        words += " The sigmoid of a softmax stays within a hair of 0.5: read the softmax before it."
    return [*stops, view_stage(trace, found["spatial_gate"], "spatial gate", words)]


def _channel_gate(trace: Trace, found: Found, where: str) -> Stage:
    gate, bottom = found["channel_gate"], found.get("bottom")
    text = f"Channel gate{where}: one value per channel ({len(gate.values)}), {span(gate.values)}; it rests at 0.5."
    if bottom is not None and len(bottom.values) == len(gate.values):
        words = f"{text} Shown: the input after this gate, mean over the channels, {{span}}."
        return view_stage(trace, bottom, "channel gate", words, "gated", vector=gate)
    caption = f"{text} A vector has no map. Shown: class map of {trace.output.says(gate.step)}."
    return Stage(gate.step, "channel gate", caption, (gate,), View(vector=gate.name))


def figure(trace: Trace) -> list[MapSpec]:
    """Pooling weights, channel gate, spatial score (or log softmax) and spatial gate of the last module."""
    gate = last_record(trace, "spatial_gate")
    if gate is None:
        return []
    softmax = last_record(trace, "spatial_softmax", gate.path)
    before = ("spatial_softmax", "log") if softmax else ("spatial_score", None)
    return last_maps(trace, gate.path, ("channel_pool", "log"), ("channel_gate", None), before, ("spatial_gate", None))


FAMILY = Family("psa", stages, own=MapSpec("spatial_gate"), gates=("channel_gate", "spatial_gate"), figure=figure)
