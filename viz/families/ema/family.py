"""EMA as a family."""

from __future__ import annotations

import numpy as np

from viz.core.map_spec import MapSpec
from viz.core.trace import Trace
from viz.families.ema.stages import stages
from viz.families.family import Family, last_record


def figure(trace: Trace) -> list[MapSpec]:
    """The two maps, the mean gate, the gate of the group that varies most."""
    gate = last_record(trace, "group_gate")
    if gate is None:
        return []
    maps = []
    for label in ("cross_map_1", "cross_map_2"):
        if record := last_record(trace, label, gate.path):
            maps.append(MapSpec("mean", record.name, step=record.step))
    widest = int(np.argmax(gate.values.std(axis=(1, 2))))
    mean = MapSpec("mean", gate.name, step=gate.step)
    return [*maps, mean, MapSpec(gate.name, channel=widest, step=gate.step)]


FAMILY = Family("ema", stages, own=MapSpec("mean", "group_gate"), gates=("group_gate",), figure=figure)
