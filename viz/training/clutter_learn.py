"""Training of one module on cached maps: say what the picture in the clutter shows, keep the class of ordinary ones.

The loss never reads the logits of held-out classes: they are neither pushed up nor down.
"""

from __future__ import annotations

import hashlib
import json
import logging
import math
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from viz.models.networks.efficientnet_lite import EfficientNetLite0
from viz.models.networks.lite0_attended import Lite0Attended
from viz.training.features import Maps
from viz.training.taps import split

log = logging.getLogger(__name__)
_BLOCKED = -1e4
_FLOOR = 1e-3


@dataclass(frozen=True)
class ClutterRecipe:
    """Settings of the optimisation, the same for every family.

    `hard` is the share of the label in the target, the rest is plain Lite0's own softmax on the clean picture alone;
    `alone` is the share of ordinary pictures in a batch and `keep` their weight; there the whole answer has to stay, so
    both sides are softened by `temperature` (most pictures to train on are ones that the backbone is too sure of).
    """

    seed: int = 0
    epochs: int = 3
    batch: int = 64
    rate: float = 3e-3
    weight_decay: float = 0.02
    warmup: int = 50
    hard: float = 0.5
    alone: float = 0.45
    keep: float = 10.0
    temperature: float = 2.0


@dataclass
class ClutterData:
    """Cached views and their targets.

    Attributes:
        scenes: maps (S, 232, 14, 14). classes: (S,). clean: (S, 1000) plain Lite0's logits on each picture alone.
        alone: maps (A, 232, 14, 14) of ordinary pictures. kept: (A, 1000) plain Lite0's logits on them.
        allowed: (1000,) bool, False for held-out classes.
    """

    scenes: Maps
    classes: Tensor
    clean: Tensor
    alone: Sequence[Maps]
    kept: Tensor
    allowed: Tensor


@dataclass
class Curve:
    """Mean losses and seconds of each epoch, and what was chosen by on the way."""

    clutter: list[float] = field(default_factory=list)
    ordinary: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)


def prepare(network: Lite0Attended, maps: Maps, views: int = 1024) -> None:
    """Set the frozen buffers from cached views: mean and standard deviation of each channel of the three scales."""
    with torch.inference_mode():
        some = torch.from_numpy(np.array(maps[:views])).float().to(network.tap_mean.device)
        flat = some.transpose(0, 1).flatten(1)
        network.tap_mean.copy_(flat.mean(dim=1))
        network.tap_std.copy_(flat.std(dim=1).clamp_min(_FLOOR))


def rows(parts: Sequence[Maps], places: Tensor, device: torch.device) -> list[Tensor]:
    """The three scales of some views of several arrays, which count as one behind the other."""
    starts = np.cumsum([0, *(len(p) for p in parts)])
    found = np.empty((len(places), *parts[0].shape[1:]), dtype=np.float16)
    for k, place in enumerate(places.tolist()):
        part = int(np.searchsorted(starts, place, side="right")) - 1
        found[k] = parts[part][place - starts[part]]
    # Channels last: the frozen upper part takes most of the time, and its depthwise convolutions half of that.
    taps = split(torch.from_numpy(found).to(device).float())
    return [tap.contiguous(memory_format=torch.channels_last) for tap in taps]


@torch.inference_mode()
def plain_logits(maps: Maps, backbone: EfficientNetLite0, batch: int = 128) -> Tensor:
    """Plain Lite0's logits (N, 1000) from cached maps (N, 232, 14, 14)."""
    device = next(backbone.parameters()).device
    found = [
        backbone.head(backbone.upper(rows([maps], torch.arange(i, min(i + batch, len(maps))), device)[-1])).logits.cpu()
        for i in range(0, len(maps), batch)
    ]
    return torch.cat(found).clone()


def losses_of(
    network: Lite0Attended, data: ClutterData, scenes: Tensor, alone: Tensor, recipe: ClutterRecipe
) -> tuple[Tensor, Tensor]:
    """Loss on views of clutter and on ordinary pictures, of one mixed batch (one pass for both)."""
    device = network.tap_mean.device
    block = torch.where(data.allowed, 0.0, _BLOCKED).to(device)
    taps = [
        torch.cat(pair)
        for pair in zip(rows([data.scenes], scenes, device), rows(data.alone, alone, device), strict=True)
    ]
    logits = network.last_output(taps).logits
    count, soften = len(scenes), recipe.temperature
    named = torch.log_softmax(logits[:count] + block, dim=1)
    stayed = torch.log_softmax(logits[count:] / soften + block, dim=1)
    soft = torch.softmax(data.clean[scenes].to(device) + block, dim=1)
    hard = F.one_hot(data.classes[scenes].to(device), soft.shape[1]).to(soft)
    target = recipe.hard * hard + (1 - recipe.hard) * soft
    kept = torch.log_softmax(data.kept[alone].to(device) / soften + block, dim=1)
    change = F.kl_div(stayed, kept, reduction="batchmean", log_target=True)
    return -(target * named).sum(dim=1).mean(), soften**2 * change


def batches(data: ClutterData, recipe: ClutterRecipe, epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Mixed batches of one epoch: every view of clutter once, and ordinary pictures beside them."""
    rng = torch.Generator().manual_seed(recipe.seed * 1000 + epoch)
    beside = round(recipe.batch * recipe.alone)
    share = recipe.batch - beside
    order = torch.randperm(len(data.scenes), generator=rng)
    ordinary = sum(len(part) for part in data.alone)
    for i in range(0, len(order) - share + 1, share):
        yield order[i : i + share], torch.randint(ordinary, (beside,), generator=rng)


def train(network: Lite0Attended, data: ClutterData, recipe: ClutterRecipe, folder: Path | None) -> Curve:
    """Train the module of `network`; its state after each epoch is kept in `folder` and continued from there.

    `network` ends with the weights of the last epoch.
    """
    learning = [p for p in network.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(learning, lr=recipe.rate, weight_decay=recipe.weight_decay)
    total = recipe.epochs * sum(1 for _ in batches(data, recipe, 0))
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda i: _rate(i, recipe.warmup, total))
    curve = Curve()
    kept = None if folder is None else folder / f"{run_name(network, recipe)}.pt"
    if kept is not None and kept.is_file():
        state = torch.load(kept, map_location="cpu", weights_only=True)
        network.load_module_state(state["module"])
        optimizer.load_state_dict(state["optimizer"])
        schedule.load_state_dict(state["schedule"])
        curve = Curve(**state["curve"])
    network.backbone.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    network.train()
    for epoch in range(len(curve.clutter), recipe.epochs):
        # Anything random starts from the epoch's own seed: a resumed run equals an uninterrupted one.
        torch.manual_seed(recipe.seed * 1000 + epoch + 500)
        started, seen = time.monotonic(), []
        for scenes, alone in batches(data, recipe, epoch):
            optimizer.zero_grad(set_to_none=True)
            clutter, ordinary = losses_of(network, data, scenes, alone, recipe)
            (clutter + recipe.keep * ordinary).backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(learning, 1.0)
            optimizer.step()
            schedule.step()
            seen.append((clutter.item(), ordinary.item()))
        means = np.mean(seen, axis=0)
        curve.clutter.append(float(means[0]))
        curve.ordinary.append(float(means[1]))
        curve.seconds.append(time.monotonic() - started)
        log.info(
            "%s seed %d epoch %d: clutter %.3f, ordinary %.3f, %.0f s",
            *(network.family, recipe.seed, epoch + 1, *means, curve.seconds[-1]),
        )
        if kept is not None:
            _keep(kept, network, optimizer, schedule, curve)
    network.eval()
    return curve


def _keep(
    path: Path,
    network: Lite0Attended,
    optimizer: torch.optim.Optimizer,
    schedule: torch.optim.lr_scheduler.LambdaLR,
    curve: Curve,
) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    torch.save(
        {
            "module": network.module_state(),
            "optimizer": optimizer.state_dict(),
            "schedule": schedule.state_dict(),
            "curve": asdict(curve),
        },
        part,
    )
    os.replace(part, path)  # noqa: PTH105  (atomic: a kill leaves the old or the new file, never half of one)


def _rate(i: int, warmup: int, total: int) -> float:
    if i < warmup:
        return (i + 1) / warmup
    return 0.5 * (1 + math.cos(math.pi * min(1.0, (i - warmup) / max(1, total - warmup))))


def run_name(network: Lite0Attended, recipe: ClutterRecipe) -> str:
    """Names a run by everything that shapes it."""
    text = json.dumps([network.config_json(), asdict(recipe)], sort_keys=True)
    return f"{network.family}-seed{recipe.seed}-{hashlib.sha256(text.encode()).hexdigest()[:12]}"
