"""Map specifications: one grammar for the question "which map?", parsed and printed alike everywhere.

    NAME [(TAP)] [#CHANNEL] [@CLASS] [~REGION] [:STEP]

    cam                              class activation map; without @CLASS that of the step's best class
    output, probability              the dense output itself: the score or probability of a class, or a value
    attention                        the family's own spatial map
    TAP                              a captured value by label or path: spatial_gate, layer4.0.RA_block.spatial_gate
    mean(TAP), log(TAP), ...         a derived map, see `viz.core.derived`
    gradcam, occlusion, ...          an attribution for a class, see `viz.core.methods`
    gradcam(TAP), ...                an attribution to a captured value
    feature#17                       one channel of the class features
    centre_box, centre_gaussian      baselines that ignore the image

CHANNEL counts from 0. CLASS is a number or a name. REGION is the part of a dense output that an attribution explains,
in picture pixels: ~X0-Y0-X1-Y1, or the point ~X-Y. STEP is 1-based, or counts from the end (-1); without it the last
step that has a value. A class name may hold any printable character; if it ends like a step, the step must be given,
and one that ends like a region must be given by its number.

Older spellings are parsed but never printed: ``class_map`` for ``cam``; ``attention:TAP`` and ``attribution:METHOD``
for what follows the colon; ``:last``; the step before channel and class, as in ``class_map:2@giant panda``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Literal

from viz.core.methods import METHOD_NAMES, METHODS, Method
from viz.errors import MapError

Kind = Literal["cam", "output", "attention", "tap", "derived", "attribution", "feature", "baseline"]
DERIVED = ("mean", "log", "gated", "departure", "directions", "ranks", "total")
OUTPUTS = ("output", "probability")
BASELINES = {"centre_box": "fixed centred box", "centre_gaussian": "centre Gaussian"}
LONGEST = 200
MOST_STEPS = 9999

_TAP = r"(?=[\w.-]*[^\W\d])\w[\w.-]*"
_HEAD = rf"(?P<name>{_TAP})(\((?P<tap>{_TAP})\))?"
_CHANNEL, _CLASS, _STEP = r"(#(?P<channel>[0-9]{1,6}))?", r"(@(?P<cls>.+?))?", r"(:(?P<step>-?[0-9]{1,4}|last))?"
_REGION = r"(~(?P<region>[0-9]{1,6}-[0-9]{1,6}(-[0-9]{1,6}-[0-9]{1,6})?))?"
_FORM = re.compile(_HEAD + _CHANNEL + _CLASS + _REGION + _STEP)
_OLDER = re.compile(_HEAD + _STEP + _CHANNEL + r"(@(?P<cls>.+))?")
_PREFIX = re.compile(r"^(attribution:|attention:(?!(-?[0-9]+|last)\b))")
_LIKE_A_STEP = re.compile(r".*:(-?[0-9]{1,4}|last)")
_LIKE_A_REGION = re.compile(r".*~[0-9]{1,6}-[0-9]{1,6}(-[0-9]{1,6}-[0-9]{1,6})?(:(-?[0-9]{1,4}|last))?")


@dataclass(frozen=True)
class MapSpec:
    """A map specification.

    Attributes:
        name: ``cam``, ``attention``, ``feature``, a baseline, a derived map, a method, or a tap's label or full path.
        tap: label or full path of the tap of a derived map or an attribution.
        channel: channel, group, tap of a kernel or rank, from 0.
        cls: number or name of the class; None takes the step's best class.
        step: 1-based, or counted from the end (-1).
        region: of an attribution: x0, y0, x1, y1 in picture pixels, or the point x, y.

    Raises:
        MapError: parts that cannot be combined.
    """

    name: str
    tap: str | None = None
    channel: int | None = None
    cls: int | str | None = None
    step: int = -1
    region: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        _check_text("map's name", self.name)
        if self.tap is not None:
            _check_text("tap", self.tap)
        for what, value, least in (("channel", self.channel, 0), ("step", self.step, -MOST_STEPS)):
            if value is not None and (type(value) is not int or not least <= value <= 10**6):
                raise MapError(f"The {what} of a map must be a whole number, not {str(value)[:40]!r}.")
        self._check_class()
        self._check_parts()
        self._check_region()
        if self.kind == "baseline":
            object.__setattr__(self, "step", -1)  # the same at every step

    def _check_class(self) -> None:
        if isinstance(self.cls, str):
            label = self.cls.strip()
            if not label or len(label) > LONGEST or not label.isprintable():
                raise MapError(f"A class is a number or a printable name of at most {LONGEST} characters.")
            number = label.isascii() and label.isdigit() and len(label) <= 9
            if _LIKE_A_REGION.fullmatch(label):
                raise MapError(f"The class name {label[:60]!r} ends like a region; give the number of the class.")
            object.__setattr__(self, "cls", int(label) if number else label)
        elif self.cls is not None and (type(self.cls) is not int or self.cls < 0):
            raise MapError(f"A class is a number or a name, not {str(self.cls)[:40]!r}.")

    def _check_parts(self) -> None:
        kind, given = self.kind, str(self.name)[:60]
        if self.name in ("picture", "boxes"):
            raise MapError(f"{given} is a panel of a figure, not a map.")
        if self.step == 0:
            raise MapError("Steps count from 1, or from -1 (the last); there is no step 0.")
        if kind == "feature" and self.channel is None:
            raise MapError("A feature needs its channel, as in feature#17.")
        if kind in ("derived", "tap") and self.tap is not None and self.name not in DERIVED:
            raise MapError(f"Unknown derived map {given!r}. Choose one of: {', '.join(DERIVED)}.")
        if kind == "attribution" and self.method_key not in METHODS:
            if self.tap is None:
                raise MapError(f"{given} needs a tap, as in {given}(spatial_gate).")
            raise MapError(f"{given} attributes to the picture and takes no tap; write {given} alone.")
        if kind in ("cam", "output", "attention", "feature", "baseline") and self.tap is not None:
            raise MapError(f"{given} takes no tap in brackets.")
        if self.channel is not None and kind in ("cam", "output", "attribution", "baseline"):
            raise MapError(f"{given} has no channels; leave out #{self.channel}.")
        if self.cls is not None and not self.takes_class:
            raise MapError(f"Only class maps, outputs and attributions take a class, not {given!r}.")

    def _check_region(self) -> None:
        if self.region is None:
            return
        if self.kind != "attribution":
            raise MapError(f"Only attributions take a region, not {str(self.name)[:60]!r}.")
        numbers = isinstance(self.region, tuple) and len(self.region) in (2, 4)
        if not numbers or any(type(n) is not int or not 0 <= n <= 10**6 for n in self.region):
            raise MapError("A region is x0, y0, x1, y1 in whole picture pixels, or the point x, y.")
        if len(self.region) == 4 and not (self.region[0] < self.region[2] and self.region[1] < self.region[3]):
            raise MapError("A region must start with its upper left corner, as in ~10-20-200-300.")

    @property
    def kind(self) -> Kind:
        """The sort of map."""
        if self.name in ("cam", "attention", "feature"):
            return self.name  # type: ignore[return-value]
        if self.name in OUTPUTS:
            return "output"
        if self.name in BASELINES:
            return "baseline"
        if self.name in METHOD_NAMES:
            return "attribution"
        return "tap" if self.tap is None else "derived"

    @property
    def takes_class(self) -> bool:
        """Whether it can be the map of one class."""
        return self.kind in ("cam", "output", "attribution")

    @property
    def needs_class(self) -> bool:
        """Whether its class must still be chosen."""
        return self.takes_class and self.cls is None

    @property
    def probe(self) -> str | None:
        """Label or full path of the captured value that it shows or attributes to."""
        return self.name if self.kind == "tap" else self.tap

    @property
    def method_key(self) -> str:
        """Entry of an attribution in `METHODS`: ``gradcam`` or ``gradcam(TAP)``."""
        return self.name if self.tap is None else f"{self.name}(TAP)"

    @property
    def method(self) -> Method:
        """The method of an attribution."""
        return METHODS[self.method_key]

    @property
    def head(self) -> str:
        """Name with its tap: ``mean(bottom)``."""
        return self.name if self.tap is None else f"{self.name}({self.tap})"

    @property
    def key(self) -> str:
        """Name, tap and channel: shared by all steps and classes of one quantity."""
        return self.head if self.channel is None else f"{self.head}#{self.channel}"

    def __str__(self) -> str:
        """The text that `parse` reads."""
        text = self.key if self.cls is None else f"{self.key}@{self.cls}"
        if self.region is not None:
            text += "~" + "-".join(map(str, self.region))
        needs_step = self.step != -1 or (isinstance(self.cls, str) and _LIKE_A_STEP.fullmatch(self.cls) is not None)
        return f"{text}:{self.step}" if needs_step else text

    def with_probe(self, probe: str) -> MapSpec:
        """The same map of another tap."""
        return replace(self, name=probe) if self.kind == "tap" else replace(self, tap=probe)

    def at(self, step: int) -> MapSpec:
        """The same map at another step."""
        return replace(self, step=step)


def parse(text: str | MapSpec) -> MapSpec:
    """Parse a map specification.

    Raises:
        MapError: not a map specification.
    """
    if isinstance(text, MapSpec):
        return text
    given: object = text
    if not isinstance(given, str):
        raise MapError(f"A map specification is a string, not a {type(given).__name__}.")
    asked = _PREFIX.sub("", text.strip(), count=1)
    found = (_FORM.fullmatch(asked) or _OLDER.fullmatch(asked)) if len(text) <= LONGEST else None
    if found is None:
        raise MapError(
            f"Unknown map {text[:60]!r}. Choose one of: cam, cam@giant panda, output, attention, a tap such as "
            f"spatial_gate, mean(TAP), feature#17, {', '.join((*METHODS, *BASELINES))}. Add :STEP for an earlier step."
        )
    name = "cam" if found["name"] == "class_map" else found["name"]
    step = -1 if found["step"] in (None, "last") else int(found["step"])
    channel = None if found["channel"] is None else int(found["channel"])
    place = found.groupdict().get("region")
    region = None if place is None else tuple(int(n) for n in place.split("-"))
    return MapSpec(name, found["tap"], channel, found["cls"], step, region)


def _check_text(what: str, value: object) -> None:
    if not isinstance(value, str) or len(value) > LONGEST or re.fullmatch(_TAP, value) is None:
        raise MapError(f"Unknown {what} {str(value)[:60]!r}; use letters, digits, dots and underscores.")
