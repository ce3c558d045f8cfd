"""Plain, frozen EfficientNet-Lite0 with one attention module at stride 16: the shape that four families share.

The network is our own: no checkpoint of the papers fits one backbone, so only the module is trained
(`recipes.clutter`), and the backbone stays bit for bit what its package holds. Two such networks differ by their
attention alone.

The module stands behind the last block at stride 16 (112 maps of 14x14 cells at 224 px): a gate there reaches more of
the answer than one on the last 7x7 cells (a perfect mask of a small object in clutter raises plain Lite0's top-1 from
18.7 to about 40 % there, to 27 % on the last map). It reads the maps standardised per channel by frozen statistics;
its result times one learned number is brought back to the maps' own mean and spread, so that a closed gate means "as
usual here" and not an impossible zero.
"""

from __future__ import annotations

import json
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from viz.capture.probe import Probe
from viz.core.record import CHANNEL_MAPS
from viz.errors import CheckpointError
from viz.models.networks.base import StepNetwork, StepOutput
from viz.models.networks.efficientnet_lite import TAP_CHANNELS, EfficientNetLite0

BACKBONE_PREFIX = "backbone."
CHANNELS = TAP_CHANNELS[-1]


class Lite0Attended(StepNetwork):
    """x (N, 3, 224, 224) to logits (N, 1000) through one attention module.

    Subclasses give `family`, build `attention` in their constructor and say in `attend` what it makes of the maps.

    Buffers: `tap_mean`, `tap_std` (232,) of the three scales' channels, fine to coarse. Parameter: `scale`, one number
    that multiplies the module's result (published gates rest at 1/2 or 1/4; a frozen network expects 1).
    Probe beside the module's own: ``bottom`` (112, 14, 14), the maps that the module gets, at every step.

    Args:
        scale: start of that number.
        arguments: what the subclass was built with, for the checkpoint.
    """

    family: ClassVar[str | None] = None
    attention: nn.Module

    def __init__(self, attention: nn.Module, scale: float, arguments: Mapping[str, Any], steps: int = 1) -> None:
        super().__init__()
        self.steps = steps
        self.arguments = dict(arguments)
        self.backbone = EfficientNetLite0()
        self.attention = attention
        self.probe_bottom = Probe(str(self.family), CHANNEL_MAPS, "bottom", unit="standardised activation")
        # Held by the attention module, too, so that its full name stands beside the module's own probes.
        attention.probe_bottom = self.probe_bottom
        self.scale = nn.Parameter(torch.tensor(float(scale)))
        self.tap_mean: Tensor
        self.tap_std: Tensor
        self.register_buffer("tap_mean", torch.zeros(sum(TAP_CHANNELS)))
        self.register_buffer("tap_std", torch.ones(sum(TAP_CHANNELS)))
        self.backbone.freeze()

    @abstractmethod
    def attend(self, taps: Sequence[Tensor]) -> list[Tensor]:
        """What the module makes of the standardised maps of three scales, after each of its own steps.

        Args:
            taps: (N, 40, 2h, 2w) or (N, 40, h, w), (N, 80, h, w), (N, 112, h, w).

        Returns:
            `steps` maps (N, 112, h, w).
        """

    def scale_value(self) -> float:
        """The learned number that multiplies the module's result."""
        return float(self.scale.detach())

    def train(self, mode: bool = True) -> Lite0Attended:
        """The backbone stays in evaluation mode: its batch norms must not move."""
        super().train(mode)
        self.backbone.eval()
        return self

    def attended(self, taps: Sequence[Tensor]) -> list[Tensor]:
        """The maps that the upper part gets after each step, (N, 112, h, w), from raw maps of three scales."""
        means, stds = torch.split(self.tap_mean, list(TAP_CHANNELS)), torch.split(self.tap_std, list(TAP_CHANNELS))
        standard = [
            (tap - mean[:, None, None]) / std[:, None, None] for tap, mean, std in zip(taps, means, stds, strict=True)
        ]
        mean, std = means[-1][:, None, None], stds[-1][:, None, None]
        return [mean + std * self.scale * result for result in self.attend(standard)]

    def forward_taps(self, taps: Sequence[Tensor], steps: int | None = None) -> list[StepOutput]:
        """Outputs of all steps from the lower part's maps, e.g. from a cache."""
        maps = self.attended(taps)[: self.checked_steps(steps)]
        return [self.backbone.head(self.backbone.upper(m)) for m in maps]

    def last_output(self, taps: Sequence[Tensor]) -> StepOutput:
        """The last step's output alone: the upper part runs once."""
        return self.backbone.head(self.backbone.upper(self.attended(taps)[-1]))

    def forward_steps(self, x: Tensor, steps: int | None = None) -> list[StepOutput]:
        self.checked_steps(steps)
        return self.forward_taps(self.backbone.taps(x), steps)

    def forward(self, x: Tensor, steps: int | None = None) -> Tensor:
        """Logits (N, 1000) of the last step; unlike `forward_steps` the steps before it are not answered."""
        if self.checked_steps(steps) < self.steps:
            return super().forward(x, steps)
        return self.last_output(self.backbone.taps(x)).logits

    def class_weights(self) -> Tensor:
        return self.backbone.class_weights()

    def class_layer(self) -> nn.Module:
        return self.backbone.class_layer()

    def config_json(self) -> str:
        """What is needed to rebuild the network around its weights."""
        return json.dumps({"family": self.family, "arguments": self.arguments}, sort_keys=True)

    def module_state(self) -> dict[str, Tensor]:
        """Everything that is not the backbone: what a checkpoint of this network holds."""
        return {k: v for k, v in self.state_dict().items() if not k.startswith(BACKBONE_PREFIX)}

    def load_module_state(self, state: Mapping[str, Tensor]) -> None:
        """Load what `module_state` gave, strictly; the backbone is left as it is.

        Raises:
            CheckpointError: keys or shapes differ.
        """
        expected = self.module_state()
        name = type(self).__name__
        if set(state) != set(expected):
            odd = sorted(set(state) ^ set(expected))
            raise CheckpointError(f"These are not the weights of {name}: {odd[0]!r} is missing or foreign.")
        for key, value in expected.items():
            if state[key].shape != value.shape:
                raise CheckpointError(
                    f"{key!r} has shape {tuple(state[key].shape)}, {name} needs {tuple(value.shape)}."
                )
        self.load_state_dict(dict(state), strict=False)


def at_size(tap: Tensor, like: Tensor) -> Tensor:
    """`tap` averaged over the cells of a coarser map."""
    return tap if tap.shape[2:] == like.shape[2:] else F.adaptive_avg_pool2d(tap, (like.shape[2], like.shape[3]))
