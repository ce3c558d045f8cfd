"""Attribution panels: what has to be computed for them, and what caption and record say of how it was."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from viz.attribution.methods import DEFAULT_OPTIONS, AttributionOptions, parse_method

if TYPE_CHECKING:
    from viz.core.heatmap import Heatmap
    from viz.core.trace import Attribution, Trace
    from viz.figures.content import Content
    from viz.figures.spec import FigureSpec, Panel
    from viz.run.engine import Model


def asked_class(panel: Panel) -> int | str | None:
    """The class that a panel names, by number or name."""
    return panel.class_label if panel.class_index is None else panel.class_index


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
    wanted = [p for p in panels if p.method is not None]
    for i, panel in enumerate(wanted):
        trace = model.attribute(
            trace,
            panel.method or "",
            class_index=asked_class(panel),
            step=panel.step,
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
        if panel.method is not None:
            known = trace.attribution_of(panel.method, panel.step, asked_class(panel))
            found |= known.options if known is not None else {}
    return AttributionOptions(**found)


def attribution_of(trace: Trace, spec: FigureSpec, panel: Panel) -> Attribution | None:
    """The attribution that a panel shows."""
    if panel.method is None:
        return None
    used = spec.attribution.used(parse_method(panel.method))
    return trace.attribution_of(panel.method, panel.step, asked_class(panel), options=used)


def attribution_map(trace: Trace, panel: Panel, options: AttributionOptions | None) -> Heatmap:
    """The map of a panel with a method; without options the newest of the trace.

    Raises:
        ProbeError: it was not computed.
    """
    used = None if options is None else options.used(parse_method(panel.method or ""))
    return trace.attribution(panel.method or "", panel.step, asked_class(panel), options=used)


def shown(trace: Trace, spec: FigureSpec, made: Sequence[Content]) -> list[tuple[Content, Attribution]]:
    """The panels that show an attribution, with it."""
    found = [(c, attribution_of(trace, spec, c.panel)) for c in made]
    return [(c, a) for c, a in found if a is not None]


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
