"""Map specifications: one grammar for "which map?", read and printed by every door.

    NAME [(TAP)] [#CHANNEL] [@CLASS] [:STEP]

    cam                              class activation map; without @CLASS that of the step's best class
    attention                        the family's own map over places
    TAP                              a captured value by label or path: spatial_gate, layer4.0.RA_block.spatial_gate
    mean(TAP), log(TAP), ...         a derived map, see `viz.core.derived`
    gradcam, occlusion, ...          an attribution for a class, see `viz.core.methods`
    gradcam(TAP), ...                an attribution to a captured value
    feature#17                       one channel of the class features
    centre_box, centre_gaussian      baselines that ignore the image

CHANNEL counts from 0. CLASS is a number or a name. STEP is 1-based, or from -1; without it the last step that has a
value. A class name may hold any printable character; where it ends like a step, the step is written as well.

Older spellings are read and never printed: ``class_map`` for ``cam``; ``attention:TAP`` and ``attribution:METHOD`` for
what follows the colon; ``:last``; the step before channel and class, as in ``class_map:2@giant panda``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Literal, Protocol, TypeVar

from viz.core.methods import METHODS, Method, is_method, takes_tap
from viz.errors import MapError

Kind = Literal["cam", "attention", "tap", "derived", "attribution", "feature", "baseline"]
DERIVED = ("mean", "log", "gated", "departure", "directions", "ranks", "total")
BASELINES = {"centre_box": "fixed centred box", "centre_gaussian": "centre Gaussian"}
LONGEST = 200
MOST_STEPS = 9999

_TAP = r"(?=[\w.-]*[^\W\d])\w[\w.-]*"
_HEAD = rf"(?P<name>{_TAP})(\((?P<tap>{_TAP})\))?"
_CHANNEL, _CLASS, _STEP = r"(#(?P<channel>\d{1,6}))?", r"(@(?P<cls>.+?))?", r"(:(?P<step>-?\d{1,4}|last))?"
_FORM = re.compile(_HEAD + _CHANNEL + _CLASS + _STEP)
_OLDER = re.compile(_HEAD + _STEP + _CHANNEL + r"(@(?P<cls>.+))?")
_PREFIX = re.compile(r"attribution:|attention:(?!(-?\d+|last)\b)")
_LIKE_A_STEP = re.compile(r".*:(-?\d{1,4}|last)")

Map_co = TypeVar("Map_co", covariant=True)


class HasMaps(Protocol[Map_co]):
    """What a specification is asked of: `viz.core.trace.Trace`."""

    def heatmap(self, spec: MapSpec) -> Map_co:
        """The map of a specification."""
        ...


@dataclass(frozen=True)
class MapSpec:
    """Which map.

    Attributes:
        name: ``cam``, ``attention``, ``feature``, a baseline, a derived map, a method, or a tap's label or full path.
        tap: label or full path of the tap of a derived map or an attribution.
        channel: channel, group, tap of a kernel or rank, from 0.
        cls: number or name of the class; None takes the step's best class.
        step: 1-based, or from -1.

    Raises:
        MapError: parts that do not go together.
    """

    name: str
    tap: str | None = None
    channel: int | None = None
    cls: int | str | None = None
    step: int = -1

    def __post_init__(self) -> None:
        _check_text("map's name", self.name)
        if self.tap is not None:
            _check_text("tap", self.tap)
        for what, value, least in (("channel", self.channel, 0), ("step", self.step, -MOST_STEPS)):
            if value is not None and (type(value) is not int or not least <= value <= 10**6):
                raise MapError(f"The {what} of a map must be a whole number, not {str(value)[:40]!r}.")
        self._check_class()
        self._check_parts()
        if self.kind == "baseline":
            object.__setattr__(self, "step", -1)  # the same at every step

    def _check_class(self) -> None:
        if isinstance(self.cls, str):
            label = self.cls.strip()
            if not label or len(label) > LONGEST or not label.isprintable():
                raise MapError("A class is a number or a printable name of at most 200 characters.")
            number = label.isascii() and label.isdigit() and len(label) <= 9
            object.__setattr__(self, "cls", int(label) if number else label)
        elif self.cls is not None and (type(self.cls) is not int or self.cls < 0):
            raise MapError(f"A class is a number or a name, not {str(self.cls)[:40]!r}.")

    def _check_parts(self) -> None:
        kind, given = self.kind, str(self.name)[:60]
        if self.name in ("picture", "boxes"):
            raise MapError(f"{given} is a panel of a figure, not a map.")
        if self.step == 0:
            raise MapError("A step counts from 1, or from -1 for the last one.")
        if kind == "feature" and self.channel is None:
            raise MapError("A feature needs its channel, as in feature#17.")
        if kind in ("derived", "tap") and self.tap is not None and self.name not in DERIVED:
            raise MapError(f"Unknown derived map {given!r}; choose one of {', '.join(DERIVED)}.")
        if kind == "attribution" and self.method_key not in METHODS:
            if self.tap is None:
                raise MapError(f"{given} needs a tap, as in {given}(spatial_gate).")
            raise MapError(f"{given} attributes to the picture and takes no tap; write {given} alone.")
        if kind in ("cam", "attention", "feature", "baseline") and self.tap is not None:
            raise MapError(f"{given} takes nothing in brackets.")
        if self.channel is not None and kind in ("cam", "attribution", "baseline"):
            raise MapError(f"{given} has no channels to choose from.")
        if self.cls is not None and not self.takes_class:
            raise MapError(f"Only class activation maps and attributions take a class, not {given!r}.")

    @property
    def kind(self) -> Kind:
        """What sort of map it is."""
        if self.name in ("cam", "attention", "feature"):
            return self.name  # type: ignore[return-value]
        if self.name in BASELINES:
            return "baseline"
        if is_method(self.name):
            return "attribution"
        return "tap" if self.tap is None else "derived"

    @property
    def takes_class(self) -> bool:
        """Whether it is the map of one class."""
        return self.kind in ("cam", "attribution")

    @property
    def needs_class(self) -> bool:
        """Whether a class must be chosen for it."""
        return self.takes_class and self.cls is None

    @property
    def probe(self) -> str | None:
        """Label or full path of the captured value that is read or attributed to."""
        return self.name if self.kind == "tap" else self.tap

    @property
    def method_key(self) -> str:
        """Entry of an attribution in `METHODS`: ``gradcam`` or ``gradcam(TAP)``."""
        return takes_tap(self.name) if self.tap is not None else self.name

    @property
    def method(self) -> Method:
        """What the numbers of an attribution are."""
        return METHODS[self.method_key]

    @property
    def head(self) -> str:
        """Name with its tap: ``mean(bottom)``."""
        return self.name if self.tap is None else f"{self.name}({self.tap})"

    @property
    def key(self) -> str:
        """Name, tap and channel: the same for all steps and classes of one quantity."""
        return self.head if self.channel is None else f"{self.head}#{self.channel}"

    def __str__(self) -> str:
        """As `parse` reads it."""
        text = self.key if self.cls is None else f"{self.key}@{self.cls}"
        needs_step = self.step != -1 or (isinstance(self.cls, str) and _LIKE_A_STEP.fullmatch(self.cls) is not None)
        return f"{text}:{self.step}" if needs_step else text

    def with_probe(self, probe: str) -> MapSpec:
        """The same map of another tap."""
        return replace(self, name=probe) if self.kind == "tap" else replace(self, tap=probe)

    def at(self, step: int) -> MapSpec:
        """The same map at another step."""
        return replace(self, step=step)

    def on(self, trace: HasMaps[Map_co]) -> Map_co:
        """The map itself, as a `viz.core.heatmap.Heatmap`.

        Raises:
            ModelError: no such step or class. ProbeError: no such value, or an attribution that was not computed.
        """
        return trace.heatmap(self)


def parse(text: str | MapSpec) -> MapSpec:
    """Parse a map specification.

    Raises:
        MapError: not a specification, in one sentence.
    """
    if isinstance(text, MapSpec):
        return text
    given: object = text
    if not isinstance(given, str):
        raise MapError(f"A map is named by a text, not by a {type(given).__name__}.")
    asked = _PREFIX.sub("", text.strip(), count=1)
    found = (_FORM.fullmatch(asked) or _OLDER.fullmatch(asked)) if len(text) <= LONGEST else None
    if found is None:
        raise MapError(unknown(text))
    name = "cam" if found["name"] == "class_map" else found["name"]
    step = -1 if found["step"] in (None, "last") else int(found["step"])
    channel = None if found["channel"] is None else int(found["channel"])
    return MapSpec(name, found["tap"], channel, found["cls"], step)


def unknown(text: str) -> str:
    """The sentence that refuses a text."""
    return (
        f"Unknown map {text[:60]!r}; choose cam, cam@giant panda, attention, a tap such as spatial_gate, "
        f"mean(TAP), feature#17, {', '.join(METHODS)}, or {' or '.join(BASELINES)}, each with :STEP where it is not "
        "the last."
    )


def _check_text(what: str, value: object) -> None:
    if not isinstance(value, str) or len(value) > LONGEST or re.fullmatch(_TAP, value) is None:
        raise MapError(f"Unknown {what} {str(value)[:60]!r}; a name has letters, digits, dots and underscores.")
