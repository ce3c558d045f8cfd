"""EMA as a family: row and column gates, the two cross-spatial maps, and the gate of each group."""

from __future__ import annotations

import numpy as np

from viz.core.map_spec import MapSpec
from viz.core.record import Record
from viz.core.stage import Stage
from viz.core.trace import Trace
from viz.families.family import Family
from viz.families.stages import Found, input_stage, last_maps, last_record, module_stages, span, view_stage

# More groups are shown as their mean; each can still be chosen.
MOST_GROUPS = 8


def stages(trace: Trace) -> tuple[Stage, ...]:
    """Input, row gates, column gates, maps 1 and 2, the gate of each group (their mean if many), the answer."""
    return module_stages(trace, "group_gate", _module)


def _module(trace: Trace, found: Found, where: str) -> list[Stage]:
    gate = found["group_gate"]
    groups = len(gate.values)
    stops = input_stage(trace, found.get("bottom"), where)
    for line in ("row", "column"):
        if record := found.get(f"{line}_gate"):
            words = (
                f"One gate per {line} and channel{where}, mean over the channels: {{span}} of 0 to 1. It shapes "
                "only the 1x1 branch, not the result."
            )
            stops.append(view_stage(trace, record, f"{line} gates", words, "mean"))
    stops += _maps(trace, found, where)
    if groups > MOST_GROUPS or where:
        words = f"Gate{where}, mean over {groups} groups: {{span}}{_unchanged(gate)}. Single groups are in the list."
        return [*stops, view_stage(trace, gate, "gate", words, "mean")]
    bottom = found.get("bottom")
    width = "" if bottom is None else f"{len(bottom.values) // groups} "
    for g in range(groups):
        words = (
            f"Gate of group {g + 1} of {groups}, on its {width}channels of the input: {{span}}{_unchanged(gate)}. "
            "All groups share one scale."
        )
        stops.append(view_stage(trace, gate, f"gate {g + 1}", words, channel=g))
    return stops


def _unchanged(gate: Record) -> str:
    """The gate's neutral value in words, if it has one."""
    return "" if gate.neutral is None else f"; {gate.neutral:.3g} everywhere leaves the network plain"


def _maps(trace: Trace, found: Found, where: str) -> list[Stage]:
    stops = []
    if one := found.get("cross_map_1"):
        words = (
            f"Map 1{where}, mean over the groups: the 3x3 branch, its channels weighted by a learned constant "
            "that is the same for every picture. {span}; the gate is the sigmoid of the sum of both maps."
        )
        stops.append(view_stage(trace, one, "map 1", words, "mean"))
    if two := found.get("cross_map_2"):
        share, weights = found.get("channel_softmax_3x3"), ""
        if share is not None:
            even = len(two.values) / len(share.values)
            weights = f" Weights: {span(np.asarray(share.values))}; even ones would be {even:.3g}."
        words = (
            f"Map 2{where}, mean over the groups: the 1x1 branch, its channels weighted by what the 3x3 branch "
            f"found in this picture. {{span}}; 0 adds nothing to map 1.{weights}"
        )
        stops.append(view_stage(trace, two, "map 2", words, "mean", vector=share))
    return stops


def figure(trace: Trace) -> list[MapSpec]:
    """The two maps, the mean gate, the gate of the group that varies most."""
    gate = last_record(trace, "group_gate")
    if gate is None:
        return []
    labels = ("cross_map_1", "cross_map_2", "group_gate")
    widest = int(np.argmax(gate.values.std(axis=(1, 2))))
    means = last_maps(trace, gate.path, *((label, "mean") for label in labels))
    return [*means, MapSpec(gate.name, channel=widest, step=gate.step)]


FAMILY = Family("ema", stages, own=MapSpec("mean", "group_gate"), gates=("group_gate",), figure=figure)
