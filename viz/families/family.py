"""All that is particular to a family, in one object. Each folder of `viz.families` has a ``family.py`` with its own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pkgutil import iter_modules

from viz.core.map_spec import MapSpec
from viz.core.record import Record
from viz.core.stage import Stage
from viz.core.trace import Trace

# Families of the papers come first, in this order; further ones follow by name.
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
        tell: the stages of a trace: what one stop of the page's slider means.
        own: the family's own map over places, or None.
        gates: labels of the values that act as its gates. optional_gates: those that only some layouts have.
        figure: maps of the default figure, between the picture and the class map; an empty list gives the class maps of
            every step and the deepest gates.
        module_title: a module as a person reads it, where more is known than its path; else empty.
        first_value: what a value is called that no earlier one can be compared with.
        missing: what the page says where a map has no value at a step.
    """

    name: str
    tell: Callable[[Trace], tuple[Stage, ...]]
    own: MapSpec | None = None
    gates: tuple[str, ...] = ()
    optional_gates: tuple[str, ...] = ()
    figure: Callable[[Trace], list[MapSpec]] = _no_maps
    module_title: Callable[[Trace, str], str] = _no_title
    first_value: str = "one step"
    missing: str = "This map has no value at this step."

    def stages(self, trace: Trace) -> tuple[Stage, ...]:
        """The stages of a trace."""
        return self.tell(trace)


@cache
def families() -> dict[str, Family]:
    """All families by name."""
    found = sorted(m.name for m in iter_modules(import_module(__package__).__path__) if m.ispkg)
    order = [n for n in _FIRST if n in found] + [n for n in found if n not in _FIRST]
    made = [import_module(f"viz.families.{name}.family").FAMILY for name in order]
    return {family.name: family for family in made}


def family_of(name: str | None) -> Family:
    """The family of that name; of a network without one, or of one that nobody knows, ``generic``."""
    return families().get(name or "generic", families()["generic"])


def last_record(trace: Trace, label: str, path: str | None = None) -> Record | None:
    """The last value of a label, of one module where a path is given."""
    found = [r for r in trace.records if r.label == label and path in (None, r.path)]
    return found[-1] if found else None
