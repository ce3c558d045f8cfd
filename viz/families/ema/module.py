"""EMA: efficient multi-scale attention, one spatial gate for each group of channels.

Paper: Ouyang, He, Zhang, Luo, Guo, Zhan, Huang, "Efficient Multi-Scale Attention Module with Cross-Spatial Learning",
ICASSP 2023 (arXiv 2305.13563). Numbers and key names follow YOLOonMe/EMA-attention-module@afc37ec (the original calls
the number of groups ``factor``). Not to be confused with the exponential moving average of weights.

Surprising points of that code: the final gate is applied to the input itself, not to the normalised branch; the channel
softmax of the 1x1 branch cannot depend on the picture, because the mean of an instance norm's result over the positions
is the norm's bias. It is therefore computed here from the bias, softmax(gn.bias), which is the original's value without
its rounding (they agree to 2e-8) and the same for every picture and group.
"""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor, nn

from viz.capture.probe import Probe
from viz.core.record import CHANNEL_MAPS, GROUP_MAPS, VECTOR


class EMA(nn.Module):
    """Efficient multi-scale attention.

    The C channels form `groups` runs of c = C // groups consecutive channels, which share their weights
    (10 c^2 + 4 c parameters). For one group X (c, h, w):

    - row and column gates: sigmoid of a shared 1x1 convolution of X's means over the width and over the height
    - x1 = group norm(X * row gate * column gate), one group per channel; x2 = 3x3 convolution of X
    - cross_map_1 = softmax(gn.bias) . x2; cross_map_2 = softmax(mean of x2) . x1
    - output = X * sigmoid(cross_map_1 + cross_map_2)

    Args:
        channels: C.
        groups: number of groups, the original's ``factor``; must divide `channels`.

    Raises:
        ValueError: `groups` does not divide `channels`.

    Probes (the first axis is the batch; channel k belongs to group k // c): ``row_gate`` (C, h, 1), ``column_gate``
    (C, 1, w), ``channel_softmax_1x1`` (c,), ``channel_softmax_3x3`` (C,), each group sums to 1, ``cross_map_1``,
    ``cross_map_2``, ``group_logits`` and ``group_gate`` (groups, h, w).
    """

    def __init__(self, channels: int, groups: int = 32) -> None:
        super().__init__()
        if groups < 1 or channels < 1 or channels % groups:
            raise ValueError(f"{channels} channels cannot be divided into {groups} groups of equal size")
        self.channels = channels
        self.groups = groups
        c = channels // groups
        self.gn = nn.GroupNorm(c, c)
        self.conv1x1 = nn.Conv2d(c, c, kernel_size=1)
        self.conv3x3 = nn.Conv2d(c, c, kernel_size=3, padding=1)

        probe, unit_range = partial(Probe, "ema"), (0.0, 1.0)
        gate, softmax = partial(probe, bounds=unit_range), partial(probe, VECTOR, bounds=unit_range)
        self.probe_row_gate = gate(CHANNEL_MAPS, "row_gate", unit="gate of a channel's row")
        self.probe_column_gate = gate(CHANNEL_MAPS, "column_gate", unit="gate of a channel's column")
        unit = "learned constant, the same for every picture"
        self.probe_channel_softmax_1x1 = softmax("channel_softmax_1x1", unit=unit, varies_with_picture=False)
        unit = "softmax, sums to 1 in each group"
        self.probe_channel_softmax_3x3 = softmax("channel_softmax_3x3", unit=unit)
        self.probe_cross_map_1 = probe(GROUP_MAPS, "cross_map_1", unit="logit, 3x3 branch's part")
        self.probe_cross_map_2 = probe(GROUP_MAPS, "cross_map_2", unit="logit, 1x1 branch's part")
        unit = "logit before the sigmoid"
        self.probe_group_logits = probe(GROUP_MAPS, "group_logits", unit=unit, before_sigmoid=True)
        self.probe_group_gate = gate(GROUP_MAPS, "group_gate", unit="gate of a group")

    def extra_repr(self) -> str:
        return f"{self.channels}, groups={self.groups}"

    def forward(self, x: Tensor, step: int = 1) -> Tensor:
        """Return (N, C, h, w) from x (N, C, h, w); `step` is that of the records.

        Raises:
            ValueError: x has another number of channels, or so few values that the group norm has nothing to average
                (one group, one picture, one position).
        """
        if x.ndim != 4 or x.shape[1] != self.channels:
            raise ValueError(f"EMA expects (N, {self.channels}, h, w), not {tuple(x.shape)}")
        # The group norm's own rule, which also holds in evaluation mode.
        if x.shape[0] * self.groups * x.shape[2] * x.shape[3] == 1:
            raise ValueError("EMA with one group cannot normalise one picture of a single position: use a larger input")
        n, size = len(x), x.shape[2:]
        parts = x.reshape(n, self.groups, -1, *size)
        batched = parts.flatten(0, 1)

        rows, columns = self._gates(batched, step)
        x1 = self.gn(batched * rows * columns).flatten(2)
        x2 = self.conv3x3(batched).flatten(2)
        share_1x1, share_3x3 = self._channel_softmaxes(x2, n, step)

        map_1 = self.probe_cross_map_1((share_1x1 @ x2).reshape(n, self.groups, *size), step)
        map_2 = self.probe_cross_map_2((share_3x3 @ x1).reshape(n, self.groups, *size), step)
        logits = self.probe_group_logits(map_1 + map_2, step)
        gate = self.probe_group_gate(torch.sigmoid(logits), step)
        return (parts * gate[:, :, None]).flatten(1, 2)

    def _gates(self, batched: Tensor, step: int) -> tuple[Tensor, Tensor]:
        """Row gate (N * groups, c, h, 1) and column gate (N * groups, c, 1, w)."""
        height, width = batched.shape[2:]
        means = torch.cat([batched.mean(dim=3), batched.mean(dim=2)], dim=2)[..., None]
        rows, columns = torch.split(torch.sigmoid(self.conv1x1(means)), [height, width], dim=2)
        rows = self.probe_row_gate(rows.reshape(-1, self.channels, height, 1), step)
        columns = self.probe_column_gate(columns.reshape(-1, self.channels, 1, width), step)
        return rows.reshape(-1, batched.shape[1], height, 1), columns.reshape(-1, batched.shape[1], 1, width)

    def _channel_softmaxes(self, x2: Tensor, pictures: int, step: int) -> tuple[Tensor, Tensor]:
        """Channel weights of the 1x1 and the 3x3 branch, each (N * groups, 1, c), from x2 (N * groups, c, h * w)."""
        c = x2.shape[1]
        constant = torch.softmax(self.gn.bias, dim=0).to(x2.dtype).expand(pictures, c)
        constant = self.probe_channel_softmax_1x1(constant, step).repeat_interleave(self.groups, dim=0)
        share = torch.softmax(x2.mean(dim=2), dim=1).reshape(pictures, self.channels)
        share = self.probe_channel_softmax_3x3(share, step).reshape(-1, c)
        return constant[:, None], share[:, None]
