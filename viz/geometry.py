"""Geometry: the exact map between picture pixels and network input pixels, and the preparation of network inputs.

Sizes are converted only here. Coordinates are continuous (see `viz.picture`): the network sees the rectangle `seen` of
the picture, mapped onto the rectangle `placed` of its input by an affine function per axis.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image

from viz.errors import VizError
from viz.picture import Picture

if TYPE_CHECKING:
    from torch import Tensor

Mode = Literal["center_crop", "squash", "letterbox"]
MODES: tuple[Mode, ...] = ("center_crop", "squash", "letterbox")
Interpolation = Literal["cells", "bilinear", "bicubic"]
INTERPOLATIONS: tuple[Interpolation, ...] = ("cells", "bilinear", "bicubic")
# The cubic convolution constant of OpenCV and PyTorch, for the same maps as in the protocol.
CUBIC_A = -0.75
# Longer pictures are not resized as a whole before the crop: a strip of 1 x 100,000 pixels would become gigabytes.
MAX_ASPECT = 8
Rect = tuple[float, float, float, float]


@dataclass(frozen=True)
class Preprocessing:
    """A model's own evaluation preprocessing.

    Attributes:
        size: network input (height, width).
        crop: ``fraction`` cuts a centred square of `crop_fraction` of the short side and resizes it to `size`;
            ``resize`` first resizes the short side to `resize_to`, then cuts `size` from the centre.
        crop_fraction: share of the short side, for ``fraction``.
        resize_to: short side in pixels, for ``resize``.
        filter: ``bicubic`` or ``bilinear`` (both antialiased).
        mean, std: per channel in units of 0..255; input = (value - mean) / std.

    Raises:
        VizError: a crop beyond the picture, or one that would stretch it.
    """

    size: tuple[int, int] = (224, 224)
    crop: Literal["fraction", "resize"] = "fraction"
    crop_fraction: float = 0.875
    resize_to: int = 256
    filter: Literal["bicubic", "bilinear"] = "bicubic"
    mean: tuple[float, float, float] = (127.0, 127.0, 127.0)
    std: tuple[float, float, float] = (128.0, 128.0, 128.0)

    def __post_init__(self) -> None:
        if min(self.size) < 1 or min(self.std) <= 0:
            raise VizError(f"Preprocessing needs a positive size and std, not {self.size} and {self.std}.")
        if self.crop == "fraction" and not (0 < self.crop_fraction <= 1 and self.size[0] == self.size[1]):
            raise VizError("A fraction crop needs a crop_fraction above 0 and up to 1, and a square input.")
        if self.crop == "resize" and self.resize_to < max(self.size):
            raise VizError(f"resize_to must be at least the input size {self.size}, not {self.resize_to}.")


@dataclass(frozen=True)
class Geometry:
    """The exact position of the network's input in the picture.

    Attributes:
        mode: how the picture was fitted.
        picture: picture (height, width). network: input (height, width).
        seen: (x0, y0, x1, y1) in picture pixels: what the network saw.
        placed: (x0, y0, x1, y1) in network pixels: its place in the input (all of it, except for letterbox).
    """

    mode: Mode
    picture: tuple[int, int]
    network: tuple[int, int]
    seen: Rect
    placed: Rect

    def to_network(self, points: ArrayLike) -> NDArray[np.float64]:
        """Picture points (..., 2) as (x, y) to network points."""
        return _affine(points, self.seen, self.placed)

    def to_picture(self, points: ArrayLike) -> NDArray[np.float64]:
        """Network points (..., 2) as (x, y) to picture points."""
        return _affine(points, self.placed, self.seen)

    def box_to_network(self, box: ArrayLike) -> NDArray[np.float64]:
        """Box (x0, y0, x1, y1) in picture pixels to network pixels."""
        return self.to_network(np.reshape(np.asarray(box, dtype=np.float64), (2, 2))).reshape(4)

    def box_to_picture(self, box: ArrayLike) -> NDArray[np.float64]:
        """Box (x0, y0, x1, y1) in network pixels to picture pixels."""
        return self.to_picture(np.reshape(np.asarray(box, dtype=np.float64), (2, 2))).reshape(4)

    def seen_pixels(self, size: tuple[int, int] | None = None) -> tuple[slice, slice]:
        """Rows and columns of a (height, width) rendering of the picture whose centres the network saw."""
        height, width = size or self.picture
        x0, y0, x1, y1 = self.seen
        return _centres_inside(y0, y1, height, self.picture[0]), _centres_inside(x0, x1, width, self.picture[1])

    def cells_inside(self, box: ArrayLike, size: tuple[int, int]) -> NDArray[np.bool_]:
        """bool (h, w): cells of a network map whose centre lies in a box (x0, y0, x1, y1) of network pixels.

        If there is none, the cell of the box's centre.
        """
        x0, y0, x1, y1 = (float(v) for v in np.asarray(box, dtype=np.float64))
        rows, cols = ((np.arange(size[axis]) + 0.5) * self.network[axis] / size[axis] for axis in (0, 1))
        inside: NDArray[np.bool_] = ((rows >= y0) & (rows < y1))[:, None] & ((cols >= x0) & (cols < x1))[None]
        if not inside.any():
            row, col = (y0 + y1) / 2 * size[0] / self.network[0], (x0 + x1) / 2 * size[1] / self.network[1]
            inside[min(max(int(row), 0), size[0] - 1), min(max(int(col), 0), size[1] - 1)] = True
        return inside

    def axis_weights(
        self, axis: int, cells: int, pixels: int, interpolation: Interpolation = "bilinear"
    ) -> NDArray[np.float64]:
        """(pixels, cells) matrix that samples one axis of a network map at the centres of picture pixels.

        Args:
            axis: 0 for rows, 1 for columns.
            cells: cells of the map along the axis; they tile the network input evenly.
            pixels: pixels of the rendering along the axis (the picture's own, or those of a smaller copy).
            interpolation: ``cells`` (nearest), ``bilinear`` or ``bicubic``; edges are replicated.

        Rows of pixels outside what the network saw are zero.
        """
        lo, hi = (1, 3) if axis == 0 else (0, 2)
        inside = _centres_inside(self.seen[lo], self.seen[hi], pixels, self.picture[axis])
        centres = (np.arange(pixels)[inside] + 0.5) * (self.picture[axis] / pixels)
        scale = (self.placed[hi] - self.placed[lo]) / (self.seen[hi] - self.seen[lo])
        network = self.placed[lo] + (centres - self.seen[lo]) * scale
        position = network * (cells / self.network[axis]) - 0.5
        weights = np.zeros((pixels, cells))
        rows = np.arange(pixels)[inside]
        for offset, weight in _kernel(position, interpolation):
            np.add.at(weights, (rows, np.clip(offset, 0, cells - 1)), weight)
        return weights

    def as_json(self) -> dict[str, Any]:
        """Plain values, for a record."""
        return asdict(self)

    @staticmethod
    def from_json(data: dict[str, Any]) -> Geometry:
        """The inverse of `as_json`.

        Raises:
            VizError: entries are missing or of a wrong type.
        """
        from pydantic import TypeAdapter, ValidationError

        try:
            return TypeAdapter(Geometry).validate_python(data)
        except ValidationError:
            raise VizError("The geometry of the record cannot be read; was the file edited?") from None


def _affine(points: ArrayLike, source: Rect, target: Rect) -> NDArray[np.float64]:
    p = np.asarray(points, dtype=np.float64)
    s, t = np.asarray(source), np.asarray(target)
    return t[:2] + (p - s[:2]) * (t[2:] - t[:2]) / (s[2:] - s[:2])


def _centres_inside(low: float, high: float, pixels: int, size: int) -> slice:
    scale = pixels / size
    # A centre i + 0.5 is inside when low <= centre < high; the tolerance absorbs rounding of exact edges.
    first = int(np.ceil(low * scale - 0.5 - 1e-9))
    last = int(np.ceil(high * scale - 0.5 - 1e-9))
    return slice(max(first, 0), min(last, pixels))


def _kernel(
    position: NDArray[Any], interpolation: Interpolation
) -> list[tuple[NDArray[np.int64], NDArray[np.float64]]]:
    """Cell indices and weights that sample `position` (cell centres at integers)."""
    if interpolation == "cells":
        return [(np.floor(position + 0.5).astype(np.int64), np.ones_like(position))]
    base = np.floor(position).astype(np.int64)
    f = position - base
    if interpolation == "bilinear":
        return [(base, 1 - f), (base + 1, f)]
    if interpolation == "bicubic":
        return [(base + k, _cubic(np.abs(f - k))) for k in (-1, 0, 1, 2)]
    raise VizError(f"Unknown interpolation {interpolation!r}. Choose one of: {', '.join(INTERPOLATIONS)}.")


def _cubic(d: NDArray[np.float64]) -> NDArray[np.float64]:
    a = CUBIC_A
    near = ((a + 2) * d - (a + 3)) * d * d + 1
    far = ((a * d - 5 * a) * d + 8 * a) * d - 4 * a
    return np.where(d <= 1, near, np.where(d < 2, far, 0.0))


def fit(picture: tuple[int, int], preprocessing: Preprocessing, mode: Mode) -> Geometry:
    """The Geometry of a picture of size (height, width) under a model's preprocessing."""
    if mode == "center_crop":
        return _center_crop(picture, preprocessing)
    height, width = picture
    net_h, net_w = preprocessing.size
    whole = (0.0, 0.0, float(width), float(height))
    if mode == "squash":
        return Geometry(mode, picture, preprocessing.size, whole, (0.0, 0.0, float(net_w), float(net_h)))
    if mode == "letterbox":
        scale = min(net_h / height, net_w / width)
        h = min(net_h, max(1, round(height * scale)))
        w = min(net_w, max(1, round(width * scale)))
        y, x = (net_h - h) // 2, (net_w - w) // 2
        return Geometry(mode, picture, preprocessing.size, whole, (float(x), float(y), float(x + w), float(y + h)))
    raise VizError(f"Unknown geometry {mode!r}. Choose one of: {', '.join(MODES)}.")


def _resized(picture: tuple[int, int], short: int) -> tuple[int, int]:
    """(height, width) with a short side of `short`; the long side is truncated to an integer, as timm does."""
    height, width = picture
    if height <= width:
        return short, max(short, int(short * width / height))
    return max(short, int(short * height / width)), short


def _center_crop(picture: tuple[int, int], p: Preprocessing) -> Geometry:
    height, width = picture
    net_h, net_w = p.size
    placed = (0.0, 0.0, float(net_w), float(net_h))
    if p.crop == "fraction":
        side = max(1, int(p.crop_fraction * min(height, width)))
        y, x = (height - side + 1) // 2, (width - side + 1) // 2
        return Geometry("center_crop", picture, p.size, (float(x), float(y), float(x + side), float(y + side)), placed)
    h, w = _resized(picture, p.resize_to)
    y, x = round((h - net_h) / 2), round((w - net_w) / 2)
    fy, fx = height / h, width / w
    return Geometry("center_crop", picture, p.size, (x * fx, y * fy, (x + net_w) * fx, (y + net_h) * fy), placed)


def network_rgb(picture: Picture, preprocessing: Preprocessing, mode: Mode) -> tuple[NDArray[np.uint8], Geometry]:
    """The uint8 (h, w, 3) pixels that the network sees, and their Geometry."""
    geometry = fit(picture.size, preprocessing, mode)
    resample = Image.Resampling.BICUBIC if preprocessing.filter == "bicubic" else Image.Resampling.BILINEAR
    net_h, net_w = preprocessing.size
    image = Image.fromarray(picture.rgb)
    x0, y0, x1, y1 = geometry.seen
    if mode == "center_crop" and preprocessing.crop == "resize":
        h, w = _resized(picture.size, preprocessing.resize_to)
        y, x = round((h - net_h) / 2), round((w - net_w) / 2)
        if max(h, w) <= MAX_ASPECT * min(h, w):
            image = image.resize((w, h), resample).crop((x, y, x + net_w, y + net_h))
        else:  # the same pixels within a level or two, without the strips on both sides of the crop
            image = image.resize((net_w, net_h), resample, box=geometry.seen)
    elif mode == "letterbox":
        px0, py0, px1, py1 = (int(v) for v in geometry.placed)
        fill = tuple(round(m) for m in preprocessing.mean)
        canvas = Image.new("RGB", (net_w, net_h), fill)
        canvas.paste(image.resize((px1 - px0, py1 - py0), resample), (px0, py0))
        image = canvas
    else:
        crop = image.crop((int(x0), int(y0), int(x1), int(y1)))
        image = crop if crop.size == (net_w, net_h) else crop.resize((net_w, net_h), resample)
    return np.asarray(image), geometry


def prepare(picture: Picture, preprocessing: Preprocessing, mode: Mode) -> tuple[Tensor, Geometry]:
    """The network's input, float32 (1, 3, h, w), and its Geometry."""
    import torch  # here, so that model cards can be read without it

    pixels, geometry = network_rgb(picture, preprocessing, mode)
    # Channels first while values are single bytes: a quarter of the copying.
    x = torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1)))[None].to(torch.float32)
    mean = torch.tensor(preprocessing.mean, dtype=torch.float32).view(1, 3, 1, 1)
    std = torch.tensor(preprocessing.std, dtype=torch.float32).view(1, 3, 1, 1)
    return x.sub_(mean).div_(std), geometry
