"""The control of the clutter task: the same frozen network with as many trained parameters, but without attention."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from viz.models.networks.lite0_attended import CHANNELS, Lite0Attended


class Adapter(Lite0Attended):
    """Adds W3 relu(depthwise 3x3 of relu(W1 y)) to the maps, y being what the modules read; at first nearly nothing.

    Args:
        width: channels in between. top: see `Lite0Attended`.
    """

    def __init__(self, width: int, top: int) -> None:
        first, last = nn.Conv2d(CHANNELS + top, width, 1), nn.Conv2d(width, CHANNELS, 1)
        around = nn.Conv2d(width, width, 3, padding=1, groups=width)
        layers = nn.Sequential(first, nn.ReLU(), around, nn.ReLU(), last)
        super().__init__(layers, 1.0, {"width": width, "top": top}, top=top)
        last.weight.data.mul_(0.1)

    def attend(self, taps: Sequence[Tensor]) -> list[Tensor]:
        return [taps[2] + self.attention(self.beside(taps[2], taps))]


def adapter_like(network: Lite0Attended) -> Adapter:
    """An adapter that reads the same maps and has about as many parameters."""
    top = network.arguments.get("top", 0)
    return Adapter(max(1, round(trained(network.attention) / trained_of_width(top))), top)


def trained(module: nn.Module) -> int:
    """Number of trained parameters."""
    return sum(p.numel() for p in module.parameters() if p.requires_grad)


def trained_of_width(top: int) -> int:
    """Parameters that one more channel in between adds."""
    return trained(Adapter(2, top).attention) - trained(Adapter(1, top).attention)
