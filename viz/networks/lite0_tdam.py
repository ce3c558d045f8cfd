"""Lite0-TDAM: plain, frozen EfficientNet-Lite0 with a TDAM searchlight on its last block's map.

Paper of the module: Jaiswal, Fernando, Tan, "TDAM: Top-Down Attention Module for Contextually Guided Feature
Selection in CNNs", ECCV 2022 (arXiv 2111.13470). The network is our own: the paper's checkpoints cannot be had, so only
the searchlight is trained (`viz.training.tdam`) and the backbone stays bit for bit what its package holds.

Step 1 is plain Lite0. Before step t the searchlight reads the features of step t-1 (top) and the gated map of step t-1
(bottom); its spatial gate weighs the map, and the gated map passes through the frozen head again.

Deviations from the paper: one searchlight, on the last block's linear output, shared by all steps (the paper: in the
blocks of the last two stages, with batch norms of their own for each step); the top is handed over as evidence
(features times the classifier weights of the classes that the step named) beside the plain features; the bottom is
standardised per channel by frozen statistics before it is scored; the gate is divided by its mean, so that it moves
weight and adds none.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from viz.attention.tdam import Searchlight, Sequence_
from viz.errors import CheckpointError
from viz.networks.base import StepNetwork, StepOutput
from viz.networks.efficientnet_lite import HEAD_CHANNELS, TOP_CHANNELS, EfficientNetLite0

Top = Literal["features", "evidence", "both"]
BACKBONE_PREFIX = "backbone."
_FLOOR = 1e-3


@dataclass(frozen=True)
class Lite0TDAMConfig:
    """What is needed to rebuild the network around its weights.

    `steps` computation steps; `width` k of the searchlight; `sequence` its channel and spatial steps; `top` what it
    reads of the step before: pooled features, evidence (features times the named classes' weights) or both.
    """

    steps: int = 2
    width: int = 256
    sequence: Sequence_ = "spatial"
    top: Top = "both"

    def to_json(self) -> str:
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> Lite0TDAMConfig:
        """Read what `to_json` wrote.

        Raises:
            CheckpointError: not such a text.
        """
        try:
            return cls(**json.loads(text))
        except (TypeError, ValueError) as error:
            raise CheckpointError("The file's configuration of Lite0-TDAM cannot be read.") from error


class Lite0TDAM(StepNetwork):
    """x (N, 3, 224, 224) to logits (N, 1000) in `steps` steps; step 1 equals plain Lite0 bit for bit.

    Buffers: `bottom_mean`, `bottom_std` (320,) of the last block's map; `evidence_std` (1280,) of the evidence.
    Probes: those of `Searchlight`, each with the step that uses the result (2 .. steps).
    """

    family: ClassVar[str | None] = "tdam"

    def __init__(self, steps: int = 2, width: int = 256, sequence: Sequence_ = "spatial", top: Top = "both") -> None:
        super().__init__()
        if steps < 1:
            raise ValueError(f"steps must be at least 1, not {steps}")
        if top not in ("features", "evidence", "both"):
            raise ValueError(f"top must be 'features', 'evidence' or 'both', not {top!r}")
        self.steps = steps
        self.config = Lite0TDAMConfig(steps, width, sequence, top)
        self.backbone = EfficientNetLite0()
        top_channels = HEAD_CHANNELS * (2 if top == "both" else 1)
        self.searchlight = Searchlight(TOP_CHANNELS, top_channels, "joint_concat", sequence, width=width)
        self.bottom_mean: Tensor
        self.bottom_std: Tensor
        self.evidence_std: Tensor
        self.register_buffer("bottom_mean", torch.zeros(TOP_CHANNELS))
        self.register_buffer("bottom_std", torch.ones(TOP_CHANNELS))
        self.register_buffer("evidence_std", torch.ones(HEAD_CHANNELS))
        # Small at first: a score near 0 is a gate near its mean, that is, plain Lite0.
        nn.init.normal_(self.searchlight.Ug_mlp[0].weight, std=0.01 / width**0.5)  # type: ignore[arg-type]
        self.backbone.freeze()

    def train(self, mode: bool = True) -> Lite0TDAM:
        """The backbone stays in evaluation mode: its batch norms must not move."""
        super().train(mode)
        self.backbone.eval()
        return self

    def evidence(self, output: StepOutput) -> Tensor:
        """(N, 1280, 1, 1): pooled features times the classifier weights of the named classes, not yet scaled."""
        named = torch.softmax(output.logits, dim=1) @ self.backbone._fc.weight
        return (output.features.mean(dim=(2, 3)) * named)[:, :, None, None]

    def top_of(self, output: StepOutput) -> Tensor:
        """What the searchlight reads of a step: (N, 1280 or 2560, 1, 1)."""
        parts = []
        if self.config.top != "evidence":
            parts.append(output.features.mean(dim=(2, 3), keepdim=True))
        if self.config.top != "features":
            parts.append(self.evidence(output) / self.evidence_std[:, None, None])
        return torch.cat(parts, dim=1)

    def attend(self, maps: Tensor, before: StepOutput, step: int) -> Tensor:
        """The map of step `step` (N, 320, h, w) from the map of the step before and that step's output."""
        light = self.searchlight
        maps = light.probe_bottom(maps, step)
        mean, std = self.bottom_mean[:, None, None], self.bottom_std[:, None, None]
        bottom = (maps - mean) / std
        logits = light.channel_logits(bottom, self.top_of(before))
        logits = light.probe_channel_logits(logits.flatten(1), step)[:, :, None, None]
        for part in self.config.sequence.split("->"):
            if part == "channel":
                gate = light.probe_channel_gate(torch.sigmoid(logits).flatten(1), step)
                maps = maps * (gate / gate.mean(dim=1, keepdim=True).clamp_min(_FLOOR))[:, :, None, None]
            else:
                score = light.probe_spatial_score((logits * bottom).sum(dim=1), step)
                gate = light.probe_spatial_gate(torch.sigmoid(score), step)
                maps = maps * (gate / gate.mean(dim=(1, 2), keepdim=True).clamp_min(_FLOOR))[:, None]
        return maps

    def forward_maps(self, maps: Tensor, steps: int | None = None) -> list[StepOutput]:
        """Outputs of all steps from the last block's map (N, 320, h, w), e.g. from a cache."""
        outputs = [self.backbone.head(maps)]
        for step in range(2, self.checked_steps(steps) + 1):
            maps = self.attend(maps, outputs[-1], step)
            outputs.append(self.backbone.head(maps))
        return outputs

    def forward_steps(self, x: Tensor, steps: int | None = None) -> list[StepOutput]:
        self.checked_steps(steps)
        return self.forward_maps(self.backbone.trunk(x), steps)

    def class_weights(self) -> Tensor:
        return self.backbone.class_weights()

    def module_state(self) -> dict[str, Tensor]:
        """Everything that is not the backbone: what a checkpoint of this network holds."""
        return {k: v for k, v in self.state_dict().items() if not k.startswith(BACKBONE_PREFIX)}

    def load_module_state(self, state: Mapping[str, Tensor]) -> None:
        """Load what `module_state` gave, strictly; the backbone is left as it is.

        Raises:
            CheckpointError: keys or shapes differ.
        """
        expected = self.module_state()
        if set(state) != set(expected):
            odd = sorted(set(state) ^ set(expected))
            raise CheckpointError(f"These are not the weights of Lite0-TDAM: {odd[0]!r} is missing or foreign.")
        for key, value in expected.items():
            if state[key].shape != value.shape:
                raise CheckpointError(
                    f"{key!r} has shape {tuple(state[key].shape)}, this network needs {tuple(value.shape)}."
                )
        self.load_state_dict(dict(state), strict=False)
