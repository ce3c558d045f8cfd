"""PSA as a family."""

from __future__ import annotations

from viz.core.map_spec import MapSpec
from viz.core.trace import Trace
from viz.families.family import Family, last_record
from viz.families.psa.stages import stages


def figure(trace: Trace) -> list[MapSpec]:
    """Pooling weights, channel gate, spatial score (or log softmax) and spatial gate of the last module."""
    gate = last_record(trace, "spatial_gate")
    if gate is None:
        return []
    maps = []
    if pool := last_record(trace, "channel_pool", gate.path):
        maps.append(MapSpec("log", pool.name, step=pool.step))
    if channels := last_record(trace, "channel_gate", gate.path):
        maps.append(MapSpec(channels.name, step=channels.step))
    if softmax := last_record(trace, "spatial_softmax", gate.path):
        maps.append(MapSpec("log", softmax.name, step=softmax.step))
    elif score := last_record(trace, "spatial_score", gate.path):
        maps.append(MapSpec(score.name, step=score.step))
    return [*maps, MapSpec(gate.name, step=gate.step)]


FAMILY = Family("psa", stages, own=MapSpec("spatial_gate"), gates=("channel_gate", "spatial_gate"), figure=figure)
