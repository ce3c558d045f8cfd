"""Lite0-TDAM: plain, frozen EfficientNet-Lite0 with a TDAM searchlight on its last block's map.

Paper of the module: Jaiswal, Fernando, Tan, "TDAM: Top-Down Attention Module for Contextually Guided Feature
Selection in CNNs", ECCV 2022 (arXiv 2111.13470). The network is our own: the paper's checkpoints are not available, so
only the searchlight is trained (`recipes.tdam`) and the backbone stays bit-identical to the weights in its package.

Step 1 is plain Lite0. Before step t the searchlight reads the answer of step t-1 (top) and its map (bottom); its
spatial gate multiplies the map, and the gated map passes through the frozen head again.

Deviations from the paper: one searchlight, on the last block's linear output, shared by all steps (the paper: in the
blocks of the last two stages, with separate batch norms for each step); the top is the feedback of the answer (see
`Lite0TDAM.feedback`) instead of the pooled top features, which remain an option (`top="features"`); the bottom is
standardised per channel by frozen statistics before it is scored; a gate is divided by its mean, so that it shifts
weight and adds none.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Literal

import torch
from torch import Tensor, nn

from viz.errors import CheckpointError
from viz.families.tdam.module import Searchlight, Sequence_
from viz.models.networks.base import StepOutput
from viz.models.networks.efficientnet_lite import HEAD_CHANNELS, TOP_CHANNELS
from viz.models.networks.lite0_attended import FrozenLite0

Top = Literal["features", "feedback"]
_FLOOR = 1e-3
GATE_UNIT = "gate before it is divided by its mean"


class Lite0TDAM(FrozenLite0):
    """x (N, 3, 224, 224) to logits (N, 1000) in `steps` steps; step 1 equals plain Lite0 bit for bit.

    Buffers: `bottom_mean`, `bottom_std` (320,) of the last block's map.
    Probes: those of `Searchlight`, each with the step that uses the result (2 .. steps). The gates are those of the
    sigmoid, 0..1; the map is multiplied by a gate divided by its own mean.

    Args:
        steps: computation steps.
        width: k of the searchlight.
        sequence: its channel and spatial steps.
        top: its input from the previous step, the feedback of the answer or the pooled features.
    """

    family = "tdam"
    bottom_mean: Tensor
    bottom_std: Tensor

    def __init__(
        self, steps: int = 2, width: int = 256, sequence: Sequence_ = "spatial", top: Top = "feedback"
    ) -> None:
        arguments = {"steps": steps, "width": width, "sequence": sequence, "top": top}
        super().__init__(arguments, steps, ("bottom", TOP_CHANNELS))
        if steps < 1:
            raise ValueError(f"steps must be at least 1, not {steps}")
        if top not in ("features", "feedback"):
            raise ValueError(f"top must be 'features' or 'feedback', not {top!r}")
        self.top: Top = top
        self.searchlight = Searchlight(TOP_CHANNELS, HEAD_CHANNELS, "joint_concat", sequence, width=width)
        for label in ("channel_gate", "spatial_gate"):
            if probe := getattr(self.searchlight, f"probe_{label}", None):
                # The map is multiplied by the gate over its mean: a uniform gate changes nothing.
                probe.tap = replace(probe.tap, unit=GATE_UNIT)
        # Small at first: a score near 0 is a gate near its mean, that is, plain Lite0.
        nn.init.normal_(self.searchlight.Ug_mlp[0].weight, std=0.01 / width**0.5)  # type: ignore[arg-type]

    def config_json(self) -> str:
        return json.dumps(self.arguments, sort_keys=True)

    def feedback(self, output: StepOutput) -> Tensor:
        """(N, 1280, 1, 1): the gradient, at the head's features, that lowers the predicted class in favour of others.

        With p the softmax and c the predicted class, it is (p - onehot(c)) W, masked by how often each feature is
        active (not clipped by its ReLU6): small if the step was confident, and pointing from the predicted class to
        the other likely ones.
        """
        wanted = torch.softmax(output.logits, dim=1)
        named = output.logits.argmax(dim=1, keepdim=True)
        wanted = wanted.scatter_add(1, named, -torch.ones_like(wanted[:, :1]))
        active = ((output.class_features > 0) & (output.class_features < 6)).to(wanted).mean(dim=(2, 3))
        return (active * (wanted @ self.backbone._fc.weight.to(wanted)))[:, :, None, None]

    def top_of(self, output: StepOutput) -> Tensor:
        """The searchlight's top from the output of a step, (N, 1280, 1, 1)."""
        if self.top == "feedback":
            return self.feedback(output)
        return output.class_features.mean(dim=(2, 3), keepdim=True)

    def attend(self, maps: Tensor, top: Tensor, step: int) -> Tensor:
        """The map of step `step` (N, 320, h, w) from the map of the previous step and `top_of` that step."""
        light = self.searchlight
        maps = light.probe_bottom(maps, step)
        mean, std = (values[:, None, None] for values in self.statistics)
        bottom = (maps - mean) / std
        logits = light.channel_logits(bottom, top, step)
        for part in light.sequence.split("->"):
            if part == "channel":
                maps = maps * _over_mean(light.channel_gate(logits, step), (1,))
            else:
                maps = maps * _over_mean(light.spatial_gate(bottom, logits, step), (2, 3))
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
        """A searchlight of 0 makes the gate equal at all positions and channels, and dividing by its mean removes it.

        The gates themselves have no single neutral value: any uniform one is.
        """
        return {"searchlight.channel_logits": 0.0}


def _over_mean(gate: Tensor, axes: tuple[int, ...]) -> Tensor:
    return gate / gate.mean(dim=axes, keepdim=True).clamp_min(_FLOOR)


def build_tdam(config: str) -> Lite0TDAM:
    """A network with a random searchlight from the configuration in a checkpoint, see `Lite0TDAM.config_json`.

    Raises:
        CheckpointError: not such a configuration.
    """
    try:
        return Lite0TDAM(**json.loads(config))
    except (TypeError, ValueError) as error:
        raise CheckpointError("The configuration of Lite0-TDAM in this checkpoint is not valid.") from error
