"""What the viewer can draw, as entries of its message: maps, per-pixel kernels, channel vectors.

A joint tensor never travels whole: its channel mean does, single channels where there are few (groups), and any other
channel when a person asks for it.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from viz.core.derived import mean_over
from viz.core.heatmap import Heatmap
from viz.core.kernels import composed_reach, kernel_size
from viz.core.map_spec import DERIVED, MapSpec
from viz.core.record import Record
from viz.core.stage import Stage, View
from viz.core.trace import Trace
from viz.core.words import derived_words
from viz.core.words import words as map_words
from viz.errors import ProbeError
from viz.families.family import family_of
from viz.geometry import Geometry
from viz.page.messages import (
    Cells,
    ColumnHead,
    Floats,
    FrameEntry,
    GeometryEntry,
    KernelCells,
    KernelEntry,
    MapEntry,
    MapKind,
    OutputEntry,
    PredictionEntry,
    VectorEntry,
)

# A joint value with at most that many channels (groups, say) sends each of them.
MOST_CHANNELS = 32
# Kernels larger than this stay on the server (a k x k kernel at every cell of a large map).
MOST_KERNEL_BYTES = 2**20
_UNDRAWN = frozenset({"tap_logits"})


def floats(values: NDArray[np.floating[Any]]) -> Floats:
    """float32 little-endian bytes, base64. What is not finite is NaN there: the page draws no data."""
    drawn = np.where(np.isfinite(values), values, np.nan)
    return Floats(base64.b64encode(np.ascontiguousarray(drawn, dtype="<f4").tobytes()).decode())


def ends(bounds: tuple[float, float]) -> tuple[float | None, float | None]:
    """Bounds as JSON has them: no bound is null, for there is no infinity."""
    low, high = (b if math.isfinite(b) else None for b in bounds)
    return low, high


def words(label: str) -> str:
    """A probe's label in words."""
    return label.replace("_", " ")


def block_title(path: str) -> str:
    """A module's path as a person reads it."""
    return path.removesuffix(".RA_block") or "network"


def group_title(trace: Trace, path: str) -> str:
    """The same, with what its family knows of it."""
    return family_of(trace.card.family).module_title(trace, path) or block_title(path)


def geometry_entry(geometry: Geometry) -> GeometryEntry:
    """Where the network's input lies in the picture."""
    return cast(GeometryEntry, geometry.as_json())


def top_entries(trace: Trace, step: int, count: int) -> list[PredictionEntry]:
    """The best classes of a step."""
    return [{"class_index": r.class_index, "label": r.label, "number": float(r[2])} for r in trace.top(step, count)]


def column_head(trace: Trace) -> ColumnHead:
    """What a column of the grid says of its model."""
    return {
        "title": trace.card.title,
        "steps": trace.steps,
        "geometry": geometry_entry(trace.geometry),
        "top": [next(iter(top_entries(trace, s, 1)), None) for s in range(1, trace.steps + 1)],
    }


def map_entry(maps: Sequence[Heatmap], kind: MapKind, title: str, group: str, *, share: str = "") -> MapEntry:
    """One map at every step that has it. Entries with the same `share` hold the same quantity."""
    first = maps[0]
    steps: list[Cells] = [
        {"step": m.step, "h": m.native.shape[0], "w": m.native.shape[1], "data": floats(m.native)} for m in maps
    ]
    return {
        "name": first.name,
        "kind": kind,
        "title": title,
        "group": group,
        "share": share or first.name,
        "unit": first.unit,
        "bounds": ends(first.bounds),
        "neutral": first.neutral,
        "palette": "diverging" if first.neutral is not None and kind != "cam" else "inferno",
        "class_index": first.class_index,
        "steps": steps,
    }


def output_entries(trace: Trace, class_index: int | None) -> list[MapEntry]:
    """The map of the output for one class at every step, see `Trace.output_map`; nothing where there is none."""
    if trace.output_map is None:
        return []
    spec = replace(trace.output_map, cls=class_index)
    maps = [trace.heatmap(spec, t) for t in range(1, trace.steps + 1)]
    return [map_entry(maps, "cam", trace.output.subject(class_index), f"{map_words(spec)}s", share=spec.name)]


def output_facts(trace: Trace) -> OutputEntry:
    """What the page calls the output."""
    shown = trace.output_map
    return {
        "name": None if shown is None else shown.name,
        "title": "" if shown is None else map_words(shown),
        "number": trace.output.number if trace.labels else "",
    }


def numbers_of(trace: Trace, class_index: int) -> list[float]:
    """The number beside a class at every step."""
    return [trace.output.number_of(step, class_index) for step in range(1, trace.steps + 1)]


def spatial_entries(trace: Trace) -> list[MapEntry]:
    """One entry for each spatial probe, deepest module first (it is the one that a person looks for)."""
    entries = []
    names = dict.fromkeys(r.name for r in trace.records if r.tap.is_map)
    for name in reversed(list(names)):
        records = [r for r in trace.records if r.name == name]
        maps = [trace.heatmap(name, r.step) for r in records]
        group = group_title(trace, records[0].path)
        label = records[0].label
        entries.append(map_entry(maps, "spatial", f"{words(label)} ({group})", group, share=label))
    # The gate is what multiplies the features: it stands before the score it comes from.
    return sorted(entries, key=lambda e: (e["group"] != entries[0]["group"], "score" in e["name"]))


def derived_entries(trace: Trace) -> list[MapEntry]:
    """Channel means, single groups, logarithms of shares, sums of ranks and messages, what a channel gate leaves,
    departures and directions of kernels: every map of `viz.core.derived` that applies."""
    entries: list[MapEntry] = []
    by_name: dict[str, list[Record]] = {}
    for r in trace.records:
        by_name.setdefault(r.name, []).append(r)
    totals: set[str] = set()
    for name, records in by_name.items():
        first = records[0]
        if first.tap.is_vector or first.label in _UNDRAWN:
            continue
        group = group_title(trace, first.path)
        for part in DERIVED:
            if part == "total" and (first.label != "structured" or first.label in totals):
                continue  # one entry for all messages
            if part == "ranks" and first.label == "spatial_map_1":
                continue  # the first of the sums is the map itself
            entry = _derived(trace, name, records, part, group)
            if entry is not None:
                entries.append(entry)
                if part == "total":
                    totals.add(first.label)
        if first.tap.is_maps and first.values.shape[0] <= MOST_CHANNELS:
            what = "group" if mean_over(first) == "groups" else "channel"
            for c in range(first.values.shape[0]):
                maps = [trace.heatmap(name, r.step, channel=c) for r in records]
                title = f"{words(first.label)}, {what} {c + 1 if what == 'group' else c}"
                entries.append(map_entry(maps, "joint", title, group, share=first.label))
    return entries


def _derived(trace: Trace, name: str, records: Sequence[Record], part: str, group: str) -> MapEntry | None:
    try:
        maps = [trace.heatmap(MapSpec(part, name, step=r.step)) for r in records]
    except ProbeError:
        return None  # this part does not apply
    label = records[0].label
    group = "all messages" if part == "total" else group
    return map_entry(maps, "derived", derived_words(label, part), group, share=f"{part}({label})")


def named(entry: MapEntry, name: str) -> MapEntry:
    """The entry under another name."""
    return {**entry, "name": name}


def channel_entry(trace: Trace, probe: str, channel: int) -> MapEntry | None:
    """One channel of a joint value at every step, or None where it was not captured.

    Args:
        probe: full name of the joint value; of a module's path its ``bottom``, the gated input.
    """
    records = [r for r in trace.records if r.name == probe] or [r for r in trace.records if r.name == f"{probe}.bottom"]
    if not records or not 0 <= channel < records[0].values.shape[0]:
        return None
    first = records[0]
    maps = [trace.heatmap(r.name, r.step, channel=channel) for r in records]
    what = "channel" if first.label == "bottom" else f"{words(first.label)}, channel"
    return map_entry(maps, "feature", f"{what} {channel} ({block_title(first.path)})", "channels")


def kernel_entries(trace: Trace) -> list[KernelEntry]:
    """Per-pixel kernels: values of every step, tap by tap, with dilation and stride (in cells)."""
    entries: list[KernelEntry] = []
    for name in dict.fromkeys(r.name for r in trace.records if r.tap.is_kernel and r.label not in _UNDRAWN):
        records = [r for r in trace.records if r.name == name]
        first = records[0]
        if first.values.nbytes > MOST_KERNEL_BYTES:
            continue
        steps: list[KernelCells] = []
        before: Record | None = None
        for r in records:
            same = before is not None and np.array_equal(before.values, r.values)
            cells: KernelCells = {"step": r.step, "h": r.values.shape[1], "w": r.values.shape[2]}
            steps.append({**cells, "same": True} if same else {**cells, "data": floats(r.values)})
            before = r
        entries.append(
            {
                "name": name,
                "path": first.path,
                "title": f"{words(first.label)} ({group_title(trace, first.path)})",
                "group": group_title(trace, first.path),
                "label": words(first.label),
                "unit": first.unit,
                "neutral": first.tap.centre,
                "bounds": ends(first.bounds),
                "k": kernel_size(first.values),
                "dilation": first.tap.dilation,
                "stride": first.tap.stride,
                "reach": composed_reach(trace.records, first) if first.tap.centre is not None else None,
                "steps": steps,
            }
        )
    return entries


def frame_entries(trace: Trace, top: int) -> list[FrameEntry]:
    """The stops of the slider."""
    return [_frame(trace, s, top) for s in trace.stages]


def _frame(trace: Trace, frame: Stage, top: int) -> FrameEntry:
    view = frame.show or View()
    return {
        "step": frame.step,
        "title": frame.title,
        "caption": frame.caption,
        "top": top_entries(trace, frame.step, top),
        "show": None if frame.show is None else trace.definite(frame.map).key,
        "kernel": view.kernel,
        "arrows": view.arrows,
        "vector": None if view.vector is None else vector_entry(trace.record(view.vector, frame.step)),
    }


def vector_entry(record: Record) -> VectorEntry:
    """A channel vector for the small bars beside a map."""
    return {
        "name": record.name,
        "title": words(record.label),
        "unit": record.unit,
        "neutral": record.neutral,
        "bounds": ends(record.bounds),
        "data": floats(record.values),
    }
