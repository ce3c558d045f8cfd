"""Training of one module: classify the picture in clutter, keep the answer on ordinary pictures."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from recipes.features import channels_last, gather, split_taps
from recipes.learning import Curve, Data, Recipe, cross_entropy, learn
from recipes.weights import run_name
from viz.models.networks.lite0_attended import Lite0Attended

Batch = tuple[Tensor, Tensor]


@dataclass(frozen=True)
class ClutterRecipe(Recipe):
    """The same for every family.

    `alone` is the share of ordinary pictures in a batch. Their whole answer must stay, so both sides are softened by
    `temperature`: the backbone is overconfident on most training pictures.
    """

    alone: float = 0.45
    temperature: float = 2.0


@dataclass(frozen=True, eq=False)
class ClutterData(Data):
    """`kept`: (ordinary pictures, 1000) plain Lite0's logits on them."""

    kept: Tensor


def losses_of(
    network: Lite0Attended, data: ClutterData, recipe: ClutterRecipe, batch: Batch
) -> tuple[Tensor, dict[str, Tensor]]:
    """Loss of a mixed batch, (views of clutter, ordinary pictures), and its two parts; one pass for both."""
    scenes, alone = batch
    device = network.tap_mean.device
    block, soften = data.block(device), recipe.temperature
    pairs = zip(
        split_taps(gather([data.views], scenes, device)), split_taps(gather(data.alone, alone, device)), strict=True
    )
    logits = network.last_output([torch.cat(pair) for pair in pairs]).logits
    named = torch.log_softmax(logits[: len(scenes)] + block, dim=1)
    clean = data.clean[scenes, 0].to(device) + block
    clutter = cross_entropy(named, data.classes[scenes, 0].to(device), clean, recipe.hard)
    stayed = torch.log_softmax(logits[len(scenes) :] / soften + block, dim=1)
    kept = torch.log_softmax(data.kept[alone].to(device) / soften + block, dim=1)
    ordinary = soften**2 * F.kl_div(stayed, kept, reduction="batchmean", log_target=True)
    return clutter + recipe.keep * ordinary, {"clutter": clutter, "ordinary": ordinary}


def batches(data: Data, recipe: ClutterRecipe, epoch: int) -> Iterator[Batch]:
    """Mixed batches of one epoch: every clutter view once, with ordinary pictures beside them."""
    rng = torch.Generator().manual_seed(recipe.seed * 1000 + epoch)
    beside = round(recipe.batch * recipe.alone)
    share = recipe.batch - beside
    order = torch.randperm(len(data.views), generator=rng)
    for i in range(0, len(order) - share + 1, share):
        yield order[i : i + share], torch.randint(data.ordinary, (beside,), generator=rng)


def train(network: Lite0Attended, data: ClutterData, recipe: ClutterRecipe, runs: Path) -> Curve:
    """Train the module; its state after each epoch is saved in `runs`, and training resumes from it."""
    channels_last(network.backbone)
    kept = runs / f"{run_name(network, recipe)}.pt"
    return learn(network, recipe, partial(batches, data, recipe), partial(losses_of, network, data, recipe), kept)
