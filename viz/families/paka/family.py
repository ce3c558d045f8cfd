"""PAKA as a family: for each dilation, how far the kernels are from plain convolution and which way they pull."""

from __future__ import annotations

import re
from dataclasses import replace

from viz.core.kernels import composed_reach, kernel_size
from viz.core.map_spec import MapSpec
from viz.core.record import Record
from viz.core.stage import Stage, View
from viz.core.trace import Trace
from viz.families.family import Family
from viz.families.stages import Found, after_input, answer_stage, at, spec_of, view_stage

KERNEL = "kernel_attention"
_LEVEL = re.compile(r"\.levels\.(\d+)$")


def _levels(trace: Trace) -> list[Record]:
    return [r for r in trace.records if r.label == KERNEL]


def stages(trace: Trace) -> tuple[Stage, ...]:
    """Input; for each level its departure from plain convolution, its centre tap, its directions; the answers."""
    levels = _levels(trace)
    stops: list[Stage] = []
    for r in levels:
        stops += _level(trace, r, at(trace, r.path, r.step))
        last = [x for x in levels if x.step == r.step][-1]
        if r is last and r.step <= trace.steps:
            what = "The result of the levels so far passes through the upper layers."
            answer = answer_stage(trace, r.step, f"d = {r.tap.dilation}: answer", what)
            stops.append(replace(answer, show=View(kernel=r.name)))
    if not stops:
        what = "No kernel attention was captured."
        stops = [answer_stage(trace, t, "answer", what) for t in range(1, trace.steps + 1)]
    return after_input(trace, stops, "departure")


def module_title(trace: Trace, path: str) -> str:
    """A level with its dilation, as in ``level 2, dilation 2``; empty for a module without kernel attention."""
    found = next((r for r in trace.records if r.name == f"{path}.{KERNEL}"), None)
    if found is None:
        return ""
    level = _LEVEL.search(path)
    place = f"level {int(level[1]) + 1}" if level else path or "network"
    return f"{place}, dilation {found.tap.dilation}"


def _is_plain(found: Found) -> bool:
    """Whether A is exactly 1 in every channel, at every tap and cell: then the layer is a plain convolution."""
    if not (found[KERNEL].values == 1).all():
        return False
    # The mean over the channels could be 1 by chance; both logits at 0 cannot.
    return all((found[k].values == 0).all() for k in ("channel_logits", "tap_logits") if k in found)


def _level(trace: Trace, record: Record, found: Found) -> list[Stage]:
    d = record.tap.dilation
    lead, k, reach = f"d = {d}", kernel_size(record.values), composed_reach(trace.records, record)
    cells = "cell" if reach == 1 else "cells"
    if _is_plain(found):
        words = f"Dilation {d}: the kernel attention is exactly 1 everywhere, so this level is a plain convolution."
        return [view_stage(trace, record, f"{lead}: plain", words, "departure", kernel=True)]
    departure = (
        f"Dilation {d}: distance of the {k}x{k} kernel at each position (mean over the channels) from plain "
        f"convolution, mean of |A - 1|: {{span}}; 0 is plain, 1 the maximum. The levels so far reach {reach} {cells} "
        "to each side."
    )
    centre = f"Dilation {d}, centre tap: how much each position keeps of itself, {{span}} of 0 to 2; 1 is plain."
    pull = (
        f"Dilation {d}: which way each kernel pulls. Colour and arrows: the mean direction of the taps above 1 minus "
        "those below; length {span}, 0 is balanced. Click the picture for one kernel in numbers."
    )
    return [
        view_stage(trace, record, f"{lead}: departure", departure, "departure", kernel=True),
        view_stage(trace, record, f"{lead}: centre tap", centre, channel=(k * k) // 2, kernel=True),
        view_stage(trace, record, f"{lead}: directions", pull, "directions", kernel=True, arrows=True),
    ]


def figure(trace: Trace) -> list[MapSpec]:
    """Each level's departure from plain convolution, and the directions of the last."""
    levels = _levels(trace)
    shown = levels if len(levels) <= 4 else [levels[0], levels[len(levels) // 2], levels[-1]]
    return [*(spec_of(r, "departure") for r in shown), *(spec_of(r, "directions") for r in levels[-1:])]


FAMILY = Family(
    "paka",
    stages,
    own=MapSpec("mean", KERNEL),
    # The two logits whose sum makes the kernel attention.
    gates=("channel_logits", "tap_logits"),
    figure=figure,
    module_title=module_title,
)
