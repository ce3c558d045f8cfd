"""TDAM: the top-down attention module ("searchlight") from a block's result to its own input.

Paper: Jaiswal, Fernando, Tan, "TDAM: Top-Down Attention Module for Contextually Guided Feature Selection in CNNs",
ECCV 2022 (arXiv 2111.13470). Numbers and key names follow shantanuj/TDAM_Top_down_attention_module@1e4a2cd,
``training_and_usage_scripts/local_timm/models/tdresnet.py``.

Surprising points of that code, all kept: the spatial step weights channels with the raw searchlight S, not its sigmoid;
S always comes from the unmodified bottom; the reduced width always comes from the top's channels; "bilinear" is a sum;
a non-linearity for the spatial searchlight switches the spatial step off.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from viz.capture.probe import Probe
from viz.core.record import CHANNEL_MAPS, MAP, VECTOR
from viz.families.local import conv1x1

Technique = Literal["joint_concat", "joint_sum", "top_only", "simple_mapping", "identity"]
Sequence_ = Literal["channel->spatial", "spatial->channel", "channel", "spatial"]
Pooling = Literal["avg", "max", "learned_shared", "learned_unique"]
Nonlinearity = Literal["sigmoid", "softmax", "none"]

# Also the order in which the searchlights of several poolings are added.
_POOLINGS: tuple[Pooling, ...] = ("max", "avg", "learned_shared", "learned_unique")
_probe = partial(Probe, "tdam")
_score_probe = partial(_probe, before_sigmoid=True)
_gate_probe = partial(_probe, bounds=(0.0, 1.0), unit="gate")


class Searchlight(nn.Module):
    """One top-down searchlight: S from pooled top and bottom, then a channel step and a spatial step on the bottom.

    With k reduced channels (all convolutions 1x1, no bias):

    - ``joint_concat``: S = W_s [relu(W_t p_top); relu(W_b p_bottom)]
    - ``joint_sum``:    S = W_s (relu(W_t p_top) + relu(W_b p_bottom)) (the original calls it "bilinear")
    - ``top_only``:     S = W_2 relu(W_1 p_top)
    - ``simple_mapping``: output = 1x1 convolution of top; ``identity``: output = top (no searchlight in either)

    Channel step: X' = sigmoid(S) * X. Spatial step: A = sum over channels of S * X, output sigmoid(A) * X.

    Args:
        bottom_channels: Cb.
        top_channels: Ct.
        technique: how S is computed.
        sequence: order of the two steps, or one of them alone.
        reduction: k = Ct // reduction, unless `width` is given.
        width: k itself.
        pooling: one or more of ``avg``, ``max`` and a learned pooling (averages on a fixed grid, then one linear layer
            over its cells, shared by top and bottom or unique to each). With several, S is computed from each with the
            same weights.
        pool_grid: (rows, columns) of the learned pooling.
        combine: ``sum`` or ``avg`` of the searchlights.
        channel_nonlinearity: turns S into the channel gate.
        spatial: False skips the spatial step, as the original does when a spatial non-linearity is requested.

    Raises:
        ValueError: an unknown choice, or fewer top channels than the reduction.

    Probes (the first axis is the batch): ``bottom`` (C, h, w), the features before the gates; ``channel_logits`` (C,),
    ``channel_gate`` (C,), ``spatial_score`` (h, w), ``spatial_gate`` (h, w), each with the step that uses the result.
    """

    def __init__(
        self,
        bottom_channels: int,
        top_channels: int,
        technique: Technique = "joint_concat",
        sequence: Sequence_ = "channel->spatial",
        *,
        reduction: int = 16,
        width: int | None = None,
        pooling: Sequence[Pooling] = ("avg",),
        pool_grid: tuple[int, int] = (8, 8),
        combine: Literal["sum", "avg"] = "sum",
        channel_nonlinearity: Nonlinearity = "sigmoid",
        spatial: bool = True,
    ) -> None:
        super().__init__()
        _check_pooling(pooling)
        for name, value, choices in (
            ("technique", technique, get_args(Technique)),
            ("sequence", sequence, get_args(Sequence_)),
            ("combine", combine, ("sum", "avg")),
            ("channel_nonlinearity", channel_nonlinearity, get_args(Nonlinearity)),
        ):
            if value not in choices:
                raise ValueError(f"{name} must be one of {choices}, not {value!r}")
        self.technique: Technique = technique
        self.sequence: Sequence_ = sequence
        self.pooling = tuple(p for p in _POOLINGS if p in pooling)
        self.pool_grid = pool_grid
        self.combine = combine
        self.channel_nonlinearity: Nonlinearity = channel_nonlinearity
        k = width if width is not None else top_channels // reduction
        gated = technique in ("joint_concat", "joint_sum", "top_only")
        if gated and k < 1:
            raise ValueError(f"reduction must be at most the number of top channels ({top_channels}), not {reduction}")

        # Names and shapes are those of the original state_dict.
        if technique in ("joint_concat", "joint_sum"):
            self.Ug_top_mlp = _projection(top_channels, k)
            self.Ug_bottom_mlp = _projection(bottom_channels, k)
            # A module, so that attribution methods that change the gradient of a ReLU find it.
            self.relu = nn.ReLU()
            self.Ug_mlp = _projection(2 * k if technique == "joint_concat" else k, bottom_channels)
        elif technique == "top_only":
            self.Ug_mlp = nn.Sequential(conv1x1(top_channels, k), nn.ReLU(), conv1x1(k, bottom_channels))
        elif technique == "simple_mapping":
            self.Ug_conv = conv1x1(top_channels, bottom_channels)

        if self.pooling[-1].startswith("learned"):
            cells = pool_grid[0] * pool_grid[1]
            self.top_linear_spatial = nn.Linear(cells, 1)
            # The shared layer has two names, hence two entries in the state_dict, as in the original.
            shared = self.pooling[-1] == "learned_shared"
            self.bottom_linear_spatial = self.top_linear_spatial if shared else nn.Linear(cells, 1)

        self.has_channel_step = gated and "channel" in sequence
        self.has_spatial_step = gated and "spatial" in sequence and spatial
        if gated:
            self.probe_bottom = _probe(CHANNEL_MAPS, "bottom", unit="activation")
            unit = "searchlight before the sigmoid"
            self.probe_channel_logits = _score_probe(VECTOR, "channel_logits", unit=unit)
        if self.has_channel_step:
            bounds = (-torch.inf, torch.inf) if channel_nonlinearity == "none" else (0.0, 1.0)
            self.probe_channel_gate = _gate_probe(VECTOR, "channel_gate", bounds=bounds)
        if self.has_spatial_step:
            self.probe_spatial_score = _score_probe(MAP, "spatial_score", unit="score before the sigmoid")
            self.probe_spatial_gate = _gate_probe(MAP, "spatial_gate")

    def channel_logits(self, bottom: Tensor, top: Tensor, step: int = 2) -> Tensor:
        """The raw searchlight S (N, Cb, 1, 1) from bottom (N, Cb, Hb, Wb) and top (N, Ct, Ht, Wt)."""
        parts = [self._logits_of(*self._pooled(bottom, top, how)) for how in self.pooling]
        total = parts[0]
        for part in parts[1:]:
            total = total + part
        total = total / len(parts) if self.combine == "avg" else total
        return self.probe_channel_logits(total.flatten(1), step)[:, :, None, None]

    def _pooled(self, bottom: Tensor, top: Tensor, how: Pooling) -> tuple[Tensor, Tensor]:
        """Bottom (N, Cb, 1, 1) and top (N, Ct, 1, 1)."""
        if how == "avg":
            return bottom.mean(dim=(2, 3), keepdim=True), top.mean(dim=(2, 3), keepdim=True)
        if how == "max":
            return bottom.amax(dim=(2, 3), keepdim=True), top.amax(dim=(2, 3), keepdim=True)
        grids = [F.adaptive_avg_pool2d(x, self.pool_grid).flatten(2) for x in (bottom, top)]
        return self.bottom_linear_spatial(grids[0])[..., None], self.top_linear_spatial(grids[1])[..., None]

    def _logits_of(self, bottom: Tensor, top: Tensor) -> Tensor:
        if self.technique == "top_only":
            return self.Ug_mlp(top)
        top_code, bottom_code = self.relu(self.Ug_top_mlp(top)), self.relu(self.Ug_bottom_mlp(bottom))
        joined = (
            torch.cat([top_code, bottom_code], dim=1) if self.technique == "joint_concat" else top_code + bottom_code
        )
        return self.Ug_mlp(joined)

    def forward(self, bottom: Tensor, top: Tensor, step: int = 2) -> Tensor:
        """The bottom (N, Cb, Hb, Wb) of the next step.

        Args:
            bottom: (N, Cb, Hb, Wb). top: (N, Ct, Ht, Wt); the sizes may differ.
            step: the computation step that uses the result, as in its records.
        """
        if self.technique == "identity":
            return top
        if self.technique == "simple_mapping":
            return self.Ug_conv(top)
        bottom = self.probe_bottom(bottom, step)
        logits = self.channel_logits(bottom, top, step)
        out = bottom
        for part in self.sequence.split("->"):
            if part == "channel":
                out = self.channel_gate(logits, step) * out
            elif self.has_spatial_step:
                out = self.spatial_gate(out, logits, step) * out
        return out

    def channel_gate(self, logits: Tensor, step: int) -> Tensor:
        """The channel gate (N, C, 1, 1) of S (N, C, 1, 1)."""
        if self.channel_nonlinearity == "sigmoid":
            gate = torch.sigmoid(logits)
        elif self.channel_nonlinearity == "softmax":
            gate = torch.softmax(logits, dim=1)
        else:
            gate = logits
        return self.probe_channel_gate(gate.flatten(1), step)[:, :, None, None]

    def spatial_gate(self, x: Tensor, logits: Tensor, step: int) -> Tensor:
        """The spatial gate (N, 1, h, w): the sigmoid of x (N, C, h, w) weighted by S (N, C, 1, 1)."""
        score = self.probe_spatial_score((logits * x).sum(dim=1), step)
        return self.probe_spatial_gate(torch.sigmoid(score), step)[:, None]


def _check_pooling(pooling: Sequence[str]) -> None:
    if isinstance(pooling, str) or not pooling or set(pooling) - set(_POOLINGS):
        raise ValueError(f"pooling must name one or more of {_POOLINGS}, not {pooling!r}")
    if {"learned_shared", "learned_unique"} <= set(pooling):
        raise ValueError("pooling can be learned_shared or learned_unique, not both")


def _projection(inputs: int, outputs: int) -> nn.Sequential:
    # A Sequential of one gives the original key "....0.weight".
    return nn.Sequential(conv1x1(inputs, outputs))
