"""Entries of the messages: maps, per-pixel kernels, channel vectors, stops.

A joint tensor is never sent whole. The page gets its channel mean, single channels where there are few (groups), and
any other channel on request.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Iterable, Sequence
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
from viz.core.words import derived_words, label_words
from viz.core.words import words as map_words
from viz.errors import ProbeError
from viz.families.family import family_of
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

# A joint value with at most this many channels (such as groups) sends each of them.
MOST_CHANNELS = 32
# Larger kernels stay on the server (a k x k kernel at every cell of a large map).
MOST_KERNEL_BYTES = 2**20
_UNDRAWN = frozenset({"tap_logits"})


def floats(values: NDArray[np.floating[Any]]) -> Floats:
    """float32 little-endian bytes, base64. Non-finite values become NaN, which the page draws as no data."""
    drawn = np.where(np.isfinite(values), values, np.nan)
    return Floats(base64.b64encode(np.ascontiguousarray(drawn, dtype="<f4").tobytes()).decode())


def ends(bounds: tuple[float, float]) -> tuple[float | None, float | None]:
    """Bounds for JSON, which has no infinity: null means unbounded."""
    low, high = (b if math.isfinite(b) else None for b in bounds)
    return low, high


def block_title(path: str) -> str:
    """A module's path as a person reads it."""
    return path.removesuffix(".RA_block") or "network"


def group_title(trace: Trace, path: str) -> str:
    """A module's title: the one of its family, or its path."""
    return family_of(trace.card.family).module_title(trace, path) or block_title(path)


def top_entries(trace: Trace, step: int, count: int) -> list[PredictionEntry]:
    """The best classes of a step."""
    return [{"class_index": r.class_index, "label": r.label, "number": float(r[2])} for r in trace.top(step, count)]


def column_head(trace: Trace) -> ColumnHead:
    """The model of a grid's column."""
    return {
        "title": trace.card.title,
        "steps": trace.steps,
        "geometry": geometry_entry(trace),
        "top": [next(iter(top_entries(trace, s, 1)), None) for s in range(1, trace.steps + 1)],
    }


def geometry_entry(trace: Trace) -> GeometryEntry:
    """Where the network's input lies in the picture."""
    return cast(GeometryEntry, trace.geometry.as_json())


def map_entry(maps: Sequence[Heatmap], kind: MapKind, title: str, group: str, *, share: str = "") -> MapEntry:
    """One map at every step that has it. The same `share` in two entries means the same quantity."""
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
    """The map of the output for one class at every step, see `Trace.output_map`; empty if there is none."""
    if trace.output_map is None:
        return []
    spec = replace(trace.output_map, cls=class_index)
    maps = [trace.heatmap(spec, t) for t in range(1, trace.steps + 1)]
    return [map_entry(maps, "cam", trace.output.subject(class_index), f"{map_words(spec)}s", share=spec.name)]


def output_facts(trace: Trace) -> OutputEntry:
    """Names of the output on the page."""
    shown = trace.output_map
    return {
        "name": None if shown is None else shown.name,
        "title": "" if shown is None else map_words(shown),
        "number": trace.output.number if trace.labels else "",
    }


def numbers_of(trace: Trace, class_index: int) -> list[float]:
    """The number beside a class at every step."""
    return [trace.output.number_of(step, class_index) for step in range(1, trace.steps + 1)]


def numbered_entries(trace: Trace, class_index: int | None) -> list[MapEntry]:
    """The map of the output for one class, with the number beside the class at every step."""
    entries = output_entries(trace, class_index)
    if class_index is None:
        return entries
    return [{**entry, "p": numbers_of(trace, class_index)} for entry in entries]


def _by_name(records: Iterable[Record]) -> dict[str, list[Record]]:
    """Group the records of all steps by full name."""
    found: dict[str, list[Record]] = {}
    for r in records:
        found.setdefault(r.name, []).append(r)
    return found


def spatial_entries(trace: Trace) -> list[MapEntry]:
    """One entry per spatial probe, deepest module first: the one that most people look for."""
    entries = []
    for name, records in reversed(_by_name(r for r in trace.records if r.tap.is_map).items()):
        maps = [trace.heatmap(name, r.step) for r in records]
        group = group_title(trace, records[0].path)
        label = records[0].label
        entries.append(map_entry(maps, "spatial", f"{label_words(label)} ({group})", group, share=label))
    # The gate multiplies the features, so it precedes the score that it is computed from.
    return sorted(entries, key=lambda e: (e["group"] != entries[0]["group"], "score" in e["name"]))


def derived_entries(trace: Trace) -> list[MapEntry]:
    """Every map of `viz.core.derived` that applies, and the single channels of joint values with few of them."""
    entries: list[MapEntry] = []
    totals: set[str] = set()
    drawn = (r for r in trace.records if not r.tap.is_vector and r.label not in _UNDRAWN)
    for name, records in _by_name(drawn).items():
        first = records[0]
        group = group_title(trace, first.path)
        for part in DERIVED:
            if part == "total" and (first.label != "structured" or first.label in totals):
                continue  # one entry for all messages
            if part == "ranks" and first.label == "spatial_map_1":
                continue  # the first sum is the map itself
            entry = _derived(trace, name, records, part, group)
            if entry is not None:
                entries.append(entry)
                if part == "total":
                    totals.add(first.label)
        if first.tap.is_maps and first.values.shape[0] <= MOST_CHANNELS:
            what = "group" if mean_over(first) == "groups" else "channel"
            for c in range(first.values.shape[0]):
                maps = [trace.heatmap(name, r.step, channel=c) for r in records]
                title = f"{label_words(first.label)}, {what} {c + 1 if what == 'group' else c}"
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


def channel_entry(trace: Trace, probe: str, channel: int) -> MapEntry | None:
    """One channel of a joint value (by full name) at every step, or None if it was not captured."""
    records = [r for r in trace.records if r.name == probe]
    if not records or not 0 <= channel < records[0].values.shape[0]:
        return None
    first = records[0]
    maps = [trace.heatmap(r.name, r.step, channel=channel) for r in records]
    what = "channel" if first.label == "bottom" else f"{label_words(first.label)}, channel"
    return map_entry(maps, "feature", f"{what} {channel} ({block_title(first.path)})", "channels")


def kernel_entries(trace: Trace) -> list[KernelEntry]:
    """Per-pixel kernels: values of every step, with dilation and stride (in cells)."""
    entries: list[KernelEntry] = []
    drawn = (r for r in trace.records if r.tap.is_kernel and r.label not in _UNDRAWN)
    for name, records in _by_name(drawn).items():
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
                "title": f"{label_words(first.label)} ({group_title(trace, first.path)})",
                "group": group_title(trace, first.path),
                "label": label_words(first.label),
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


def frame_entry(trace: Trace, stage: Stage, top: int) -> FrameEntry:
    """One stop of the slider, with the `top` best classes."""
    view = stage.show or View()
    return {
        "step": stage.step,
        "title": stage.title,
        "caption": stage.caption,
        "top": top_entries(trace, stage.step, top),
        "show": None if stage.show is None else trace.definite(stage.map).key,
        "kernel": view.kernel,
        "arrows": view.arrows,
        "vector": None if view.vector is None else vector_entry(trace.record(view.vector, stage.step)),
    }


def vector_entry(record: Record) -> VectorEntry:
    """A channel vector, which the viewer draws as bars below the map."""
    return {
        "name": record.name,
        "title": label_words(record.label),
        "unit": record.unit,
        "neutral": record.neutral,
        "bounds": ends(record.bounds),
        "data": floats(record.values),
    }
