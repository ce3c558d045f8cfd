"""Training of one module: name the thing in clutter with as little attention as the answers allow."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from recipes.clutter.native import NATIVE, PLACES, native_map
from recipes.features import gather, split
from recipes.learning import Curve, Data, Recipe, cross_entropy, learn
from recipes.readings import Key
from recipes.weights import run_name
from viz.capture.probe import Edit, edited, probes_of
from viz.models.networks.lite0_attended import Lite0Attended

Batch = tuple[Tensor, Tensor]
Losses = dict[str, Tensor]


@dataclass(frozen=True)
class ClutterRecipe(Recipe):
    """The same for every family.

    `alone` is the share of ordinary pictures in a batch. Their whole answer must stay within `tolerance` nats of plain
    Lite0's, both softened by `temperature`: the backbone is overconfident on most training pictures. `like_clean` is
    the weight of the distance between the pooled features of a view and those of the pasted picture alone. `focus` and
    `focus_alone` are the weights of the map's entropy on clutter and on ordinary pictures, so that the map opens only
    where the answers need it; no box or mask says where that is. `smooth` is the weight of the map's roughness.
    """

    alone: float = 0.45
    tolerance: float = 0.1
    temperature: float = 2.0
    like_clean: float = 4.0
    focus: float = 5.0
    focus_alone: float = 40.0
    smooth: float = 0.5


@dataclass(frozen=True, eq=False)
class ClutterData(Data):
    """`kept`: (ordinary pictures, 1000) plain Lite0's logits on them. `pasted`: (N,) the photograph in each view.
    `features`: (photographs, 1280) plain Lite0's pooled features of each alone."""

    kept: Tensor
    pasted: Tensor
    features: Tensor


@contextmanager
def watched(network: nn.Module, label: str) -> Iterator[dict[Key, Tensor]]:
    """Values of the probes with this label, by name and step, with their gradients."""
    seen: dict[Key, Tensor] = {}

    def keeping(name: str) -> Edit:
        def keep(value: Tensor, step: int) -> Tensor:
            seen[name, step] = value
            return value

        return keep

    names = [name for name in probes_of(network) if name.rpartition(".")[2] == label]
    with edited(network, {name: keeping(name) for name in names}):
        yield seen


def spread(maps: Tensor) -> Tensor:
    """(N,) entropy of each map (N, h, w) as a distribution over its cells, over its greatest value: 1 for a uniform
    map, 0 for a single cell."""
    share = maps.flatten(1) / maps.flatten(1).sum(dim=1, keepdim=True)
    return -(share * (share + 1e-9).log()).sum(dim=1) / math.log(share.shape[1])


def roughness(maps: Tensor) -> Tensor:
    """(N,) total variation of each map (N, h, w) over its standard deviation: about 2 for noise, less for a few areas.

    The floor of a fiftieth of the mean keeps a nearly uniform map from being asked for a shape.
    """
    change = maps.diff(dim=1).abs().mean(dim=(1, 2)) + maps.diff(dim=2).abs().mean(dim=(1, 2))
    return change / (maps.std(dim=(1, 2)) + 0.02 * maps.mean(dim=(1, 2)))


def losses_of(network: Lite0Attended, data: ClutterData, recipe: ClutterRecipe, batch: Batch) -> tuple[Tensor, Losses]:
    """Loss of a mixed batch, (views of clutter, ordinary pictures), and its parts; one pass for both."""
    scenes, alone = batch
    device, count = network.tap_mean.device, len(scenes)
    block, soften = data.block(device), recipe.temperature
    pairs = zip(split(gather([data.views], scenes, device)), split(gather(data.alone, alone, device)), strict=True)
    with watched(network, NATIVE.get(network.family or "", "")) as values:
        output = network.last_output([torch.cat(pair) for pair in pairs])
    named = torch.log_softmax(output.logits[:count] + block, dim=1)
    clean = data.clean[scenes, 0].to(device) + block
    clutter = cross_entropy(named, data.classes[scenes, 0].to(device), clean, recipe.hard)

    middle = data.features.mean(dim=0).to(device)
    found = output.class_features[:count].mean(dim=(2, 3)) - middle
    unlike = 1 - F.cosine_similarity(found, data.features[data.pasted[scenes]].to(device) - middle).mean()

    stayed = torch.log_softmax(output.logits[count:] / soften + block, dim=1)
    kept = torch.log_softmax(data.kept[alone].to(device) / soften + block, dim=1)
    moved = soften**2 * F.kl_div(stayed, kept, reduction="none", log_target=True).sum(dim=1)
    ordinary = torch.relu(moved - recipe.tolerance).mean()

    loss = clutter + recipe.like_clean * unlike + recipe.keep * ordinary
    parts = {"clutter": clutter, "unlike": unlike, "ordinary": ordinary}
    if network.family in PLACES:
        native = native_map(network, values)
        wide, rough = spread(native), roughness(native)
        weights = torch.where(torch.arange(len(wide), device=device) < count, recipe.focus, recipe.focus_alone)
        loss = loss + (weights * wide).mean() + recipe.smooth * rough.mean()
        parts |= {"spread": wide[:count].mean(), "spread_alone": wide[count:].mean(), "roughness": rough.mean()}
    return loss, parts


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
    kept = runs / f"{run_name(network, recipe)}.pt"
    return learn(network, recipe, partial(batches, data, recipe), partial(losses_of, network, data, recipe), kept)
