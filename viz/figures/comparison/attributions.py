"""Attribution columns: the maps of every step, computed before the comparison is made, and what is said of them."""

from __future__ import annotations

from pathlib import Path

from viz.core.map_spec import MapSpec
from viz.core.methods import AttributionOptions
from viz.core.trace import Trace
from viz.errors import ProbeError
from viz.figures.comparison.columns import class_of
from viz.figures.comparison.data import Compared
from viz.run.engine import Engine, Model


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
    index, why = class_of(trace, choice, label), None
    before = trace
    for step in range(1, trace.steps + 1):
        try:
            if isinstance(model, Model):
                trace = model.attribute(trace, choice, class_index=index, step=step, options=options)
            else:
                trace = engine.attribute(
                    trace.picture,
                    str(model),
                    choice,
                    trace.geometry.mode,
                    class_index=index,
                    step=step,
                    options=options,
                )
        except ProbeError as error:  # a step that makes no use of the probe has no map
            why = error
    if trace is before and why is not None:
        raise ProbeError(f"{trace.card.name}: {why}")
    return trace


def attribution_notes(made: Compared) -> list[str]:
    """For each method and its options, a sentence."""
    out: dict[str, None] = {}
    for column in made.columns:
        if column.map.kind != "attribution":
            continue
        found = next(
            a for a in column.trace.attributions if a.method == column.map.head and a.class_index == column.map.cls
        )
        settings = made.attribution.words(column.map.method)
        where = found.layer if "(" in found.method else f"the {found.layer}"
        name = found.words.partition(" at ")[0]
        how = f" ({settings})" if settings else ""
        out[f"{name[:1].upper()}{name[1:]} at {where}{how}, computed with Captum {found.captum}."] = None
    return list(out)
