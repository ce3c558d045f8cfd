"""Figures of a trained network on views it never saw: rates, gate mass, boxes, controls, bootstrap intervals."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from viz.capture.probe import Edit, edited
from viz.datasets.core import Box
from viz.measures.intervals import Interval, interval
from viz.models.networks.lite0_tdam import Lite0TDAM
from viz.training.collages import Collage
from viz.training.features import CELLS, Maps
from viz.training.learn import others
from viz.training.pictures import SIZE, Photo

Floats = NDArray[np.float64]
RATIOS = tuple(round(0.05 * i, 2) for i in range(1, 20))


Figure = Interval
figure = interval


@dataclass
class Pass:
    """What one pass over cached maps gives: `logits` (steps, N, 1000), `gates` (N, h, w) and `channels` (N, C) of
    step 2, `cams` {name: (N, h, w)} class maps."""

    logits: Tensor
    gates: Tensor
    channels: Tensor | None


@torch.inference_mode()
def forward(network: Lite0TDAM, maps: Maps, edits: dict[str, Edit] | None = None, batch: int = 128) -> Pass:
    """Run all steps on maps (N, 320, 7, 7); `edits` replaces probed values."""
    device = network.bottom_mean.device
    chosen = edits or {}
    logits: list[Tensor] = []
    gates: list[Tensor] = []
    channels: list[Tensor] = []

    def keep(store: list[Tensor], name: str) -> Edit:
        def edit(value: Tensor, step: int) -> Tensor:
            value = chosen[name](value, step) if name in chosen else value
            if step == 2:
                store.append(value.cpu())
            return value

        return edit

    has_channel = "channel" in network.config.sequence
    watch = {"spatial_gate": keep(gates, "spatial_gate")}
    if has_channel:
        watch["channel_gate"] = keep(channels, "channel_gate")
    for i in range(0, len(maps), batch):
        x = torch.from_numpy(np.array(maps[i : i + batch])).float().to(device)
        with edited(network, watch):
            logits.append(torch.stack([out.logits.cpu() for out in network.forward_maps(x)]))
    return Pass(torch.cat(logits, 1), torch.cat(gates), torch.cat(channels) if has_channel else None)


def mean_of(value: Tensor) -> Edit:
    """An edit that puts the data-set mean in place of every picture's own value."""
    mean = value.mean(dim=0, keepdim=True)
    return lambda x, step: mean.to(x).expand_as(x)


def cover(view: Collage, part: int) -> Tensor:
    """(7, 7) share of each cell that one part fills."""
    x0, y0, x1, y1 = view.parts[part].region
    mask = torch.zeros(SIZE, SIZE)
    mask[y0:y1, x0:x1] = 1
    return F.avg_pool2d(mask[None, None], SIZE // CELLS)[0, 0]


def gate_mass(gates: Tensor, covers: Tensor) -> Tensor:
    """(N,) share of the gate that lies in the covered cells; chance is the share of the area."""
    return (gates * covers).sum(dim=(1, 2)) / gates.sum(dim=(1, 2)).clamp_min(1e-9)


def largest_box(cam: Tensor, ratio: float) -> Box:
    """Box of the largest component of a class map (h, w): bilinear to 224, min-max, threshold at `ratio`."""
    # OpenCV's bilinear resize equals interpolate(align_corners=False), without torch's cost for each small call.
    big = cv2.resize(cam.float().numpy(), (SIZE, SIZE), interpolation=cv2.INTER_LINEAR)
    span = big.max() - big.min()
    if not span > 0:
        return (0.0, 0.0, 0.0, 0.0)
    mask = ((big - big.min()) / span >= ratio).astype(np.uint8)
    count, _, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
    if count < 2:
        return (0.0, 0.0, 0.0, 0.0)
    x, y, w, h, _ = stats[1 + int(np.argmax(stats[1:, cv2.CC_STAT_AREA]))]
    return (float(x), float(y), float(x + w), float(y + h))


def iou(a: Box, b: Box) -> float:
    """Intersection over union of two boxes (x0, y0, x1, y1)."""
    w, h = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    inside = max(w, 0.0) * max(h, 0.0)
    both = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - inside
    return inside / both if both > 0 else 0.0


@torch.inference_mode()
def class_maps(network: Lite0TDAM, maps: Maps, classes: Tensor, step: int, batch: int = 128) -> Tensor:
    """(N, 7, 7) class maps of `classes` (N,) from the features of a step."""
    device, weights = network.bottom_mean.device, network.class_weights()
    found = []
    for i in range(0, len(maps), batch):
        x = torch.from_numpy(np.array(maps[i : i + batch])).float().to(device)
        features = network.forward_maps(x, step)[-1].features
        found.append(torch.einsum("nchw,nc->nhw", features, weights[classes[i : i + batch].to(device)]).cpu())
    return torch.cat(found)


def located(cams: Tensor, truth: Sequence[Sequence[Box]], deltas: Sequence[float]) -> list[Floats]:
    """For each delta (N,): 1.0 where the box reaches that IoU with a true box; the threshold is
    the other fold's (even, odd)."""
    best = [
        [max(iou(largest_box(cam, r), t) for t in boxes) for r in RATIOS]
        for cam, boxes in zip(cams, truth, strict=True)
    ]
    fold = np.arange(len(best)) % 2
    found = []
    for delta in deltas:
        hits, row = np.array(best) >= delta, np.zeros(len(best))
        for side in (0, 1):
            row[fold == side] = hits[fold == side, int(hits[fold != side].mean(axis=0).argmax())]
        found.append(row)
    return found


def loc_val_boxes(network: Lite0TDAM, maps: Maps, photos: Sequence[Photo], step: int = 1) -> dict[str, Figure]:
    """Share of pictures whose box (true class) reaches IoU 0.3, 0.5, 0.7; threshold cross-validated over two folds."""
    cams = class_maps(network, maps, torch.tensor([p.class_index for p in photos]), step)
    truth = [p.boxes for p in photos]
    deltas = (0.3, 0.5, 0.7)
    rows = located(cams, truth, deltas)
    return {f"box_iou_{delta}": figure(row) for delta, row in zip(deltas, rows, strict=True)}


def collage_figures(
    network: Lite0TDAM,
    control: Lite0TDAM,
    *,
    maps: Maps,
    views: Sequence[Collage],
    classes: Tensor,
    ten: Sequence[int],
    ratio: float,
) -> dict[str, Figure]:
    """Everything said of a set of two-part collages.

    Args:
        control: the same network with a random searchlight.
        maps: (N, 320, 7, 7). classes: (N, 2).
        ten: classes whose logits the class-prior control raises.
        ratio: threshold of the boxes, chosen elsewhere.
    """
    groups = [[p.photo for p in view.parts] for view in views]
    full = forward(network, maps)
    plain, last = full.logits[0], full.logits[-1]
    winner, other = others(plain, classes)
    wanted, first = (classes.gather(1, i[:, None]).squeeze(1) for i in (other, winner))
    covers = torch.stack([cover(v, int(i)) for v, i in zip(views, other, strict=True)])

    def rate(hit: Tensor) -> Figure:
        return figure(hit.double(), groups)

    def names(edits: dict[str, Edit]) -> Figure:
        return rate(forward(network, maps, edits).logits[-1].argmax(1) == wanted)

    second = plain.topk(2, dim=1).indices
    noise = forward(control, maps)
    spatial = mean_of(full.gates)
    inhibition = _inhibition(network, maps, plain.argmax(1))
    prior = plain.clone()
    prior[:, list(ten)] += 2
    found = {
        "other_named_step2": rate(last.argmax(1) == wanted),
        "winner_kept_step2": rate(last.argmax(1) == first),
        "winner_named_step1": rate(plain.argmax(1) == first),
        "plain_second_guess": rate(second[:, 1] == wanted),
        "step2_minus_second_guess": figure(
            (last.argmax(1) == wanted).double() - (second[:, 1] == wanted).double(), groups
        ),
        "plain_second_guess_prior": rate(prior.topk(2, dim=1).indices[:, 1] == wanted),
        "spatial_gate_mean": names({"spatial_gate": spatial}),
        "random_module": rate(noise.logits[-1].argmax(1) == wanted),
        "random_module_mass": figure(gate_mass(noise.gates, covers), groups),
        "gate_mass_other": figure(gate_mass(full.gates, covers), groups),
        "other_area": figure(covers.mean(dim=(1, 2)), groups),
        "half_mask": rate(_masked(network, maps, covers).argmax(1) == wanted),
        "class_map_inhibition": rate(_masked(network, maps, inhibition).argmax(1) == wanted),
        "class_map_inhibition_mass": figure(gate_mass(inhibition, covers), groups),
    }
    if full.channels is not None:
        channel = mean_of(full.channels)
        found["channel_gate_mean"] = names({"channel_gate": channel})
        found["both_gates_mean"] = names({"channel_gate": channel, "spatial_gate": spatial})
    for name, step, part, wished in (
        ("box_step1_own_half", 1, winner, first),
        ("box_step2_other_half", 2, other, wanted),
        ("box_plain_other_half", 1, other, wanted),
    ):
        cams = class_maps(network, maps, wished, step)
        halves = [v.parts[int(i)].region for v, i in zip(views, part, strict=True)]
        found[name] = figure([iou(largest_box(c, ratio), h) for c, h in zip(cams, halves, strict=True)], groups)
    return found


def _inhibition(network: Lite0TDAM, maps: Maps, named: Tensor) -> Tensor:
    """Gates (N, 7, 7) that nobody trained: the sigmoid of minus twice the named class's standardised class map."""
    cams = class_maps(network, maps, named, 1)
    mean, spread = cams.mean(dim=(1, 2), keepdim=True), cams.std(dim=(1, 2), keepdim=True).clamp_min(1e-6)
    return torch.sigmoid(-2 * (cams - mean) / spread)


@torch.inference_mode()
def _masked(network: Lite0TDAM, maps: Maps, covers: Tensor) -> Tensor:
    """Logits with given gates (N, 7, 7); a perfect mask of the other's half is about what a spatial gate can reach."""
    device = network.bottom_mean.device
    rows = []
    for i in range(0, len(maps), 128):
        x = torch.from_numpy(np.array(maps[i : i + 128])).float().to(device)
        gate = covers[i : i + 128].to(device)
        rows.append(network.backbone.head(x * (gate / gate.mean((1, 2), keepdim=True))[:, None]).logits.cpu())
    return torch.cat(rows)


def choose_ratio(network: Lite0TDAM, maps: Maps, views: Sequence[Collage], classes: Tensor) -> float:
    """Threshold of the winner's box on collages that serve to choose: the best mean IoU of step 1."""
    winner, _ = others(forward(network, maps).logits[0], classes)
    cams = class_maps(network, maps, classes.gather(1, winner[:, None]).squeeze(1), 1)
    halves = [v.parts[int(i)].region for v, i in zip(views, winner, strict=True)]
    score: Callable[[float], float] = lambda r: float(  # noqa: E731
        np.mean([iou(largest_box(c, r), h) for c, h in zip(cams, halves, strict=True)])
    )
    return max(RATIOS, key=score)


def single_figures(network: Lite0TDAM, maps: Maps, classes: Sequence[int]) -> dict[str, Figure]:
    """Top-1 over 1000 classes of each step on single pictures, and of the gate that nobody trained."""
    logits, truth = forward(network, maps).logits, torch.tensor(list(classes))
    found = {f"top1_step{t + 1}": figure((row.argmax(1) == truth).double()) for t, row in enumerate(logits)}
    away = _masked(network, maps, _inhibition(network, maps, logits[0].argmax(1)))
    return found | {"top1_class_map_inhibition": figure((away.argmax(1) == truth).double())}
