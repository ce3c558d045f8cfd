"""Training of the searchlight: step 2 names the OTHER object of a collage, a single picture keeps its class."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor

from recipes.features import gather
from recipes.learning import Curve, Data, Recipe, cross_entropy, learn
from recipes.weights import run_name
from viz.models.networks.base import StepOutput
from viz.models.networks.lite0_tdam import Lite0TDAM

Batch = tuple[Tensor, Tensor]


@dataclass(frozen=True)
class TdamRecipe(Recipe):
    """`dropout` acts on the searchlight's top; `gain` scales its initial weights (see `start_from_head`)."""

    epochs: int = 7
    rate: float = 1e-3
    weight_decay: float = 0.05
    keep: float = 4.0
    dropout: float = 0.1
    gain: float = 0.7


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
    pair = plain.gather(1, classes)
    winner = (pair[:, 1] > pair[:, 0]).long()
    return winner, 1 - winner


def answers(network: Lite0TDAM, maps: Tensor, dropout: float) -> tuple[StepOutput, StepOutput]:
    """Outputs of step 1, without gradient, and of step 2."""
    with torch.no_grad():
        before = network.backbone.head(maps)
    top = F.dropout(network.top_of(before), dropout, training=network.training)
    return before, network.backbone.head(network.attend(maps, top, 2))


def losses_of(network: Lite0TDAM, data: Data, recipe: TdamRecipe, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
    """Loss of a mixed batch (collages, single pictures), each kind weighted by its number of views."""
    pairs, alone = batch
    device = network.bottom_mean.device
    block = data.block(device)
    before, after = answers(network, gather([data.views], pairs, device), recipe.dropout)
    classes = data.classes[pairs].to(device)
    rows, (_, other) = torch.arange(len(pairs), device=device), others(before.logits, classes)
    clean = data.clean[pairs].to(device)[rows, other]
    named = torch.log_softmax(after.logits + block, dim=1)
    find = cross_entropy(named, classes[rows, other], clean + block, recipe.hard)
    before, after = answers(network, gather(data.alone, alone, device), recipe.dropout)
    named = torch.log_softmax(after.logits + block, dim=1)
    stay = recipe.keep * -(torch.softmax(before.logits + block, dim=1) * named).sum(dim=1).mean()
    size = len(pairs) + len(alone)
    loss = find * (len(pairs) / size) + stay * (len(alone) / size)
    return loss, {"loss": loss}


def batches(data: Data, recipe: Recipe, epoch: int) -> Iterator[Batch]:
    """Mixed batches of one epoch: all collages once, and a third as many single pictures."""
    rng = torch.Generator().manual_seed(recipe.seed * 1000 + epoch)
    share = recipe.batch * 3 // 4
    beside, count = recipe.batch - share, len(data.views)
    steps = max(1, math.ceil(count / share))
    pairs = torch.randperm(count, generator=rng)
    alone = torch.randint(data.ordinary, (steps * beside,), generator=rng)
    for i in range(steps):
        yield pairs[i * count // steps : (i + 1) * count // steps], alone[i * beside : (i + 1) * beside]


def train(network: Lite0TDAM, data: Data, recipe: TdamRecipe, runs: Path) -> Curve:
    """Train the searchlight; its state after each epoch is saved in `runs`, and training resumes from it."""
    kept = runs / f"{run_name(network, recipe)}.pt"
    return learn(network, recipe, partial(batches, data, recipe), partial(losses_of, network, data, recipe), kept)
