"""Convolution by kernels that are predicted at every pixel and shared by all channels; two plain convolutions.

The operation of VISTA-Net (arXiv 2103.03510; ygjwd12345/VISTA-Net@7b85ec1 writes it with ``unfold``). Here it loops
over shifted views, forward and backward, so that the features are never copied per tap.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import isqrt
from types import EllipsisType
from typing import Any

import torch
from torch import Tensor, nn

TAPS = 9
CENTRE = TAPS // 2
Region = tuple[EllipsisType, slice, slice]


def _views(taps: int, dilation: int, height: int, width: int) -> Iterator[tuple[int, Region, Region]]:
    """Each tap (row-major) with the output region that it reaches and the input region that it reads there."""
    side = isqrt(taps)
    for tap in range(taps):
        dy, dx = dilation * (tap // side - side // 2), dilation * (tap % side - side // 2)
        if abs(dy) < height and abs(dx) < width:
            (rows, from_rows), (columns, from_columns) = _overlap(height, dy), _overlap(width, dx)
            yield tap, (..., rows, columns), (..., from_rows, from_columns)


def _overlap(size: int, shift: int) -> tuple[slice, slice]:
    """Output cells along an axis, and the input cells `shift` further, that both lie inside the map."""
    to = slice(max(0, -shift), size - max(0, shift))
    return to, slice(to.start + shift, to.stop + shift)


class _Local(torch.autograd.Function):
    """Saves its two inputs and nothing else."""

    @staticmethod
    def forward(ctx: Any, kernels: Tensor, x: Tensor, dilation: int) -> Tensor:
        ctx.save_for_backward(kernels, x)
        ctx.dilation = dilation
        out = torch.zeros_like(x)
        for tap, to, source in _views(kernels.shape[1], dilation, *x.shape[2:]):
            out[to].addcmul_(x[source], kernels[:, tap : tap + 1][to])
        return out

    @staticmethod
    @torch.autograd.function.once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        kernels, x = ctx.saved_tensors
        # A product of two memory layouts takes several times as long.
        grad = torch.empty_like(x).copy_(grad) if grad.stride() != x.stride() else grad
        to_kernels = torch.zeros_like(kernels) if ctx.needs_input_grad[0] else None
        to_x = torch.zeros_like(x) if ctx.needs_input_grad[1] else None
        for tap, to, source in _views(kernels.shape[1], ctx.dilation, *x.shape[2:]):
            if to_kernels is not None:
                to_kernels[:, tap][to] = (grad[to] * x[source]).sum(dim=1)
            if to_x is not None:
                to_x[source].addcmul_(grad[to], kernels[:, tap : tap + 1][to])
        return to_kernels, to_x, None


def local(kernels: Tensor, x: Tensor, dilation: int = 1) -> Tensor:
    """``out[n, c, p] = sum_j kernels[n, j, p] * x[n, c, p + dilation * offset_j]``, zero outside the map.

    Fastest for small maps in channels-last memory format.

    Args:
        kernels: (N, k*k, h, w), k odd, taps in row-major order; not normalised.
        x: (N, C, h, w).
        dilation: distance of neighbouring taps in cells, at least 1.

    Returns:
        (N, C, h, w), once differentiable in both inputs.

    Raises:
        ValueError: shapes that do not fit each other, an even kernel, or a dilation below 1.
    """
    if x.ndim != 4 or kernels.ndim != 4 or (kernels.shape[0], *kernels.shape[2:]) != (x.shape[0], *x.shape[2:]):
        raise ValueError(f"kernels {tuple(kernels.shape)} do not fit features {tuple(x.shape)}")
    side = isqrt(kernels.shape[1])
    if side**2 != kernels.shape[1] or side % 2 == 0:
        raise ValueError(f"{kernels.shape[1]} taps are not a square kernel of odd size")
    if dilation < 1:
        raise ValueError(f"dilation must be at least 1, not {dilation}")
    return _Local.apply(kernels, x, dilation)  # type: ignore[no-untyped-call]


def kernel_prediction(channels: int, kernels: int = 1, dilation: int = 1) -> nn.Conv2d:
    """The 3x3 convolution that predicts `kernels` 3x3 kernels per pixel: `channels` to 9 x `kernels`, same size."""
    return nn.Conv2d(channels, TAPS * kernels, 3, padding=dilation, dilation=dilation)


def conv1x1(inputs: int, outputs: int) -> nn.Conv2d:
    """A 1x1 convolution without bias."""
    return nn.Conv2d(inputs, outputs, kernel_size=1, bias=False)
