"""Attribution panels: what has to be computed for them, and what caption and record say of how it was."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from viz.core.map_spec import MapSpec
from viz.core.methods import DEFAULT_OPTIONS, AttributionOptions

if TYPE_CHECKING:
    from viz.core.attribution import Attribution
    from viz.core.trace import Trace
    from viz.figures.spec import FigureSpec, Panel
    from viz.run.engine import Model


def used_options(spec: MapSpec, options: AttributionOptions | None) -> dict[str, Any] | None:
    """The options that an attribution uses; None for other maps, and where the newest will do."""
    return options.used(spec.method) if options is not None and spec.kind == "attribution" else None


def with_attributions(
    model: Model,
    trace: Trace,
    panels: Sequence[Panel],
    options: AttributionOptions = DEFAULT_OPTIONS,
    progress: Callable[[float], None] | None = None,
) -> Trace:
    """The trace with all attributions that the panels show; those that it has are not computed again.

    Args:
        progress: called with the done share of all of them, 0 to 1.

    Raises:
        ModelError, ProbeError, VizError: as from `Model.attribute`.
    """
    wanted = [p.map for p in panels if p.map is not None and p.map.kind == "attribution"]
    for i, spec in enumerate(wanted):
        trace = model.attribute(
            trace,
            spec,
            options=options,
            progress=None if progress is None else _part(progress, i, len(wanted)),
        )
    return trace


def _part(progress: Callable[[float], None], index: int, count: int) -> Callable[[float], None]:
    return lambda share: progress((index + share) / count)


def options_in(trace: Trace, panels: Sequence[Panel]) -> AttributionOptions:
    """The options with which a trace's newest attributions for these panels were computed."""
    found: dict[str, Any] = {}
    for panel in panels:
        if panel.map is not None and panel.map.kind == "attribution":
            known = trace.attribution_of(panel.map)
            found |= known.options if known is not None else {}
    return AttributionOptions(**found)


def attribution_of(trace: Trace, spec: FigureSpec, panel: Panel) -> Attribution | None:
    """The attribution that a panel shows."""
    if panel.map is None or panel.map.kind != "attribution":
        return None
    return trace.attribution_of(panel.map, options=used_options(panel.map, spec.attribution))


def sentences(found: Sequence[tuple[str, Attribution]]) -> list[str]:
    """For a caption: method, layer, options and the version that computed it; `found` has each panel's letter."""
    groups: dict[tuple[str, str], list[str]] = {}
    for letter, one in found:
        where = one.layer if "(" in one.method else f"the {one.layer}"
        how = f"{one.words.partition(' at ')[0]} at {where}" + (f" ({one.settings})" if one.settings else "")
        groups.setdefault((how, one.captum), []).append(f"({letter})")
    versions = dict.fromkeys(one.captum for _, one in found)
    text = "; ".join(f"{', '.join(letters)} {how}" for (how, _), letters in groups.items())
    return [f"Attribution: {text}; computed with Captum {', '.join(versions)}."] if found else []
