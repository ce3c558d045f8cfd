"""Messages of the Compare tab: one column per model with its class maps, attributions and attention."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from viz.core.card import class_number
from viz.core.map_spec import parse
from viz.core.trace import Trace
from viz.core.words import method_words
from viz.errors import ModelError
from viz.page.attribution_entries import INPUT_METHODS, method_entry, method_line, method_offer
from viz.page.entries import column_head, derived_entries, numbered_entries, numbers_of, spatial_entries
from viz.page.grid import grid_message
from viz.page.messages import MESSAGE_VERSION, Column, MapEntry, MoreAttributions, packed

TOP = 5
# The cost is shown before the models are known; almost all take inputs of this size.
USUAL_INPUT = (224, 224)
EACH_ITS_OWN = (
    "Each model's attribution is of its own logit of the same class, at each of its own steps. The spatial patterns "
    "can be compared; the magnitudes depend on each model's logits."
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
