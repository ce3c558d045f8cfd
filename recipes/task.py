"""A task: its networks, their training, and the commands that train, measure and describe them."""

from __future__ import annotations

import json
import logging
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Generic, TypeVar

from recipes.bench import Bench, Scenes, named_pictures
from recipes.features import Layer
from recipes.learning import Curve, Recipe
from recipes.pictures import Pictures, read_photos
from recipes.readings import Figures
from recipes.views import V, ViewSet
from recipes.weights import N, fresh, load, prepare, train_and_save
from viz.errors import CheckpointError
from viz.run.engine import pick_device

log = logging.getLogger(__name__)
R = TypeVar("R", bound=Recipe)


@dataclass(frozen=True)
class Order:
    """`families` and `seeds` to train and measure; `cards` is the folder that ``card`` writes to."""

    families: Sequence[str]
    seeds: Sequence[int]
    cards: Path


class Task(ABC, Generic[V, N, R]):
    """One recipe, over views V, networks N and settings R. Every command skips finished work.

    Attributes:
        families: modules that it trains. layer: the cached features of its views. recipe: its settings.
        prepared_on: set of views for the frozen statistics of the module's input.
        held_out: number of classes of ImageNet and of Caltech-101 held out of training.
    """

    families: tuple[str, ...]
    commands: tuple[str, ...] = ("train", "measure", "card")
    layer: Layer
    recipe: R
    prepared_on: str
    held_out: tuple[int, int] = (300, 30)

    @abstractmethod
    def draw(self, pictures: Pictures, scenes: Scenes) -> Mapping[str, ViewSet[V]]:
        """Describe all views."""

    @abstractmethod
    def build(self, family: str) -> N:
        """A network with a random module."""

    @abstractmethod
    def rebuild(self, config: str) -> N:
        """A network with a random module from the configuration in a weights file."""

    @abstractmethod
    def learn(self, bench: Bench[V], network: N, recipe: R) -> Curve:
        """Train a prepared network."""

    @abstractmethod
    def figures(self, bench: Bench[V], network: N, control: N, seed: int) -> Figures:
        """All figures of the network trained with a seed, by set of views; the control has a random module."""

    @abstractmethod
    def card(self, bench: Bench[V], order: Order) -> None:
        """Copy the bundled weights and write the cards."""

    def control_seed(self, seed: int) -> int:
        """Seed of the control's module."""
        return 12345

    def open(self, folders: Sequence[Path], out: Path, device: str, scenes: Scenes | None = None) -> Bench[V]:
        """Read the folders (imagenette, samples, caltech), split the pictures and draw all views."""
        where = pick_device(device)
        pictures, plain = named_pictures(read_photos(*folders), out, where, self.held_out)
        return Bench(out, where, pictures, plain, self.layer, self.draw(pictures, scenes or {}), scenes or {})

    def run(self, bench: Bench[V], command: str, order: Order) -> None:
        """Run one command, or ``all`` in order."""
        for name in self.commands if command == "all" else (command,):
            getattr(self, name)(bench, order)

    def path(self, bench: Bench[V], family: str, seed: int) -> Path:
        """Weights file of a family and seed."""
        return bench.out / f"lite0-{family}-seed{seed}.safetensors"

    def start(self, bench: Bench[V], family: str, seed: int) -> N:
        """A network with a random module and the statistics of its input."""
        network = fresh(lambda: self.build(family), seed, bench.device)
        prepare(network, bench.maps(self.prepared_on))
        return network

    def train(self, bench: Bench[V], order: Order) -> None:
        """Train each family with each seed; seeds are the outer loop, so that every family has a module early."""
        for seed in order.seeds:
            for family in order.families:
                path, recipe = self.path(bench, family, seed), replace(self.recipe, seed=seed)
                if not path.is_file():
                    network = self.start(bench, family, seed)
                    train_and_save(path, network, recipe, partial(self.learn, bench, network, recipe))

    def measure(self, bench: Bench[V], order: Order) -> None:
        """Write the figures of each weights file beside it, unless they are newer."""
        for seed in order.seeds:
            for family in order.families:
                path = needed(self.path(bench, family, seed), "train")
                figures = path.with_suffix(".figures.json")
                if figures.is_file() and figures.stat().st_mtime > path.stat().st_mtime:
                    continue
                log.info("measuring %s", path.name)
                network = load(path, self.rebuild, bench.device)
                control = self.start(bench, family, self.control_seed(seed)).eval()
                figures.write_text(json.dumps(self.figures(bench, network, control, seed), indent=1))


def needed(path: Path, command: str) -> Path:
    """The path of a file that another command writes.

    Raises:
        CheckpointError: it is missing.
    """
    if not path.is_file():
        raise CheckpointError(f"Missing {path.name} in the output folder; run `{command}` first.")
    return path
