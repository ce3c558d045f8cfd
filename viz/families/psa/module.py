"""PSA: polarized self-attention, a channel branch and a spatial branch, side by side or one after the other.

Paper: Liu, Liu, Fan, Bhattacharyya, Zhang, "Polarized Self-Attention: Towards High-quality Pixel-wise Regression"
(arXiv 2107.00782). Numbers and key names follow DeLightCMU/PSA@20e307a, ``semantic-segmentation/network/PSA.py``
(``PSA_p`` and ``PSA_s``).

Deviation: the paper's formula has a softmax over the channels of the pooled spatial query. The published code, which
is followed here, has none: its parallel form softmaxes the finished map over the positions, its sequential form
softmaxes each row of the value.

Surprising points of that code, all kept: the parallel spatial gate is the sigmoid of a softmax and so lies between 0.5
and sigmoid(1), very close to 0.5 on a large map; the parallel form adds the two gated copies of x (a sum, not a mean);
the sequential scores of a picture sum exactly to the sum of its query. The convolutions named ``right`` make the
channel gate, those named ``left`` the spatial gate.
"""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor, nn

from viz.capture.probe import Probe
from viz.core.record import CHANNEL_MAPS, MAP, VECTOR
from viz.families.local import conv1x1

# sigmoid(1) = 0.731058..., the upper bound of the sigmoid of a softmax, rounded up.
PARALLEL_GATE_BOUNDS = (0.5, 0.7311)
_LEAST_CHANNELS = {"parallel": 2, "sequential": 8}
_probe = partial(Probe, "psa")
_gate_probe = partial(_probe, bounds=(0.0, 1.0), unit="gate")
_share_probe = partial(_probe, bounds=(0.0, 1.0), shares=True)


class _PolarizedAttention(nn.Module):
    """Shared by both forms: five 1x1 convolutions (the original keys) and the channel branch.

    Probes (the first axis is the batch): ``channel_pool`` (h, w), ``channel_logits`` (C,), ``channel_gate`` (C,),
    ``spatial_query`` (C // 2,), and those of each form.
    """

    def __init__(self, inplanes: int, conv_up: nn.Module) -> None:
        super().__init__()
        half = inplanes // 2
        self.conv_q_right = conv1x1(inplanes, 1)
        self.conv_v_right = conv1x1(inplanes, half)
        self.conv_up = conv_up
        self.conv_q_left = conv1x1(inplanes, half)
        self.conv_v_left = conv1x1(inplanes, half)
        unit = "pooling weight, sums to 1 over the positions"
        self.probe_channel_pool = _share_probe(MAP, "channel_pool", unit=unit)
        unit = "logit before the sigmoid"
        self.probe_channel_logits = _probe(VECTOR, "channel_logits", unit=unit, before_sigmoid=True)
        self.probe_channel_gate = _gate_probe(VECTOR, "channel_gate")
        unit = "mean query of the spatial branch, no softmax"
        self.probe_spatial_query = _probe(VECTOR, "spatial_query", unit=unit)

    def _channel_gate(self, x: Tensor, step: int) -> Tensor:
        """The channel gate (N, C, 1, 1) of x (N, C, h, w)."""
        pool = self.probe_channel_pool(_over_positions(self.conv_q_right(x)[:, 0]), step).flatten(1)
        context = self.conv_v_right(x).flatten(2) @ pool[:, :, None]
        logits = self.probe_channel_logits(self.conv_up(context[..., None]).flatten(1), step)
        return self.probe_channel_gate(torch.sigmoid(logits), step)[:, :, None, None]

    def _spatial_query(self, x: Tensor, step: int) -> Tensor:
        """The mean query (N, 1, C // 2) of x (N, C, h, w)."""
        return self.probe_spatial_query(self.conv_q_left(x).mean(dim=(2, 3)), step)[:, None]


class ParallelPSA(_PolarizedAttention):
    """PSA in the parallel form: output = x * channel_gate + x * spatial_gate, both gates made from x.

    - channel gate: sigmoid(W_up (W_v x averaged over the positions with the weights softmax(W_q x)))
    - spatial gate: sigmoid(softmax over the positions of (mean of W_q' x) . (W_v' x))

    All convolutions are 1x1 without bias; the inner width is C // 2. The gain lies in (0.5, 1.731).

    Args:
        inplanes: C, two or more.
        planes: the original's second argument; must equal `inplanes`, because the gates multiply x.

    Raises:
        ValueError: too few channels, or a `planes` that differs.

    Further probes: ``spatial_score`` (h, w) before the softmax, ``spatial_softmax`` (h, w), ``spatial_gate`` (h, w).
    """

    def __init__(self, inplanes: int, planes: int | None = None) -> None:
        _check(inplanes, planes, "parallel")
        super().__init__(inplanes, conv1x1(inplanes // 2, inplanes))
        self.probe_spatial_score = _probe(MAP, "spatial_score", unit="score before the softmax")
        unit = "softmax, sums to 1 over the positions"
        self.probe_spatial_softmax = _share_probe(MAP, "spatial_softmax", unit=unit)
        self.probe_spatial_gate = _gate_probe(MAP, "spatial_gate", bounds=PARALLEL_GATE_BOUNDS)

    def forward(self, x: Tensor, step: int = 1) -> Tensor:
        """Return (N, C, h, w) from x (N, C, h, w); `step` is that of the records."""
        return x * self._channel_gate(x, step) + x * self._spatial_gate(x, step)

    def _spatial_gate(self, x: Tensor, step: int) -> Tensor:
        """The spatial gate (N, 1, h, w)."""
        value = self.conv_v_left(x)
        score = self.probe_spatial_score(_projected(self._spatial_query(x, step), value), step)
        share = self.probe_spatial_softmax(_over_positions(score), step)
        return self.probe_spatial_gate(torch.sigmoid(share), step)[:, None]


class SequentialPSA(_PolarizedAttention):
    """PSA in the sequential form: z = x * channel_gate(x), output = z * spatial_gate(z).

    - channel gate: as in the parallel form, but W_up is C // 2 -> C // 8, layer norm, ReLU, C // 8 -> C, with biases
      (widths are rounded down twice: C // 2 // 4). Below 16 channels the norm has a single value, so the gate is the
      same for every picture
    - spatial gate: sigmoid((mean of W_q' z) . softmax over the positions of each row of (W_v' z))

    Args:
        inplanes: C, eight or more.
        planes: as in the parallel form.

    Raises:
        ValueError: too few channels, or a `planes` that differs.

    Further probes: ``value_softmax`` (C // 2, h, w), ``spatial_score`` (h, w) before the sigmoid, ``spatial_gate``
    (h, w).
    """

    def __init__(self, inplanes: int, planes: int | None = None) -> None:
        _check(inplanes, planes, "sequential")
        half = inplanes // 2
        width = half // 4
        # The norm's shape (width, 1, 1) gives its weight and bias the three axes of the original keys.
        up = nn.Sequential(
            nn.Conv2d(half, width, kernel_size=1),
            nn.LayerNorm((width, 1, 1)),
            nn.ReLU(),
            nn.Conv2d(width, inplanes, kernel_size=1),
        )
        super().__init__(inplanes, up)
        unit = "softmax, each row sums to 1 over the positions"
        self.probe_value_softmax = _share_probe(CHANNEL_MAPS, "value_softmax", unit=unit)
        unit = "score before the sigmoid"
        self.probe_spatial_score = _probe(MAP, "spatial_score", unit=unit, before_sigmoid=True)
        self.probe_spatial_gate = _gate_probe(MAP, "spatial_gate")

    def forward(self, x: Tensor, step: int = 1) -> Tensor:
        """Return (N, C, h, w) from x (N, C, h, w); `step` is that of the records."""
        z = x * self._channel_gate(x, step)
        return z * self._spatial_gate(z, step)

    def _spatial_gate(self, z: Tensor, step: int) -> Tensor:
        """The spatial gate (N, 1, h, w)."""
        query = self._spatial_query(z, step)
        value = self.probe_value_softmax(_over_positions(self.conv_v_left(z)), step)
        score = self.probe_spatial_score(_projected(query, value), step)
        return self.probe_spatial_gate(torch.sigmoid(score), step)[:, None]


def _over_positions(scores: Tensor) -> Tensor:
    """Softmax over the last two axes of (..., h, w)."""
    return torch.softmax(scores.flatten(-2), dim=-1).reshape(scores.shape)


def _projected(query: Tensor, value: Tensor) -> Tensor:
    """The inner product (N, h, w) of query (N, 1, K) with value (N, K, h, w) at each position."""
    return (query @ value.flatten(2)).reshape(len(value), *value.shape[2:])


def _check(inplanes: int, planes: int | None, form: str) -> None:
    least = _LEAST_CHANNELS[form]
    if inplanes < least:
        raise ValueError(f"{form} PSA needs at least {least} channels, not {inplanes}")
    if planes is not None and planes != inplanes:
        raise ValueError(f"planes must equal inplanes ({inplanes}) because the gates multiply the input, not {planes}")
