"""Published checkpoints as models: a file that the user brought, its card read from its keys."""

from __future__ import annotations

from pathlib import Path

from viz.networks.base import StepNetwork
from viz.zoo.cards import ModelCard
from viz.zoo.identify import load_published


def load_published_model(path: Path) -> tuple[ModelCard, StepNetwork]:
    """The card and network (evaluation mode) of a checkpoint file.

    Raises:
        CheckpointError: one sentence on why the file cannot be used.
    """
    network, found = load_published(path)
    raise NotImplementedError(network, found)
