"""HPM: a hierarchical PAKA module, a cascade of dilated pixel adaptive convolutions whose results are mixed.

The paper of PAKA (Sagong, Yeo, Jung, Ko, arXiv 2107.13144) names an aggregation module HPM; neither its code nor its
description was available to us. What stands here is OUR OWN DESIGN, not the paper's: dilations, width, mixing and
initialisation are ours. It shares with the paper the PAKA convolution and the idea of stacking it.

Below the module: what can be drawn from kernel attentions, for one PAKA convolution or a stack of them.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from viz.families.paka.module import AdaptiveConv2d, PAKA2d


class HPM(nn.Module):
    """A cascade z_0 = x, z_i = PAKA_i(z_{i-1}), and after each level i a learned convex mix of z_1 .. z_i.

    Each level is a `PAKA2d` of the derived form (its tap logits see the dilation) whose last convolutions start at zero
    and whose weight starts as the identity (1 at the centre tap): A = 1 everywhere, and every result equals x exactly.
    With the weights as they start, the centre tap acts as a spatial and channel-wise gate in (0, 2); what the
    off-centre taps learn carries values over from neighbours at the distance of the dilation.

    Args:
        channels: C.
        dilations: one level each.
        reduction: of the logit branches, see `PAKA2d`.
        depthwise: one kernel a channel (few weights); otherwise each level mixes channels too.
        kernel_size: k, odd.

    Raises:
        ValueError: no level, or sizes that `PAKA2d` refuses.

    The levels are ``levels.0``, ``levels.1``, ... with attributes ``dilation`` and ``kernel_size``; their probes
    (``channel_logits``, ``tap_logits``, ``kernel_attention``) fire with step = level, counted from 1.
    """

    def __init__(
        self,
        channels: int,
        dilations: Sequence[int] = (1, 2, 3),
        reduction: int = 4,
        depthwise: bool = True,
        kernel_size: int = 3,
    ) -> None:
        super().__init__()
        if not dilations:
            raise ValueError("dilations must name at least one level")
        self.channels = channels
        self.dilations = tuple(dilations)
        self.depthwise = depthwise
        self.kernel_size = kernel_size
        self.levels = nn.ModuleList(
            PAKA2d(
                channels,
                channels,
                kernel_size,
                form="derived",
                dilation=dilation,
                reduction=reduction,
                groups=channels if depthwise else 1,
                zero_init=True,
            )
            for dilation in self.dilations
        )
        for level in self.levels:
            _set_identity(level.weight)  # type: ignore[arg-type]
        self.mix = nn.Parameter(torch.zeros(len(self.dilations)))

    def shares(self, level: int) -> Tensor:
        """Shares (level,) of z_1 .. z_level in the result after `level` (from 1): positive, their sum is 1."""
        return torch.softmax(self.mix[:level], dim=0)

    def forward(self, x: Tensor) -> list[Tensor]:
        """x (N, C, H, W) to the mixed result after each level, each (N, C, H, W); the last one is the result."""
        z = x
        states: list[Tensor] = []
        results: list[Tensor] = []
        for step, level in enumerate(self.levels, 1):
            z = level(z, step)
            states.append(z)
            # Written as differences to the newest state, equal states give exactly themselves.
            result = z
            for share, state in zip(self.shares(step)[:-1], states[:-1], strict=True):
                result = result + share * (state - z)
            results.append(result)
        return results

    def extra_repr(self) -> str:
        return f"{self.channels}, dilations={self.dilations}, depthwise={self.depthwise}"


@torch.no_grad()
def _set_identity(weight: Tensor) -> None:
    """Weight (O, C, k*k, 1, 1), or (C, 1, k*k, 1, 1), that returns its input."""
    weight.zero_()
    centre = weight.shape[2] // 2
    if weight.shape[1] == 1:
        weight[:, 0, centre] = 1
    else:
        weight[:, :, centre, 0, 0].fill_diagonal_(1)


def tap_strength(level: AdaptiveConv2d) -> NDArray[np.float32]:
    """Mean absolute weight of each tap, (k*k,): what a kernel attention of 1 leaves of the neighbours."""
    values = level.kernel().detach().abs().mean(dim=(0, 1)).flatten()
    return values.to("cpu", torch.float32).numpy()


def receptive_gain(
    kernel_attentions: Sequence[NDArray[np.float32]],
    dilations: Sequence[int],
    pixel: tuple[int, int],
    strengths: Sequence[NDArray[np.float32]] | None = None,
) -> NDArray[np.float32]:
    """How far one output pixel of stacked levels reaches, and how strongly: its taps followed back to the input.

    The gain of an input pixel is the sum, over all ways through the taps, of the products of the kernel attentions met.
    With every attention 1 it counts the ways; ways that leave the map end in the zero padding and do not count.

    Args:
        kernel_attentions: for each level in order of computation (k*k, h, w), all of one size (stride 1).
        dilations: of each level.
        pixel: (row, column) of the output.
        strengths: for each level (k*k,), a factor for each tap, e.g. `tap_strength`; without it all taps count alike.

    Returns:
        (h, w) gains.

    Raises:
        ValueError: lists of different length, maps of different size, or a pixel outside.
    """
    if not kernel_attentions or len(kernel_attentions) != len(dilations):
        raise ValueError(f"{len(kernel_attentions)} levels with {len(dilations)} dilations")
    if strengths is not None and len(strengths) != len(dilations):
        raise ValueError(f"{len(kernel_attentions)} levels with {len(strengths)} strengths")
    height, width = size = kernel_attentions[0].shape[1:]
    if any(a.shape[1:] != size for a in kernel_attentions):
        raise ValueError("the levels have maps of different sizes")
    if not (0 <= pixel[0] < height and 0 <= pixel[1] < width):
        raise ValueError(f"pixel {pixel} lies outside {height}x{width}")
    gain = np.zeros(size, dtype=np.float64)
    gain[pixel] = 1
    for i in reversed(range(len(dilations))):
        kernels, offsets = kernel_attentions[i], _offsets(kernel_attentions[i]) * dilations[i]
        before = np.zeros_like(gain)
        for j, (down, right) in enumerate(offsets):
            carried = gain * kernels[j] * (1.0 if strengths is None else strengths[i][j])
            to_rows, from_rows = _overlap(height, down)
            to_columns, from_columns = _overlap(width, right)
            before[to_rows, to_columns] += carried[from_rows, from_columns]
        gain = before
    return gain.astype(np.float32)


def _offsets(kernels: NDArray[np.float32]) -> NDArray[np.int64]:
    """(k*k, 2) offsets (row, column) of row-major taps."""
    k = round(len(kernels) ** 0.5)
    if kernels.ndim != 3 or k * k != len(kernels) or k % 2 == 0:
        raise ValueError(f"a kernel attention has shape (k*k, h, w) with odd k, not {kernels.shape}")
    return np.stack(np.divmod(np.arange(k * k), k), axis=1) - k // 2


def _overlap(size: int, shift: int) -> tuple[slice, slice]:
    """Where p + shift and p both lie inside an axis; both empty if nowhere."""
    length = max(0, size - abs(shift))
    return slice(max(0, shift), max(0, shift) + length), slice(max(0, -shift), max(0, -shift) + length)
