"""The checkpoint ``lite0-tdam``: ``python -m recipes tdam train | measure | card | all ...``.

``train`` caches features, trains one searchlight per seed and writes the weights; ``measure`` writes the figures;
``card`` writes the cards of ``lite0-tdam`` and ``lite0``. Every part continues where an interrupted run stopped.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from recipes.bench import Bench, Scenes
from recipes.cards import SHIPPED
from recipes.features import TOP, Maps
from recipes.learning import Curve
from recipes.pictures import Pictures
from recipes.readings import Figures
from recipes.task import Order, Task, needed
from recipes.tdam.card import write_cards
from recipes.tdam.collages import COUNTS, Collage, draw_collages
from recipes.tdam.learn import TdamData, TdamRecipe, start_from_head, train
from recipes.tdam.measure import all_figures
from recipes.views import ViewSet
from viz.models.networks.lite0_tdam import Lite0TDAM, build_tdam

# Arguments of the network that is trained.
ARGUMENTS = {"steps": 3, "width": 256, "sequence": "spatial", "top": "feedback"}


class Tdam(Task[Collage, Lite0TDAM, TdamRecipe]):
    """A searchlight learns to classify another object of the view at every step."""

    families = ("tdam",)
    layer = TOP
    prepared_on = "train_pairs"

    def __init__(
        self,
        recipe: TdamRecipe | None = None,
        counts: Mapping[str, int] = COUNTS,
        arguments: Mapping[str, Any] = ARGUMENTS,
    ) -> None:
        self.recipe, self.counts, self.arguments = recipe or TdamRecipe(), counts, arguments

    def draw(self, pictures: Pictures, scenes: Scenes) -> Mapping[str, ViewSet[Collage]]:
        return draw_collages(pictures, self.counts)

    def build(self, family: str) -> Lite0TDAM:
        return Lite0TDAM(**self.arguments)

    def rebuild(self, config: str) -> Lite0TDAM:
        return build_tdam(config)

    def data(self, bench: Bench[Collage]) -> TdamData:
        """The training data: collages, scenes, and single pictures both cropped and whole."""

        def views(name: str) -> tuple[Maps, Tensor, Tensor]:
            clean = bench.clean([[part.photo for part in view.parts] for view in bench.sets[name].views])
            return bench.maps(name), bench.classes(name), clean

        alone = [bench.maps("train_singles"), bench.plain.maps[list(bench.pictures.pools["train"])]]
        return TdamData(*views("train_pairs"), alone, bench.allowed(), *views("train_triples"))

    def learn(self, bench: Bench[Collage], network: Lite0TDAM, recipe: TdamRecipe) -> Curve:
        start_from_head(network, recipe.gain)
        return train(network, self.data(bench), recipe, bench.out / "runs")

    def figures(self, bench: Bench[Collage], network: Lite0TDAM, control: Lite0TDAM, seed: int) -> Figures:
        return all_figures(bench, network, control)

    def card(self, bench: Bench[Collage], order: Order) -> None:
        weights = needed(self.path(bench, "tdam", SHIPPED), "train")
        needed(weights.with_suffix(".figures.json"), "measure")
        write_cards(order.cards, bench.out, bench.facts())
