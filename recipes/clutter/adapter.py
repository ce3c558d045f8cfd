"""The control of the clutter task: the same frozen network with as many trained parameters, but without attention."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from viz.models.networks.lite0_attended import BOTTOM, CHANNELS, Lite0Attended


class Adapter(Lite0Attended):
    """Adds W3 relu(depthwise 3x3 of relu(W1 y)) to the maps, y being what the modules read; at first nearly nothing.

    Args:
        width: channels in between. top, share: see `Lite0Attended`.
    """

    def __init__(self, width: int, top: int, share: float = 1.0) -> None:
        layers = layers_of(width, top)
        last = layers[-1]
        super().__init__(layers, 1.0, {"width": width, "top": top}, top=top, share=share)
        torch.nn.init.normal_(last.get_parameter("weight"), std=0.005)

    def attend(self, taps: Sequence[Tensor]) -> list[Tensor]:
        bottom = taps[BOTTOM]
        return [bottom + self.attention(self.beside(bottom, taps))]


def adapter_like(network: Lite0Attended) -> Adapter:
    """An adapter that reads the same maps and has about as many parameters."""
    top = network.arguments.get("top", 0)
    of_width = parameters(layers_of(2, top)) - parameters(layers_of(1, top))
    return Adapter(max(1, round(parameters(network.attention) / of_width)), top, network.share)


def layers_of(width: int, top: int) -> nn.Sequential:
    """(N, 112 + top, h, w) to (N, 112, h, w) through `width` channels."""
    around = nn.Conv2d(width, width, 3, padding=1, groups=width)
    first, last = nn.Conv2d(CHANNELS + top, width, 1), nn.Conv2d(width, CHANNELS, 1)
    return nn.Sequential(first, nn.ReLU(), around, nn.ReLU(), last)


def parameters(module: nn.Module) -> int:
    """Number of trained parameters."""
    return sum(p.numel() for p in module.parameters() if p.requires_grad)
