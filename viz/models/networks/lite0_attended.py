"""Plain, frozen EfficientNet-Lite0 with a trained attention module; for the bottom-up families it is at stride 16.

The networks are our own: no checkpoint of the papers fits one backbone, so only the module is trained
(`recipes.clutter`, `recipes.tdam`), and the backbone stays bit-identical to the weights in its package. Two such
networks differ only in their attention.

The module of the bottom-up families follows the last block at stride 16 (112 maps of 14x14 cells at 224 px): a gate
there has more effect on the answer than one on the last 7x7 cells (a perfect mask of a small object in clutter raises
plain Lite0's top-1 from 18.7 to about 40 % there, to 27 % on the last map). Its input is standardised per channel by
frozen statistics; its result times one learned number is transformed back to the maps' own mean and spread, so that a
closed gate gives the mean activation and not an impossible zero.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from viz.capture.probe import Probe
from viz.core.record import CHANNEL_MAPS
from viz.errors import CheckpointError
from viz.models.networks.base import StepNetwork, StepOutput
from viz.models.networks.efficientnet_lite import HEAD_CHANNELS, TAP_CHANNELS, EfficientNetLite0

BACKBONE_PREFIX = "backbone."
CHANNELS = TAP_CHANNELS[-1]
# Places in the list of scales: the maps that the module changes, and the last map or its class features.
BOTTOM, TOP = 2, 3


class FrozenLite0(StepNetwork):
    """x (N, 3, 224, 224) to logits (N, 1000); a subclass adds the attention module.

    Buffers: ``INPUT_mean`` and ``INPUT_std``, frozen statistics per channel of the module's input.

    Args:
        arguments: of the subclass, for the checkpoint.
        steps: computation steps.
        statistics: the name INPUT and its number of channels.
    """

    def __init__(self, arguments: Mapping[str, Any], steps: int, statistics: tuple[str, int]) -> None:
        super().__init__()
        self.steps = steps
        self.arguments = dict(arguments)
        self.backbone = EfficientNetLite0().freeze()
        self._input, channels = statistics
        self.register_buffer(f"{self._input}_mean", torch.zeros(channels))
        self.register_buffer(f"{self._input}_std", torch.ones(channels))

    @property
    def statistics(self) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation of the module's input, per channel."""
        return self.get_buffer(f"{self._input}_mean"), self.get_buffer(f"{self._input}_std")

    def train(self, mode: bool = True) -> FrozenLite0:
        """The backbone stays in evaluation mode, so that its batch norms do not change."""
        super().train(mode)
        self.backbone.eval()
        return self

    def class_weights(self) -> Tensor:
        return self.backbone.class_weights()

    def class_layer(self) -> nn.Module:
        return self.backbone.class_layer()

    def read(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """The inputs of the module, whose statistics are the buffers, from the frozen network's maps."""
        return list(maps)

    def config_json(self) -> str:
        """The configuration in a checkpoint, from which the network is built again."""
        return json.dumps({"family": self.family, "arguments": self.arguments}, sort_keys=True)

    def module_state(self) -> dict[str, Tensor]:
        """Everything but the backbone: the tensors of a checkpoint of this network."""
        return {k: v for k, v in self.state_dict().items() if not k.startswith(BACKBONE_PREFIX)}

    def load_module_state(self, state: Mapping[str, Tensor]) -> None:
        """Load what `module_state` returned, strictly; the backbone stays as it is.

        Raises:
            CheckpointError: keys or shapes differ.
        """
        expected, name = self.module_state(), type(self).__name__
        for key in sorted(set(state) ^ set(expected)):
            kind = "missing" if key in expected else "unexpected"
            raise CheckpointError(f"These are not the weights of {name}: {kind} key {key!r}.")
        for key, value in expected.items():
            if state[key].shape != value.shape:
                raise CheckpointError(
                    f"{key!r} has shape {tuple(state[key].shape)}, {name} needs {tuple(value.shape)}."
                )
        self.load_state_dict(dict(state), strict=False)


class Lite0Attended(FrozenLite0):
    """x (N, 3, 224, 224) to logits (N, 1000) through one attention module.

    Subclasses set `family` and build `attention` in their constructor.

    Buffers: `tap_mean`, `tap_std` of the channels of the scales that the module reads, fine to coarse. Parameter:
    `scale`, one number that multiplies the module's result (published gates rest at 1/2 or 1/4; a frozen network
    expects 1). Probe beside the module's own: ``bottom`` (112, 14, 14), the maps that the module changes.

    Args:
        scale: initial value of that number.
        arguments, steps: see `FrozenLite0`.
        top: number of channels in which the module sees plain Lite0's class features (1280, 7, 7), see `read_top`; then
            the picture passes the upper part twice. 0: it does not see them.
        share: the upper part gets this share of what the module changes in the maps, 0 to 1. Averages of a trained and
            an untrained network keep more of the ordinary answers (Wortsman et al., CVPR 2022, arXiv 2109.01903); here
            the maps are averaged. Gates that leave the maps as they are do so at any share.
    """

    attention: nn.Module
    tap_mean: Tensor
    tap_std: Tensor

    def __init__(
        self,
        attention: nn.Module,
        scale: float,
        arguments: Mapping[str, Any],
        *,
        steps: int = 1,
        top: int = 0,
        share: float = 1.0,
    ) -> None:
        if not 0 <= share <= 1:
            raise ValueError(f"share {share!r} is not in 0 to 1")
        # Arguments that change nothing are left out, as in files older than they are.
        arguments = {**arguments, **({"top": top} if top else {}), **({"share": share} if share != 1 else {})}
        self.share = share
        self.read_channels = (*TAP_CHANNELS, HEAD_CHANNELS) if top else TAP_CHANNELS
        super().__init__(arguments, steps, ("tap", sum(self.read_channels)))
        self.attention = attention
        self.reduce_top = nn.Conv2d(HEAD_CHANNELS, top, 1) if top else None
        self.reduce_bottom = nn.Conv2d(CHANNELS, top, 1, bias=False) if top else None
        self.probe_bottom = Probe(str(self.family), CHANNEL_MAPS, "bottom", unit="standardised activation")
        # Also held by the attention module, so that its full name is beside the module's own probes.
        attention.probe_bottom = self.probe_bottom
        self.scale = nn.Parameter(torch.tensor(float(scale)))

    def scales_of(self, x: Tensor) -> list[Tensor]:
        """The frozen network's maps of x (N, 3, h, w): see `EfficientNetLite0.taps`, and the last map if it is read."""
        taps = self.backbone.taps(x)
        return [*taps, self.backbone.upper(taps[BOTTOM])] if self.reduce_top is not None else taps

    def read(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """The scales that the module reads; class features take the place of the last map."""
        top = [] if self.reduce_top is None else [self.backbone.features(maps[TOP])]
        return [*maps[:TOP], *top]

    def attend(self, taps: Sequence[Tensor]) -> list[Tensor]:
        """The module's result after each of its own steps, `steps` maps (N, 112, h, w).

        Args:
            taps: standardised maps of the scales that it reads: (N, 40, 2h, 2w) or (N, 40, h, w), (N, 80, h, w),
                (N, 112, h, w), and (N, 1280, h / 2, w / 2) for a module that sees the class features.
        """
        results = self.attention(self.probe_bottom(taps[BOTTOM], 1))
        return [results] if isinstance(results, Tensor) else list(results)

    def read_top(self, taps: Sequence[Tensor]) -> Tensor | None:
        """(N, top, h, w): a rectified mix of the class features and the maps at stride 16; None if it sees neither."""
        if self.reduce_top is None or self.reduce_bottom is None:
            return None
        bottom = taps[BOTTOM]
        return (resized(self.reduce_top(taps[TOP]), bottom) + self.reduce_bottom(bottom)).relu()

    def beside(self, bottom: Tensor, taps: Sequence[Tensor]) -> Tensor:
        """`bottom` (N, 112, h, w) with `read_top` beside it, (N, 112 + top, h, w)."""
        top = self.read_top(taps)
        return bottom if top is None else torch.cat([bottom, top], dim=1)

    def scale_value(self) -> float:
        """The learned number that multiplies the module's result."""
        return float(self.scale.detach())

    def attended(self, taps: Sequence[Tensor]) -> list[Tensor]:
        """The input of the upper part after each step, (N, 112, h, w), from the raw maps of all scales."""
        read = self.read(taps)
        means, stds = (torch.split(values, list(self.read_channels)) for values in self.statistics)
        standard = [
            (tap - mean[:, None, None]) / std[:, None, None] for tap, mean, std in zip(read, means, stds, strict=True)
        ]
        mean, std = means[BOTTOM][:, None, None], stds[BOTTOM][:, None, None]
        bottom = standard[BOTTOM]
        return [mean + std * torch.lerp(bottom, self.scale * r, self.share) for r in self.attend(standard)]

    def last_output(self, taps: Sequence[Tensor]) -> StepOutput:
        """Only the last step's output: the upper part runs once."""
        return self.backbone.head(self.backbone.upper(self.attended(taps)[-1]))

    def forward_steps(self, x: Tensor, steps: int | None = None) -> list[StepOutput]:
        count = self.checked_steps(steps)
        maps = self.attended(self.scales_of(x))[:count]
        return [self.backbone.head(self.backbone.upper(m)) for m in maps]

    def forward(self, x: Tensor, steps: int | None = None) -> Tensor:
        """Logits (N, 1000) of the last step; unlike in `forward_steps`, earlier steps get no answer."""
        if self.checked_steps(steps) < self.steps:
            return super().forward(x, steps)
        return self.last_output(self.scales_of(x)).logits


def at_size(tap: Tensor, like: Tensor) -> Tensor:
    """`tap` averaged to the size of a coarser map."""
    return tap if tap.shape[2:] == like.shape[2:] else F.adaptive_avg_pool2d(tap, (like.shape[2], like.shape[3]))


def resized(top: Tensor, like: Tensor) -> Tensor:
    """A coarser map interpolated to the size of a finer one."""
    return F.interpolate(top, size=like.shape[2:], mode="bilinear", align_corners=False)
