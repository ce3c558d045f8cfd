"""Heat maps: values in picture coordinates, the scales that turn them into colours, and the one blending rule.

The page and the figures draw every map by the same three operations in the same order: interpolate the values, scale
them, colour them. The viewer's JavaScript gives the same numbers.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from importlib.resources import files
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from viz.core.map_spec import MapSpec
from viz.errors import VizError
from viz.geometry import Geometry, Interpolation

Floats = NDArray[np.float32]
ScaleMode = Literal["raw", "image", "steps", "pictures", "fixed"]
SCALE_MODES: tuple[ScaleMode, ...] = ("raw", "image", "steps", "pictures", "fixed")
PALETTES = ("viridis", "inferno", "cividis", "grey", "diverging")


@dataclass(frozen=True, eq=False)
class Heatmap:
    """One map in picture coordinates.

    Attributes:
        native: float32 (h, w): one value per cell, as the network computed them.
        geometry: where the cells lie in the picture.
        title: of the map, e.g. ``spatial_gate, step 2``. unit: in words.
        bounds: range of the operation, infinite if unbounded.
        neutral: middle of a diverging palette, or None: a gate that changes nothing, plain convolution, the uniform
            share, no contribution to the answer.
        interpolation: used by `values`.
        spec: the map's specification, with full tap name, class number and step.
    """

    native: Floats
    geometry: Geometry
    title: str
    unit: str = ""
    bounds: tuple[float, float] = (-np.inf, np.inf)
    neutral: float | None = None
    interpolation: Interpolation = "bilinear"
    spec: MapSpec | None = None

    def __post_init__(self) -> None:
        native = np.asarray(self.native, dtype=np.float32)
        if native.ndim != 2 or native.size == 0:
            raise VizError(f"A heat map needs an array of shape (h, w), not {native.shape}.")
        object.__setattr__(self, "native", native)

    @property
    def step(self) -> int:
        """Computation step, 1-based."""
        return 1 if self.spec is None else max(1, self.spec.step)

    @property
    def name(self) -> str:
        """The map without class and step: ``cam``, ``mean(attention.bottom)``."""
        return "" if self.spec is None else self.spec.key

    @property
    def class_index(self) -> int | None:
        """The class of a class map or an attribution, or None."""
        return self.spec.cls if self.spec is not None and isinstance(self.spec.cls, int) else None

    @property
    def raw_range(self) -> tuple[float, float]:
        """Smallest and largest finite native value."""
        return finite_range([self.native])

    @cached_property
    def values(self) -> Floats:
        """float32 (H, W) in picture pixels; NaN outside what the network saw."""
        return self.at(self.geometry.picture)

    def at(self, size: tuple[int, int], interpolation: Interpolation | None = None) -> Floats:
        """float32 (height, width): the map sampled at the pixel centres of a rendering of the picture.

        Cubic overshoot is clipped to the native range, so that a colour bar shows no value that no cell has. Cells that
        are not finite become NaN.
        """
        how = interpolation or self.interpolation
        h, w = self.native.shape
        rows = self.geometry.axis_weights(0, h, size[0], how)
        cols = self.geometry.axis_weights(1, w, size[1], how)
        seen = self.geometry.seen_pixels(size)
        rows, cols = rows[seen[0]], cols[seen[1]]
        native = self.native.astype(np.float64)
        good = np.isfinite(native)
        out = np.full(size, np.nan, dtype=np.float32)
        inner = rows @ np.where(good, native, 0.0) @ cols.T
        if not good.all():
            inner[(rows @ (~good) @ cols.T) > 1e-9] = np.nan
        if how == "bicubic" and good.any():
            inner = np.clip(inner, native[good].min(), native[good].max())
        out[seen] = inner
        return out


@dataclass(frozen=True)
class Scale:
    """The range of values that the colours cover; `mode` says where `low` and `high` come from."""

    mode: ScaleMode
    low: float
    high: float

    def unit(self, values: Floats) -> Floats:
        """Values scaled to 0..1 and clipped; 0 if the range is empty."""
        extent = self.high - self.low
        if not extent > 0:
            return np.where(np.isfinite(values), np.float32(0), np.float32(np.nan))
        unit = np.subtract(values, np.float32(self.low), dtype=np.float32)
        unit /= np.float32(extent)
        return np.clip(unit, np.float32(0), np.float32(1), out=unit)

    def describe(self) -> str:
        """The scale in words, for captions."""
        source = {
            "raw": "range of the operation",
            "image": "range of this map",
            "steps": "shared over the steps",
            "pictures": "shared over the pictures",
            "fixed": "fixed",
        }[self.mode]
        return f"{source}: {self.low:.4g} to {self.high:.4g}"


def finite_range(arrays: Sequence[NDArray[np.floating]]) -> tuple[float, float]:
    """Smallest and largest finite value over arrays; (0, 0) if there is none."""
    lows = [float(a[np.isfinite(a)].min()) for a in arrays if np.isfinite(a).any()]
    highs = [float(a[np.isfinite(a)].max()) for a in arrays if np.isfinite(a).any()]
    return (min(lows), max(highs)) if lows else (0.0, 0.0)


def scale_for(
    heatmap: Heatmap,
    mode: ScaleMode,
    *,
    together: Sequence[Heatmap] = (),
    fixed: tuple[float, float] | None = None,
) -> Scale:
    """The scale of one map.

    Args:
        mode: ``raw`` takes the operation's bounds (if infinite, the map's own range); ``image`` this map's range;
            ``steps`` and ``pictures`` the range over `together`; ``fixed`` the numbers of `fixed`.

    Raises:
        VizError: unknown mode, or a fixed range that is not two ascending numbers.
    """
    if mode == "fixed":
        if fixed is None or not (np.isfinite(fixed).all() and fixed[0] < fixed[1]):
            raise VizError(f"A fixed scale needs two numbers, the lower first, not {fixed}.")
        return Scale(mode, float(fixed[0]), float(fixed[1]))
    if mode in ("steps", "pictures"):
        low, high = finite_range([m.native for m in together] or [heatmap.native])
        return Scale(mode, low, high)
    low, high = heatmap.raw_range
    if mode == "raw":
        low = heatmap.bounds[0] if np.isfinite(heatmap.bounds[0]) else low
        high = heatmap.bounds[1] if np.isfinite(heatmap.bounds[1]) else high
    elif mode != "image":
        raise VizError(f"Unknown scale {mode!r}. Choose one of: {', '.join(SCALE_MODES)}.")
    return Scale(mode, low, high)


def symmetric(scale: Scale, neutral: float) -> Scale:
    """The smallest scale centred on `neutral` that contains `scale`, as a diverging palette needs."""
    reach = max(abs(scale.low - neutral), abs(scale.high - neutral))
    return Scale(scale.mode, neutral - reach, neutral + reach)


@cache
def palette(name: str) -> NDArray[np.uint8]:
    """uint8 (256, 3): the colours of a palette.

    Raises:
        VizError: unknown palette.
    """
    table = json.loads(files("viz.core").joinpath("palettes.json").read_text())["palettes"]
    if name not in table:
        raise VizError(f"Unknown palette {name!r}. Choose one of: {', '.join(PALETTES)}.")
    return np.frombuffer(base64.b64decode(table[name]), dtype=np.uint8).reshape(256, 3)


@cache
def _packed(name: str) -> NDArray[np.uint32]:
    """(256,) opaque RGBA colours as one number each, which makes the lookup faster."""
    rgba = np.concatenate([palette(name), np.full((256, 1), 255, dtype=np.uint8)], axis=1)
    return np.ascontiguousarray(rgba).view(np.uint32)[:, 0]


def colour(values: Floats, scale: Scale, palette_name: str) -> NDArray[np.uint8]:
    """uint8 (h, w, 4): the colours of values (h, w); alpha is 0 where a value is NaN, else 255."""
    unit = scale.unit(values)
    missing = np.isnan(unit)
    some_missing = bool(missing.any())
    if some_missing:
        unit[missing] = 0
    unit *= np.float32(255)
    unit += np.float32(0.5)
    index = unit.astype(np.uint8)  # truncation rounds down, because nothing here is negative
    rgba = _packed(palette_name)[index].view(np.uint8).reshape(*values.shape, 4)
    if some_missing:
        rgba[..., 3][missing] = 0
    return rgba


def overlay(
    rgb: NDArray[np.uint8],
    heatmap: Heatmap,
    scale: Scale,
    *,
    palette_name: str = "inferno",
    opacity: float = 0.55,
    interpolation: Interpolation | None = None,
) -> NDArray[np.uint8]:
    """uint8 (H, W, 3): the map blended over a rendering of the picture.

    Args:
        rgb: the picture at any size (H, W, 3); the map is sampled at its pixel centres.
        opacity: 0 shows the photo, 1 the map. The photo stays where the network saw nothing.

    Raises:
        VizError: an opacity outside 0 to 1, or an unknown palette.
    """
    if not 0 <= opacity <= 1:
        raise VizError(f"The opacity must lie between 0 and 1, not {opacity}.")
    size = (rgb.shape[0], rgb.shape[1])
    seen = heatmap.geometry.seen_pixels(size)
    out = np.array(rgb, dtype=np.uint8)
    coloured = colour(np.ascontiguousarray(heatmap.at(size, interpolation)[seen]), scale, palette_name)
    alpha = np.float32(opacity)
    blended = rgb[seen] * (np.float32(1) - alpha)
    blended += coloured[..., :3] * alpha
    blended += np.float32(0.5)
    drawn = blended.astype(np.uint8)  # truncation rounds down, because nothing here is negative
    missing = coloured[..., 3] == 0
    if missing.any():
        drawn[missing] = out[seen][missing]
    out[seen] = drawn
    return out
