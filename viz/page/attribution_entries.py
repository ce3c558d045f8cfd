"""What the Attribution tab offers and shows: methods with their cost, one column a map, and what each number is."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from viz.core.map_spec import MapSpec, parse
from viz.core.methods import DEFAULT_OPTIONS, METHODS
from viz.core.trace import Trace
from viz.core.words import method_words
from viz.errors import ModelError, ProbeError
from viz.page.entries import (
    column_head,
    derived_entries,
    map_entry,
    named,
    numbers_of,
    output_entries,
    output_facts,
    spatial_entries,
    words,
)
from viz.page.grid import grid_message
from viz.page.messages import Column, MapEntry

TOP = 5
INPUT_METHODS = tuple(name for name, info in METHODS.items() if info.layer != "tap")
LAYER_METHODS = tuple(name for name, info in METHODS.items() if info.layer == "tap")
NATIVE, CLASS_MAP = "native attention", "class map"
_NEVER_BELOW = "never below 0, so it is silent on what speaks against the class"
_SIGNED = "signed: below 0 speaks against the class"


def cost(choice: MapSpec, size: tuple[int, int]) -> str:
    """What a slow method costs a step for a network input of that size, in words; empty for the others."""
    options, info = DEFAULT_OPTIONS, choice.method
    if not info.slow:
        return ""
    if choice.name == "occlusion":
        sides = [math.ceil((side - options.window) / options.stride) + 1 for side in size]
        return f"slow: {1 + math.prod(sides)} passes"
    return f"slow: {options.n_steps} passes forward and back"


def method_choices(trace: Trace) -> list[tuple[str, str]]:
    """(words, method) of the methods on the picture and the class features."""
    return [(_offer(parse(m), trace), m) for m in INPUT_METHODS]


def layer_choices(trace: Trace) -> list[tuple[str, str]]:
    """(words, method) of the methods on the attention module: on its own map where that is a layer's output, and on
    its input."""
    own = trace.family.own
    known = {r.label for r in trace.records if r.tap.is_map or r.tap.is_maps}
    labels = [label for label in (None if own is None else own.probe, "bottom") if label in known]
    chosen = [parse(m.replace("TAP", label or "")) for label in labels for m in LAYER_METHODS]
    return [(_offer(c, trace), str(c)) for c in chosen]


def _offer(choice: MapSpec, trace: Trace) -> str:
    price = cost(choice, trace.geometry.network)
    if not price:
        return method_words(choice)
    return f"{method_words(choice)} ({price}{' a step' if trace.steps > 1 else ''})"


def class_choices(trace: Trace, step: int = -1) -> list[tuple[str, int]]:
    """(words, class) of the best classes: those of the step first, then those of the other steps."""
    number = trace.step_number(step)
    order = [number, *(s for s in range(trace.steps, 0, -1) if s != number)]
    found = dict.fromkeys(p.class_index for s in order for p in trace.top(s, TOP))
    return [(f"{trace.labels[c]}, {100 * trace.output.number_of(number, c):.1f} %", c) for c in found]


def own_map(trace: Trace) -> str | None:
    """Full name of the family's own map, as it stands in the list of maps; None where nothing of it was captured."""
    if trace.family.own is None:
        return None
    try:
        return trace.heatmap(trace.family.own).name
    except (ModelError, ProbeError):
        return None


def output_name(trace: Trace) -> str:
    """What the column of the output's map is called."""
    return output_facts(trace)["title"] or "output"


def columns_of(trace: Trace, class_index: int | None, methods: Sequence[str]) -> list[Column]:
    """Native attention where the network has any, the map of the output, and each method that the trace holds."""
    head = column_head(trace)
    columns: list[Column] = []
    native = [*spatial_entries(trace), *derived_entries(trace)]
    if native:
        pick = own_map(trace) or native[0]["name"]
        columns.append({**head, "name": NATIVE, "maps": native, "pick": pick, "note": ""})
    for entry in output_entries(trace, class_index):
        shown: MapEntry = entry if class_index is None else {**entry, "p": numbers_of(trace, class_index)}
        columns.append({**head, "name": output_name(trace), "maps": [shown], "note": ""})
    for text in methods:
        if (made := method_entry(trace, class_index, text)) is not None:
            entry, note = made
            columns.append({**head, "name": method_words(parse(text)), "maps": [entry], "pick": text, "note": note})
    return columns


def method_entry(trace: Trace, class_index: int | None, text: str) -> tuple[MapEntry, str] | None:
    """The maps of a method that the trace holds for a class, and how they were made; None where it holds none."""
    choice = parse(text)
    used = DEFAULT_OPTIONS.used(choice.method)
    asked = [replace(choice, cls=class_index, step=s) for s in range(1, trace.steps + 1)]
    held = [trace.attribution_of(one, options=used) for one in asked]
    found = [a for a in held if a is not None]
    if not found:
        return None
    maps = [trace.attribution(text, a.step, class_index, options=used) for a in found]
    entry = named(map_entry(maps, "attribution", method_words(choice), "attributions"), text)
    note = found[0].settings if choice.tap is None else ", ".join(filter(None, [found[0].layer, found[0].settings]))
    return entry, note


def method_line(text: str) -> str:
    """What a method's number is."""
    choice = parse(text)
    title = method_words(choice)
    return f"{title[:1].upper()}{title[1:]}: {choice.method.unit}; {_SIGNED if choice.method.signed else _NEVER_BELOW}."


def explanations(trace: Trace, columns: Sequence[Column], methods: Sequence[str]) -> list[str]:
    """One line a column on what its number is, and what agreement between them does and does not mean."""
    names = {c["name"] for c in columns}
    lines = []
    if NATIVE in names:
        lines.append("Native attention: what the module computed, whatever the class; its unit stands at the bar.")
    else:
        lines.append(f"{trace.card.name} has no attention module, so there is no native attention to show.")
    if CLASS_MAP in names:
        lines.append(f"Class map: the classifier's weights over the last features, in logit per cell; {_SIGNED}.")
    lines += [method_line(text) for text in methods if method_words(parse(text)) in names]
    lines.append(
        "An attribution explains the answer for one class; native attention is what the module computed. They need "
        "not agree, and where they differ neither is proven wrong."
    )
    return lines


def attribution_message(trace: Trace, class_index: int | None, methods: Sequence[str]) -> str:
    """The JSON message for the grid of one model's maps."""
    columns = columns_of(trace, class_index, methods)
    label = trace.output.subject(class_index)
    if class_index is None:
        chances = [trace.output.says(step) for step in range(1, trace.steps + 1)]
    else:
        chances = [f"{100 * p:.1f} %" for p in numbers_of(trace, class_index)]
    said = chances[0] if trace.steps == 1 else ", ".join(f"{c} at step {s}" for s, c in enumerate(chances, 1))
    return grid_message(
        trace.picture,
        columns,
        [label],
        "|".join([trace.card.name, trace.geometry.mode, str(class_index), *methods]),
        kind="maps",
        about=f"{trace.card.name}, {words(label)}: {said}",
        explain=explanations(trace, columns, methods),
    )
