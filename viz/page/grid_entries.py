"""Messages of the grids: columns, choices and explanations of the Compare and Attribution tabs."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Unpack

from viz.core.card import class_number
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
from viz.page.messages import (
    MESSAGE_VERSION,
    Column,
    GridMessage,
    GridMore,
    MapEntry,
    MoreAttributions,
    StaleMessage,
    packed,
)
from viz.page.payload import TOP, palette_entries, picture_entry
from viz.picture import Picture

INPUT_METHODS = tuple(name for name, info in METHODS.items() if info.layer != "tap")
LAYER_METHODS = tuple(name for name, info in METHODS.items() if info.layer == "tap")
NATIVE, CLASS_MAP = "native attention", "class map"
_UNSIGNED = "never below 0, so it does not show evidence against the class"
_SIGNED = "signed: below 0 is evidence against the class"
# The cost is shown before the models are known; almost all take inputs of this size.
USUAL_INPUT = (224, 224)
EACH_ITS_OWN = (
    "Each model's attribution is of its own logit of the same class, at each of its own steps. The spatial patterns "
    "can be compared; the magnitudes depend on each model's logits."
)


def grid_message(
    picture: Picture, columns: Sequence[Column], classes: Sequence[str], key: str, **more: Unpack[GridMore]
) -> str:
    """The JSON message for a grid.

    Args:
        columns: one per panel. classes: names in the class list.
        key: distinguishes this message from others of the same picture. more: optional fields.
    """
    message: GridMessage = {
        "message_version": MESSAGE_VERSION,
        "key": hashlib.sha256(f"{picture.sha256}|{key}".encode()).hexdigest()[:16],
        "picture": picture_entry(picture),
        "classes": list(classes),
        "models": list(columns),
        "palettes": palette_entries(),
        **more,
    }
    return packed(message)


def stale_message(sentence: str) -> str:
    """The JSON message that says why the grid is out of date; "" if it is not."""
    message: StaleMessage = {"message_version": MESSAGE_VERSION, "stale": sentence}
    return packed(message)


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
    return f"{title} (slow: {options.n_steps} passes forward and backward{per})"


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


def common_classes(traces: Sequence[Trace]) -> list[str]:
    """Classes that the page offers: the best of every model's last step, best first, then those of the other steps."""
    found: dict[str, None] = {}
    for rank in range(TOP):
        for trace in traces:
            for step in range(trace.steps, 0, -1):
                top = trace.top(step, TOP)
                if rank < len(top):
                    found[top[rank].label] = None
    first = [best.label for best in traces[0].top(-1, 1)]
    return list(dict.fromkeys([*first, *found]))


def class_index(trace: Trace, label: str) -> int | None:
    """Number of the class with exactly this name, or None if the model does not know it."""
    try:
        index = class_number(trace.labels, label)
    except ModelError:
        return None
    # Part of a name is not enough here: two classifiers must mean the same class.
    return index if trace.labels[index] == label else None


def model_entry(trace: Trace, name: str, classes: Sequence[str], methods: Sequence[str] = ()) -> Column:
    """One model's column: class maps, attributions of the first class, spatial probes and derived maps."""
    known = [class_index(trace, label) for label in classes]
    numbers = [i for i in known if i is not None] if trace.labels else [None]
    return {
        "name": name,
        **column_head(trace),
        "maps": [
            *(e for i in numbers for e in numbered_entries(trace, i)),
            *(e for label in classes[:1] for e in attribution_entries(trace, label, methods)),
            *spatial_entries(trace),
            *derived_entries(trace),
        ],
    }


def attribution_entries(trace: Trace, label: str, methods: Sequence[str]) -> list[MapEntry]:
    """One entry per method that was computed for a class; none if the model does not know the class."""
    index = class_index(trace, label)
    if index is None:
        return []
    found = [method_entry(trace, index, text) for text in methods]
    numbers = numbers_of(trace, index)
    return [{**made[0], "cls": label, "p": numbers, "note": made[1]} for made in found if made is not None]


def more_message(traces: Mapping[str, Trace], label: str, methods: Sequence[str]) -> str:
    """The JSON message with the attributions of one more class, by model."""
    message: MoreAttributions = {
        "message_version": MESSAGE_VERSION,
        "class": label,
        "add": {name: attribution_entries(t, label, methods) for name, t in traces.items()},
    }
    return packed(message)


def method_offers() -> list[tuple[str, str]]:
    """(title, method) of what can be computed for every model, with the cost of slow methods."""
    return [(method_offer(parse(text), USUAL_INPUT, " per step and model"), text) for text in INPUT_METHODS]


def compare_message(traces: Sequence[Trace], names: Sequence[str], methods: Sequence[str] = ()) -> str:
    """The JSON message for the grid.

    Args:
        methods: attributions that the traces hold for the first of `common_classes`.
    """
    classes = common_classes(traces)
    key = "|".join([*names, *(t.geometry.mode for t in traces), *methods])
    columns = [model_entry(t, n, classes, methods) for t, n in zip(traces, names, strict=True)]
    explain = [*map(method_line, methods), EACH_ITS_OWN] if methods else []
    offered = [(m, method_words(parse(m))) for m in methods]
    return grid_message(traces[0].picture, columns, classes, key, explain=explain, methods=offered)
