"""HPM: a hierarchical PAKA module, a cascade of dilated pixel adaptive convolutions whose results are mixed.

The paper of PAKA (Sagong, Yeo, Jung, Ko, arXiv 2107.13144) names an aggregation module HPM; neither its code nor its
description was available to us. This module is OUR OWN DESIGN, not the paper's: dilations, width, mixing and
initialisation are ours. It shares with the paper the PAKA convolution and the idea of stacking it.

Below the module: the effective receptive field of one PAKA convolution or of a stack of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from viz.families.paka.module import AdaptiveConv2d, PAKA2d


class HPM(nn.Module):
    """A cascade z_0 = x, z_i = PAKA_i(z_{i-1}), and after each level i a learned convex mix of z_1 .. z_i.

    Each level is a `PAKA2d` of the derived form (its tap logits see the dilation) whose last convolutions start at zero
    and whose weight starts as the identity (1 at the centre tap): A = 1 everywhere, and every result equals x exactly.
    With the initial weights, the centre tap acts as a spatial and channel-wise gate in (0, 2); trained off-centre taps
    add values of neighbours at the distance of the dilation.

    Args:
        channels: C.
        dilations: one level each.
        reduction: of the logit branches, see `PAKA2d`.
        depthwise: one kernel per channel (few weights); otherwise each level also mixes channels.
        kernel_size: k, odd.

    Raises:
        ValueError: no level, or invalid sizes, see `PAKA2d`.

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
        level_of = partial(PAKA2d, channels, channels, kernel_size, form="derived", reduction=reduction, zero_init=True)
        groups = channels if depthwise else 1
        self.levels = nn.ModuleList(level_of(dilation=dilation, groups=groups) for dilation in self.dilations)
        for level in self.levels:
            nn.init.dirac_(level.weight, groups)  # type: ignore[arg-type]
        self.mix = nn.Parameter(torch.zeros(len(self.dilations)))

    def shares(self, level: int) -> Tensor:
        """Shares (level,) of z_1 .. z_level in the result after `level` (from 1): positive, with sum 1."""
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


def tap_strength(level: AdaptiveConv2d) -> NDArray[np.float32]:
    """Mean absolute weight of each tap, (k*k,): the effect of a tap at a kernel attention of 1."""
    values = level.kernel().detach().abs().mean(dim=(0, 1)).flatten()
    return values.to("cpu", torch.float32).numpy()


def receptive_gain(
    kernel_attentions: Sequence[NDArray[np.float32]],
    dilations: Sequence[int],
    pixel: tuple[int, int],
    strengths: Sequence[NDArray[np.float32]] | None = None,
) -> NDArray[np.float32]:
    """Effective receptive field of one output pixel of stacked levels: its taps traced back to the input.

    The gain of an input pixel is the sum, over all paths through the taps, of the products of the kernel attentions
    along the path. With every attention 1 it counts the paths; paths that leave the map into the padding do not count.

    Args:
        kernel_attentions: for each level in order of computation (k*k, h, w), all of one size (stride 1).
        dilations: of each level.
        pixel: (row, column) of the output.
        strengths: for each level (k*k,), a factor per tap, e.g. `tap_strength`; None weights all taps equally.

    Returns:
        (h, w) gains.

    Raises:
        ValueError: lists of different length, kernels of even size, maps of different size, or a pixel outside.
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
        kernels, side = kernel_attentions[i], _side(kernel_attentions[i])
        pad = dilations[i] * (side // 2)
        before = np.zeros((height + 2 * pad, width + 2 * pad))
        for j, kernel in enumerate(kernels):
            top, left = dilations[i] * (j // side), dilations[i] * (j % side)
            factor = 1.0 if strengths is None else strengths[i][j]
            before[top : top + height, left : left + width] += gain * kernel * factor
        gain = before[pad : pad + height, pad : pad + width]
    return gain.astype(np.float32)


def _side(kernels: NDArray[np.float32]) -> int:
    """Size k of kernels (k*k, h, w)."""
    k = round(len(kernels) ** 0.5)
    if kernels.ndim != 3 or k * k != len(kernels) or k % 2 == 0:
        raise ValueError(f"a kernel attention has shape (k*k, h, w) with odd k, not {kernels.shape}")
    return k
