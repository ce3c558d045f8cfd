"""HPM: a hierarchical PAKA module, a cascade of dilated pixel adaptive convolutions whose results are mixed.

The paper of PAKA (Sagong, Yeo, Jung, Ko, arXiv 2107.13144) names an aggregation module HPM; neither its code nor its
description was available to us. What stands here is OUR OWN DESIGN, not the paper's: dilations, width, mixing and
initialisation are ours. It shares with the paper the PAKA convolution and the idea of stacking it.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from viz.attention.paka import PAKA2d


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
