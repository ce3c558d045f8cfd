"""Lite0-TDAM: plain, frozen EfficientNet-Lite0 with a TDAM searchlight on its last block's map.

Paper of the module: Jaiswal, Fernando, Tan, "TDAM: Top-Down Attention Module for Contextually Guided Feature
Selection in CNNs", ECCV 2022 (arXiv 2111.13470). The network is our own: the paper's checkpoints cannot be had, so only
the searchlight is trained (`recipes.tdam`) and the backbone stays bit for bit what its package holds.

Step 1 is plain Lite0. Before step t the searchlight reads what step t-1 answered (top) and its map (bottom); its
spatial gate weighs the map, and the gated map passes through the frozen head again.

Deviations from the paper: one searchlight, on the last block's linear output, shared by all steps (the paper: in the
blocks of the last two stages, with batch norms of their own for each step); the top is the feedback of the answer (see
`Lite0TDAM.feedback`) instead of the pooled top features, which may be chosen (`top="features"`); the bottom is
standardised per channel by frozen statistics before it is scored; a gate is divided by its mean, so that it moves
weight and adds none.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from viz.errors import CheckpointError
from viz.families.tdam.module import Searchlight, Sequence_
from viz.models.networks.base import StepNetwork, StepOutput
from viz.models.networks.efficientnet_lite import HEAD_CHANNELS, TOP_CHANNELS, EfficientNetLite0

Top = Literal["features", "feedback"]
BACKBONE_PREFIX = "backbone."
_FLOOR = 1e-3
GATE_UNIT = "gate before it is divided by its mean"


@dataclass(frozen=True)
class Lite0TDAMConfig:
    """What is needed to rebuild the network around its weights.

    `steps` computation steps; `width` k of the searchlight; `sequence` its channel and spatial steps; `top` what it
    reads of the step before: the answer's feedback or the pooled features.
    """

    steps: int = 2
    width: int = 256
    sequence: Sequence_ = "spatial"
    top: Top = "feedback"

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

    Buffers: `bottom_mean`, `bottom_std` (320,) of the last block's map.
    Probes: those of `Searchlight`, each with the step that uses the result (2 .. steps). The gates are those of the
    sigmoid, 0..1; what multiplies the map is a gate divided by its own mean.
    """

    family: ClassVar[str | None] = "tdam"

    def __init__(
        self, steps: int = 2, width: int = 256, sequence: Sequence_ = "spatial", top: Top = "feedback"
    ) -> None:
        super().__init__()
        if steps < 1:
            raise ValueError(f"steps must be at least 1, not {steps}")
        if top not in ("features", "feedback"):
            raise ValueError(f"top must be 'features' or 'feedback', not {top!r}")
        self.steps = steps
        self.config = Lite0TDAMConfig(steps, width, sequence, top)
        self.backbone = EfficientNetLite0()
        self.searchlight = Searchlight(TOP_CHANNELS, HEAD_CHANNELS, "joint_concat", sequence, width=width)
        for label in ("channel_gate", "spatial_gate"):
            if hasattr(self.searchlight, f"probe_{label}"):
                # What multiplies the map is the gate over its mean: a gate that is even changes nothing.
                probe = getattr(self.searchlight, f"probe_{label}")
                probe.tap = replace(probe.tap, unit=GATE_UNIT)
        self.bottom_mean: Tensor
        self.bottom_std: Tensor
        self.register_buffer("bottom_mean", torch.zeros(TOP_CHANNELS))
        self.register_buffer("bottom_std", torch.ones(TOP_CHANNELS))
        # Small at first: a score near 0 is a gate near its mean, that is, plain Lite0.
        nn.init.normal_(self.searchlight.Ug_mlp[0].weight, std=0.01 / width**0.5)  # type: ignore[arg-type]
        self.backbone.freeze()

    def train(self, mode: bool = True) -> Lite0TDAM:
        """The backbone stays in evaluation mode: its batch norms must not move."""
        super().train(mode)
        self.backbone.eval()
        return self

    def feedback(self, output: StepOutput) -> Tensor:
        """(N, 1280, 1, 1): the gradient of "rather another class than the one just named", at the head's features.

        With p the softmax and c the class that the step named, it is (p - onehot(c)) W, masked by how often each
        feature is active (not clipped by its ReLU6): small where the step was sure, and pointing from the named class
        to those that it held possible.
        """
        wanted = torch.softmax(output.logits, dim=1)
        named = output.logits.argmax(dim=1, keepdim=True)
        wanted = wanted.scatter_add(1, named, -torch.ones_like(wanted[:, :1]))
        active = ((output.features > 0) & (output.features < 6)).to(wanted).mean(dim=(2, 3))
        return (active * (wanted @ self.backbone._fc.weight.to(wanted)))[:, :, None, None]

    def top_of(self, output: StepOutput) -> Tensor:
        """What the searchlight reads of a step, (N, 1280, 1, 1)."""
        if self.config.top == "feedback":
            return self.feedback(output)
        return output.features.mean(dim=(2, 3), keepdim=True)

    def attend(self, maps: Tensor, top: Tensor, step: int) -> Tensor:
        """The map of step `step` (N, 320, h, w) from the map of the step before and what `top_of` says of that step."""
        light = self.searchlight
        maps = light.probe_bottom(maps, step)
        mean, std = self.bottom_mean[:, None, None], self.bottom_std[:, None, None]
        bottom = (maps - mean) / std
        logits = light.channel_logits(bottom, top)
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
            maps = self.attend(maps, self.top_of(outputs[-1]), step)
            outputs.append(self.backbone.head(maps))
        return outputs

    def forward_steps(self, x: Tensor, steps: int | None = None) -> list[StepOutput]:
        self.checked_steps(steps)
        return self.forward_maps(self.backbone.trunk(x), steps)

    def neutrals(self) -> Mapping[str, float | None]:
        """A searchlight of 0 gives every place and every channel the same gate, and its mean takes that out again.

        The gates themselves have no neutral value, or all: any number does that is the same everywhere.
        """
        return {"searchlight.channel_logits": 0.0}

    def class_weights(self) -> Tensor:
        return self.backbone.class_weights()

    def class_layer(self) -> nn.Module:
        return self.backbone.class_layer()

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
