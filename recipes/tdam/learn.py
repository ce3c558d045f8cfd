"""Training of the searchlight: every step names another object of the view, and a single picture keeps its class."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor

from recipes.features import Maps, gather
from recipes.guides import guides, unlike, watched
from recipes.learning import Curve, Data, Recipe, cross_entropy, learn
from recipes.weights import run_name
from viz.models.networks.base import StepOutput
from viz.models.networks.lite0_tdam import Lite0TDAM

Batch = tuple[Tensor, Tensor, Tensor]
GATE = "spatial_gate"


@dataclass(frozen=True, eq=False)
class TdamData(Data):
    """`triples`: maps of the scenes with three pictures, their classes (M, 3) and plain Lite0's logits on each picture
    alone (M, 3, 1000). The other views are collages of two."""

    triples: Maps
    triple_classes: Tensor
    triple_clean: Tensor


@dataclass(frozen=True)
class TdamRecipe(Recipe):
    """`dropout` acts on the searchlight's top; `gain` scales its initial weights (see `start_from_head`).

    `guide` is the weight of the distance between a step's gate and plain Lite0's class map of what the step should
    name, whose lowest value is `floor` times its highest: weak supervision, no box or mask says where a thing is.
    """

    epochs: int = 7
    rate: float = 1e-3
    weight_decay: float = 0.05
    keep: float = 4.0
    dropout: float = 0.1
    gain: float = 0.7
    guide: float = 1.0
    floor: float = 0.1


@torch.no_grad()
def start_from_head(network: Lite0TDAM, gain: float) -> None:
    """Initialise a ``feedback`` searchlight with the frozen head's projection of feedback to the layer below.

    Through the head's convolution P (320, 1280, in units of the standardised bottom) the feedback e becomes the
    direction P e of the bottom. The searchlight starts as `gain` times its best approximation of rank k/2:
    S = U (relu(V e) - relu(-V e)). The half that reads the bottom starts at zero.
    """
    light, head, norm = network.searchlight, network.backbone._conv_head, network.backbone._bn1
    slope = norm.weight / torch.sqrt(cast(Tensor, norm.running_var) + norm.eps)
    below = (head.weight[:, :, 0, 0] * slope[:, None]).T * network.bottom_std[:, None]
    u, s, v = torch.linalg.svd(below.cpu(), full_matrices=False)
    half = network.arguments["width"] // 2
    root = s[:half].sqrt()
    read, write = root[:, None] * v[:half], gain * u[:, :half] * root
    top, out = cast(Tensor, light.Ug_top_mlp[0].weight), cast(Tensor, light.Ug_mlp[0].weight)
    top[: 2 * half] = torch.cat([read, -read])[:, :, None, None].to(top)
    out.zero_()
    out[:, : 2 * half] = torch.cat([write, -write], dim=1)[:, :, None, None].to(out)


def others(plain: Tensor, classes: Tensor) -> tuple[Tensor, Tensor]:
    """(winner, other): indices 0 / 1 of the two classes (N, 2) by plain Lite0's logits (N, 1000)."""
    turns = in_turn([plain, plain], classes)
    return turns[:, 0], turns[:, 1]


def in_turn(logits: Sequence[Tensor], classes: Tensor) -> Tensor:
    """(N, steps) which of the pictures in a view is each step's: the one with the highest logit among those that no
    earlier step had.

    Args:
        logits: (N, 1000) of each step. classes: (N, parts) of the pictures.
    """
    left, found = torch.zeros_like(classes, dtype=logits[0].dtype), []
    for step in logits:
        found.append((step.gather(1, classes) + left).argmax(dim=1))
        left = left.scatter(1, found[-1][:, None], -torch.inf)
    return torch.stack(found, dim=1)


def answers(network: Lite0TDAM, maps: Tensor, dropout: float, steps: int) -> list[StepOutput]:
    """Outputs of all steps; the first has no gradient."""
    with torch.no_grad():
        outputs = [network.backbone.head(maps)]
    for step in range(2, steps + 1):
        top = F.dropout(network.top_of(outputs[-1]), dropout, training=network.training)
        maps = network.attend(maps, top, step)
        outputs.append(network.backbone.head(maps))
    return outputs


def find(
    network: Lite0TDAM, maps: Tensor, views: tuple[Tensor, Tensor], recipe: TdamRecipe, block: Tensor
) -> tuple[Tensor, Tensor]:
    """Losses of the answers and of the gates on views of several pictures: each step names one that none has named.

    Args:
        views: classes (N, parts) of the pictures, and plain Lite0's logits on each alone (N, parts, 1000).
        block: see `Data.block`.
    """
    classes, clean = views
    with watched(network, GATE) as gates:
        outputs = answers(network, maps, recipe.dropout, min(network.steps, classes.shape[1]))
    turns = in_turn([out.logits.detach() for out in outputs], classes)
    rows, named, apart = torch.arange(len(classes), device=classes.device), [], []
    for step, output in enumerate(outputs[1:], 1):
        own = turns[:, step]
        logits = torch.log_softmax(output.logits + block, dim=1)
        named.append(cross_entropy(logits, classes[rows, own], clean[rows, own] + block, recipe.hard))
        weights = network.class_weights()[classes[rows, own]]
        guide = guides(outputs[0].class_features, weights, maps, maps.new_full((len(maps),), recipe.floor))
        apart += [unlike(gate, guide).mean() for (_, at), gate in gates.items() if at == step + 1]
    return torch.stack(named).mean(), torch.stack(apart).mean() if apart else torch.zeros((), device=maps.device)


def losses_of(network: Lite0TDAM, data: TdamData, recipe: TdamRecipe, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
    """Loss of a mixed batch (collages, scenes, single pictures), each kind weighted by its number of views."""
    pairs, scenes, alone = batch
    device = network.bottom_mean.device
    block, total = data.block(device), torch.zeros((), device=device)
    parts: dict[str, Tensor] = {}
    for name, maps, chosen, classes, clean in (
        ("collages", data.views, pairs, data.classes, data.clean),
        ("scenes", data.triples, scenes, data.triple_classes, data.triple_clean),
    ):
        if len(chosen):
            views = (classes[chosen].to(device), clean[chosen].to(device))
            named, apart = find(network, gather([maps], chosen, device), views, recipe, block)
            total = total + len(chosen) * (named + recipe.guide * apart)
            parts |= {name: named, f"{name}_map": apart}
    before, *after = answers(network, gather(data.alone, alone, device), recipe.dropout, network.steps)
    aim = torch.softmax(before.logits + block, dim=1)
    stay = torch.stack([-(aim * torch.log_softmax(out.logits + block, dim=1)).sum(dim=1).mean() for out in after])
    total = total + recipe.keep * len(alone) * stay.mean()
    return total / (len(pairs) + len(scenes) + len(alone)), parts | {"single": stay.mean()}


def batches(data: TdamData, recipe: Recipe, epoch: int) -> Iterator[Batch]:
    """Mixed batches of one epoch: all collages and all scenes once, and a third as many single pictures."""
    rng = torch.Generator().manual_seed(recipe.seed * 1000 + epoch)
    share = recipe.batch * 3 // 4
    beside, counts = recipe.batch - share, (len(data.views), len(data.triples))
    steps = max(1, math.ceil(sum(counts) / share))
    orders = [torch.randperm(count, generator=rng) for count in counts]
    alone = torch.randint(data.ordinary, (steps * beside,), generator=rng)
    for i in range(steps):
        pairs, scenes = (order[i * len(order) // steps : (i + 1) * len(order) // steps] for order in orders)
        yield pairs, scenes, alone[i * beside : (i + 1) * beside]


def train(network: Lite0TDAM, data: TdamData, recipe: TdamRecipe, runs: Path) -> Curve:
    """Train the searchlight; its state after each epoch is saved in `runs`, and training resumes from it."""
    kept = runs / f"{run_name(network, recipe)}.pt"
    return learn(network, recipe, partial(batches, data, recipe), partial(losses_of, network, data, recipe), kept)
