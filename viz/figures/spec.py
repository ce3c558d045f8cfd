"""Specification of a figure as plain data: `Panel` and `FigureSpec`, validated in Python and when read from JSON.

A record file may have been edited: type, size and range of every value are checked before anything is drawn.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import (
    AfterValidator,
    BeforeValidator,
    ConfigDict,
    Field,
    ModelWrapValidatorHandler,
    PlainSerializer,
    StrictBool,
    StrictFloat,
    StrictInt,
    TypeAdapter,
    ValidationError,
    WrapValidator,
    model_validator,
)
from pydantic.dataclasses import dataclass

from viz.core.boxes import DEFAULT_THRESHOLD, Components
from viz.core.heatmap import PALETTES
from viz.core.map_spec import MapSpec, parse
from viz.core.methods import DEFAULT_OPTIONS, AttributionOptions
from viz.errors import FigureError, VizError
from viz.figures.presets import Font, preset
from viz.geometry import Interpolation

PanelKind = Literal["picture", "map", "channels", "boxes"]
FigureScale = Literal["raw", "image", "steps", "fixed"]
SCALES: tuple[FigureScale, ...] = get_args(FigureScale)
# ``auto``: diverging where a map has a neutral value (class maps excepted), else inferno.
FIGURE_PALETTES = ("auto", *PALETTES)
MAX_PANELS = 40


def _known_palette(name: str) -> str:
    if name not in FIGURE_PALETTES:
        raise FigureError(f"Unknown palette {name[:40]!r}. Choose one of: {', '.join(FIGURE_PALETTES)}.")
    return name


def _preset_name(name: str) -> str:
    return preset(name).name


def _printable(text: str) -> str:
    if any(ord(c) < 32 or ord(c) == 127 for c in text):
        raise FigureError(f"Control characters in {text[:40]!r} cannot be drawn. Remove them.")
    return text


def _options(value: Any) -> AttributionOptions:
    return value if isinstance(value, AttributionOptions) else AttributionOptions.from_json(value)


def _number(value: Any, check: Callable[[Any], float]) -> float:
    # An integer stays one, or a record that is written again would differ.
    checked = check(value)
    return value if type(value) is int else checked


_Share = Annotated[StrictFloat, Field(ge=0, le=1), WrapValidator(_number)]
_Bound = Annotated[StrictFloat, Field(ge=-1e30, le=1e30), WrapValidator(_number)]
_Palette = Annotated[str, AfterValidator(_known_palette)]
_Text = Annotated[str, Field(max_length=200), AfterValidator(_printable)]
_Map = Annotated[MapSpec, BeforeValidator(parse), PlainSerializer(str)]


def invalid(error: ValidationError, names: Sequence[str] = ()) -> FigureError:
    """The first fault that pydantic found, as one sentence.

    Args:
        names: of the fields, for values passed by position.
    """
    fault = error.errors(include_url=False)[0]
    path = [names[part] if i == 0 and isinstance(part, int) else str(part) for i, part in enumerate(fault["loc"])]
    entry, given = ".".join(path)[:60], repr(fault["input"])
    reason = fault["msg"].replace(" after validation", "")
    if fault["type"] == "missing":
        return FigureError(f"Missing entry {entry!r}.")
    if fault["type"] == "unexpected_keyword_argument":
        return FigureError(f"Unknown entry {entry!r}.")
    given = given if len(given) <= 40 else given[:37] + "..."
    return FigureError(f"Invalid {entry or 'value'} {given}: {reason[0].lower()}{reason[1:]}.")


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class _Checked:
    """Base of `Panel` and `FigureSpec`: an invalid value raises a `FigureError` of one sentence."""

    @model_validator(mode="wrap")
    @classmethod
    def _check(cls, values: Any, check: ModelWrapValidatorHandler[Self]) -> Self:
        try:
            return check(values)
        except ValidationError as error:
            raise invalid(error, [f.name for f in fields(cls)]) from None
        except VizError as error:
            raise FigureError(str(error)) from None


@dataclass(frozen=True)
class Panel(_Checked):
    """One panel.

    Attributes:
        kind: ``picture``; ``map`` (over the photo); ``channels`` (one bar per value of a vector; a map of a vector
            becomes one); ``boxes`` (the photo with display boxes of the map).
        map: which map, see `viz.core.map_spec`; ``boxes`` without one takes the class map.
        all_steps: ``boxes`` only: the boxes of every step in one panel.
        order: of the bars of ``channels``.
        title: replaces the default title; an empty text removes it.
        opacity, interpolation, palette, threshold: replace those of the figure.
    """

    kind: PanelKind
    map: _Map | None = None
    all_steps: StrictBool = False
    order: Literal["sorted", "index"] = "sorted"
    title: _Text | None = None
    opacity: _Share | None = None
    interpolation: Interpolation | None = None
    palette: _Palette | None = None
    threshold: _Share | None = None

    def __post_init__(self) -> None:
        if self.kind == "boxes" and self.map is None:
            object.__setattr__(self, "map", MapSpec("cam"))
        if (self.map is None) != (self.kind == "picture"):
            raise FigureError(f"A panel of kind {self.kind} takes {'no' if self.map else 'a'} map.")
        if self.all_steps and self.kind != "boxes":
            raise FigureError(f"Only boxes can show all steps in one panel, not {self.map or self.kind}.")
        if self.all_steps and self.spec.kind == "attribution":
            raise FigureError("Boxes of an attribution show one step. Use one panel per step.")

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
        """The tap of a definite panel that shows a captured value or a map derived from it."""
        return self.map.probe if self.map is not None and self.map.kind in ("tap", "derived") else None

    @model_validator(mode="before")
    @classmethod
    def _from_version_1(cls, values: Any) -> Any:
        if not isinstance(values, dict) or "map" in values:
            return values
        names = {f.name for f in fields(_PanelOfVersion1)}
        old = _PanelOfVersion1(**{name: value for name, value in values.items() if name in names})
        spec = old.map_spec()
        rest = {name: value for name, value in values.items() if name not in names or name == "all_steps"}
        kind = old.kind if old.kind in get_args(PanelKind) else "map"
        return rest | {"kind": kind, "map": None if spec is None else str(spec)}


@dataclass(frozen=True)
class _PanelOfVersion1(_Checked):
    """A panel of a version 1 record: the entries that are part of the map specification now."""

    kind: Literal["picture", "map", "channels", "boxes", "class_map", "feature", "attribution"]
    step: Annotated[StrictInt, Field(ge=-1000, le=1000)] | None = None
    all_steps: StrictBool = False
    probe: _Text | None = None
    class_index: Annotated[StrictInt, Field(ge=0, le=10**6)] | None = None
    class_label: _Text | None = None
    channel: Annotated[StrictInt, Field(ge=0, le=10**6)] | None = None
    part: _Text | None = None
    method: _Text | None = None

    def map_spec(self) -> MapSpec | None:
        """The panel's map.

        Raises:
            FigureError: entries that do not go together. MapError: not a map.
        """
        cls = self.class_label if self.class_index is None else self.class_index
        step = -1 if self.step is None or self.all_steps else self.step
        if self.kind == "picture":
            return None
        if self.method is not None:
            spec = replace(parse(self.method), cls=cls, step=step)
            if spec.kind != "attribution" or self.probe is not None:
                raise FigureError("Only an attribution, or boxes of one, has a method, and then no probe of its own.")
            return spec
        if self.kind == "feature":
            return MapSpec("feature", channel=self.channel, step=step)
        if self.probe and self.kind in ("map", "channels", "boxes"):
            name, tap = (self.probe, None) if self.part is None else (self.part, self.probe)
            return MapSpec(name, tap, self.channel, step=step)
        if self.kind in ("class_map", "boxes"):
            return MapSpec("cam", cls=cls, step=step)
        missing = "method" if self.kind == "attribution" else "probe"
        raise FigureError(f"A panel of kind {self.kind} needs the name of a {missing}.")


@dataclass(frozen=True)
class FigureSpec(_Checked):
    """A whole figure.

    Attributes:
        panels: in reading order; at most 40.
        preset: venue, see `viz.figures.PRESETS`. columns: text columns that the figure spans, 1 or 2.
        per_row: panels per row; None chooses by the width.
        palette: of the maps. ``diverging`` is for maps with a neutral value, and its scale is symmetric around that
            value; other maps take inferno. ``auto`` is diverging where a map has a neutral value (class maps
            excepted), else inferno.
        opacity: of the maps over the photo; 1 shows the bare map.
        interpolation: ``cells`` shows the values as the network computed them.
        scale: source of the range: ``raw`` (the operation's), ``image`` (the map's own), ``steps`` (over all steps of
            the trace), ``fixed``. fixed: (low, high) of ``fixed``.
        shared_scale: panels of one quantity share one range and one colour bar.
        titles, letters, colour_bar, crop_frame: whether they are drawn.
        view: the whole ``picture``, or only what the network has ``seen``.
        threshold, components: of display boxes.
        font: ``serif`` or ``sans``; None takes the preset's.
        dpi: of PNG files.
        attribution: options of the attribution panels.
    """

    panels: Annotated[tuple[Panel, ...], Field(min_length=1, max_length=MAX_PANELS)]
    preset: Annotated[str, AfterValidator(_preset_name)] = "cvpr"
    columns: Annotated[StrictInt, Field(ge=1, le=2)] = 1
    per_row: Annotated[StrictInt, Field(ge=1, le=MAX_PANELS)] | None = None
    palette: _Palette = "inferno"
    opacity: _Share = 0.55
    interpolation: Interpolation = "cells"
    scale: FigureScale = "steps"
    fixed: tuple[_Bound, _Bound] | None = None
    shared_scale: StrictBool = True
    titles: StrictBool = True
    letters: StrictBool = True
    colour_bar: StrictBool = True
    crop_frame: StrictBool = True
    view: Literal["picture", "seen"] = "picture"
    threshold: _Share = DEFAULT_THRESHOLD
    components: Components = "largest"
    font: Font | None = None
    dpi: Annotated[StrictInt, Field(ge=36, le=1200)] = 300
    attribution: Annotated[AttributionOptions, BeforeValidator(_options)] = DEFAULT_OPTIONS

    def __post_init__(self) -> None:
        if (self.scale == "fixed") != (self.fixed is not None):
            raise FigureError("The scale 'fixed' and the two numbers of 'fixed' are given together.")
        if self.fixed is not None and not self.fixed[0] < self.fixed[1]:
            raise FigureError("A fixed scale needs two numbers, the lower first.")

    def to_json(self) -> dict[str, Any]:
        """Plain values; the inverse of `from_json`."""
        values: dict[str, Any] = TypeAdapter(FigureSpec).dump_python(self)
        return values

    @staticmethod
    def from_json(data: Any) -> FigureSpec:
        """A spec from plain values.

        Raises:
            FigureError: one sentence on the first entry that is missing, unknown, of a wrong type or out of range.
        """
        return TypeAdapter(FigureSpec).validate_python(data)
