"""EMA: row and column gates, the two cross-spatial maps, and the gate, group by group."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from viz.capture.probe import AttentionRecord
from viz.core.frames import MOST_FRAMES, Frame
from viz.families.stages import Found, answer_frame, at, input_frame, paths_with, span, thinned, view_frame, within

if TYPE_CHECKING:
    from viz.core.trace import Trace

# More groups are shown as their mean; each can still be chosen.
MOST_GROUPS = 8


def ema(trace: Trace) -> tuple[Frame, ...]:
    """Input, row gates, column gates, maps 1 and 2, the gate of each group (their mean if many), the answer."""
    paths = paths_with(trace, "group_gate")
    frames: list[Frame] = []
    for t in range(1, trace.steps + 1):
        for path in paths:
            found = at(trace, path, t)
            if found:
                frames += _module(trace, found, within(path, paths), several=len(paths) > 1)
        frames.append(answer_frame(trace, t, "answer", "The gated maps go on through the upper layers."))
    if len(frames) <= MOST_FRAMES:
        return tuple(frames)
    gates = [f for f in frames[:-1] if f.show is not None and f.show.probe and f.show.probe.endswith("group_gate")]
    return (*thinned(gates, MOST_FRAMES - 1), frames[-1])


def _module(trace: Trace, found: Found, where: str, several: bool) -> list[Frame]:
    gate = found["group_gate"]
    groups = len(gate.values)
    frames = input_frame(trace, found.get("bottom"), where)
    for label, title, line in (("row_gate", "row gates", "row"), ("column_gate", "column gates", "column")):
        if record := found.get(label):
            words = (
                f"One gate for each {line} and channel{where}, mean over the channels: {{span}} of 0 to 1. It shapes "
                "the 1x1 branch only, not the result."
            )
            frames.append(view_frame(trace, record, title, words, "mean"))
    frames += _maps(trace, found, where)
    if groups > MOST_GROUPS or several:
        words = f"Gate{where}, mean over {groups} groups: {{span}}{_unchanged(gate)}. Single groups are in the list."
        frames.append(view_frame(trace, gate, "gate", words, "mean"))
    else:
        for g in range(groups):
            words = (
                f"Gate of group {g + 1} of {groups}{where}, on its {_width(found, groups)}channels of the input: "
                f"{{span}}{_unchanged(gate)}. All groups share one scale."
            )
            frames.append(view_frame(trace, gate, f"gate {g + 1}", words, channel=g))
    if not where:
        return frames
    return [replace(f, title=f"{gate.path}: {f.title}") for f in frames]


def _unchanged(gate: AttentionRecord) -> str:
    """What the gate's middle value is, where it has one that leaves the network plain."""
    return "" if gate.neutral is None else f"; {gate.neutral:.3g} everywhere leaves the network plain"


def _width(found: Found, groups: int) -> str:
    bottom = found.get("bottom")
    return f"{len(bottom.values) // groups} " if bottom is not None else ""


def _maps(trace: Trace, found: Found, where: str) -> list[Frame]:
    frames = []
    if one := found.get("cross_map_1"):
        words = (
            f"Map 1{where}, mean over the groups: the 3x3 branch, whose channels are weighed by a learned constant "
            "that is the same for every picture. {span}; the gate is the sigmoid of both maps' sum."
        )
        frames.append(view_frame(trace, one, "map 1", words, "mean"))
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
        frames.append(view_frame(trace, two, "map 2", words, "mean", vector=share))
    return frames
