"""VISTA: update by update and rank by rank: spatial map m beside channel vector v, and how their products add up."""

from __future__ import annotations

import re

from viz.core.record import Record
from viz.core.stage import CAM, MOST_STAGES, Stage
from viz.core.trace import Trace
from viz.families.stages import Found, answer_stage, at, input_stage, paths_with, span, thinned, view_stage

_INFERRED = re.compile(r"spatial_map_(\d+)")
_PUBLISHED = re.compile(r"spatial_map_(\d+)_(\d+)")


def stages(trace: Trace) -> tuple[Stage, ...]:
    """Inferred: each update's whole attention, its maps rank by rank, their sum, the answer. Published: every map."""
    if any(_PUBLISHED.fullmatch(r.label) for r in trace.records):
        return _published(trace)
    bottom = next((r for r in trace.records if r.label == "bottom"), None)
    first = input_stage(trace, bottom, "")
    message = main_message(trace)
    stops: list[Stage] = []
    for t in range(1, trace.steps + 1):
        stops += _update(trace, t, message)
        what = f"With the maps of update {t} the upper layers answer."
        stops.append(answer_stage(trace, t, f"update {t}: answer", what))
    if len(stops) + len(first) > MOST_STAGES:
        stops = [f for f in stops if f.show is None or f.show.map == CAM or f.show.map.name == "total"]
    return (*first, *thinned(stops, MOST_STAGES - len(first)))


def message_words(trace: Trace, path: str) -> str:
    """A message in words: its name and, where known, its dilation and strength."""
    name = path.rpartition("messages.")[2]
    tap = next((r.tap for r in trace.records if r.path == path and r.tap.strength is not None), None)
    if tap is None or tap.strength is None:
        return name
    return f"{name.removesuffix(f'd{tap.dilation}')}, dilation {tap.dilation}, strength {tap.strength:.2g}"


def module_title(trace: Trace, path: str) -> str:
    """A message in words; empty for any other module."""
    return f"message {message_words(trace, path)}" if "messages." in path else ""


def main_message(trace: Trace) -> str | None:
    """The message that does most in the last update: its strength times its mean attention."""
    last: dict[str, float] = {}
    for r in trace.records:
        if r.label == "structured":
            strength = 1.0 if r.tap.strength is None else r.tap.strength
            last[r.path] = float(r.values.mean()) * abs(strength)
    if not last:
        paths = paths_with(trace, "spatial_map_1")
        return paths[-1] if paths else None
    return max(last, key=lambda p: last[p])


def _update(trace: Trace, step: int, message: str | None) -> list[Stage]:
    if message is None:
        return []
    found = at(trace, message, step)
    stops = []
    if structured := found.get("structured"):
        alike = [r for r in trace.records if r.label == "structured" and r.step == step]
        words = (
            f"Update {step}: the attention of all {len(alike)} messages, mean over the channels, each times its "
            "learned strength, added: {span}. Each message's own maps are in the list."
        )
        stops.append(view_stage(trace, structured, f"update {step}: attention", words, "total", records=tuple(alike)))
    ranks = [label for label in found if _INFERRED.fullmatch(label)]
    name = message_words(trace, message)
    for t in range(1, len(ranks) + 1):
        stops.append(_rank(trace, found, t, f"update {step}", name))
    if len(ranks) > 1:
        words = (
            f"Update {step}, message {name}: the products of vector and map of all {len(ranks)} ranks added, mean over "
            "the channels: {span}."
        )
        record = found[f"spatial_map_{len(ranks)}"]
        used = tuple(
            found[f"{what}_{t}"] for t in range(1, len(ranks) + 1) for what in ("spatial_map", "channel_vector")
        )
        stops.append(view_stage(trace, record, f"update {step}: sum", words, "ranks", records=used))
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
    labels: dict[str, Record] = {r.name: r for r in trace.records}
    for r in trace.records:
        found = _PUBLISHED.fullmatch(r.label)
        if not found:
            continue
        q, t = found.groups()
        vector = labels.get(f"{r.path}.channel_vector_{q}_{t}")
        kernel = labels.get(f"{r.path}.kernel_prediction_{q}")
        dilation = 1 if kernel is None else kernel.tap.dilation
        short = r.path.rpartition(".")[2].removeprefix("attention_MSG_")
        words = (
            f"Message {short}, dilation {dilation}, map m{t}: {{span}} of 0 to 1. The channel vector behind it "
            "is a random draw, not learned; another draw gives another map."
        )
        stops.append(view_stage(trace, r, f"{short}, d = {dilation}: m{t}", words, vector=vector))
    if len(stops) >= MOST_STAGES:  # the first rank of each message and dilation
        stops = [f for f in stops if f.title.endswith("m1")]
    answers = [answer_stage(trace, t, "answer", "The messages go on.") for t in range(1, trace.steps + 1)]
    return (*thinned(stops, MOST_STAGES - len(answers)), *answers)
