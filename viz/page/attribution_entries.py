"""Choices, messages and explanations of the Attribution tab."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from viz.core.map_spec import MapSpec, parse
from viz.core.methods import DEFAULT_OPTIONS, METHODS
from viz.core.trace import Trace
from viz.core.words import label_words, method_words
from viz.errors import ModelError, ProbeError
from viz.page.entries import (
    column_head,
    derived_entries,
    map_entry,
    numbered_entries,
    numbers_of,
    output_facts,
    spatial_entries,
)
from viz.page.grid import grid_message
from viz.page.messages import Column, MapEntry

TOP = 5
INPUT_METHODS = tuple(name for name, info in METHODS.items() if info.layer != "tap")
LAYER_METHODS = tuple(name for name, info in METHODS.items() if info.layer == "tap")
NATIVE, CLASS_MAP = "native attention", "class map"
_UNSIGNED = "never below 0, so it does not show evidence against the class"
_SIGNED = "signed: below 0 is evidence against the class"


def method_offer(choice: MapSpec, size: tuple[int, int], per: str = "") -> str:
    """A method's title, with the cost of a slow one.

    Args:
        size: of the network's input. per: unit of the cost, such as " per step".
    """
    options, title = DEFAULT_OPTIONS, method_words(choice)
    if not choice.method.slow:
        return title
    if choice.name == "occlusion":
        sides = [math.ceil((side - options.window) / options.stride) + 1 for side in size]
        return f"{title} (slow: {1 + math.prod(sides)} passes{per})"
    return f"{title} (slow: {options.n_steps} forward and backward passes{per})"


def method_choices(trace: Trace) -> list[tuple[str, str]]:
    """(title, method) of the methods on the picture and on the class features."""
    return _offers(trace, [parse(m) for m in INPUT_METHODS])


def layer_choices(trace: Trace) -> list[tuple[str, str]]:
    """(title, method) of the methods on the attention module: on its own map, if it was captured, and on its input."""
    own = trace.family.own
    known = {r.label for r in trace.records if r.tap.is_map or r.tap.is_maps}
    labels = [label for label in (None if own is None else own.probe, "bottom") if label in known]
    return _offers(trace, [parse(m.replace("TAP", label or "")) for label in labels for m in LAYER_METHODS])


def _offers(trace: Trace, choices: Sequence[MapSpec]) -> list[tuple[str, str]]:
    per = " per step" if trace.steps > 1 else ""
    return [(method_offer(choice, trace.geometry.network, per), str(choice)) for choice in choices]


def class_choices(trace: Trace, step: int = -1) -> list[tuple[str, int]]:
    """(text, class) of the best classes: those of the step first, then those of the other steps."""
    number = trace.step_number(step)
    order = [number, *(s for s in range(trace.steps, 0, -1) if s != number)]
    found = dict.fromkeys(p.class_index for s in order for p in trace.top(s, TOP))
    return [(f"{trace.labels[c]}, {100 * trace.output.number_of(number, c):.1f} %", c) for c in found]


def own_map(trace: Trace) -> str | None:
    """Full name of the family's own map, as in the list of maps; None if it was not captured."""
    if trace.family.own is None:
        return None
    try:
        return trace.heatmap(trace.family.own).name
    except (ModelError, ProbeError):
        return None


def columns_of(trace: Trace, class_index: int | None, methods: Sequence[str]) -> list[Column]:
    """Columns of native attention, if the network has any, of the output's map, and of each computed method."""
    head = column_head(trace)
    columns: list[Column] = []
    native = [*spatial_entries(trace), *derived_entries(trace)]
    if native:
        pick = own_map(trace) or native[0]["name"]
        columns.append({**head, "name": NATIVE, "maps": native, "pick": pick, "note": ""})
    for entry in numbered_entries(trace, class_index):
        columns.append({**head, "name": output_facts(trace)["title"] or "output", "maps": [entry], "note": ""})
    for text in methods:
        if (made := method_entry(trace, class_index, text)) is not None:
            entry, note = made
            columns.append({**head, "name": method_words(parse(text)), "maps": [entry], "pick": text, "note": note})
    return columns


def method_entry(trace: Trace, class_index: int | None, text: str) -> tuple[MapEntry, str] | None:
    """The computed maps of a method for a class, and their settings; None if there are none."""
    choice = parse(text)
    used = DEFAULT_OPTIONS.used(choice.method)
    asked = [replace(choice, cls=class_index, step=s) for s in range(1, trace.steps + 1)]
    held = [trace.attribution_of(one, options=used) for one in asked]
    found = [a for a in held if a is not None]
    if not found:
        return None
    maps = [trace.attribution(text, a.step, class_index, options=used) for a in found]
    entry: MapEntry = {**map_entry(maps, "attribution", method_words(choice), "attributions"), "name": text}
    note = found[0].settings if choice.tap is None else ", ".join(filter(None, [found[0].layer, found[0].settings]))
    return entry, note


def method_line(text: str) -> str:
    """What the numbers of a method are."""
    choice = parse(text)
    title = method_words(choice)
    return f"{title[:1].upper()}{title[1:]}: {choice.method.unit}; {_SIGNED if choice.method.signed else _UNSIGNED}."


def explanations(trace: Trace, columns: Sequence[Column], methods: Sequence[str]) -> list[str]:
    """One line per column on what its numbers are, and one on what agreement between them means."""
    names = {c["name"] for c in columns}
    lines = []
    if NATIVE in names:
        lines.append("Native attention: what the module computed, whatever the class; the colour bar shows its unit.")
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
        answers = [trace.output.says(step) for step in range(1, trace.steps + 1)]
    else:
        answers = [f"{100 * p:.1f} %" for p in numbers_of(trace, class_index)]
    answer = answers[0] if trace.steps == 1 else ", ".join(f"{a} at step {s}" for s, a in enumerate(answers, 1))
    return grid_message(
        trace.picture,
        columns,
        [label],
        "|".join([trace.card.name, trace.geometry.mode, str(class_index), *methods]),
        kind="maps",
        about=f"{trace.card.name}, {label_words(label)}: {answer}",
        explain=explanations(trace, columns, methods),
    )
