"""Attribution panels: compute what they show, and describe in a caption how it was computed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from viz.core.map_spec import MapSpec
from viz.core.methods import DEFAULT_OPTIONS, AttributionOptions

if TYPE_CHECKING:
    from viz.core.attribution import Attribution
    from viz.core.trace import Trace
    from viz.figures.spec import Panel
    from viz.run.engine import Model


def used_options(spec: MapSpec, options: AttributionOptions | None) -> dict[str, Any] | None:
    """The options that an attribution uses; None for other maps, and where the newest attribution is wanted."""
    return options.used(spec.method) if options is not None and spec.kind == "attribution" else None


def with_attributions(
    model: Model,
    trace: Trace,
    panels: Sequence[Panel],
    options: AttributionOptions = DEFAULT_OPTIONS,
) -> Trace:
    """The trace with all attributions that the panels show; existing ones are not computed again.

    Raises:
        ModelError, ProbeError, VizError: as from `Model.attribute`.
    """
    for panel in panels:
        if panel.map is not None and panel.map.kind == "attribution":
            trace = model.attribute(trace, panel.map, options=options)
    return trace


def options_in(trace: Trace, panels: Sequence[Panel]) -> AttributionOptions:
    """The options of the trace's newest attributions for these panels."""
    options: dict[str, Any] = {}
    for panel in panels:
        if panel.map is not None and panel.map.kind == "attribution":
            newest = trace.attribution_of(panel.map)
            options |= newest.options if newest is not None else {}
    return AttributionOptions(**options)


def method_sentence(attribution: Attribution, settings: str) -> str:
    """Method, layer and options: ``occlusion at the input (black baseline, window 48 px)``."""
    layer = attribution.layer if "(" in attribution.method else f"the {attribution.layer}"
    return f"{attribution.words.partition(' at ')[0]} at {layer}" + (f" ({settings})" if settings else "")


def sentences(found: Sequence[tuple[str, Attribution]]) -> list[str]:
    """For a caption: how each attribution was computed and with which version of Captum.

    Args:
        found: letter of a panel, and its attribution.
    """
    letters: dict[tuple[str, str], list[str]] = {}
    for letter, one in found:
        letters.setdefault((method_sentence(one, one.settings), one.captum), []).append(f"({letter})")
    versions = dict.fromkeys(one.captum for _, one in found)
    text = "; ".join(f"{', '.join(group)} {how}" for (how, _), group in letters.items())
    return [f"Attribution: {text}; computed with Captum {', '.join(versions)}."] if found else []
