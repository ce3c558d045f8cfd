"""Small seeded models for tests: real networks of the package with few blocks and small inputs."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from viz.core.card import ModelCard
from viz.core.output import ClassHead
from viz.core.record import Record
from viz.core.trace import Trace
from viz.geometry import Preprocessing
from viz.models.cards import labels_for
from viz.models.networks.base import StepNetwork
from viz.models.networks.td_resnet import TDResNet, TDResNetConfig
from viz.run.engine import Model


def tiny_network(steps: int = 3, seed: int = 0, classes: int = 1000) -> TDResNet:
    """A TD-ResNet of one basic block a stage."""
    torch.manual_seed(seed)
    config = TDResNetConfig(
        "basic", (1, 1, 1, 1), classes, steps=steps, feedback=2, searchlight={"technique": "joint_concat"}
    )
    network = TDResNet(config).eval()
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if name.endswith("Ug_mlp.0.weight"):
                parameter.mul_(3.0)
    return network


def as_model(network: StepNetwork, card: ModelCard | None = None, size: tuple[int, int] = (96, 96)) -> Model:
    """Wrap a network as a loaded model whose input has that size."""
    card = card or ModelCard(
        "tiny-tdam",
        "Tiny random TD-ResNet",
        network.family,
        "td_resnet",
        preprocessing=Preprocessing(size=size, mean=(123.7, 116.3, 103.5), std=(58.4, 57.1, 57.4)),
        steps=network.steps,
        task="none: random weights",
    )
    weights = network.class_weights().clone().numpy()
    head = ClassHead(weights, labels_for(len(weights)))
    return Model(replace(card), network.eval(), head, card.geometry, torch.device("cpu"), torch.float32)


def tiny_model(steps: int = 3, seed: int = 0) -> Model:
    """A loaded tiny model with three computation steps."""
    return as_model(tiny_network(steps, seed))


def scene(height: int = 120, width: int = 180, seed: int = 0) -> NDArray[np.uint8]:
    """An asymmetric uint8 (H, W, 3) picture: gradients, a bright disc at the upper left, noise."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width]
    rgb = np.stack([255 * x / width, 255 * y / height, 80 + 0 * x], axis=-1)
    rgb[(y - height / 3) ** 2 + (x - width / 4) ** 2 < (min(height, width) / 6) ** 2] = (250, 240, 40)
    return np.clip(rgb + rng.normal(0, 12, rgb.shape), 0, 255).astype(np.uint8)


def with_neutral(trace: Trace, label: str, neutral: float = 0.0) -> Trace:
    """A trace whose values of one label have a neutral value, as those of some networks have."""
    records = tuple(with_tap(r, neutral=neutral) if r.label == label else r for r in trace.records)
    return replace(trace, records=records)


def with_tap(record: Record, **facts: Any) -> Record:
    """The record with another tap."""
    return replace(record, tap=replace(record.tap, **facts))
