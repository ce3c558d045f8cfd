"""VISTA: update by update and rank by rank: spatial map m beside channel vector v, and how their products add up."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from viz.capture.probe import AttentionRecord
from viz.core.frames import MOST_FRAMES, Frame
from viz.core.kernels import ModuleFacts
from viz.families.stages import Found, answer_frame, at, input_frame, paths_with, span, thinned, view_frame

if TYPE_CHECKING:
    from viz.core.trace import Trace

_INFERRED = re.compile(r"spatial_map_(\d+)")
_PUBLISHED = re.compile(r"spatial_map_(\d+)_(\d+)")


def vista(trace: Trace) -> tuple[Frame, ...]:
    """Inferred: each update's whole attention, its maps rank by rank, their sum, the answer. Published: every map."""
    if any(_PUBLISHED.fullmatch(r.label) for r in trace.records):
        return _published(trace)
    bottom = next((r for r in trace.records if r.label == "bottom"), None)
    first = input_frame(trace, bottom, "")
    message = main_message(trace)
    frames: list[Frame] = []
    for t in range(1, trace.steps + 1):
        frames += _update(trace, t, message)
        what = f"With the maps of update {t} the upper layers answer."
        frames.append(answer_frame(trace, t, f"update {t}: answer", what))
    if len(frames) + len(first) > MOST_FRAMES:
        frames = [f for f in frames if f.show is None or f.show.part == "total" or f.show.probe is None]
    return (*first, *thinned(frames, MOST_FRAMES - len(first)))


def message_words(trace: Trace, path: str) -> str:
    """A message in words: its name and, where known, its dilation and strength."""
    name = path.rpartition("messages.")[2]
    facts = trace.facts.get(f"{path}.kernel")
    if facts is None:
        return name
    text = f"{name.removesuffix(f'd{facts.dilation}')}, dilation {facts.dilation}"
    return text if facts.strength is None else f"{text}, strength {facts.strength:.2g}"


def main_message(trace: Trace) -> str | None:
    """The message that does most in the last update: its strength times its mean attention."""
    last: dict[str, float] = {}
    for r in trace.records:
        if r.label == "structured":
            strength = (trace.facts.get(f"{r.path}.kernel") or ModuleFacts()).strength
            last[r.path] = float(r.values.mean()) * abs(1.0 if strength is None else strength)
    if not last:
        paths = paths_with(trace, "spatial_map_1")
        return paths[-1] if paths else None
    return max(last, key=lambda p: last[p])


def _update(trace: Trace, step: int, message: str | None) -> list[Frame]:
    if message is None:
        return []
    found = at(trace, message, step)
    frames = []
    if structured := found.get("structured"):
        alike = [r for r in trace.records if r.label == "structured" and r.step == step]
        words = (
            f"Update {step}: the attention of all {len(alike)} messages, mean over the channels, each times its "
            "learned strength, added: {span}. Each message's own maps are in the list."
        )
        frames.append(view_frame(trace, structured, f"update {step}: attention", words, "total", records=tuple(alike)))
    ranks = [label for label in found if _INFERRED.fullmatch(label)]
    name = message_words(trace, message)
    for t in range(1, len(ranks) + 1):
        frames.append(_rank(trace, found, t, f"update {step}", name))
    if len(ranks) > 1:
        words = (
            f"Update {step}, message {name}: the products of vector and map of all {len(ranks)} ranks added, mean over "
            "the channels: {span}."
        )
        record = found[f"spatial_map_{len(ranks)}"]
        used = tuple(
            found[f"{what}_{t}"] for t in range(1, len(ranks) + 1) for what in ("spatial_map", "channel_vector")
        )
        frames.append(view_frame(trace, record, f"update {step}: sum", words, "ranks", records=used))
    return frames


def _rank(trace: Trace, found: Found, rank: int, lead: str, name: str) -> Frame:
    record, vector = found[f"spatial_map_{rank}"], found.get(f"channel_vector_{rank}")
    words = f"{lead.capitalize()}, message {name}: map m{rank}, {{span}} of 0 to 1"
    if vector is None:
        return view_frame(trace, record, f"{lead}: m{rank}", words + ".")
    words += f"; beside it vector v{rank} over the channels, {span(vector.values)}, mean 1."
    return view_frame(trace, record, f"{lead}: m{rank}, v{rank}", words, vector=vector)


def _published(trace: Trace) -> tuple[Frame, ...]:
    """The published graph: every map of every message, dilation and rank; its vectors are random draws."""
    frames: list[Frame] = []
    labels: dict[str, AttentionRecord] = {r.name: r for r in trace.records}
    for r in trace.records:
        found = _PUBLISHED.fullmatch(r.label)
        if not found:
            continue
        q, t = found.groups()
        vector = labels.get(f"{r.path}.channel_vector_{q}_{t}")
        facts = trace.facts.get(f"{r.path}.kernel_prediction_{q}", ModuleFacts())
        short = r.path.rpartition(".")[2].removeprefix("attention_MSG_")
        words = (
            f"Message {short}, dilation {facts.dilation}, map m{t}: {{span}} of 0 to 1. The channel vector behind it "
            "is a random draw, not learned; another draw gives another map."
        )
        frames.append(view_frame(trace, r, f"{short}, d = {facts.dilation}: m{t}", words, vector=vector))
    if len(frames) >= MOST_FRAMES:  # the first rank of each message and dilation
        frames = [f for f in frames if f.title.endswith("m1")]
    answers = [answer_frame(trace, t, "answer", "The messages go on.") for t in range(1, trace.steps + 1)]
    return (*thinned(frames, MOST_FRAMES - len(answers)), *answers)
