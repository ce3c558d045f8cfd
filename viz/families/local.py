"""Conditional kernels: a convolution whose kernel is predicted anew at every pixel and shared by all channels.

The operation of VISTA-Net (arXiv 2103.03510; ygjwd12345/VISTA-Net@7b85ec1 writes it with ``unfold``). Here it is a loop
over shifted views, forward and backward, so that no copy of the features per tap is ever made.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import isqrt
from typing import Any

import torch
from torch import Tensor, nn

TAPS = 9
CENTRE = TAPS // 2


def _views(taps: int, dilation: int, height: int, width: int) -> Iterator[tuple[int, slice, slice, slice, slice]]:
    """Tap, rows and columns of the output it reaches, rows and columns of the input it reads there (row-major taps)."""
    side = isqrt(taps)
    for tap in range(taps):
        dy, dx = dilation * (tap // side - side // 2), dilation * (tap % side - side // 2)
        if abs(dy) < height and abs(dx) < width:
            rows, columns = slice(max(0, -dy), height - max(0, dy)), slice(max(0, -dx), width - max(0, dx))
            yield (
                tap,
                rows,
                columns,
                slice(rows.start + dy, rows.stop + dy),
                slice(columns.start + dx, columns.stop + dx),
            )


class _Local(torch.autograd.Function):
    """Saves its two inputs and nothing else."""

    @staticmethod
    def forward(ctx: Any, kernels: Tensor, x: Tensor, dilation: int) -> Tensor:
        ctx.save_for_backward(kernels, x)
        ctx.dilation = dilation
        out = torch.zeros_like(x)
        for tap, rows, columns, from_rows, from_columns in _views(kernels.shape[1], dilation, *x.shape[2:]):
            out[:, :, rows, columns].addcmul_(
                x[:, :, from_rows, from_columns], kernels[:, tap : tap + 1, rows, columns]
            )
        return out

    @staticmethod
    @torch.autograd.function.once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        kernels, x = ctx.saved_tensors
        # Two memory layouts in one product cost several times the product.
        grad = torch.empty_like(x).copy_(grad) if grad.stride() != x.stride() else grad
        to_kernels = torch.zeros_like(kernels) if ctx.needs_input_grad[0] else None
        to_x = torch.zeros_like(x) if ctx.needs_input_grad[1] else None
        for tap, rows, columns, from_rows, from_columns in _views(kernels.shape[1], ctx.dilation, *x.shape[2:]):
            here = grad[:, :, rows, columns]
            if to_kernels is not None:
                to_kernels[:, tap, rows, columns] = (here * x[:, :, from_rows, from_columns]).sum(dim=1)
            if to_x is not None:
                to_x[:, :, from_rows, from_columns].addcmul_(here, kernels[:, tap : tap + 1, rows, columns])
        return to_kernels, to_x, None


def local(kernels: Tensor, x: Tensor, dilation: int = 1) -> Tensor:
    """``out[n, c, p] = sum_j kernels[n, j, p] * x[n, c, p + dilation * offset_j]``, zero outside the map.

    Fastest where the channels of `x` lie together in memory (``torch.channels_last``) and the map is small.

    Args:
        kernels: (N, k*k, h, w), k odd, taps in row-major order; not normalised.
        x: (N, C, h, w).
        dilation: distance of neighbouring taps in cells, at least 1.

    Returns:
        (N, C, h, w), once differentiable with regard to both.

    Raises:
        ValueError: shapes that do not fit, an even kernel, or a dilation below 1.
    """
    if x.ndim != 4 or kernels.ndim != 4 or (kernels.shape[0], *kernels.shape[2:]) != (x.shape[0], *x.shape[2:]):
        raise ValueError(f"kernels {tuple(kernels.shape)} do not belong to features {tuple(x.shape)}")
    side = isqrt(kernels.shape[1])
    if side**2 != kernels.shape[1] or side % 2 == 0:
        raise ValueError(f"{kernels.shape[1]} taps are no odd square kernel")
    if dilation < 1:
        raise ValueError(f"dilation {dilation} is below 1")
    return _Local.apply(kernels, x, dilation)  # type: ignore[no-untyped-call]


def kernel_prediction(channels: int, kernels: int = 1, dilation: int = 1) -> nn.Conv2d:
    """The 3x3 convolution that predicts `kernels` 3x3 kernels a pixel: `channels` to 9 x `kernels`, same size."""
    return nn.Conv2d(channels, TAPS * kernels, 3, padding=dilation, dilation=dilation)
