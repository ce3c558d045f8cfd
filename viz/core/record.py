"""Captured values: a `Tap` says where and what a value is, a `Record` holds one value of one picture."""

from __future__ import annotations

import fnmatch
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from viz.read_only import ReadOnlyArrays

Axis = Literal["channel", "group", "tap", "rank", "head", "class", "y", "x", "query_y", "query_x"]
Axes = tuple[Axis, ...]
VECTOR: Axes = ("channel",)
MAP: Axes = ("y", "x")
CHANNEL_MAPS: Axes = ("channel", "y", "x")
GROUP_MAPS: Axes = ("group", "y", "x")
KERNEL: Axes = ("tap", "y", "x")


@dataclass(frozen=True)
class Tap:
    """Where and what a captured value is.

    Attributes:
        path: dotted path of the attention module inside the network, e.g. ``layer4.0.RA_block``.
        label: what the value is, e.g. ``spatial_gate``.
        family: name of a folder of `viz.families`; ``generic`` for a module of another package.
        axes: names of the axes after the batch.
        bounds: range of the operation; infinite if unbounded.
        neutral: the value that turns the attention off: with all values of this tap set to it, and everything else as
            computed, the network answers as without its attention. None if no single value does.
        unit: in words, for people.
        middle: middle of a diverging palette, if it is not the neutral value: 1 for a kernel attention, which is
            plain convolution with the learned kernel, even if the rest of the network is not plain.
        varies_with_picture: False for a learned constant.
        random_draw: whether the values are neither learned nor inferred, but drawn anew at every pass.
        before_sigmoid: whether a sigmoid follows.
        shares: whether the values sum to 1 over the cells.
        dilation, stride: of a kernel, in input cells: between its taps, and from one output cell to the next.
        strength: learned factor on what the module adds to the features, if it has one.
    """

    path: str
    label: str
    family: str
    axes: Axes
    bounds: tuple[float, float] = (-np.inf, np.inf)
    neutral: float | None = None
    unit: str = ""
    middle: float | None = None
    varies_with_picture: bool = True
    random_draw: bool = False
    before_sigmoid: bool = False
    shares: bool = False
    dilation: int = 1
    stride: int = 1
    strength: float | None = None

    def __post_init__(self) -> None:
        unknown = [axis for axis in self.axes if axis not in get_args(Axis)]
        if unknown or not self.axes:
            raise ValueError(f"unknown axis {unknown[0]!r}" if unknown else "a tap needs at least one axis")

    @property
    def name(self) -> str:
        """Full name, ``path.label``."""
        return f"{self.path}.{self.label}" if self.path else self.label

    @property
    def is_vector(self) -> bool:
        """Whether it has no cells."""
        return "y" not in self.axes

    @property
    def is_map(self) -> bool:
        """Whether it is a single map."""
        return self.axes == MAP

    @property
    def is_kernel(self) -> bool:
        """Whether it has a kernel at each cell."""
        return self.axes == KERNEL

    @property
    def is_maps(self) -> bool:
        """Whether it has one map per channel or group."""
        return self.axes in (CHANNEL_MAPS, GROUP_MAPS)

    @property
    def centre(self) -> float | None:
        """Middle of a diverging palette, or None."""
        return self.neutral if self.middle is None else self.middle

    @property
    def kind(self) -> str:
        """The axes in one word: ``channel``, ``spatial``, ``kernel`` or ``joint``."""
        return {VECTOR: "channel", MAP: "spatial", KERNEL: "kernel"}.get(self.axes, "joint")


@dataclass(frozen=True, eq=False)
class Record(ReadOnlyArrays):
    """One captured value of one picture.

    Attributes:
        tap: where and what it is.
        step: the computation step that uses the value, 1-based.
        values: float32 copy, with the axes of the tap.
    """

    tap: Tap
    step: int
    values: NDArray[np.float32]

    # Shortcuts to the tap.
    @property
    def axes(self) -> Axes:
        return self.tap.axes

    @property
    def name(self) -> str:
        return self.tap.name

    @property
    def path(self) -> str:
        return self.tap.path

    @property
    def label(self) -> str:
        return self.tap.label

    @property
    def family(self) -> str:
        return self.tap.family

    @property
    def kind(self) -> str:
        return self.tap.kind

    @property
    def bounds(self) -> tuple[float, float]:
        return self.tap.bounds

    @property
    def neutral(self) -> float | None:
        return self.tap.neutral

    @property
    def unit(self) -> str:
        return self.tap.unit


def match(names: Sequence[str], pattern: str) -> list[str]:
    """The names that a pattern selects: a full name, a label, or a glob over full names."""
    return [n for n in names if n == pattern or n.rpartition(".")[2] == pattern or fnmatch.fnmatchcase(n, pattern)]
