"""The geometry of a dilated, strided convolution, and its division into parts that fit the cache."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Grid:
    """Sizes of one call: kernel size, stride, dilation, and the sizes of the padded input and of the output."""

    samples: int
    channels: int
    kernel: int
    stride: int
    dilation: int
    height: int
    width: int
    out_height: int
    out_width: int
    depthwise: bool

    @property
    def pad(self) -> int:
        return self.dilation * (self.kernel // 2)

    @property
    def taps(self) -> int:
        return self.kernel**2

    def check(self, **given: Tensor | None) -> None:
        """Check the shapes of logits.

        Raises:
            ValueError: a shape that does not fit.
        """
        for name, value in given.items():
            count = self.channels if name == "channel_logits" else self.taps
            wanted = (self.samples, count, self.out_height, self.out_width)
            if value is not None and tuple(value.shape) != wanted:
                raise ValueError(f"{name} must be {wanted}, not {tuple(value.shape)}")

    def padded(self, x: Tensor, factor: float) -> Tensor:
        """A zero-padded copy of x (N, C, H, W), times `factor`."""
        p = self.pad
        out = x.new_zeros(x.shape[0], x.shape[1], self.height + 2 * p, self.width + 2 * p)
        torch.mul(x, factor, out=out[:, :, p : p + self.height, p : p + self.width])
        return out

    def patches(self, padded: Tensor, part: Part) -> Tensor:
        """The view (n, C, k, k, rows, w) of a padded input that the taps of some output rows see."""
        sn, sc, sh, sw = padded.stride()
        d, s, k = self.dilation, self.stride, self.kernel
        return padded.as_strided(
            (part.samples, padded.shape[1], k, k, part.rows, self.out_width),
            (sn, sc, d * sh, d * sw, s * sh, s * sw),
            padded.storage_offset() + part.first * sn + part.top * s * sh,
        )

    def parts(self, budget: int) -> list[Part]:
        """Divide the work into whole samples, or rows of one sample, of at most `budget` values."""
        row = self.channels * self.taps * self.out_width
        whole = max(1, budget // (row * self.out_height))
        rows = self.out_height if whole > 1 else min(self.out_height, max(1, budget // row))
        return [
            Part(n, min(whole, self.samples - n), top, min(rows, self.out_height - top))
            for n in range(0, self.samples, whole)
            for top in range(0, self.out_height, rows)
        ]

    def scratch(self, like: Tensor, parts: Sequence[Part]) -> Tensor:
        """A buffer for the columns of any of these parts."""
        largest = max((part.samples * part.rows for part in parts), default=0)
        return like.new_empty(largest * self.channels * self.taps * self.out_width)

    def columns(self, scratch: Tensor, part: Part) -> Tensor:
        """The start of a buffer as the columns (n, C, k*k, pixels) of a part."""
        shape = (part.samples, self.channels, self.taps, part.rows * self.out_width)
        return scratch[: math.prod(shape)].view(shape)

    def spread(self, columns: Tensor) -> Tensor:
        """Columns (n, C, k*k, pixels) as the view (n, C, k, k, rows, w)."""
        return columns.view(*columns.shape[:2], self.kernel, self.kernel, -1, self.out_width)


@dataclass(frozen=True)
class Part:
    """Some samples and some output rows."""

    first: int
    samples: int
    top: int
    rows: int

    def of(self, values: Tensor) -> Tensor:
        """The part of (N, channels, h, w) as (n, channels, pixels): a view of contiguous values."""
        return values[self.first : self.first + self.samples, :, self.top : self.top + self.rows].flatten(2)


def grid_of(x: Tensor, weight: Tensor, stride: int, dilation: int) -> Grid:
    """The sizes of a convolution of x (N, C, H, W) with weight (O, C, k*k, ...), or (C, 1, k*k, ...) if depthwise.

    Raises:
        ValueError: shapes that do not fit each other, or an even kernel.
    """
    if x.ndim != 4 or weight.ndim < 3:
        raise ValueError(f"x must be (N, C, H, W) and weight (O, C, k*k), not {tuple(x.shape)}, {tuple(weight.shape)}")
    if 0 in x.shape:
        raise ValueError(f"x is empty: {tuple(x.shape)}")
    if stride < 1 or dilation < 1:
        raise ValueError(f"stride and dilation must be 1 or more, not {stride} and {dilation}")
    n, c, height, width = x.shape
    taps = weight[0, 0].numel()
    kernel = round(taps**0.5)
    if kernel**2 != taps or kernel % 2 == 0:
        raise ValueError(f"weight must have an odd square number of taps, not {taps}")
    depthwise = weight.shape[1] == 1 and c > 1
    if weight.shape[1] not in (1, c) or (depthwise and weight.shape[0] != c):
        raise ValueError(f"weight {tuple(weight.shape)} does not fit {c} channels")
    rows, columns = (-(-size // stride) for size in (height, width))
    return Grid(n, c, kernel, stride, dilation, height, width, rows, columns, depthwise)
