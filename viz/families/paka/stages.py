"""PAKA: dilation by dilation, how far each kernel is from plain convolution, and which way it pulls."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from viz.capture.probe import AttentionRecord
from viz.core.frames import MOST_FRAMES, Frame, View
from viz.core.kernels import ModuleFacts, kernel_size
from viz.families.stages import Found, answer_frame, at, input_frame, paths_with, thinned, view_frame

if TYPE_CHECKING:
    from viz.core.trace import Trace

KERNEL = "kernel_attention"


def paka(trace: Trace) -> tuple[Frame, ...]:
    """Input; for each level its departure from plain convolution, its centre tap, its directions; the answers."""
    paths = paths_with(trace, KERNEL)
    bottom = next((r for r in trace.records if r.label == "bottom"), None)
    first = input_frame(trace, bottom, "")
    levels = [r for r in trace.records if r.label == KERNEL and r.path in paths]
    frames: list[Frame] = []
    for r in levels:
        frames += _level(trace, r, at(trace, r.path, r.step))
        last = [x for x in levels if x.step == r.step][-1]
        if r is last and r.step <= trace.steps:
            what = "The result of the levels so far goes on through the upper layers."
            answer = answer_frame(trace, r.step, f"d = {_facts(trace, r).dilation}: answer", what)
            frames.append(replace(answer, show=View(kernel=r.name)))
    if not frames:
        what = "No kernel attention was captured."
        frames = [answer_frame(trace, t, "answer", what) for t in range(1, trace.steps + 1)]
    if len(frames) + len(first) > MOST_FRAMES:
        frames = [f for f in frames if f.show is not None and (f.show.probe is None or f.show.part == "departure")]
    return (*first, *thinned(frames, MOST_FRAMES - len(first)))


def _facts(trace: Trace, record: AttentionRecord) -> ModuleFacts:
    return trace.facts.get(record.name, ModuleFacts())


def is_plain(found: Found) -> bool:
    """Whether A is exactly 1 in every channel, at every tap and cell: then the layer is a plain convolution."""
    if not (found[KERNEL].values == 1).all():
        return False
    # The mean over the channels could be 1 by chance; both logits at 0 cannot.
    return all((found[k].values == 0).all() for k in ("channel_logits", "tap_logits") if k in found)


def composed_reach(trace: Trace, record: AttentionRecord) -> int:
    """Cells to each side that the levels up to this one reach together: the sum of dilation x (k // 2)."""
    upto = [r for r in trace.records if r.label == KERNEL and r.step <= record.step]
    return sum(_facts(trace, r).dilation * (kernel_size(r.values) // 2) for r in upto)


def _level(trace: Trace, record: AttentionRecord, found: Found) -> list[Frame]:
    d = _facts(trace, record).dilation
    lead, k, reach = f"d = {d}", kernel_size(record.values), composed_reach(trace, record)
    cells = "cell" if reach == 1 else "cells"
    if is_plain(found):
        words = f"Dilation {d}: the kernel attention is exactly 1 everywhere, so this level is a plain convolution."
        return [view_frame(trace, record, f"{lead}: plain", words, "departure", kernel=True)]
    departure = (
        f"Dilation {d}: how far the {k}x{k} kernel of each place (mean over the channels) is from plain convolution, "
        f"mean of |A - 1|: {{span}}; 0 is plain, 1 the most. The levels so far reach {reach} {cells} to each side."
    )
    centre = f"Dilation {d}, centre tap: what each place keeps of itself, {{span}} of 0 to 2; 1 is plain convolution."
    pull = (
        f"Dilation {d}: which way each kernel pulls. Colour and arrows: the mean direction of the taps above 1, less "
        "those below; length {span}, 0 is even. Click the picture for one kernel in numbers."
    )
    return [
        view_frame(trace, record, f"{lead}: departure", departure, "departure", kernel=True),
        view_frame(trace, record, f"{lead}: centre tap", centre, channel=(k * k) // 2, kernel=True),
        view_frame(trace, record, f"{lead}: directions", pull, "directions", kernel=True, arrows=True),
    ]
