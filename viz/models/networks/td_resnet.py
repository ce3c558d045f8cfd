"""TD-ResNet: a ResNet whose late blocks run T computation steps, each guided by the top of the previous step.

Paper: TDAM (ECCV 2022). Keys, shapes and numbers follow shantanuj/TDAM_Top_down_attention_module@1e4a2cd,
``training_and_usage_scripts/local_timm/models/tdresnet.py`` (and its legacy file for m = 3).

Deviations, none of which changes a number: the number of steps is an argument of every call (the original keeps it as
an attribute); a batch of one works; nothing is printed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from torch import Tensor, nn
from torch.nn import functional as F

from viz.capture.probe import muted
from viz.families.tdam.module import Searchlight
from viz.models.networks.base import StepNetwork, StepOutput

STAGE_WIDTHS = (64, 128, 256, 512)
DEPTHS: dict[int, tuple[Literal["basic", "bottleneck"], tuple[int, int, int, int]]] = {
    18: ("basic", (2, 2, 2, 2)),
    34: ("basic", (3, 4, 6, 3)),
    50: ("bottleneck", (3, 4, 6, 3)),
    101: ("bottleneck", (3, 4, 23, 3)),
    152: ("bottleneck", (3, 8, 36, 3)),
}
RELEASED_DEPTHS = (18, 34, 50, 101)


@dataclass(frozen=True)
class TDResNetConfig:
    """How to build a TD-ResNet.

    Attributes:
        block: ``basic`` (two 3x3 convolutions) or ``bottleneck`` (1x1, 3x3, 1x1).
        layers: blocks of the four stages.
        num_classes: outputs of the classifier.
        steps: T, the number of computation steps.
        feedback: m, how many convolutions before the end of the block the searchlight acts.
        td_blocks: for each stage (0-based) the indices of its TD blocks; indices past the end are ignored.
        searchlight: further arguments of `Searchlight`.
    """

    block: Literal["basic", "bottleneck"]
    layers: tuple[int, int, int, int]
    num_classes: int = 1000
    steps: int = 2
    feedback: int = 2
    td_blocks: Mapping[int, tuple[int, ...]] = field(default_factory=lambda: {2: tuple(range(64)), 3: tuple(range(64))})
    searchlight: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        convs = 2 if self.block == "basic" else 3
        if not 0 <= self.feedback <= convs:
            raise ValueError(f"feedback must be 0..{convs} for {self.block} blocks, not {self.feedback}")
        if self.steps < 1:
            raise ValueError("steps must be at least 1")


class _Conv(NamedTuple):
    inputs: int
    outputs: int
    kernel: int
    stride: int = 1


def _convolutions(block: str, inputs: int, planes: int, stride: int) -> list[_Conv]:
    if block == "basic":
        return [_Conv(inputs, planes, 3, stride), _Conv(planes, planes, 3)]
    return [_Conv(inputs, planes, 1), _Conv(planes, planes, 3, stride), _Conv(planes, 4 * planes, 1)]


class ResidualBlock(nn.Module):
    """A ResNet block; with `searchlight` arguments it is a TD block.

    The steps share the convolutions but not their batch norms: step 1 uses ``bnX``, step j + 1 uses ``bnX_j``.
    The top is the last batch norm's output, before the shortcut and the ReLU.
    """

    def __init__(
        self,
        block: str,
        inputs: int,
        planes: int,
        stride: int,
        *,
        steps: int = 1,
        feedback: int = 0,
        searchlight: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        specs = _convolutions(block, inputs, planes, stride)
        self.outputs = specs[-1].outputs
        self.convs = len(specs)
        self.is_td = searchlight is not None
        self.first_repeated = self.convs - feedback if self.is_td else self.convs
        for i, s in enumerate(specs, 1):
            conv = nn.Conv2d(s.inputs, s.outputs, s.kernel, s.stride, padding=s.kernel // 2, bias=False)
            self.add_module(f"conv{i}", conv)
            self.add_module(f"bn{i}", nn.BatchNorm2d(s.outputs))
        self.downsample: nn.Module | None = None
        if stride != 1 or inputs != self.outputs:
            projection = nn.Conv2d(inputs, self.outputs, 1, stride, bias=False)
            self.downsample = nn.Sequential(projection, nn.BatchNorm2d(self.outputs))
        if searchlight is not None:
            for j in range(1, steps):
                for i in range(self.first_repeated + 1, self.convs + 1):
                    self.add_module(f"bn{i}_{j}", nn.BatchNorm2d(specs[i - 1].outputs))
            bottom = self.outputs if feedback == 0 else specs[self.first_repeated].inputs
            self.RA_block = Searchlight(bottom, self.outputs, **searchlight)
        self.relu = nn.ReLU()

    def _convolve(self, x: Tensor, indices: range, step: int) -> Tensor:
        """Convolutions `indices` (1-based) with the batch norms of this step (1-based); a ReLU follows all but the
        block's last."""
        for index in indices:
            norm = f"bn{index}" if step == 1 else f"bn{index}_{step - 1}"
            x = self.get_submodule(norm)(self.get_submodule(f"conv{index}")(x))
            if index < self.convs:
                x = self.relu(x)
        return x

    def forward(self, x: Tensor, steps: int = 1) -> Tensor:
        """x (N, C, h, w) through the block in `steps` computation steps."""
        bottom = self._convolve(x, range(1, self.first_repeated + 1), 1)
        repeated = range(self.first_repeated + 1, self.convs + 1)
        top = bottom
        if repeated:
            for step in range(1, steps + 1):
                top = self._convolve(bottom, repeated, step)
                if step < steps:
                    bottom = self.RA_block(bottom, top, step + 1)
        elif self.is_td:  # m = 0: no convolution is repeated, the module acts on the result itself
            for step in range(1, steps + 1):
                top = self.RA_block(top, top, step)
        shortcut = x if self.downsample is None else self.downsample(x)
        return self.relu(top + shortcut)


class Stage(nn.Sequential):
    """The blocks of one resolution; `steps` reaches its TD blocks."""

    def forward(self, x: Tensor, steps: int = 1) -> Tensor:
        for block in self:
            x = block(x, steps)
        return x


class TDResNet(StepNetwork):
    """x (N, 3, h, w) to logits (N, num_classes) in T computation steps.

    Outputs of step t are those of the original's ``output_over_t``: stages 1 to 3 run once with all T steps and only
    the last stage runs again with t steps. So step 1 has no top-down signal in the last stage, but is not a network
    without attention. Records are those of the full pass.
    """

    family = "tdam"

    def __init__(self, config: TDResNetConfig) -> None:
        super().__init__()
        self.config = config
        self.steps = config.steps
        self.conv1 = nn.Conv2d(3, 64, 7, 2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        inputs = 64
        for stage, (count, planes) in enumerate(zip(config.layers, STAGE_WIDTHS, strict=True)):
            blocks: list[ResidualBlock] = []
            for b in range(count):
                searchlight = config.searchlight if b in config.td_blocks.get(stage, ()) else None
                stride = 2 if stage > 0 and b == 0 else 1
                block = ResidualBlock(
                    config.block,
                    inputs,
                    planes,
                    stride,
                    steps=config.steps,
                    feedback=config.feedback,
                    searchlight=searchlight,
                )
                inputs = block.outputs
                blocks.append(block)
            self.add_module(f"layer{stage + 1}", Stage(*blocks))
        self.fc = nn.Linear(inputs, config.num_classes)
        self.relu = nn.ReLU()
        self.class_features = nn.Identity()

    def _before_last_stage(self, x: Tensor) -> Tensor:
        x = F.max_pool2d(self.relu(self.bn1(self.conv1(x))), 3, 2, padding=1)
        for name in ("layer1", "layer2", "layer3"):
            x = self.get_submodule(name)(x, self.steps)
        return x

    def _last_stage(self, x: Tensor, steps: int) -> StepOutput:
        features = self.class_features(self.get_submodule("layer4")(x, steps))
        return StepOutput(self.fc(features.mean(dim=(2, 3))), features)

    def forward_steps(self, x: Tensor, steps: int | None = None) -> list[StepOutput]:
        last = self.checked_steps(steps)
        x = self._before_last_stage(x)
        with muted():  # records belong to the full pass, which comes last
            outputs = [self._last_stage(x, t) for t in range(1, last)]
        outputs.append(self._last_stage(x, last))
        return outputs

    def forward(self, x: Tensor, steps: int | None = None) -> Tensor:
        return self._last_stage(self._before_last_stage(x), self.checked_steps(steps)).logits

    def class_weights(self) -> Tensor:
        return self.fc.weight.detach()

    def class_layer(self) -> nn.Module:
        return self.class_features


def released_config(depth: int) -> TDResNetConfig:
    """The configuration of a published checkpoint: depth 18, 34, 50 or 101 (all T = 2, joint)."""
    if depth not in RELEASED_DEPTHS:
        raise ValueError(f"depth must be one of {RELEASED_DEPTHS}, not {depth}")
    block, layers = DEPTHS[depth]
    third = tuple(range(6)) if depth != 101 else (0, 1, 2, 8, 13, 18, 22)
    return TDResNetConfig(
        block, layers, steps=2, feedback=2 if block == "basic" else 1, td_blocks={2: third, 3: (0, 1, 2)}
    )
