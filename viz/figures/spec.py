"""What a figure shows, as plain data: `Panel` and `FigureSpec`, checked at once and the same from Python and from JSON.

A record file may have been edited by anyone: every value is checked for type, size and range before anything is drawn.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Literal, get_args

from viz.core.boxes import DEFAULT_THRESHOLD, Components
from viz.core.heatmap import PALETTES
from viz.core.map_spec import MapSpec, parse
from viz.core.methods import DEFAULT_OPTIONS, AttributionOptions
from viz.errors import FigureError, MapError, VizError
from viz.figures.presets import Font, preset
from viz.geometry import INTERPOLATIONS, Interpolation

PanelKind = Literal["picture", "map", "channels", "boxes"]
KINDS: tuple[PanelKind, ...] = get_args(PanelKind)
FigureScale = Literal["raw", "image", "steps", "fixed"]
# ``auto``: diverging where a map has a neutral value (class maps stay as they are), else inferno.
FIGURE_PALETTES = ("auto", *PALETTES)
SCALES: tuple[FigureScale, ...] = get_args(FigureScale)
Order = Literal["sorted", "index"]
View = Literal["picture", "seen"]

MAX_PANELS = 40
MAX_TEXT = 200
MAX_STEP = 1000
MAX_INDEX = 1_000_000


@dataclass(frozen=True)
class Panel:
    """One panel.

    Attributes:
        kind: ``picture``; ``map`` (over the photo); ``channels`` (one bar for each value of a vector; a map of a vector
            becomes one); ``boxes`` (the photo with display boxes of the map).
        map: which map, see `viz.core.map_spec`; boxes without one take the class map.
        all_steps: for ``boxes``: those of every step in one panel.
        order: of the bars of ``channels``.
        title: instead of the usual one; an empty text takes it away.
        opacity, interpolation, palette, threshold: instead of the figure's own.
    """

    kind: PanelKind
    map: MapSpec | None = None
    all_steps: bool = False
    order: Order = "sorted"
    title: str | None = None
    opacity: float | None = None
    interpolation: Interpolation | None = None
    palette: str | None = None
    threshold: float | None = None

    def __post_init__(self) -> None:
        _one_of("panel's kind", self.kind, KINDS)
        if self.map is not None and not isinstance(self.map, MapSpec):
            raise FigureError("A panel's map must be a MapSpec.")
        if self.kind == "boxes" and self.map is None:
            object.__setattr__(self, "map", MapSpec("cam"))
        if (self.map is None) != (self.kind == "picture"):
            raise FigureError(f"A panel of kind {self.kind} takes {'no' if self.map else 'a'} map.")
        _yes_no("panel's all_steps", self.all_steps)
        _one_of("panel's order", self.order, get_args(Order))
        _text("panel's title", self.title)
        _number("panel's opacity", self.opacity, 0, 1, optional=True)
        _one_of("panel's interpolation", self.interpolation, (None, *INTERPOLATIONS))
        _one_of("panel's palette", self.palette, (None, *FIGURE_PALETTES))
        _number("panel's threshold", self.threshold, 0, 1, optional=True)
        if self.all_steps and self.kind != "boxes":
            raise FigureError(f"Only boxes can show all steps in one panel, not {self.map or self.kind}.")
        if self.all_steps and self.spec.kind == "attribution":
            raise FigureError("Boxes of an attribution are of one step; give each step a panel of its own.")

    @property
    def spec(self) -> MapSpec:
        """The map of a panel that has one."""
        if self.map is None:
            raise FigureError("The picture has no map.")
        return self.map

    @property
    def class_index(self) -> int | None:
        """The class of a definite panel."""
        return self.map.cls if self.map is not None and isinstance(self.map.cls, int) else None

    @property
    def probe(self) -> str | None:
        """The tap of a definite panel that shows a captured value, or what follows from it."""
        return self.map.probe if self.map is not None and self.map.kind in ("tap", "derived") else None

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(replace(self, map=None) if self.kind == "picture" else self) | {
            "map": None if self.map is None else str(self.map)
        }


@dataclass(frozen=True)
class FigureSpec:
    """A whole figure.

    Attributes:
        panels: in reading order; at most 40.
        preset: venue, see `viz.figures.PRESETS`. columns: 1 or 2.
        per_row: panels in a row; None chooses by the width.
        palette: of the maps. ``diverging`` is for maps with a neutral value, and its scale is symmetric around that
            value; maps without one take inferno. ``auto`` is diverging where a map has a neutral value (class maps
            excepted), else inferno.
        opacity: of the maps over the photo; 1 shows the bare map.
        interpolation: ``cells`` shows the values as the network computed them.
        scale: where a range comes from: ``raw`` (the operation's), ``image`` (the map's own), ``steps`` (over all
            steps of the trace), ``fixed``. fixed: the two numbers of ``fixed``.
        shared_scale: panels of one quantity share one range and one colour bar.
        titles, letters, colour_bar, crop_frame: drawn or not.
        view: the whole ``picture``, or only what the network has ``seen``.
        threshold, components: of display boxes.
        font: ``serif`` or ``sans``; None takes the preset's.
        dpi: of PNG files.
        attribution: options of the methods of attribution panels.
    """

    panels: tuple[Panel, ...]
    preset: str = "cvpr"
    columns: int = 1
    per_row: int | None = None
    palette: str = "inferno"
    opacity: float = 0.55
    interpolation: Interpolation = "cells"
    scale: FigureScale = "steps"
    fixed: tuple[float, float] | None = None
    shared_scale: bool = True
    titles: bool = True
    letters: bool = True
    colour_bar: bool = True
    crop_frame: bool = True
    view: View = "picture"
    threshold: float = DEFAULT_THRESHOLD
    components: Components = "largest"
    font: Font | None = None
    dpi: int = 300
    attribution: AttributionOptions = DEFAULT_OPTIONS

    def __post_init__(self) -> None:
        if not isinstance(self.panels, tuple) or not all(isinstance(p, Panel) for p in self.panels):
            raise FigureError("The figure's panels cannot be read.")
        if not 1 <= len(self.panels) <= MAX_PANELS:
            raise FigureError(f"A figure has 1 to {MAX_PANELS} panels, not {len(self.panels)}.")
        object.__setattr__(self, "preset", preset(self.preset).name)
        _whole("number of columns", self.columns, 1, 2)
        _whole("number of panels in a row", self.per_row, 1, MAX_PANELS, optional=True)
        _one_of("palette", self.palette, FIGURE_PALETTES)
        _number("opacity", self.opacity, 0, 1)
        _one_of("interpolation", self.interpolation, INTERPOLATIONS)
        _one_of("scale", self.scale, SCALES)
        for name in ("shared_scale", "titles", "letters", "colour_bar", "crop_frame"):
            _yes_no(name, getattr(self, name))
        _one_of("view", self.view, get_args(View))
        _number("threshold", self.threshold, 0, 1)
        _one_of("components", self.components, get_args(Components))
        _one_of("font", self.font, (None, *get_args(Font)))
        _whole("dpi", self.dpi, 36, 1200)
        if not isinstance(self.attribution, AttributionOptions):
            raise FigureError("The options of the attribution must be AttributionOptions.")
        if (self.scale == "fixed") != (self.fixed is not None):
            raise FigureError("The scale 'fixed' and the two numbers of 'fixed' are given together.")
        if self.fixed is not None:
            if not isinstance(self.fixed, tuple) or len(self.fixed) != 2:
                raise FigureError("A fixed scale needs two numbers, the lower first.")
            for value in self.fixed:
                _number("fixed scale's value", value, -1e30, 1e30)
            if not self.fixed[0] < self.fixed[1]:
                raise FigureError("A fixed scale needs two numbers, the lower first.")

    def to_json(self) -> dict[str, Any]:
        """Plain values; the inverse of `from_json`."""
        data = asdict(self)
        data["panels"] = [p.to_json() for p in self.panels]
        data["fixed"] = None if self.fixed is None else list(self.fixed)
        return data

    @staticmethod
    def from_json(data: Any) -> FigureSpec:
        """A spec from plain values.

        Raises:
            FigureError: one sentence on the first entry that is missing, unknown, of a wrong type or out of range.
        """
        values = _entries(data, FigureSpec, "figure")
        panels = values.pop("panels", None)
        if not isinstance(panels, list):
            raise FigureError("The record's figure has no list of panels.")
        if len(panels) > MAX_PANELS:
            raise FigureError(f"A figure has 1 to {MAX_PANELS} panels, not {len(panels)}.")
        made = tuple(_panel(entry) for entry in panels)
        if isinstance(values.get("fixed"), list):
            values["fixed"] = tuple(values["fixed"])
        if "attribution" in values:
            try:
                values["attribution"] = AttributionOptions.from_json(values["attribution"])
            except VizError as error:
                raise FigureError(str(error)) from None
        return FigureSpec(made, **values)


def _panel(data: Any) -> Panel:
    if isinstance(data, dict) and "map" not in data:
        data = _panel_of_version_1(data)
    values = _entries(data, Panel, "panel")
    if "kind" not in values:
        raise FigureError("A panel of the record has no kind.")
    try:
        values["map"] = None if values.get("map") is None else parse(values["map"])
    except MapError as error:
        raise FigureError(str(error)) from None
    return Panel(**values)


# Entries of a panel that a map specification holds since version 2 of the record.
_VERSION_1 = ("step", "probe", "class_index", "class_label", "channel", "part", "method")


def _panel_of_version_1(data: dict[str, Any]) -> dict[str, Any]:
    """The entries of a panel of a record of version 1, as they are written now."""
    old = {name: data.get(name) for name in _VERSION_1}
    rest = {name: value for name, value in data.items() if name not in _VERSION_1}
    kind = data.get("kind")
    if kind == "picture":
        return rest | {"map": None}
    for name in ("probe", "class_label", "part", "method"):
        _text(f"panel's {name}", old[name])
    for name in ("class_index", "channel"):
        _whole(f"panel's {name}", old[name], 0, MAX_INDEX, optional=True)
    if old["step"] is not None:
        _whole("panel's step", old["step"], -MAX_STEP, MAX_STEP)
    cls = old["class_label"] if old["class_index"] is None else old["class_index"]
    step = -1 if old["step"] is None or data.get("all_steps") is True else old["step"]
    try:
        if old["method"] is not None:
            spec = replace(parse(old["method"]), cls=cls, step=step)
            if spec.kind != "attribution" or old["probe"] is not None:
                raise FigureError("Only an attribution, or boxes of one, has a method, and then no probe of its own.")
        elif kind == "feature":
            spec = MapSpec("feature", channel=old["channel"], step=step)
        elif old["probe"] and kind in ("map", "channels", "boxes"):
            name, tap = (old["probe"], None) if old["part"] is None else (old["part"], old["probe"])
            spec = MapSpec(name, tap, old["channel"], step=step)
        elif kind in ("class_map", "boxes"):
            spec = MapSpec("cam", cls=cls, step=step)
        elif kind in ("map", "channels", "attribution"):
            raise FigureError(f"A panel of kind {kind} needs the name of a {'method' if kind[0] == 'a' else 'probe'}.")
        else:
            raise FigureError(f"The panel's kind must be one of {', '.join(KINDS)}, not {_shown(kind)}.")
    except MapError as error:
        raise FigureError(str(error)) from None
    return rest | {"kind": kind if kind in KINDS else "map", "map": str(spec)}


def _entries(data: Any, kind: type[Panel] | type[FigureSpec], what: str) -> dict[str, Any]:
    if not isinstance(data, dict):
        raise FigureError(f"The record's {what} cannot be read; was the file edited?")
    known = {f.name for f in fields(kind)}
    for key in data:
        if key not in known:
            raise FigureError(f"The record's {what} has an unknown entry {str(key)[:40]!r}.")
    return dict(data)


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 40 else text[:37] + "..."


def _one_of(what: str, value: Any, allowed: Sequence[Any]) -> None:
    # Membership would raise for lists and dicts; types come first.
    if not (value is None or isinstance(value, str)) or value not in allowed:
        choices = ", ".join(str(a) for a in allowed if a is not None)
        raise FigureError(f"The {what} must be one of {choices}, not {_shown(value)}.")


def _whole(what: str, value: Any, low: int, high: int, *, optional: bool = False) -> None:
    if optional and value is None:
        return
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise FigureError(f"The {what} must be a whole number from {low} to {high}, not {_shown(value)}.")


def _number(what: str, value: Any, low: float, high: float, *, optional: bool = False) -> None:
    if optional and value is None:
        return
    good = isinstance(value, int | float) and not isinstance(value, bool)
    # NaN and infinity fail the comparison as well; `math.isfinite` would not take an integer of any size.
    if not good or not low <= value <= high:
        raise FigureError(f"The {what} must be a number from {low:g} to {high:g}, not {_shown(value)}.")


def _yes_no(what: str, value: Any) -> None:
    if not isinstance(value, bool):
        raise FigureError(f"The {what} must be true or false, not {_shown(value)}.")


def _text(what: str, value: Any) -> None:
    if value is None:
        return
    if not isinstance(value, str) or len(value) > MAX_TEXT:
        raise FigureError(f"The {what} must be a text of at most {MAX_TEXT} characters.")
    if any(ord(c) < 32 or ord(c) == 127 or 0xD800 <= ord(c) <= 0xDFFF for c in value):
        raise FigureError(f"The {what} holds characters that cannot be printed.")
