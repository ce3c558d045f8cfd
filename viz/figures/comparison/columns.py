"""The map of a column at each step of a comparison."""

from __future__ import annotations

from dataclasses import replace

from viz.core.card import class_number
from viz.core.heatmap import Heatmap
from viz.core.map_spec import MapSpec, parse
from viz.core.methods import DEFAULT_OPTIONS, AttributionOptions
from viz.core.trace import Trace
from viz.core.words import words
from viz.errors import ProbeError, VizError
from viz.figures.attributions import used_options


def class_of(trace: Trace, spec: MapSpec, label: str) -> int:
    """Number of the class of a map that takes one; `label` where it names none.

    Raises:
        ModelError: no such class.
    """
    return class_number(trace.head.labels, label if spec.cls is None else spec.cls)


def definite(
    trace: Trace, spec: MapSpec, label: str, options: AttributionOptions = DEFAULT_OPTIONS
) -> tuple[MapSpec, str]:
    """The map with a class number or a full tap name, its step as it was asked for, and what it measures in words.

    Args:
        label: class of a map that takes one and names none. options: of attributions.

    Raises:
        VizError and its kinds: what the trace does not have, with the model's name before the sentence.
    """
    try:
        if spec.takes_class:
            spec = replace(spec, cls=class_of(trace, spec, label))
        if spec.kind == "attribution":
            used = used_options(spec, options)
            steps = range(trace.steps, 0, -1) if spec.step == -1 else [spec.step]
            for step in steps:
                found = trace.attribution_of(spec.at(step), options=used)
                if found is not None:
                    return replace(parse(found.method), cls=spec.cls, step=spec.step), found.words
            trace.heatmap(spec, options=used)
        made = trace.definite(spec)
        trace.heatmap(made)
    except VizError as error:
        raise type(error)(f"{trace.card.name}: {error}") from None
    return made.at(spec.step), words(made)


def map_at(trace: Trace, spec: MapSpec, step: int, options: AttributionOptions = DEFAULT_OPTIONS) -> Heatmap | None:
    """The map of a definite column at a step, or None where it has no value there."""
    asked = spec.at(step) if spec.step == -1 else spec
    used = used_options(asked, options)
    if asked.kind == "attribution":
        return None if trace.attribution_of(asked, options=used) is None else trace.heatmap(asked, options=used)
    if asked.probe is not None and spec.step == -1 and step not in trace.steps_of(asked):
        return None
    try:
        return trace.heatmap(asked)
    except ProbeError:
        if asked.kind != "derived":
            raise
        return None  # a value that the derived map needs does not exist at this step
