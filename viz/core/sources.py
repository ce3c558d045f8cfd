"""Where a map comes from, in one word, for whole data sets: ``cam``, ``attention:spatial_gate``, ``gradcam:1``.

    cam [:STEP]                     class map
    attention [:STEP]               the family's own map over places, see `OWN`
    attention:PROBE [:STEP]         a captured value, or what follows from it (``attention:mean(group_gate)``)
    METHOD [:STEP]                  a method of `viz.attribution` (``occlusion``, ``gradcam(spatial_gate)``)
    centre_gaussian, centre_box     floors that look at no picture

STEP is 1-based, or from -1; without it the last computation step.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Literal

from viz.attribution import METHODS, is_method, parse_method
from viz.core.derived import part_words, split_name
from viz.errors import VizError

SourceKind = Literal["floor", "class map", "attention", "attribution"]
# What each family itself weighs places with, as one map.
OWN = {
    "tdam": "spatial_gate",
    "psa": "spatial_gate",
    "ema": "mean(group_gate)",
    "vista": "total(structured)",
    "paka": "mean(kernel_attention)",
}
FLOORS = {"centre_box": "fixed centred box", "centre_gaussian": "centre Gaussian"}
_FORM = re.compile(r"(?P<name>[^:\s][^:]*?)(:(?P<probe>[A-Za-z_][\w.()#]*))?(:(?P<step>-?\d{1,4}))?")


@dataclass(frozen=True)
class MapSource:
    """One source of maps.

    Attributes:
        kind: ``class map``, ``attention``, ``attribution`` or ``floor``.
        name: of the probe (or ``PART(PROBE)``), of the method, or of the floor; ``cam`` for class maps; empty for the
            family's own attention.
        step: 1-based, or from -1.
        channel: of a probe with channels.
    """

    kind: SourceKind
    name: str
    step: int = -1
    channel: int | None = None

    @property
    def text(self) -> str:
        """As `parse_source` reads it."""
        channel = "" if self.channel is None else f"#{self.channel}"
        own = "attention" + (f":{self.name}" if self.name else "")
        head = own + channel if self.kind == "attention" else self.name
        return head if self.step == -1 else f"{head}:{self.step}"

    @property
    def needs_class(self) -> bool:
        """Whether the map asks for a class."""
        return self.kind in ("class map", "attribution")

    def words(self) -> str:
        """For tables: ``class map``, ``spatial gate``, ``Grad-CAM of spatial gate``."""
        if self.kind == "floor":
            return FLOORS[self.name]
        if self.kind == "class map":
            return "class map"
        if self.kind == "attribution":
            return parse_method(self.name).words()
        if not self.name:
            return "own attention"
        probe, part = split_name(self.name)
        return part_words(probe.rpartition(".")[2], part, self.channel)


def parse_source(text: str) -> MapSource:
    """A source from its word.

    Raises:
        VizError: not a source.
    """
    given: object = text
    found = _FORM.fullmatch(text.strip()) if isinstance(given, str) and len(text) <= 200 else None
    if found is None:
        raise VizError(_refusal(str(text)))
    name, probe = found["name"], found["probe"]
    step = -1 if found["step"] is None else int(found["step"])
    if step == 0:
        raise VizError("A step counts from 1, or from -1 for the last one.")
    if name == "attention" and probe:
        probe, _, channel = probe.partition("#")
        if channel and not channel.isdigit():
            raise VizError(f"A channel is a number, as in attention:bottom#17, not {channel[:20]!r}.")
        split_name(probe)
        return MapSource("attention", probe, step, int(channel[:6]) if channel else None)
    if probe:
        raise VizError(_refusal(text))
    if name == "attention":
        return MapSource("attention", "", step)
    if name in ("cam", "class_map"):
        return MapSource("class map", "cam", step)
    if name in FLOORS:
        return MapSource("floor", name)
    if is_method(name):
        return MapSource("attribution", parse_method(name).text, step)
    raise VizError(_refusal(text))


def of_family(source: MapSource, family: str | None) -> MapSource | None:
    """The source with the family's own probe where it names none; None where the family has no such map."""
    if source.kind != "attention" or source.name:
        return source
    return replace(source, name=OWN[family]) if family in OWN else None


def _refusal(text: str) -> str:
    return (
        f"{text[:60]!r} is no source of maps; there are cam, attention, attention:PROBE, {', '.join(METHODS)}, each "
        f"with :STEP where it is not the last, and the floors {' and '.join(FLOORS)}."
    )
