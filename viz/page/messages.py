"""Shapes of the messages to the browser.

`python -m viz.page.js_types` generates the TypeScript types from this file. Values of maps are sent as `Floats`.
"""

from __future__ import annotations

import json
from typing import Literal, NewType, NotRequired

from typing_extensions import TypedDict  # pydantic requires this one with Python 3.11

# Raise it at each change of a shape: a page that was loaded earlier then asks to be loaded again.
Version = Literal[1]
MESSAGE_VERSION: Version = 1

Floats = NewType("Floats", str)
Bounds = tuple[float | None, float | None]
Rect = tuple[float, float, float, float]
# The browser makes the maps of kind ``kernel`` itself, one per kernel element.
MapKind = Literal["cam", "spatial", "derived", "joint", "feature", "attribution", "kernel"]


class GeometryEntry(TypedDict):
    """Where the network's input lies in the picture, see `viz.geometry.Geometry`.

    Attributes:
        picture, network: height and width.
        seen: x0, y0, x1, y1 in picture pixels: what the network saw.
        placed: the same region as x0, y0, x1, y1 in network pixels.
    """

    mode: str
    picture: tuple[int, int]
    network: tuple[int, int]
    seen: Rect
    placed: Rect


class Cells(TypedDict):
    """Values of one map at one step: `h` rows of `w`."""

    step: int
    h: int
    w: int
    data: Floats


class KernelCells(TypedDict):
    """Kernels of all cells at one step: k * k planes of `h` rows of `w`, or `same` if equal to the step before."""

    step: int
    h: int
    w: int
    data: NotRequired[Floats]
    same: NotRequired[Literal[True]]


class MapEntry(TypedDict):
    """One map at every step that has it.

    Attributes:
        name: as `viz.core.map_spec` prints it, without class and step.
        group: heading in the list of maps. share: the same text in entries that hold the same quantity.
        bounds: range of the operation; null means unbounded.
        p: the number beside the class at each step. cls: class of an attribution. note: its settings.
    """

    name: str
    kind: MapKind
    title: str
    group: str
    share: str
    unit: str
    bounds: Bounds
    neutral: float | None
    palette: str
    class_index: int | None
    steps: list[Cells]
    p: NotRequired[list[float]]
    cls: NotRequired[str]
    note: NotRequired[str]


class KernelEntry(TypedDict):
    """The kernels of a module at every cell and step.

    Attributes:
        path: of the module. dilation, stride: in cells.
        reach: cells to each side that this level and those before it reach together.
    """

    name: str
    path: str
    title: str
    group: str
    label: str
    unit: str
    neutral: float | None
    bounds: Bounds
    k: int
    dilation: int
    stride: int
    reach: int | None
    steps: list[KernelCells]


class PredictionEntry(TypedDict):
    """One class at one step.

    Attributes:
        number: a probability, the share of the cells of a dense answer, or the score of the best object.
    """

    class_index: int
    label: str
    number: float


class OutputEntry(TypedDict):
    """Names of the output on the page.

    Attributes:
        name: of its map, null if it has none. title: of that map, in words.
        number: meaning of the number beside a class; empty without classes.
    """

    name: str | None
    title: str
    number: str


class VectorEntry(TypedDict):
    """A channel vector."""

    name: str
    title: str
    unit: str
    neutral: float | None
    bounds: Bounds
    data: Floats


class FrameEntry(TypedDict):
    """One stop of the slider; several may lie in one computation step.

    Attributes:
        top: best class first. show: name of the map of this stop. kernel: name of the kernel that a click opens.
    """

    step: int
    title: str
    caption: str
    top: list[PredictionEntry]
    show: str | None
    kernel: str | None
    arrows: bool
    vector: VectorEntry | None


class PictureEntry(TypedDict):
    """The picture.

    Attributes:
        src: data URI of the displayed copy. width, height: of that copy.
        full: height and width of the picture itself.
    """

    src: str
    width: int
    height: int
    full: tuple[int, int]
    name: str
    sha256: str
    notes: list[str]


class ModelEntry(TypedDict):
    """The model shown."""

    name: str
    title: str


class Message(TypedDict):
    """Fields of every message."""

    message_version: Version


class ViewerMessage(Message):
    """A picture with all maps of all its steps.

    Attributes:
        missing: text for a map without a value at a step.
        pick, show: class and map to show first. palettes: 256 RGB colours each, base64.
    """

    key: str
    family: str | None
    output: OutputEntry
    missing: str
    model: ModelEntry
    picture: PictureEntry
    geometry: GeometryEntry
    frames: list[FrameEntry]
    maps: list[MapEntry]
    kernels: list[KernelEntry]
    pick: int | None
    show: str | None
    palettes: dict[str, str]


class MoreMaps(Message):
    """Further maps for the trace in the viewer, which `key` identifies."""

    key: str
    maps: list[MapEntry]
    pick: int | None
    show: str | None


class ErrorMessage(Message):
    """An error; the viewer keeps what it shows.

    Attributes:
        refused: the uploaded file that cannot be shown, by the last two parts of its path.
        mark: distinguishes a second refusal of the same file from the first.
    """

    error: str
    refused: NotRequired[str]
    mark: NotRequired[str]


class ColumnHead(TypedDict):
    """The model of a column.

    Attributes:
        top: best class of each step, null if there is none. pick: map to show first.
    """

    title: str
    steps: int
    geometry: GeometryEntry
    top: list[PredictionEntry | None]
    pick: NotRequired[str]
    note: NotRequired[str]


class Column(ColumnHead):
    """One model of the grid or, in a message with `kind: "maps"`, one map of one model."""

    name: str
    maps: list[MapEntry]


class GridMore(TypedDict):
    """Fields of some grids only.

    Attributes:
        methods: name and title of the attributions that were computed.
    """

    kind: NotRequired[Literal["maps"]]
    about: NotRequired[str]
    explain: NotRequired[list[str]]
    methods: NotRequired[list[tuple[str, str]]]


class GridMessage(Message, GridMore):
    """A picture with the maps of several columns, side by side."""

    key: str
    picture: PictureEntry
    classes: list[str]
    models: list[Column]
    palettes: dict[str, str]


# Attributions of one more class, by model. Written as a call because `class` is a Python keyword.
MoreAttributions = TypedDict(
    "MoreAttributions", {"message_version": Version, "class": str, "add": dict[str, list[MapEntry]]}
)


class StaleMessage(Message):
    """Why the grid no longer matches the picture above it; "" if it does."""

    stale: str


def packed(message: Message) -> str:
    """Serialize a message."""
    return json.dumps(message, allow_nan=False)
