"""The adaptive convolution of PAKA: a convolution whose weights are scaled at every pixel.

    y[o, p] = bias[o] + sum over c, j of W[o, c, j] * A[c, j, p] * x[c, s p + d offset_j],   A = 1 + tanh(D + C)

with channel logits C (N, C, h, w), tap logits D (N, k*k, h, w), taps row-major and zero padding of d (k // 2).

The published forms hold the patches and A in full, k*k times the input each. Here both exist only for a few pixels at a
time, in a scratch buffer that fits the cache, and the backward pass computes them again instead of keeping them. The
overhead is small compared with the matrix product itself. The backward pass is not differentiable.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from viz.families.paka.grid import Grid, Part, grid_of

# Values of one scratch buffer. Large enough for a good matrix product, small enough for the cache.
SCRATCH = 1 << 19


def adaptive_conv2d(
    x: Tensor,
    weight: Tensor,
    channel_logits: Tensor,
    tap_logits: Tensor,
    bias: Tensor | None = None,
    *,
    stride: int = 1,
    dilation: int = 1,
    gain: Tensor | None = None,
) -> Tensor:
    """Convolve `x` (N, C, H, W) with per-pixel kernels; the result is (N, O, h, w) with h = ceil(H / stride).

    Args:
        weight: (O, C, k*k, 1, 1) or (O, C, k*k); (C, 1, k*k, ...) convolves each channel on its own (depthwise).
        channel_logits: C, (N, C, h, w).
        tap_logits: D, (N, k*k, h, w), taps row-major.
        bias: (O,), if any.
        stride: step between output pixels.
        dilation: distance between taps.
        gain: (N, k*k, h, w), a further factor on A, if any. This path is slower.

    Half precision is computed in float32 and returned in the precision of `x`.

    Raises:
        ValueError: shapes that do not fit each other, or an even kernel.
    """
    grid = grid_of(x, weight, stride, dilation)
    grid.check(channel_logits=channel_logits, tap_logits=tap_logits, gain=gain)
    dtype = _precision(x)
    with torch.autocast(x.device.type, enabled=False):
        operands = [t.to(dtype) for t in (x, weight.flatten(2), channel_logits, tap_logits)]
        if gain is None:
            out: Tensor = _AdaptiveConv.apply(*operands, grid)  # type: ignore[no-untyped-call]
        else:
            out = _with_gain(operands, gain.to(dtype), grid)
        if bias is not None:
            out = out + bias.to(dtype)[:, None, None]
    return out.to(x.dtype)


def kernel_attention(channel_logits: Tensor, tap_logits: Tensor) -> Tensor:
    """Mean of A over the channels: (N, k*k, h, w), within 0..2, from logits (N, C, h, w) and (N, k*k, h, w).

    At least float32. A is never held in full.
    """
    dtype = _precision(channel_logits)
    channel, tap = channel_logits.to(dtype).contiguous(), tap_logits.to(dtype).contiguous()
    if torch.is_grad_enabled() and (channel.requires_grad or tap.requires_grad):
        means = [_attention(channel + tap[:, j, None]).mean(dim=1) for j in range(tap.shape[1])]
        return torch.stack(means, dim=1)
    (n, c, h, w), kernel = channel.shape, round(tap.shape[1] ** 0.5)
    grid = Grid(n, c, kernel, 1, 1, h, w, h, w, depthwise=False)
    grid.check(channel_logits=channel, tap_logits=tap)
    parts, out = grid.parts(SCRATCH), torch.empty_like(tap)
    scratch = grid.scratch(channel, parts)
    for part in parts:
        half = grid.columns(scratch, part)
        _half_attention(channel, tap, part, half)
        part.of(out).copy_(half.sum(dim=1))
    return out.mul_(2 / c)


def attention(channel_logits: Tensor, tap_logits: Tensor) -> Tensor:
    """A in full: (N, C, k*k, h, w), within 0..2. For inspection; the convolution never computes it."""
    return _attention(channel_logits[:, :, None] + tap_logits[:, None])


def _attention(logits: Tensor) -> Tensor:
    # 1 + tanh(z), but precise also where it is close to 0.
    return 2 * torch.sigmoid(2 * logits)


def _precision(x: Tensor) -> torch.dtype:
    return torch.float64 if x.dtype == torch.float64 else torch.float32


def _half_attention(channel_logits: Tensor, tap_logits: Tensor, part: Part, out: Tensor) -> None:
    """Write A / 2 = sigmoid(2 D + 2 C) into `out` (n, C, k*k, pixels): cheaper than the tanh, and precise near 0."""
    tap, channel = 2 * part.of(tap_logits)[:, None], part.of(channel_logits)[:, :, None]
    torch.add(tap, channel, alpha=2, out=out)
    out.sigmoid_()


class _AdaptiveConv(torch.autograd.Function):
    """weight (O, C, k*k), or (C, 1, k*k) if depthwise; everything in one precision."""

    @staticmethod
    def forward(ctx: Any, *operands: Any) -> Tensor:
        x, weight, channel, tap, grid = operands
        ctx.save_for_backward(x, weight, channel, tap)
        ctx.grid = grid
        out = x.new_empty(grid.samples, weight.shape[0], grid.out_height, grid.out_width)
        padded, parts = grid.padded(x, 2), grid.parts(SCRATCH)
        scratch = grid.scratch(x, parts)
        for part in parts:
            columns = grid.columns(scratch, part)
            _half_attention(channel, tap, part, columns)
            grid.spread(columns).mul_(grid.patches(padded, part))
            _contract(weight, columns, part.of(out), grid)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_out: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, channel, tap = ctx.saved_tensors
        grid: Grid = ctx.grid
        need_x, need_weight, need_channel, need_tap = ctx.needs_input_grad[:4]
        grad_out, weight = grad_out.contiguous(), weight.contiguous()
        padded, parts = grid.padded(x, 2), grid.parts(SCRATCH)
        grad_padded = torch.zeros_like(padded) if need_x else None
        grad_weight = torch.zeros_like(weight) if need_weight else None
        grad_channel = torch.empty_like(channel, memory_format=torch.contiguous_format) if need_channel else None
        grad_tap = torch.empty_like(tap, memory_format=torch.contiguous_format) if need_tap else None
        scratch = [grid.scratch(x, parts) for _ in range(3)]
        for part in parts:
            half, pull, columns = (grid.columns(buffer, part) for buffer in scratch)
            grad = part.of(grad_out)
            _half_attention(channel, tap, part, half)
            torch.mul(grid.patches(padded, part), grid.spread(half), out=grid.spread(columns))
            if grad_weight is not None:
                _add_weight_gradient(grad_weight, grad, columns, grid)
            _expand(weight, grad, pull, grid)
            # pull is the gradient of the columns; times x it is that of A, whose slope is 4 half (1 - half).
            if grad_channel is not None or grad_tap is not None:
                columns.mul_(pull)
                columns.addcmul_(columns, half, value=-1)
                if grad_channel is not None:
                    part.of(grad_channel).copy_(columns.sum(dim=2))
                if grad_tap is not None:
                    part.of(grad_tap).copy_(columns.sum(dim=1))
            if grad_padded is not None:
                pull.mul_(half)
                _scatter(grid.patches(grad_padded, part), grid.spread(pull))
        p = grid.pad
        grad_x = None if grad_padded is None else grad_padded[:, :, p : p + grid.height, p : p + grid.width].mul(2)
        for g in (grad_channel, grad_tap):
            if g is not None:
                g.mul_(2)
        return grad_x, grad_weight, grad_channel, grad_tap, None


def _contract(weight: Tensor, columns: Tensor, out: Tensor, grid: Grid) -> None:
    """out (n, O, pixels) = weight . columns (n, C, k*k, pixels)."""
    if grid.depthwise:
        torch.mul(columns[:, :, 0], weight[:, 0, :1], out=out)
        for j in range(1, grid.taps):
            out.addcmul_(columns[:, :, j], weight[:, 0, j : j + 1])
        return
    matrix, flat = weight.flatten(1), columns.flatten(1, 2)
    for i in range(len(out)):
        torch.mm(matrix, flat[i], out=out[i])


def _expand(weight: Tensor, grad: Tensor, out: Tensor, grid: Grid) -> None:
    """out (n, C, k*k, pixels) = weight^T . grad (n, O, pixels)."""
    if grid.depthwise:
        torch.mul(grad[:, :, None], weight[:, 0, :, None], out=out)
        return
    matrix = weight.flatten(1).t()
    for i in range(len(out)):
        torch.mm(matrix, grad[i], out=out[i].flatten(0, 1))


def _add_weight_gradient(total: Tensor, grad: Tensor, columns: Tensor, grid: Grid) -> None:
    if grid.depthwise:
        for j in range(grid.taps):
            total[:, 0, j] += (grad * columns[:, :, j]).sum(dim=(0, 2))
        return
    flat = total.flatten(1)
    for i in range(len(grad)):
        flat.addmm_(grad[i], columns[i].flatten(0, 1).t())


def _scatter(target: Tensor, values: Tensor) -> None:
    """Add to a view of overlapping patches, tap by tap, since one tap alone does not overlap itself."""
    for i in range(target.shape[2]):
        for j in range(target.shape[3]):
            target[:, :, i, j].add_(values[:, :, i, j])


def _with_gain(operands: Sequence[Tensor], gain: Tensor, grid: Grid) -> Tensor:
    """The same sum with a further factor, in ordinary differentiable steps, one tap at a time."""
    x, weight, channel, tap = operands
    p, s, d = grid.pad, grid.stride, grid.dilation
    padded = torch.nn.functional.pad(x, (p, p, p, p))
    total = x.new_zeros(())
    for j in range(grid.taps):
        top, left = d * (j // grid.kernel), d * (j % grid.kernel)
        bottom, right = top + s * (grid.out_height - 1) + 1, left + s * (grid.out_width - 1) + 1
        seen = padded[:, :, top:bottom:s, left:right:s]
        tapped = seen * _attention(channel + tap[:, j : j + 1]) * gain[:, j : j + 1]
        if grid.depthwise:
            total = total + tapped * weight[:, 0, j, None, None]
        else:
            total = total + torch.einsum("oc,nchw->nohw", weight[:, :, j], tapped)
    return total
