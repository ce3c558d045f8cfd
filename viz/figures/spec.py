"""What a figure shows, as plain data: `Panel` and `FigureSpec`, checked at once and the same from Python and from JSON.

A record file may have been edited by anyone: every value is checked for type, size and range before anything is drawn.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, get_args

from viz.attribution.methods import DEFAULT_OPTIONS, AttributionOptions, parse_method
from viz.core.boxes import DEFAULT_THRESHOLD, Components
from viz.core.derived import PARTS, Part
from viz.core.heatmap import PALETTES
from viz.errors import FigureError, VizError
from viz.figures.presets import Font, preset
from viz.geometry import INTERPOLATIONS, Interpolation

PanelKind = Literal["picture", "class_map", "map", "feature", "channels", "boxes", "attribution"]
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
        kind: ``picture``; ``class_map``; ``map`` (a probe with cells); ``feature`` (one channel of the class features);
            ``channels`` (a probe with one value a channel); ``boxes`` (the photo with display boxes);
            ``attribution`` (a method's map, see `viz.attribution`).
        step: 1-based, or from -1 (the last that has a value).
        all_steps: for ``boxes``: those of every step in one panel.
        probe: full name or label; for ``boxes``, None takes the class map, or the map of `method`.
        class_index, class_label: the class of a class map or an attribution; neither takes the step's best class.
        channel: for ``feature``, and for probes with cells and channels.
        order: of the bars of ``channels``.
        title: instead of the usual one; an empty text takes it away.
        opacity, interpolation, palette, threshold: instead of the figure's own.
        part: for ``map``: what follows from the probe's value, see `viz.core.derived`. ``directions`` draws arrows.
        method: for ``attribution`` and ``boxes``: e.g. ``gradcam`` or ``gradcam(PROBE)``.
    """

    kind: PanelKind
    step: int = -1
    all_steps: bool = False
    probe: str | None = None
    class_index: int | None = None
    class_label: str | None = None
    channel: int | None = None
    order: Order = "sorted"
    title: str | None = None
    opacity: float | None = None
    interpolation: Interpolation | None = None
    palette: str | None = None
    threshold: float | None = None
    part: Part | None = None
    method: str | None = None

    def __post_init__(self) -> None:
        _one_of("panel's kind", self.kind, KINDS)
        _whole("panel's step", self.step, -MAX_STEP, MAX_STEP)
        _yes_no("panel's all_steps", self.all_steps)
        _text("panel's probe", self.probe)
        _whole("panel's class_index", self.class_index, 0, MAX_INDEX, optional=True)
        _text("panel's class_label", self.class_label)
        _whole("panel's channel", self.channel, 0, MAX_INDEX, optional=True)
        _one_of("panel's order", self.order, get_args(Order))
        _text("panel's title", self.title)
        _number("panel's opacity", self.opacity, 0, 1, optional=True)
        _one_of("panel's interpolation", self.interpolation, (None, *INTERPOLATIONS))
        _one_of("panel's palette", self.palette, (None, *FIGURE_PALETTES))
        _number("panel's threshold", self.threshold, 0, 1, optional=True)
        _one_of("panel's part", self.part, (None, *PARTS))
        if self.part is not None and self.kind != "map":
            raise FigureError(f"Only a map can be {self.part} of a probe, not a panel of kind {self.kind}.")
        _text("panel's method", self.method)
        if self.method is not None:
            self._check_method()
        elif self.kind == "attribution":
            raise FigureError("A panel of kind attribution needs a method, e.g. gradcam.")
        if self.kind in ("map", "channels") and not self.probe:
            raise FigureError(f"A panel of kind {self.kind} needs the name of a probe.")
        if self.step == 0:
            raise FigureError("A panel's step counts from 1, or from -1 for the last one.")

    def _check_method(self) -> None:
        if self.kind not in ("attribution", "boxes") or self.probe is not None:
            raise FigureError("Only an attribution, or boxes of one, has a method, and then no probe of its own.")
        if self.all_steps:
            raise FigureError("Boxes of an attribution are of one step; give each step a panel of its own.")
        try:
            parse_method(self.method or "")
        except VizError as error:
            raise FigureError(str(error)) from None


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
        data["panels"] = [asdict(p) for p in self.panels]
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
    values = _entries(data, Panel, "panel")
    if "kind" not in values:
        raise FigureError("A panel of the record has no kind.")
    return Panel(**values)


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
