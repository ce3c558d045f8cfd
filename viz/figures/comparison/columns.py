"""The maps of a column at each step of a comparison."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from viz.core.card import class_number
from viz.core.heatmap import Heatmap
from viz.core.map_spec import MapSpec, parse
from viz.core.methods import AttributionOptions
from viz.core.trace import Trace
from viz.core.words import words
from viz.errors import ProbeError, VizError
from viz.figures.attributions import used_options
from viz.run.engine import Engine, Model


def _class_of(trace: Trace, spec: MapSpec, label: str) -> int | None:
    """Number of the class of a map, `label` where it names none; None for an answer without classes."""
    if not trace.labels and spec.cls is None:
        return None
    return class_number(trace.labels, label if spec.cls is None else spec.cls)


def with_attributions(
    trace: Trace,
    model: str | Path | Model | Trace,
    choice: MapSpec,
    label: str,
    *,
    options: AttributionOptions,
    engine: Engine,
) -> Trace:
    """The trace with the column's attribution at every step that has one; a trace that was given stays as it is.

    Args:
        model: as it was given to `compare`. label: class of a choice that names none.

    Raises:
        ProbeError: no step has one. ModelError, VizError: as from `Model.attribute`.
    """
    if choice.kind != "attribution" or isinstance(model, Trace):
        return trace
    index, why = _class_of(trace, choice, label), None
    before, mode = trace, trace.geometry.mode
    for step in range(1, trace.steps + 1):
        try:
            if isinstance(model, Model):
                trace = model.attribute(trace, choice, class_index=index, step=step, options=options)
            else:
                trace = engine.attribute(
                    trace.picture, str(model), choice, mode, class_index=index, step=step, options=options
                )
        except ProbeError as error:  # a step that does not use the probe has no map
            why = error
    if trace is before and why is not None:
        raise ProbeError(f"{trace.card.name}: {why}")
    return trace


def definite(trace: Trace, spec: MapSpec, label: str, options: AttributionOptions) -> tuple[MapSpec, str]:
    """The map with a class number or a full tap name, its step as it was asked for, and what it measures in words.

    Args:
        label: class of a map that takes one and names none. options: of attributions.

    Raises:
        VizError and its kinds: what the trace does not have, with the model's name before the sentence.
    """
    try:
        if spec.takes_class:
            spec = replace(spec, cls=_class_of(trace, spec, label))
        if spec.kind == "attribution":
            used = used_options(spec, options)
            for step in range(trace.steps, 0, -1) if spec.step == -1 else [spec.step]:
                found = trace.attribution_of(spec.at(step), options=used)
                if found is not None:
                    return replace(parse(found.method), cls=spec.cls, step=spec.step, region=spec.region), found.words
            trace.heatmap(spec, options=used)  # raises: it was not computed
        made = trace.definite(spec)
        trace.heatmap(made)
    except VizError as error:
        raise type(error)(f"{trace.card.name}: {error}") from None
    return made.at(spec.step), words(made)


def map_at(trace: Trace, spec: MapSpec, step: int, options: AttributionOptions) -> Heatmap | None:
    """The map of a definite column at a step, or None where it has no value there."""
    asked = spec.at(step) if spec.step == -1 else spec
    if asked.kind == "attribution":
        used = used_options(asked, options)
        return None if trace.attribution_of(asked, options=used) is None else trace.heatmap(asked, options=used)
    if asked.probe is not None and spec.step == -1 and step not in trace.steps_of(asked):
        return None
    try:
        return trace.heatmap(asked)
    except ProbeError:
        if asked.kind != "derived":
            raise
        return None  # a value that the derived map needs does not exist at this step
