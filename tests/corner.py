"""A hand-made network whose right answers are known: the brightness of one corner."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from tests.tiny import as_model
from viz.capture.probe import Probe
from viz.core.card import ModelCard
from viz.core.record import MAP
from viz.geometry import Preprocessing
from viz.measures.faithfulness.passes import Passes
from viz.models.networks.base import StepNetwork, StepOutput
from viz.run.engine import Model

SIDE = 16


class Corner(StepNetwork):
    """Two classes: the brightness of the upper left quarter through a gate, against nothing.

    `gate` is what the gate does: ``constant`` lets half through, ``open`` follows the picture, ``blind`` makes the net
    answer the same for every picture.
    """

    family = "psa"

    def __init__(self, gate: str = "open") -> None:
        super().__init__()
        self.gate = gate
        self.weights = nn.Parameter(torch.tensor([[8.0], [0.0]]))
        self.probe_spatial_gate = Probe("psa", MAP, "spatial_gate", bounds=(0, 1), neutral=0.5, unit="gate")

    def forward_steps(self, x: Tensor, steps: int | None = None) -> list[StepOutput]:
        self.checked_steps(steps)
        light = x.mean(dim=1, keepdim=True) * (0.0 if self.gate == "blind" else 1.0)
        bright = torch.sigmoid(3 * light[:, 0]) if self.gate == "open" else torch.full_like(light[:, 0], 0.5)
        gate = self.probe_spatial_gate(bright, 1)
        features = light * gate[:, None]
        features = features * _quarter(x)
        return [StepOutput(features.mean(dim=(2, 3)) @ self.weights.T, features)]

    def class_weights(self) -> Tensor:
        return self.weights.detach()


def _quarter(x: Tensor) -> Tensor:
    mask = torch.zeros(x.shape[2:])
    mask[: SIDE // 2, : SIDE // 2] = 1
    return mask


def corner_model(gate: str = "open") -> Model:
    card = ModelCard("corner", "Corner", "psa", "corner", preprocessing=Preprocessing(size=(SIDE, SIDE)), task="none")
    network = Corner(gate)
    return as_model(network, card)


def passes_of(gate: str = "open") -> Passes:
    return Passes.of(corner_model(gate))


def bright(n: int = 1, seed: int = 0) -> Tensor:
    """Inputs whose upper left quarter is bright and the rest dark."""
    x = 0.1 * torch.rand(n, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(seed)) - 1
    x[:, :, : SIDE // 2, : SIDE // 2] += torch.linspace(2.0, 1.0, n)[:, None, None, None]
    return x


def zero(n: int = 1) -> Tensor:
    return torch.zeros(n, dtype=torch.int64)


def oracle() -> Tensor:
    return _quarter(torch.zeros(1, 3, SIDE, SIDE))
