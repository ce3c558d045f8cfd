"""The figure for which nothing was chosen: each family's own in about one row."""

from __future__ import annotations

from viz.core.map_spec import MapSpec
from viz.core.trace import Trace
from viz.families.family import family_of
from viz.figures.spec import Panel


def default_panels(trace: Trace, class_index: int | None = None) -> tuple[Panel, ...]:
    """The picture, the family's maps (see `Family.figure`) and the class map.

    A family without maps of its own gets the class maps of every step, then the deepest spatial gates.

    Args:
        class_index: default the last step's best class, so that the steps can be compared.
    """
    best = trace.top(-1, 1)[0].class_index if class_index is None else class_index
    maps = family_of(trace.card.family).figure(trace)
    maps = [*maps, MapSpec("cam", cls=best, step=trace.steps)] if maps else _steps(trace, best)
    return (Panel("picture"), *(Panel("map", m) for m in maps))


def _steps(trace: Trace, best: int) -> list[MapSpec]:
    # Many steps are thinned evenly, the first and the last kept, so that a page holds the figure.
    steps = sorted({1 + round(i * (trace.steps - 1) / 5) for i in range(6)})
    maps = [MapSpec("cam", cls=best, step=step) for step in steps]
    found = [r for r in trace.records if r.tap.is_map]
    # A gate is what was really multiplied onto the features; a score before it is second choice.
    chosen = [r for r in found if r.label == "spatial_gate"] or found
    return maps + [MapSpec(r.name, step=r.step) for r in chosen if r.name == chosen[-1].name and r.step in steps]
