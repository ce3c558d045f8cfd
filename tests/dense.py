"""Tiny networks that answer for each place: segmentation, regression, detection. Random, seeded weights."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from viz.capture.probe import Probe
from viz.core.card import ModelCard
from viz.core.output import output_type
from viz.core.record import MAP
from viz.geometry import Preprocessing
from viz.models.networks.base import StepNetwork, StepOutput
from viz.run.engine import Engine
from viz.run.model import Model, model_of

SIZE = (64, 96)
LABELS = ("sky", "road", "car")


class Dense(StepNetwork):
    """Two convolutions at stride 8, a spatial gate with a probe between them, and one head by 1 x 1 convolution."""

    channels: ClassVar[int] = 3

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 7, stride=4, padding=3), nn.ReLU(), nn.Conv2d(8, 8, 3, 2, 1))
        self.gate = nn.Conv2d(8, 1, 3, padding=1)
        self.probe = Probe("generic", MAP, "spatial_gate", bounds=(0.0, 1.0), unit="gate")
        self.last = nn.Sequential(nn.Conv2d(8, 16, 3, padding=1), nn.ReLU())
        self.head = nn.Conv2d(16, self.channels, 1)
        with torch.no_grad():  # strong enough that answers differ from place to place
            for layer in (self.stem[0], self.stem[2], self.gate, self.last[0], self.head):
                layer.weight.mul_(2.5)
                layer.bias.zero_()

    def forward_steps(self, x: Tensor, steps: int | None = None) -> list[StepOutput]:
        x = self.stem(x)
        gate = self.probe(torch.sigmoid(self.gate(x))[:, 0], 1)
        return [StepOutput(self.answer(self.head(self.last(x * gate[:, None]))))]

    def answer(self, maps: Tensor) -> Tensor:
        return maps

    def class_layer(self) -> nn.Module:
        return self.last


class Segmentation(Dense):
    """Three classes at each cell."""

    output: ClassVar[str] = "dense_classes"

    def answer(self, maps: Tensor) -> Tensor:
        return maps - torch.tensor([2.1, -1.1, -0.3])[:, None, None]  # each class is the best somewhere


class Depth(Dense):
    """One value at each cell."""

    output: ClassVar[str] = "dense_values"
    channels: ClassVar[int] = 1

    def answer(self, maps: Tensor) -> Tensor:
        return maps[:, 0].exp()


class Detector(Dense):
    """A box and the scores of three classes at each cell."""

    output: ClassVar[str] = "detections"
    channels: ClassVar[int] = 5

    def answer(self, maps: Tensor) -> Tensor:
        h, w = maps.shape[2:]
        y, x = torch.meshgrid(torch.arange(h) * 8.0 + 4, torch.arange(w) * 8.0 + 4, indexing="ij")
        half = 12 + 4 * torch.tanh(maps[:, :2])
        corners = [x - half[:, 0], y - half[:, 1], x + half[:, 0], y + half[:, 1]]
        scores = torch.sigmoid(4 * maps[:, 2:]).flatten(2)
        return torch.cat([torch.stack(corners, 1).flatten(2), scores], dim=1).transpose(1, 2)


class NoHead(Dense):
    """A classifier whose answer is no linear function of pooled features."""

    output: ClassVar[str] = "class_scores"

    def answer(self, maps: Tensor) -> Tensor:
        return maps.amax(dim=(2, 3))


NETWORKS: dict[str, type[Dense]] = {
    "tiny-segmentation": Segmentation,
    "tiny-depth": Depth,
    "tiny-detector": Detector,
    "tiny-nohead": NoHead,
}


def card_of(name: str, **changes: Any) -> ModelCard:
    """The card of one of these networks."""
    kind = NETWORKS[name].output
    facts: dict[str, Any] = {
        "preprocessing": Preprocessing(
            size=SIZE, crop="resize", resize_to=96, mean=(123.7, 116.3, 103.5), std=(58.4, 57.1, 57.4)
        ),
        "geometry": "squash",
        "output": kind,
        "labels": LABELS if output_type(kind).has_classes else (),
        "quantity": "depth" if kind == "dense_values" else "",
        "unit": "m" if kind == "dense_values" else "",
        "task": "none: random weights",
    }
    return ModelCard(name, f"Tiny {name[5:]}, random weights", None, name.replace("-", "_"), **(facts | changes))


def dense_model(name: str, **changes: Any) -> Model:
    """A loaded one."""
    return model_of(NETWORKS[name]().eval(), card_of(name, **changes), "squash", torch.device("cpu"), torch.float32)


def offer_dense(engine: Engine) -> None:
    """Let an engine offer them beside its own models, as if they had been loaded."""
    for name in NETWORKS:
        engine.catalogue.bundled[name] = card_of(name)
        engine._models[name] = dense_model(name)
