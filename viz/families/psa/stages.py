"""PSA: from module to module by depth, and inside each from the pooling weights to the spatial gate."""

from __future__ import annotations

from typing import TYPE_CHECKING

from viz.core.frames import MOST_FRAMES, Frame, View
from viz.families.stages import (
    Found,
    answer_frame,
    at,
    input_frame,
    paths_with,
    prediction,
    span,
    thinned,
    view_frame,
    within,
)

if TYPE_CHECKING:
    from viz.core.trace import Trace


def psa(trace: Trace) -> tuple[Frame, ...]:
    """Input, pooling weights, channel gate, spatial score (and softmax), spatial gate, for every module; the answer.

    Networks with many modules keep the spatial gates alone, thinned evenly.
    """
    paths = paths_with(trace, "spatial_gate")
    steps = range(1, trace.steps + 1)
    frames: list[Frame] = []
    for t in steps:
        for path in paths:
            found, where = at(trace, path, t), within(path, paths)
            if found:
                frames += _module(trace, found, where, path if len(paths) > 1 else "")
        frames.append(answer_frame(trace, t, "answer", "The gated maps go on through the upper layers."))
    if len(frames) <= MOST_FRAMES:
        return tuple(frames)
    gates = [f for f in frames[:-1] if f.title.endswith("spatial gate")]
    return (*thinned(gates, MOST_FRAMES - 1), frames[-1])


def _module(trace: Trace, found: Found, where: str, path: str) -> list[Frame]:
    lead = f"{path}: " if path else ""
    frames = input_frame(trace, found.get("bottom"), where)
    if pool := found.get("channel_pool"):
        words = (
            f"Pooling weights{where}: how much each place counts in the channel gate. Shown as log2 of share x cells, "
            "{span}; 0 is the even share."
        )
        frames.append(view_frame(trace, pool, "pooling weights", words, "log"))
    if gate := found.get("channel_gate"):
        frames.append(_channel_gate(trace, found, where))
    score = found.get("spatial_score")
    softmax = found.get("spatial_softmax")
    after = "softmax over the places" if softmax else "sigmoid"
    if score:
        words = f"Spatial score{where} before the {after}: {{span}}."
        frames.append(view_frame(trace, score, "spatial score", words))
    if softmax:
        words = f"Softmax of the score{where}, as log2 of share x cells: {{span}}; 0 is the even share."
        frames.append(view_frame(trace, softmax, "spatial softmax", words, "log"))
    gate = found["spatial_gate"]
    words = f"Spatial gate{where}: {{span}}; it rests at 0.5."
    if softmax:
        words += " The sigmoid of a softmax stays within a hair of 0.5: read the softmax before it."
    frames.append(view_frame(trace, gate, "spatial gate", words))
    if not path:
        return frames
    return [Frame(f.step, lead + f.title, f.caption, f.records, f.show) for f in frames]


def _channel_gate(trace: Trace, found: Found, where: str) -> Frame:
    gate, bottom = found["channel_gate"], found.get("bottom")
    said = f"Channel gate{where}: one number a channel ({len(gate.values)}), {span(gate.values)}; it rests at 0.5."
    if bottom is not None and len(bottom.values) == len(gate.values):
        words = f"{said} Shown: the input after this gate, mean over the channels, {{span}}."
        return view_frame(trace, bottom, "channel gate", words, "gated", vector=gate)
    caption = f"{said} A vector has no map; shown is the class map of {prediction(trace, gate.step)}."
    return Frame(gate.step, "channel gate", caption, (gate,), View(vector=gate.name))
