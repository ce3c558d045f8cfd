"""The four bottom-up families on frozen Lite0; `Lite0Attended` is their base.

Deviations from the papers: one module at one place of a frozen network (the papers train whole networks with many);
each class lists its own.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from viz.errors import CheckpointError
from viz.families.ema.module import EMA
from viz.families.paka.hpm import HPM
from viz.families.psa.module import SequentialPSA
from viz.families.vista.inferred import InferredGraph
from viz.models.networks.efficientnet_lite import TAP_CHANNELS
from viz.models.networks.lite0_attended import BOTTOM, CHANNELS, Lite0Attended, at_size


def gate_of_one(scale: float) -> float | None:
    """The value in (0, 1) of a sigmoid gate that times `scale` gives 1; None if there is none."""
    return 1 / scale if scale > 1 else None


class Lite0PSA(Lite0Attended):
    """Sequential polarized self-attention: a channel gate, then a spatial gate on its result.

    The sequential layout, because the parallel one's spatial gate cannot leave 0.5 .. 0.731. `scale` starts at 4: both
    gates rest at 1/2. With `top` it starts at 2.5, because the spatial gate then learns to be 1 on things. The spatial
    branch starts with larger weights than PyTorch's default: its logit is a sum of softmaxes over 196 positions, so it
    would be nearly 0 everywhere and learn very slowly.
    """

    family = "psa"

    def __init__(self, top: int = 0, share: float = 1.0) -> None:
        module = SequentialPSA(CHANNELS + top)
        with torch.no_grad():
            module.conv_q_left.weight.mul_(100.0)
            module.conv_v_left.weight.mul_(2.0)
        super().__init__(module, 2.5 if top else 4.0, {}, top=top, share=share)

    def attend(self, taps: Sequence[Tensor]) -> list[Tensor]:
        return [self.attention(self.beside(self.probe_bottom(taps[BOTTOM], 1), taps))[:, :CHANNELS]]

    def joint_neutral(self, names: Sequence[str]) -> dict[str, float] | None:
        """Both gates at 1 / sqrt(scale); one of them alone has no neutral value, because the other varies over
        positions or channels."""
        both = ["attention.channel_gate", "attention.spatial_gate"]
        value = gate_of_one(self.scale_value())
        return dict.fromkeys(both, math.sqrt(value)) if sorted(names) == both and value is not None else None


class Lite0EMA(Lite0Attended):
    """Efficient multi-scale attention: one spatial gate for each group of channels. `scale` starts at 2, with `top` at
    1.25, because the gates then learn to be 1 on things.

    Both maps start with larger weights than PyTorch's default, so that the gates leave 1/2.

    Args:
        groups: number of groups. They share their weights, but the channels of a trained network have no order in
            which many groups would be alike: few groups learn more (the paper's networks have 32, trained with them).
    """

    family = "ema"

    def __init__(self, groups: int = 2, top: int = 0, share: float = 1.0) -> None:
        module = EMA(CHANNELS + top, groups)
        with torch.no_grad():
            module.gn.weight.mul_(4.0)
            module.conv3x3.weight.mul_(6.0)
        super().__init__(module, 1.25 if top else 2.0, {"groups": groups}, top=top, share=share)

    def attend(self, taps: Sequence[Tensor]) -> list[Tensor]:
        bottom = self.probe_bottom(taps[BOTTOM], 1)
        # Each group gets its share of both inputs, because the groups have the same weights.
        both = self.beside(bottom, taps).tensor_split([CHANNELS], dim=1)
        shape = (len(bottom), self.arguments["groups"], -1, *bottom.shape[2:])
        parts = torch.cat([part.reshape(shape) for part in both], dim=2)
        result = self.attention(parts.flatten(1, 2)).reshape(parts.shape)
        return [result[:, :, : CHANNELS // parts.shape[1]].flatten(1, 2)]

    def neutrals(self) -> Mapping[str, float | None]:
        """The gate that times `scale` gives 1, and its logit."""
        gate = gate_of_one(self.scale_value())
        logit = None if gate is None else math.log(gate / (1 - gate))
        return {"attention.group_gate": gate, "attention.group_logits": logit}


class Lite0VISTA(Lite0Attended):
    """Structured attention inferred inside the network (our variant): a step is one mean-field update.

    The last maps at stride 8 and the maps at stride 16 send, each with two dilations; the latter receive. The messages
    are `selective`: they reweight the receiver's features and add no others.
    """

    family = "vista"

    def __init__(
        self,
        rank: int = 2,
        updates: int = 3,
        *,
        dilations: Sequence[int] = (1, 3),
        width: int = 28,
        gain: float = 3.0,
        top: int = 0,
        share: float = 1.0,
    ) -> None:
        channels = (top or TAP_CHANNELS[0], CHANNELS)
        graph = InferredGraph(
            channels,
            width,
            rank,
            updates,
            tuple(dilations),
            scales=("s32" if top else "s8", "s16"),
            gain=gain,
            selective=True,
        )
        arguments = {"rank": rank, "updates": updates, "dilations": list(dilations), "width": width, "gain": gain}
        # A map starts near 1/2, so that the messages together add about gain * rank / 2 times the features.
        super().__init__(graph, 1 / (1 + gain * rank / 2), arguments, steps=updates, top=top, share=share)

    def joint_neutral(self, names: Sequence[str]) -> dict[str, float] | None:
        """The structured attention of all messages at the value where `scale` times (1 + sum of strength x attention)
        is 1; a single message has none, because the others vary over positions."""
        graph: Any = self.attention
        messages = {f"attention.messages.{name}.structured": m for name, m in graph.messages.items()}
        strength, scale = sum(float(m.strength.detach()) for m in messages.values()), self.scale_value()
        if set(names) != set(messages) or not strength or not scale:
            return None
        value = (1 / scale - 1) / strength
        low, high = next(iter(messages.values())).probe_structured.tap.bounds
        return dict.fromkeys(messages, value) if low <= value <= high else None

    def attend(self, taps: Sequence[Tensor]) -> list[Tensor]:
        bottom = self.probe_bottom(taps[BOTTOM], 1)
        top = self.read_top(taps)
        return list(self.attention([at_size(taps[0], bottom) if top is None else top, bottom]))


class Lite0PAKA(Lite0Attended):
    """The hierarchical PAKA module (our design): a step is one level, that is, one dilation."""

    family = "paka"

    def __init__(
        self, dilations: Sequence[int] = (1, 2, 4), reduction: int = 4, top: int = 0, share: float = 1.0
    ) -> None:
        module = HPM(CHANNELS + top, tuple(dilations), reduction)
        arguments = {"dilations": list(dilations), "reduction": reduction}
        super().__init__(module, 1.0, arguments, steps=len(dilations), top=top, share=share)

    def attend(self, taps: Sequence[Tensor]) -> list[Tensor]:
        both = self.beside(self.probe_bottom(taps[BOTTOM], 1), taps)
        return [result[:, :CHANNELS] for result in self.attention(both)]


FAMILIES: dict[str, Callable[..., Lite0Attended]] = {
    "psa": Lite0PSA,
    "ema": Lite0EMA,
    "vista": Lite0VISTA,
    "paka": Lite0PAKA,
}


def build_family(config: str) -> Lite0Attended:
    """A network with a random module from the configuration in a checkpoint, see `Lite0Attended.config_json`.

    Raises:
        CheckpointError: not such a configuration.
    """
    try:
        values: dict[str, Any] = json.loads(config)
        return FAMILIES[values["family"]](**values["arguments"])
    except (TypeError, ValueError, KeyError) as error:
        raise CheckpointError("The configuration of the network in this checkpoint is not valid.") from error
