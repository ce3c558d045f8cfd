"""PAKA as a family."""

from __future__ import annotations

from viz.core.map_spec import MapSpec
from viz.core.trace import Trace
from viz.families.family import Family
from viz.families.paka.stages import KERNEL, module_title, stages


def figure(trace: Trace) -> list[MapSpec]:
    """Each level's departure from plain convolution, and the directions of the last."""
    levels = [r for r in trace.records if r.label == KERNEL]
    shown = levels if len(levels) <= 4 else [levels[0], levels[len(levels) // 2], levels[-1]]
    maps = [MapSpec("departure", r.name, step=r.step) for r in shown]
    if levels:
        maps.append(MapSpec("directions", levels[-1].name, step=levels[-1].step))
    return maps


FAMILY = Family(
    "paka",
    stages,
    own=MapSpec("mean", KERNEL),
    # The two logits whose sum makes the kernel attention.
    gates=("channel_logits", "tap_logits"),
    figure=figure,
    module_title=module_title,
)
