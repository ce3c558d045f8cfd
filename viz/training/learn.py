"""Training of the searchlight on cached maps: name the OTHER object of a collage, keep the class of a picture alone.

The loss never reads the logits of held-out classes: they are neither pushed up nor down.
"""

from __future__ import annotations

import json
import logging
import math
import os
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from viz.models.networks.lite0_tdam import Lite0TDAM, Lite0TDAMConfig
from viz.training.features import Maps

log = logging.getLogger(__name__)
_BLOCKED = -1e4


@dataclass(frozen=True)
class Recipe:
    """Settings of the optimisation.

    `hard` is the share of the label in the target of step 2, the rest is plain Lite0's own softmax on the other picture
    alone; `keep` weighs single pictures; `dropout` acts on what the searchlight reads; `gain` scales its start (see
    `start_from_head`).
    """

    seed: int = 0
    epochs: int = 7
    batch: int = 64
    rate: float = 1e-3
    weight_decay: float = 0.05
    warmup: int = 50
    hard: float = 0.5
    keep: float = 4.0
    dropout: float = 0.1
    gain: float = 0.7


@dataclass
class TrainingData:
    """Cached views and their targets.

    Attributes:
        pairs: maps (P, 320, 7, 7) of collages of two. pair_classes: (P, 2). pair_targets: (P, 2) rows of `targets`.
        triples: maps of collages of three, or None. triple_classes: (Q, 3).
        alone: maps of single pictures, crops and whole.
        targets: (pictures, 1000) plain Lite0's logits on each picture alone.
        allowed: (1000,) bool, False for held-out classes.
    """

    pairs: Maps
    pair_classes: Tensor
    pair_targets: Tensor
    triples: Maps | None
    triple_classes: Tensor
    alone: Maps
    targets: Tensor
    allowed: Tensor


def prepare(network: Lite0TDAM, maps: Maps, views: int = 1024) -> None:
    """Set the frozen buffers from cached collages: mean and standard deviation of each channel of the map."""
    with torch.inference_mode():
        some = torch.from_numpy(np.array(maps[:views])).float().to(network.bottom_mean.device)
        flat = some.transpose(0, 1).flatten(1)
        network.bottom_mean.copy_(flat.mean(dim=1))
        network.bottom_std.copy_(flat.std(dim=1).clamp_min(1e-3))


@torch.no_grad()
def start_from_head(network: Lite0TDAM, gain: float) -> None:
    """Start a ``feedback`` searchlight where the frozen head says what feedback means one layer below.

    Through the head's convolution P (320, 1280, in units of the standardised bottom) the feedback e becomes the
    direction P e of the bottom. The searchlight starts as `gain` times its best approximation of rank k/2:
    S = U (relu(V e) - relu(-V e)). The half that reads the bottom starts silent.
    """
    light, head, norm = network.searchlight, network.backbone._conv_head, network.backbone._bn1
    slope = norm.weight / torch.sqrt(cast(Tensor, norm.running_var) + norm.eps)
    below = (head.weight[:, :, 0, 0] * slope[:, None]).T * network.bottom_std[:, None]
    u, s, v = torch.linalg.svd(below.cpu(), full_matrices=False)
    half = network.config.width // 2
    root = s[:half].sqrt()
    read, write = root[:, None] * v[:half], gain * u[:, :half] * root
    top, out = cast(Tensor, light.Ug_top_mlp[0].weight), cast(Tensor, light.Ug_mlp[0].weight)
    top[: 2 * half] = torch.cat([read, -read])[:, :, None, None].to(top)
    out.zero_()
    out[:, : 2 * half] = torch.cat([write, -write], dim=1)[:, :, None, None].to(out)


def others(plain: Tensor, classes: Tensor) -> tuple[Tensor, Tensor]:
    """(winner, other): places 0 / 1 of the two classes (N, 2) by plain Lite0's logits (N, 1000)."""
    pair = plain.gather(1, classes)
    winner = (pair[:, 1] > pair[:, 0]).long()
    return winner, 1 - winner


def _rows(maps: Maps, places: Tensor, device: torch.device) -> Tensor:
    return torch.from_numpy(maps[places.numpy()]).to(device).float()


def loss_of(network: Lite0TDAM, data: TrainingData, kind: str, places: Tensor, recipe: Recipe) -> Tensor:
    """Loss of one batch of one kind: ``pairs``, ``triples`` or ``alone``."""
    device = network.bottom_mean.device
    block = torch.where(data.allowed, 0.0, _BLOCKED).to(device)
    source = {"pairs": data.pairs, "triples": data.triples, "alone": data.alone}[kind]
    if source is None:
        raise ValueError(f"there are no {kind}")
    maps = _rows(source, places, device)
    with torch.no_grad():
        before = network.backbone.head(maps)
    outputs = [before]
    for step in range(2, network.steps + 1):
        top = F.dropout(network.top_of(outputs[-1]), recipe.dropout, training=network.training)
        maps = network.attend(maps, top, step)
        outputs.append(network.backbone.head(maps))
    named = [torch.log_softmax(out.logits + block, dim=1) for out in outputs]
    if kind == "alone":
        kept = torch.softmax(before.logits + block, dim=1)
        return recipe.keep * sum((-(kept * row).sum(dim=1).mean() for row in named[1:]), torch.zeros((), device=device))
    if kind == "triples":
        classes = data.triple_classes[places].to(device)
        return _name_the_rest(named, classes)
    classes = data.pair_classes[places].to(device)
    _, other = others(before.logits, classes)
    picture = data.pair_targets[places].to(device).gather(1, other[:, None]).squeeze(1).cpu()
    soft = torch.softmax(data.targets[picture].to(device) + block, dim=1)
    hard = F.one_hot(classes.gather(1, other[:, None]).squeeze(1), soft.shape[1]).to(soft)
    target = recipe.hard * hard + (1 - recipe.hard) * soft
    return -(target * named[1]).sum(dim=1).mean()


def _name_the_rest(named: list[Tensor], classes: Tensor) -> Tensor:
    """Each step names a class of the collage (N, 3) that no step before it preferred."""
    loss = torch.zeros((), device=classes.device)
    rest = torch.ones_like(classes, dtype=torch.bool)
    for t, row in enumerate(named):
        scores = row.gather(1, classes).masked_fill(~rest, -torch.inf)
        if t > 0:
            loss = loss - torch.logsumexp(scores, dim=1).mean()
        rest = rest.scatter(1, scores.argmax(dim=1, keepdim=True), False)
    return loss


def batches(data: TrainingData, recipe: Recipe, epoch: int) -> Iterator[list[tuple[str, Tensor]]]:
    """Mixed batches of one epoch: all collages once, a third as many single pictures beside them."""
    rng = torch.Generator().manual_seed(recipe.seed * 1000 + epoch)
    share = recipe.batch * 3 // 4
    triples = 0 if data.triples is None else len(data.triples)
    total = len(data.pairs) + triples
    steps = max(1, math.ceil(total / share))
    pairs, extra = torch.randperm(len(data.pairs), generator=rng), torch.randperm(max(triples, 1), generator=rng)
    alone = torch.randint(len(data.alone), (steps * (recipe.batch - share),), generator=rng)
    for i in range(steps):
        made = [
            ("pairs", pairs[i * len(pairs) // steps : (i + 1) * len(pairs) // steps]),
            ("alone", alone[i * (recipe.batch - share) : (i + 1) * (recipe.batch - share)]),
        ]
        if triples:
            made.append(("triples", extra[i * triples // steps : (i + 1) * triples // steps]))
        yield [(kind, places) for kind, places in made if len(places)]


def train(
    config: Lite0TDAMConfig, network: Lite0TDAM, data: TrainingData, recipe: Recipe, folder: Path | None
) -> tuple[list[float], list[float]]:
    """Train the searchlight of `network`; its state after each epoch is kept in `folder` and continued from there.

    Returns:
        Mean loss and seconds of each epoch. `network` ends with the weights of the last epoch.
    """
    learning = list(network.searchlight.parameters())
    optimizer = torch.optim.AdamW(learning, lr=recipe.rate, weight_decay=recipe.weight_decay)
    total = recipe.epochs * sum(1 for _ in batches(data, recipe, 0))
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda i: _rate(i, recipe.warmup, total))
    losses: list[float] = []
    seconds: list[float] = []
    kept = None if folder is None else folder / f"{_name(config, recipe)}.pt"
    if kept is not None and kept.is_file():
        state = torch.load(kept, map_location="cpu", weights_only=True)
        network.load_module_state(state["module"])
        optimizer.load_state_dict(state["optimizer"])
        schedule.load_state_dict(state["schedule"])
        losses = [float(x) for x in state["losses"]]
        seconds = [float(x) for x in state["seconds"]]
    network.train()
    for epoch in range(len(losses), recipe.epochs):
        # Dropout and anything else random starts from the epoch's own seed: a resumed run equals an uninterrupted one.
        torch.manual_seed(recipe.seed * 1000 + epoch + 500)
        started, seen = time.monotonic(), []
        for mixed in batches(data, recipe, epoch):
            size = sum(len(places) for _, places in mixed)
            optimizer.zero_grad(set_to_none=True)
            loss = torch.zeros((), device=network.bottom_mean.device)
            for kind, places in mixed:
                loss = loss + loss_of(network, data, kind, places, recipe) * (len(places) / size)
            loss.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(learning, 1.0)
            optimizer.step()
            schedule.step()
            seen.append(loss.item())
        losses.append(float(np.mean(seen)))
        seconds.append(time.monotonic() - started)
        log.info("epoch %d: loss %.3f, %.0f s", epoch + 1, losses[-1], seconds[-1])
        if kept is not None:
            kept.parent.mkdir(parents=True, exist_ok=True)
            part = kept.with_suffix(".part")
            torch.save(
                {
                    "module": network.module_state(),
                    "optimizer": optimizer.state_dict(),
                    "schedule": schedule.state_dict(),
                    "losses": losses,
                    "seconds": seconds,
                },
                part,
            )
            os.replace(part, kept)  # noqa: PTH105  (atomic: a kill leaves the old or the new file, never half of one)
    network.eval()
    return losses, seconds


def _rate(i: int, warmup: int, total: int) -> float:
    if i < warmup:
        return (i + 1) / warmup
    return 0.5 * (1 + math.cos(math.pi * min(1.0, (i - warmup) / max(1, total - warmup))))


def _name(config: Lite0TDAMConfig, recipe: Recipe) -> str:
    text = json.dumps({**asdict(config), **asdict(recipe)}, sort_keys=True)
    total = 0
    for byte in text.encode():
        total = (total * 257 + byte) % (1 << 48)
    return f"run-seed{recipe.seed}-{total:012x}"
