"""Shared parts of the families' stages and default figures: ranges in words, first and last stage, thinning."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from viz.core.map_spec import MapSpec
from viz.core.record import Record
from viz.core.stage import CAM, MOST_STAGES, Stage, View
from viz.core.trace import Trace
from viz.core.words import words as map_words

Found = dict[str, Record]


def span(values: NDArray[np.floating]) -> str:
    """Smallest and largest value, with enough digits to tell them apart; values that are not finite are reported."""
    finite = values[np.isfinite(values)]
    if finite.size < values.size:
        return f"{span(finite)}, elsewhere not finite" if finite.size else "nowhere finite"
    low, high = float(values.min()), float(values.max())
    extent = high - low
    if extent <= 1e-7 * max(abs(low), abs(high), 1e-30):
        return f"{low:.6g} everywhere"
    decimals = max(0, 1 - math.floor(math.log10(extent)))
    if decimals > 7 or max(abs(low), abs(high)) >= 1e5:
        return f"{low:.4g} to {high:.4g}"
    return f"{low:.{decimals}f} to {high:.{decimals}f}"


def at(trace: Trace, path: str, step: int) -> Found:
    """The records of one module at one step, by label."""
    return {r.label: r for r in trace.records if r.path == path and r.step == step}


def paths_with(trace: Trace, label: str) -> list[str]:
    """Modules that have a probe of that label, in order of firing, which is by depth."""
    return list(dict.fromkeys(r.path for r in trace.records if r.label == label))


def last_record(trace: Trace, label: str, path: str | None = None) -> Record | None:
    """The last value of a label, in one module if a path is given."""
    found = [r for r in trace.records if r.label == label and path in (None, r.path)]
    return found[-1] if found else None


def spec_of(record: Record, derived: str | None = None) -> MapSpec:
    """The specification of a record, or of a map derived from it, at the record's step."""
    spec = MapSpec(record.name) if derived is None else MapSpec(derived, record.name)
    return spec.at(record.step)


def last_maps(trace: Trace, path: str, *wanted: tuple[str, str | None]) -> list[MapSpec]:
    """Maps of the last values in one module: (label, derived map) pairs, those without a value left out."""
    found = [(last_record(trace, label, path), derived) for label, derived in wanted]
    return [spec_of(record, derived) for record, derived in found if record is not None]


def module_words(trace: Trace, path: str) -> str:
    """Scale and dilation of a message or level, as in ``s16b, d = 3``; empty where unknown."""
    dilations = {r.tap.dilation for r in trace.records if r.path == path and r.tap.is_kernel}
    if len(dilations) != 1:
        return ""
    dilation = dilations.pop()
    scale = path.rpartition("messages.")[2].removesuffix(f"d{dilation}") if "messages." in path else ""
    return f"{scale}, d = {dilation}" if scale else f"d = {dilation}"


def view_stage(
    trace: Trace,
    record: Record,
    title: str,
    words: str,
    derived: str | None = None,
    *,
    channel: int | None = None,
    vector: Record | None = None,
    kernel: bool = False,
    arrows: bool = False,
    records: Sequence[Record] = (),
) -> Stage:
    """A stage that shows a map of one record; ``{span}`` in the words becomes the range of the map.

    Args:
        derived: name of a map derived from the record. arrows: see `View`.
        kernel: whether a click opens the kernels in `record`.
        vector: the channel vector beside the map. records: further values that the stage uses.
    """
    probe = record.label if derived == "total" else record.name
    shown = MapSpec(probe, channel=channel) if derived is None else MapSpec(derived, probe, channel)
    view = View(shown, None if vector is None else vector.name, record.name if kernel else None, arrows)
    values = trace.heatmap(shown, record.step).native
    used = {r.name: r for r in (record, *records, *([] if vector is None else [vector]))}
    return Stage(record.step, title, words.replace("{span}", span(values)), tuple(used.values()), view)


def input_stage(trace: Trace, record: Record | None, where: str = "") -> list[Stage]:
    """The first stage: the input of a module; empty if it was not captured."""
    if record is None:
        return []
    words = f"Input of the module{where}, mean over {len(record.values)} channels: {{span}} ({record.unit})."
    return [view_stage(trace, record, "input", words, "mean")]


def answer_stage(trace: Trace, step: int, title: str, what: str) -> Stage:
    """The stage that shows what the network answers with the attended features."""
    shown, caption = trace.output_map, f"{what} Prediction: {trace.output.says(step)}."
    if shown is None:
        return Stage(step, title, caption, ())
    words = "class map of the top class; 0 means no contribution" if shown.kind == "cam" else map_words(shown)
    return Stage(step, title, f"{caption} Shown: {words}.", (), View(shown))


def module_stages(trace: Trace, gate: str, stages_of: Callable[[Trace, Found, str], list[Stage]]) -> tuple[Stage, ...]:
    """At every step the stages of each module, by depth, and the answer.

    If these are too many, only the gates of the modules are shown, evenly thinned, and the last answer.

    Args:
        gate: label of the gate that every module has.
        stages_of: the stages of one module at one step from its records and `` in PATH``, which is empty for the only
            module of a network.
    """
    paths = paths_with(trace, gate)
    stops: list[Stage] = []
    for step in range(1, trace.steps + 1):
        for path in paths:
            if found := at(trace, path, step):
                several = len(paths) > 1
                made = stages_of(trace, found, f" in {path}" if several else "")
                stops += [replace(s, title=f"{path}: {s.title}") for s in made] if several else made
        stops.append(answer_stage(trace, step, "answer", "The gated features pass through the upper layers."))
    if len(stops) <= MOST_STAGES:
        return tuple(stops)
    gates = [s for s in stops[:-1] if s.show is not None and (s.show.map.probe or "").endswith(gate)]
    return (*thinned(gates, MOST_STAGES - 1), stops[-1])


def after_input(trace: Trace, stops: Sequence[Stage], kept: str) -> tuple[Stage, ...]:
    """The input of the attention module and the stages after it.

    If these are too many, only the answers and the derived map `kept` are shown, evenly thinned.
    """
    first = input_stage(trace, next((r for r in trace.records if r.label == "bottom"), None))
    if len(stops) + len(first) > MOST_STAGES:
        stops = [s for s in stops if s.show is None or s.show.map == CAM or s.show.map.name == kept]
    return (*first, *thinned(stops, MOST_STAGES - len(first)))


def thinned(stages: Sequence[Stage], most: int) -> tuple[Stage, ...]:
    """At most `most` stages, evenly chosen; the first and the last are kept."""
    if len(stages) <= most:
        return tuple(stages)
    return tuple(stages[round(i * (len(stages) - 1) / (most - 1))] for i in range(most))
