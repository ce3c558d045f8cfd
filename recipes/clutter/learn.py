"""Training of one module: name the thing in clutter with as little attention as the answers allow."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor

from recipes.clutter.native import NATIVE, PLACES, native_map
from recipes.features import gather, split
from recipes.guides import guides, unlike, watched
from recipes.learning import Curve, Data, Recipe, cross_entropy, learn
from recipes.weights import run_name
from viz.models.networks.lite0_attended import BOTTOM, TOP, Lite0Attended

Batch = tuple[Tensor, Tensor]
Losses = dict[str, Tensor]
X = TypeVar("X")


@dataclass(frozen=True)
class ClutterRecipe(Recipe):
    """The same for every family.

    `alone` is the share of ordinary pictures in a batch. Their whole answer must stay within `tolerance` nats of plain
    Lite0's, both softened by `temperature`: the backbone is overconfident on most training pictures. `like_clean` is
    the weight of the distance between the pooled features of a view and those of the pasted picture alone. `guide` is
    the weight of the distance between the module's own map and the class map that plain Lite0's class layer gives for
    the label: weak supervision, no box or mask says where the thing is. `floor` and `floor_alone` are the map's lowest
    value over its highest, on clutter and on ordinary pictures, which a hard gate harms. Training starts with
    `map_epochs` of that loss alone.
    """

    epochs: int = 1
    keep: float = 20.0
    alone: float = 0.45
    tolerance: float = 0.1
    temperature: float = 2.0
    like_clean: float = 4.0
    map_epochs: int = 2
    guide: float = 20.0
    floor: float = 0.03
    floor_alone: float = 0.5


@dataclass(frozen=True, eq=False)
class ClutterData(Data):
    """`kept`: (ordinary pictures, 1000) plain Lite0's logits on them. `pasted`: (N,) the photograph in each view.
    `features`: (photographs, 1280) plain Lite0's pooled features of each alone."""

    kept: Tensor
    pasted: Tensor
    features: Tensor


def inputs(data: ClutterData, batch: Batch, device: torch.device) -> list[Tensor]:
    """Maps of a mixed batch, (views of clutter, ordinary pictures)."""
    scenes, alone = batch
    pairs = zip(split(gather([data.views], scenes, device)), split(gather(data.alone, alone, device)), strict=True)
    return [torch.cat(pair) for pair in pairs]


def guided(
    network: Lite0Attended, data: ClutterData, recipe: ClutterRecipe, batch: Batch, run: Callable[[list[Tensor]], X]
) -> tuple[X, Tensor, Losses]:
    """The result of a pass over a mixed batch, the loss of the module's own map, 0 if it is no map of places, and its
    parts. The label of an ordinary picture is plain Lite0's own answer."""
    (scenes, alone), device = batch, network.tap_mean.device
    taps = inputs(data, batch, device)
    with watched(network, NATIVE.get(network.family or "", "")) as values:
        result = run(taps)
    if network.family not in PLACES:
        return result, torch.zeros((), device=device), {}
    own = (data.kept[alone].to(device) + data.block(device)).argmax(dim=1)
    classes = torch.cat([data.classes[scenes, 0].to(device), own])
    floors = torch.tensor([recipe.floor] * len(scenes) + [recipe.floor_alone] * len(alone), device=device)
    features, weights = network.backbone.features(taps[TOP]), network.class_weights()[classes]
    apart = unlike(native_map(network, values), guides(features, weights, taps[BOTTOM], floors))
    clutter, ordinary = apart[: len(scenes)], apart[len(scenes) :]
    return result, recipe.guide * apart.mean(), {"map": clutter.mean(), "map_alone": ordinary.mean()}


def losses_of(network: Lite0Attended, data: ClutterData, recipe: ClutterRecipe, batch: Batch) -> tuple[Tensor, Losses]:
    """Loss of a mixed batch, (views of clutter, ordinary pictures), and its parts; one pass for both."""
    (scenes, alone), device = batch, network.tap_mean.device
    count, block, soften = len(scenes), data.block(device), recipe.temperature
    output, loss, parts = guided(network, data, recipe, batch, network.last_output)
    named = torch.log_softmax(output.logits[:count] + block, dim=1)
    clean = data.clean[scenes, 0].to(device) + block
    clutter = cross_entropy(named, data.classes[scenes, 0].to(device), clean, recipe.hard)

    middle = data.features.mean(dim=0).to(device)
    found = output.class_features[:count].mean(dim=(2, 3)) - middle
    features = 1 - F.cosine_similarity(found, data.features[data.pasted[scenes]].to(device) - middle).mean()

    stayed = torch.log_softmax(output.logits[count:] / soften + block, dim=1)
    kept = torch.log_softmax(data.kept[alone].to(device) / soften + block, dim=1)
    moved = soften**2 * F.kl_div(stayed, kept, reduction="none", log_target=True).sum(dim=1)
    ordinary = torch.relu(moved - recipe.tolerance).mean()

    loss = loss + clutter + recipe.like_clean * features + recipe.keep * ordinary
    return loss, {"clutter": clutter, "features": features, "ordinary": ordinary, **parts}


def map_losses_of(
    network: Lite0Attended, data: ClutterData, recipe: ClutterRecipe, batch: Batch
) -> tuple[Tensor, Losses]:
    """Loss of the module's own map alone: the upper part does not run, which takes most of the time."""
    _, loss, parts = guided(network, data, recipe, batch, network.attended)
    return loss, parts


def batches(data: ClutterData, recipe: ClutterRecipe, epoch: int) -> Iterator[Batch]:
    """Mixed batches of one epoch: every clutter view once, and ordinary pictures, half balanced over plain Lite0's
    answers: a class with four times as many pictures is seen twice as often.

    Most ordinary pictures have one of ten classes. Drawn evenly, they would teach the module to keep those alone.
    """
    rng = torch.Generator().manual_seed(recipe.seed * 1000 + epoch)
    beside = round(recipe.batch * recipe.alone)
    share = recipe.batch - beside
    order, named = torch.randperm(len(data.views), generator=rng), data.kept.argmax(dim=1)
    odds = torch.bincount(named)[named].float().rsqrt()
    for i in range(0, len(order) - share + 1, share):
        yield order[i : i + share], torch.multinomial(odds, beside, replacement=True, generator=rng)


def train(network: Lite0Attended, data: ClutterData, recipe: ClutterRecipe, runs: Path) -> Curve:
    """Train the module: first its map alone, if it is a map of places, then its answers and its map.

    All of what it changes counts while it learns, see `share` of the network. Its state after each epoch is saved in
    `runs`, and training resumes from it. Both parts follow each other in the curve.
    """
    name, first, mixed = run_name(network, recipe), Curve(), partial(batches, data, recipe)
    share, network.share = network.share, 1.0
    if network.family in PLACES:
        only = replace(recipe, epochs=recipe.map_epochs)
        first = learn(network, only, mixed, partial(map_losses_of, network, data, recipe), runs / f"{name}.map.pt")
    curve = learn(network, recipe, mixed, partial(losses_of, network, data, recipe), runs / f"{name}.pt")
    network.share = share
    return {key: first.get(key, []) + values for key, values in curve.items()}
