"""VISTA-Net as a family: for each update and rank the spatial map m and the channel vector v, and their products."""

from __future__ import annotations

import re

from viz.core.map_spec import MapSpec
from viz.core.record import Record
from viz.core.stage import MOST_STAGES, Stage
from viz.core.trace import Trace
from viz.families.family import Family
from viz.families.stages import (
    Found,
    after_input,
    answer_stage,
    at,
    last_maps,
    paths_with,
    span,
    spec_of,
    thinned,
    view_stage,
)

_INFERRED = re.compile(r"spatial_map_(\d+)")
_PUBLISHED = re.compile(r"spatial_map_(\d+)_(\d+)")


def stages(trace: Trace) -> tuple[Stage, ...]:
    """Inferred: each update's whole attention, its maps rank by rank, their sum, the answer. Published: every map."""
    if any(_PUBLISHED.fullmatch(r.label) for r in trace.records):
        return _published(trace)
    message = _main_message(trace)
    stops: list[Stage] = []
    for t in range(1, trace.steps + 1):
        if message is not None:
            stops += _update(trace, t, message)
        what = f"The upper layers use the maps of update {t}."
        stops.append(answer_stage(trace, t, f"update {t}: answer", what))
    return after_input(trace, stops, "total")


def _message_words(trace: Trace, path: str) -> str:
    """Name of a message and, where known, its dilation and strength."""
    name = path.rpartition("messages.")[2]
    tap = next((r.tap for r in trace.records if r.path == path and r.tap.strength is not None), None)
    if tap is None:
        return name
    return f"{name.removesuffix(f'd{tap.dilation}')}, dilation {tap.dilation}, strength {tap.strength:.2g}"


def module_title(trace: Trace, path: str) -> str:
    """A message in words; empty for any other module."""
    return f"message {_message_words(trace, path)}" if "messages." in path else ""


def _main_message(trace: Trace) -> str | None:
    """The message with the largest effect in the last update: its strength times its mean attention."""
    last: dict[str, float] = {}
    for r in trace.records:
        if r.label == "structured":
            strength = 1.0 if r.tap.strength is None else r.tap.strength
            last[r.path] = float(r.values.mean()) * abs(strength)
    if not last:
        paths = paths_with(trace, "spatial_map_1")
        return paths[-1] if paths else None
    return max(last, key=lambda p: last[p])


def _update(trace: Trace, step: int, message: str) -> list[Stage]:
    found, name, lead = at(trace, message, step), _message_words(trace, message), f"update {step}"
    stops = []
    if structured := found.get("structured"):
        alike = tuple(r for r in trace.records if r.label == "structured" and r.step == step)
        words = (
            f"Update {step}: attention of all {len(alike)} messages, mean over the channels, each weighted by its "
            "learned strength, summed: {span}. Each message's own maps are in the list."
        )
        stops.append(view_stage(trace, structured, f"{lead}: attention", words, "total", records=alike))
    ranks = range(1, sum(_INFERRED.fullmatch(label) is not None for label in found) + 1)
    stops += [_rank(trace, found, rank, lead, name) for rank in ranks]
    if len(ranks) > 1:
        words = (
            f"Update {step}, message {name}: sum over all {len(ranks)} ranks of vector times map, mean over the "
            "channels: {span}."
        )
        used = [found[f"{what}_{t}"] for t in ranks for what in ("spatial_map", "channel_vector")]
        record = found[f"spatial_map_{len(ranks)}"]
        stops.append(view_stage(trace, record, f"{lead}: sum", words, "ranks", records=used))
    return stops


def _rank(trace: Trace, found: Found, rank: int, lead: str, name: str) -> Stage:
    record, vector = found[f"spatial_map_{rank}"], found.get(f"channel_vector_{rank}")
    words = f"{lead.capitalize()}, message {name}: map m{rank}, {{span}} of 0 to 1"
    if vector is None:
        return view_stage(trace, record, f"{lead}: m{rank}", words + ".")
    words += f"; beside it vector v{rank} over the channels, {span(vector.values)}, mean 1."
    return view_stage(trace, record, f"{lead}: m{rank}, v{rank}", words, vector=vector)


def _published(trace: Trace) -> tuple[Stage, ...]:
    """The published graph: every map of every message, dilation and rank; its vectors are random draws."""
    stops: list[Stage] = []
    records: dict[str, Record] = {r.name: r for r in trace.records}
    for r in trace.records:
        found = _PUBLISHED.fullmatch(r.label)
        if not found:
            continue
        q, t = found.groups()
        vector = records.get(f"{r.path}.channel_vector_{q}_{t}")
        kernel = records.get(f"{r.path}.kernel_prediction_{q}")
        dilation = 1 if kernel is None else kernel.tap.dilation
        short = r.path.rpartition(".")[2].removeprefix("attention_MSG_")
        words = (
            f"Message {short}, dilation {dilation}, map m{t}: {{span}} of 0 to 1. Its channel vector is a random draw, "
            "not learned; another draw gives another map."
        )
        stops.append(view_stage(trace, r, f"{short}, d = {dilation}: m{t}", words, vector=vector))
    if len(stops) >= MOST_STAGES:  # the first rank of each message and dilation
        stops = [s for s in stops if s.title.endswith("m1")]
    what = "The messages pass through the upper layers."
    answers = [answer_stage(trace, t, "answer", what) for t in range(1, trace.steps + 1)]
    return (*thinned(stops, MOST_STAGES - len(answers)), *answers)


def figure(trace: Trace) -> list[MapSpec]:
    """The last update's maps rank by rank, their sum, the attention of all messages."""
    message = _main_message(trace)
    found = [r for r in trace.records if r.path == message and r.label.startswith("spatial_map_")]
    if message is None or not found:
        return []
    last = [r for r in found if r.step == found[-1].step][:3]
    total = [spec_of(last[-1], "ranks")] if len(last) > 1 else []
    return [*map(spec_of, last), *total, *last_maps(trace, message, ("structured", "total"))]


FAMILY = Family(
    "vista",
    stages,
    own=MapSpec("total", "structured"),
    gates=("structured",),
    figure=figure,
    module_title=module_title,
)
