"""The training loop of both tasks: AdamW on cached maps, a cosine schedule with warm-up, resumable after each epoch."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from recipes.features import Maps
from viz.models.networks.lite0_attended import FrozenLite0

log = logging.getLogger(__name__)
B = TypeVar("B")
Curve = dict[str, list[float]]


@dataclass(frozen=True)
class Recipe:
    """Settings of the optimisation.

    `hard` is the share of the label in the target, the rest is plain Lite0's own softmax on the single picture; `keep`
    is the weight of the ordinary pictures, whose answer must not change.
    """

    seed: int = 0
    epochs: int = 3
    batch: int = 64
    rate: float = 3e-3
    weight_decay: float = 0.02
    warmup: int = 50
    hard: float = 0.5
    keep: float = 10.0


@dataclass(frozen=True, eq=False)
class Data:
    """Cached views and their targets.

    Attributes:
        views: maps (N, ...) of the task's views. classes: (N, parts) of the pictures in each.
        clean: (N, parts, 1000) plain Lite0's logits on each of these as a single picture.
        alone: maps of ordinary pictures, in several arrays that are indexed as if concatenated.
        allowed: (1000,) bool, False for held-out classes, whose logits the losses never read.
    """

    views: Maps
    classes: Tensor
    clean: Tensor
    alone: Sequence[Maps]
    allowed: Tensor

    @property
    def ordinary(self) -> int:
        """Number of ordinary pictures."""
        return sum(len(part) for part in self.alone)

    def block(self, device: torch.device) -> Tensor:
        """(1000,) to add to logits, so that the logits of held-out classes get no gradient."""
        return torch.where(self.allowed, 0.0, -1e4).to(device)


def cross_entropy(named: Tensor, classes: Tensor, clean: Tensor, hard: float) -> Tensor:
    """Mean cross entropy with a target that mixes the label and plain Lite0's own answer.

    Args:
        named: (N, 1000) log-probabilities. classes: (N,) labels. clean: (N, 1000) logits, held-out classes blocked.
        hard: share of the label.
    """
    soft = torch.softmax(clean, dim=1)
    target = hard * F.one_hot(classes, soft.shape[1]).to(soft) + (1 - hard) * soft
    return -(target * named).sum(dim=1).mean()


def learn(
    network: FrozenLite0,
    recipe: Recipe,
    batches: Callable[[int], Iterable[B]],
    losses: Callable[[B], tuple[Tensor, dict[str, Tensor]]],
    kept: Path,
) -> Curve:
    """Train the module of `network`, which keeps the weights of the last epoch.

    Args:
        batches: batches of an epoch. losses: the loss of a batch, and the losses that the curve shows.
        kept: file of the state after each epoch; training resumes from it.

    Returns:
        Mean of each loss and seconds, by epoch.
    """
    learning = [p for p in network.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(learning, lr=recipe.rate, weight_decay=recipe.weight_decay)
    total = recipe.epochs * sum(1 for _ in batches(0))
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda i: rate_at(i, recipe.warmup, total))
    curve: Curve = {}
    if kept.is_file():
        state = torch.load(kept, map_location="cpu", weights_only=True)
        network.load_module_state(state["module"])
        optimizer.load_state_dict(state["optimizer"])
        schedule.load_state_dict(state["schedule"])
        curve = state["curve"]
    network.train()
    for epoch in range(len(curve.get("seconds", ())), recipe.epochs):
        # All randomness starts from the epoch's own seed, so that a resumed run equals an uninterrupted one.
        torch.manual_seed(recipe.seed * 1000 + epoch + 500)
        started, seen = time.monotonic(), []
        for batch in batches(epoch):
            optimizer.zero_grad(set_to_none=True)
            loss, shown = losses(batch)
            loss.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(learning, 1.0)
            optimizer.step()
            schedule.step()
            seen.append([value.item() for value in shown.values()])
        means = zip(shown, np.mean(seen, axis=0).tolist(), strict=True)
        for name, value in (*means, ("seconds", time.monotonic() - started)):
            curve.setdefault(name, []).append(value)
        log.info("%s epoch %d: %s", kept.stem, epoch + 1, ", ".join(f"{k} {v[-1]:.3f}" for k, v in curve.items()))
        # Renamed at the end: a killed run leaves the old or the new file, never an incomplete one.
        kept.parent.mkdir(parents=True, exist_ok=True)
        part = kept.with_suffix(".part")
        state = {"optimizer": optimizer.state_dict(), "schedule": schedule.state_dict(), "curve": curve}
        torch.save({"module": network.module_state(), **state}, part)
        part.replace(kept)
    network.eval()
    return curve


def rate_at(i: int, warmup: int, total: int) -> float:
    """Factor on the learning rate at step `i` of `total`: a linear warm-up, then half a cosine."""
    if i < warmup:
        return (i + 1) / warmup
    return 0.5 * (1 + math.cos(math.pi * min(1.0, (i - warmup) / max(1, total - warmup))))
