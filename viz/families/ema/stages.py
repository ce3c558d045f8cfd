"""EMA: row and column gates, the two cross-spatial maps, and the gate, group by group."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from viz.core.record import Record
from viz.core.stage import MOST_STAGES, Stage
from viz.core.trace import Trace
from viz.families.stages import Found, answer_stage, at, input_stage, paths_with, span, thinned, view_stage, within

# More groups are shown as their mean; each can still be chosen.
MOST_GROUPS = 8


def stages(trace: Trace) -> tuple[Stage, ...]:
    """Input, row gates, column gates, maps 1 and 2, the gate of each group (their mean if many), the answer."""
    paths = paths_with(trace, "group_gate")
    stops: list[Stage] = []
    for t in range(1, trace.steps + 1):
        for path in paths:
            found = at(trace, path, t)
            if found:
                stops += _module(trace, found, within(path, paths), several=len(paths) > 1)
        stops.append(answer_stage(trace, t, "answer", "The gated maps go on through the upper layers."))
    if len(stops) <= MOST_STAGES:
        return tuple(stops)
    gates = [f for f in stops[:-1] if f.show is not None and (f.show.map.probe or "").endswith("group_gate")]
    return (*thinned(gates, MOST_STAGES - 1), stops[-1])


def _module(trace: Trace, found: Found, where: str, several: bool) -> list[Stage]:
    gate = found["group_gate"]
    groups = len(gate.values)
    stops = input_stage(trace, found.get("bottom"), where)
    for label, title, line in (("row_gate", "row gates", "row"), ("column_gate", "column gates", "column")):
        if record := found.get(label):
            words = (
                f"One gate for each {line} and channel{where}, mean over the channels: {{span}} of 0 to 1. It shapes "
                "the 1x1 branch only, not the result."
            )
            stops.append(view_stage(trace, record, title, words, "mean"))
    stops += _maps(trace, found, where)
    if groups > MOST_GROUPS or several:
        words = f"Gate{where}, mean over {groups} groups: {{span}}{_unchanged(gate)}. Single groups are in the list."
        stops.append(view_stage(trace, gate, "gate", words, "mean"))
    else:
        for g in range(groups):
            words = (
                f"Gate of group {g + 1} of {groups}{where}, on its {_width(found, groups)}channels of the input: "
                f"{{span}}{_unchanged(gate)}. All groups share one scale."
            )
            stops.append(view_stage(trace, gate, f"gate {g + 1}", words, channel=g))
    if not where:
        return stops
    return [replace(f, title=f"{gate.path}: {f.title}") for f in stops]


def _unchanged(gate: Record) -> str:
    """What the gate's middle value is, where it has one that leaves the network plain."""
    return "" if gate.neutral is None else f"; {gate.neutral:.3g} everywhere leaves the network plain"


def _width(found: Found, groups: int) -> str:
    bottom = found.get("bottom")
    return f"{len(bottom.values) // groups} " if bottom is not None else ""


def _maps(trace: Trace, found: Found, where: str) -> list[Stage]:
    stops = []
    if one := found.get("cross_map_1"):
        words = (
            f"Map 1{where}, mean over the groups: the 3x3 branch, whose channels are weighed by a learned constant "
            "that is the same for every picture. {span}; the gate is the sigmoid of both maps' sum."
        )
        stops.append(view_stage(trace, one, "map 1", words, "mean"))
    if two := found.get("cross_map_2"):
        share = found.get("channel_softmax_3x3")
        told = ""
        if share is not None:
            groups = len(two.values)
            even = groups / len(share.values)
            told = f" Those weights: {span(np.asarray(share.values))}, even would be {even:.3g}."
        words = (
            f"Map 2{where}, mean over the groups: the 1x1 branch, whose channels are weighed by what the 3x3 branch "
            f"found in this picture. {{span}}; 0 adds nothing to map 1.{told}"
        )
        stops.append(view_stage(trace, two, "map 2", words, "mean", vector=share))
    return stops
