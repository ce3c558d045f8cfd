"""The default figure: the maps of the model's family, in about one row."""

from __future__ import annotations

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
    maps = family_of(trace.card.family).figure(trace)
    steps = [trace.steps] if maps else thinned(trace.steps)
    answers: list[MapSpec] = []
    if trace.output_map is not None:
        best = trace.output.best(trace.steps) if class_index is None else class_index
        answers = [replace(trace.output_map, cls=best, step=step) for step in steps]
    shown = [*maps, *answers] if maps else [*answers, *_deepest_gates(trace, steps)]
    return (Panel("picture"), *(Panel("map", m) for m in shown))


def thinned(steps: int) -> list[int]:
    """At most six of the steps, evenly chosen, the first and the last kept, so that a page holds the figure."""
    return sorted({1 + round(i * (steps - 1) / 5) for i in range(6)})


def _deepest_gates(trace: Trace, steps: list[int]) -> list[MapSpec]:
    found = [r for r in trace.records if r.tap.is_map]
    # A gate is what really multiplied the features; a score before it is second choice.
    chosen = [r for r in found if r.label == "spatial_gate"] or found
    return [MapSpec(r.name, step=r.step) for r in chosen if r.name == chosen[-1].name and r.step in steps]
