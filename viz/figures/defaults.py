"""The figure for which nothing was chosen: each family's own in about one row."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from viz.core.map_spec import MapSpec
from viz.core.trace import Trace
from viz.families.family import family_of
from viz.figures.spec import Panel


def default_panels(trace: Trace, class_index: int | None = None) -> tuple[Panel, ...]:
    """The picture, the family's maps (see `Family.figure`) and the answer: the class map, or the map of a dense answer.

    A family without maps of its own gets the answers of every step, then the deepest spatial gates.

    Args:
        class_index: default the last step's best class, so that the steps can be compared.
    """
    best = trace.output.best(trace.steps) if class_index is None else class_index
    answer = None if trace.output_map is None else replace(trace.output_map, cls=best)
    maps = family_of(trace.card.family).figure(trace)
    maps = [*maps, *_at(answer, [trace.steps])] if maps else _steps(trace, answer)
    return (Panel("picture"), *(Panel("map", m) for m in maps))


def _at(answer: MapSpec | None, steps: Sequence[int]) -> list[MapSpec]:
    return [] if answer is None else [answer.at(step) for step in steps]


def _steps(trace: Trace, answer: MapSpec | None) -> list[MapSpec]:
    # Many steps are thinned evenly, the first and the last kept, so that a page holds the figure.
    steps = sorted({1 + round(i * (trace.steps - 1) / 5) for i in range(6)})
    maps = _at(answer, steps)
    found = [r for r in trace.records if r.tap.is_map]
    # A gate is what was really multiplied onto the features; a score before it is second choice.
    chosen = [r for r in found if r.label == "spatial_gate"] or found
    return maps + [MapSpec(r.name, step=r.step) for r in chosen if r.name == chosen[-1].name and r.step in steps]
