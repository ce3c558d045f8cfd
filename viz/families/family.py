"""A family of attention modules as one object. Each folder of `viz.families` has a ``family.py`` with its own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pkgutil import iter_modules

from viz.core.map_spec import MapSpec
from viz.core.stage import Stage
from viz.core.trace import Trace

# Families of the papers come first, in this order; the others follow by name.
_FIRST = ("tdam", "psa", "ema", "vista", "paka")


def _no_maps(trace: Trace) -> list[MapSpec]:
    return []


def _no_title(trace: Trace, path: str) -> str:
    return ""


@dataclass(frozen=True)
class Family:
    """One family of attention modules.

    Attributes:
        name: of its folder.
        stages: the stages of a trace, the stops of the page's slider.
        own: the family's own spatial map, or None.
        gates: labels of the values that act as its gates. optional_gates: those that only some layouts have.
        figure: maps of the default figure, between the picture and the class map; an empty list gives the class maps of
            every step and the deepest gates.
        module_title: readable title of a module, where more is known than its path; else empty.
        first_value: name of a value without an earlier one to compare with.
        missing: text of the page where a map has no value at a step.
    """

    name: str
    stages: Callable[[Trace], tuple[Stage, ...]]
    own: MapSpec | None = None
    gates: tuple[str, ...] = ()
    optional_gates: tuple[str, ...] = ()
    figure: Callable[[Trace], list[MapSpec]] = _no_maps
    module_title: Callable[[Trace, str], str] = _no_title
    first_value: str = "one step"
    missing: str = "This map has no value at this step."


@cache
def families() -> dict[str, Family]:
    """All families by name."""
    found = sorted(m.name for m in iter_modules(import_module(__package__).__path__) if m.ispkg)
    order = [n for n in _FIRST if n in found] + [n for n in found if n not in _FIRST]
    made = [import_module(f"viz.families.{name}.family").FAMILY for name in order]
    return {family.name: family for family in made}


def family_of(name: str | None) -> Family:
    """The family of that name; ``generic`` for None and for unknown names."""
    return families().get(name or "generic", families()["generic"])
