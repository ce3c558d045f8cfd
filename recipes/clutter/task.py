"""Four checkpoints: ``python -m recipes clutter train | adapt | measure | cost | card | all ...``.

``train`` caches features once, then trains each family with each seed and writes weights and learning curves;
``adapt`` does the same with an adapter of equal size in place of each module, as a control; ``measure`` writes the
figures of each file (and of ``lite0-tdam``, which has its own training); ``cost`` times all networks side by side;
``card`` writes cards, measured figures and the table. Every part skips finished work and continues where an interrupted
run stopped.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch

from recipes.bench import Bench, Scenes
from recipes.clutter.adapter import Adapter, adapter_like
from recipes.clutter.card import write_cards
from recipes.clutter.cost import costs
from recipes.clutter.learn import ClutterData, ClutterRecipe, train
from recipes.clutter.measure import all_figures
from recipes.clutter.scenes import COUNTS, Scene, draw_scenes
from recipes.features import TAPS, lite0, plain_logits, pooled_features, quick
from recipes.learning import Curve
from recipes.pictures import Pictures
from recipes.readings import Figures
from recipes.task import Order, Task, needed
from recipes.views import ViewSet
from recipes.weights import load
from viz.models.backbone import load_lite0
from viz.models.catalogue import Catalogue
from viz.models.networks.base import StepNetwork
from viz.models.networks.lite0_attended import Lite0Attended
from viz.models.networks.lite0_families import FAMILIES, build_family

TDAM = "lite0-tdam"
CONTROL = "-adapter"
# Every module sees plain Lite0's class features, reduced to these channels: things stand out there. The share is the
# largest, in tenths, that loses no more than a point on plain grey and on ordinary pictures of the selection sets.
ARGUMENTS: Mapping[str, Mapping[str, Any]] = {
    "psa": {"top": 64, "share": 0.7},
    "ema": {"top": 64, "share": 0.7},
    "vista": {"top": 64, "dilations": (1,), "gain": 1.5, "share": 0.8},
    "paka": {"top": 32},
}


class Clutter(Task[Scene, Lite0Attended, ClutterRecipe]):
    """A module of one family learns to classify a small picture in clutter."""

    families = tuple(FAMILIES)
    commands = ("train", "adapt", "measure", "cost", "card")
    layer = TAPS
    # From ordinary pictures, so that the initial module leaves them unchanged and clutter deviates.
    prepared_on = "train_alone"

    def __init__(self, recipe: ClutterRecipe | None = None, counts: Mapping[str, int] = COUNTS) -> None:
        self.recipe, self.counts = recipe or ClutterRecipe(), counts

    def draw(self, pictures: Pictures, scenes: Scenes) -> Mapping[str, ViewSet[Scene]]:
        return draw_scenes(pictures, self.counts, scenes)

    def build(self, family: str) -> Lite0Attended:
        name, _, control = family.partition("-")
        network = FAMILIES[name](**ARGUMENTS[name])
        return adapter_like(network) if control else network

    def rebuild(self, config: str) -> Lite0Attended:
        values = json.loads(config)
        return Adapter(**values["arguments"]) if values["family"] is None else build_family(config)

    def control_seed(self, seed: int) -> int:
        return super().control_seed(seed) + seed

    def data(self, bench: Bench[Scene]) -> ClutterData:
        """The training data."""
        pasted = torch.tensor([view.photo for view in bench.sets["train"].views])
        clean = bench.clean(pasted[:, None].tolist())
        # Crops and whole pictures: a module trained only on crops fails more often on whole pictures.
        alone = [bench.maps("train_alone"), bench.maps("train_whole")]
        backbone = lite0(bench.device)
        kept = torch.cat([plain_logits(maps, backbone) for maps in alone])
        features = pooled_features(bench.plain.maps, backbone)
        maps, classes = bench.maps("train"), bench.classes("train")
        return ClutterData(maps, classes, clean, alone, bench.allowed(), kept, pasted, features)

    def learn(self, bench: Bench[Scene], network: Lite0Attended, recipe: ClutterRecipe) -> Curve:
        return train(network, self.data(bench), recipe, bench.out / "runs")

    def adapt(self, bench: Bench[Scene], order: Order) -> None:
        """Train the controls: an adapter of equal size for each family and seed, in the same way."""
        self.train(bench, replace(order, families=[f"{family}{CONTROL}" for family in order.families]))

    def start(self, bench: Bench[Scene], family: str, seed: int) -> Lite0Attended:
        network = super().start(bench, family, seed)
        quick(network.backbone)
        return network

    def figures(self, bench: Bench[Scene], network: StepNetwork, control: StepNetwork, seed: int) -> Figures:
        adapter = None
        if isinstance(network, Lite0Attended):
            path = needed(self.path(bench, f"{network.family}{CONTROL}", seed), "adapt")
            adapter = load(path, self.rebuild, bench.device)
            for one in (network, adapter):
                quick(one.backbone)
        return all_figures(bench, network, control, lite0(bench.device), adapter)

    def measure(self, bench: Bench[Scene], order: Order) -> None:
        super().measure(bench, order)
        figures = bench.out / f"{TDAM}.figures.json"
        if not figures.is_file():
            network, control = (n.to(bench.device) for n in (shipped_tdam(), random_tdam(self.control_seed(0))))
            figures.write_text(json.dumps(self.figures(bench, network, control, 0), indent=1))

    def cost(self, bench: Bench[Scene], order: Order) -> None:
        """Write the costs of each family and TDAM relative to plain Lite0."""
        networks: dict[str, StepNetwork] = {
            family: load(needed(self.path(bench, family, 0), "train"), self.rebuild, bench.device)
            for family in self.families
        }
        found = costs(networks | {"tdam": shipped_tdam()}, load_lite0())
        (bench.out / "costs.json").write_text(json.dumps({k: v.to_dict() for k, v in found.items()}, indent=1))

    def card(self, bench: Bench[Scene], order: Order) -> None:
        needed(bench.out / "costs.json", "cost")
        needed(bench.out / f"{TDAM}.figures.json", "measure")
        write_cards(order.cards, bench.out, bench.facts())


def shipped_tdam() -> StepNetwork:
    """The bundled Lite0-TDAM."""
    return Catalogue().build(TDAM)[1]


def random_tdam(seed: int) -> StepNetwork:
    """The same with a random searchlight."""
    network = shipped_tdam()
    torch.manual_seed(seed)
    for name, module in network.named_modules():
        if name.startswith("searchlight") and isinstance(module, torch.nn.Conv2d):
            module.reset_parameters()
    return network.eval()
