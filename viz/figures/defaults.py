"""The figure for which nothing was chosen: each family's story in about one row."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from viz.families.paka.stages import KERNEL
from viz.families.vista.stages import main_message
from viz.figures.spec import Panel

if TYPE_CHECKING:
    from viz.capture.probe import AttentionRecord
    from viz.core.trace import Trace


def default_panels(trace: Trace, class_index: int | None = None) -> tuple[Panel, ...]:
    """The picture and the family's story in a few panels.

    - TDAM and plain networks: class maps of every step, then the deepest spatial gates
    - PSA: pooling weights, channel gate, spatial score (or log softmax), spatial gate, class map, of the last module
    - EMA: the two maps, the mean gate, the gate of the group that varies most, class map
    - VISTA: the last update's maps rank by rank, their sum, the attention of all messages, class map
    - PAKA: each level's departure from plain convolution, the directions of the last, class map

    Args:
        class_index: default the last step's best class, so that the steps can be compared.
    """
    best = trace.top(-1, 1)[0].class_index if class_index is None else class_index
    story = {"psa": _psa, "ema": _ema, "vista": _vista, "paka": _paka}.get(trace.card.family or "")
    told = story(trace) if story is not None else []
    if told:
        return (Panel("picture"), *told, Panel("class_map", trace.steps, class_index=best))
    return _steps(trace, best)


def _steps(trace: Trace, best: int) -> tuple[Panel, ...]:
    # Many steps are thinned evenly, the first and the last kept, so that a page holds the figure.
    steps = sorted({1 + round(i * (trace.steps - 1) / 5) for i in range(6)})
    panels = [Panel("picture")]
    panels += [Panel("class_map", step, class_index=best) for step in steps]
    maps = [r for r in trace.records if r.kind == "spatial"]
    # A gate is what was really multiplied onto the features; a score before it is second choice.
    chosen = [r for r in maps if r.label == "spatial_gate"] or maps
    panels += [Panel("map", r.step, probe=r.name) for r in chosen if r.name == chosen[-1].name and r.step in steps]
    return tuple(panels)


def _last(trace: Trace, label: str, path: str | None = None) -> AttentionRecord | None:
    found = [r for r in trace.records if r.label == label and path in (None, r.path)]
    return found[-1] if found else None


def _psa(trace: Trace) -> list[Panel]:
    gate = _last(trace, "spatial_gate")
    if gate is None:
        return []
    panels = []
    if pool := _last(trace, "channel_pool", gate.path):
        panels.append(Panel("map", pool.step, probe=pool.name, part="log"))
    if channels := _last(trace, "channel_gate", gate.path):
        panels.append(Panel("channels", channels.step, probe=channels.name))
    if softmax := _last(trace, "spatial_softmax", gate.path):
        panels.append(Panel("map", softmax.step, probe=softmax.name, part="log"))
    elif score := _last(trace, "spatial_score", gate.path):
        panels.append(Panel("map", score.step, probe=score.name))
    return [*panels, Panel("map", gate.step, probe=gate.name)]


def _ema(trace: Trace) -> list[Panel]:
    gate = _last(trace, "group_gate")
    if gate is None:
        return []
    panels = []
    for label in ("cross_map_1", "cross_map_2"):
        if record := _last(trace, label, gate.path):
            panels.append(Panel("map", record.step, probe=record.name, part="mean"))
    panels.append(Panel("map", gate.step, probe=gate.name, part="mean"))
    widest = int(np.argmax(gate.values.std(axis=(1, 2))))
    return [*panels, Panel("map", gate.step, probe=gate.name, channel=widest)]


def _vista(trace: Trace) -> list[Panel]:
    message = main_message(trace)
    maps = [r for r in trace.records if r.path == message and r.label.startswith("spatial_map_")]
    if not maps:
        return []
    last = [r for r in maps if r.step == maps[-1].step][:3]
    panels = [Panel("map", r.step, probe=r.name) for r in last]
    if len(last) > 1:
        panels.append(Panel("map", last[-1].step, probe=last[-1].name, part="ranks"))
    if structured := _last(trace, "structured", message):
        panels.append(Panel("map", structured.step, probe=structured.name, part="total"))
    return panels


def _paka(trace: Trace) -> list[Panel]:
    levels = [r for r in trace.records if r.label == KERNEL]
    shown = levels if len(levels) <= 4 else [levels[0], levels[len(levels) // 2], levels[-1]]
    panels = [Panel("map", r.step, probe=r.name, part="departure") for r in shown]
    if levels:
        panels.append(Panel("map", levels[-1].step, probe=levels[-1].name, part="directions"))
    return panels
