"""Outputs of a trained network on unseen views, and their measures: rates, gate mass, boxes, intervals."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any, TypeVar

import cv2
import numpy as np
import torch
from torch import Tensor

from recipes.pictures import SIZE
from viz.capture.probe import Edit, capture, edited
from viz.core.boxes import iou
from viz.datasets.core import Box
from viz.measures.intervals import Interval, interval
from viz.models.networks.base import StepNetwork, StepOutput

RATIOS = tuple(round(0.05 * i, 2) for i in range(1, 20))
DELTAS = (0.3, 0.5, 0.7)
Key = tuple[str, int]
Groups = Sequence[Sequence[int]]
# Intervals by name; `Figures` holds them as plain values, by set of pictures and name.
Measured = dict[str, Interval]
Figures = Mapping[str, Mapping[str, Mapping[str, Any]]]
X = TypeVar("X")


@dataclass(frozen=True, eq=False)
class Reading:
    """The outputs of one pass over cached views.

    Attributes:
        logits: (steps, N, 1000). features: (steps, N, 1280, h, w), empty if not requested.
        values: captured values by (full probe name, step), batch first.
    """

    logits: Tensor
    features: Tensor
    values: Mapping[Key, Tensor]

    def hits(self, classes: Tensor, step: int = -1) -> Tensor:
        """(N,) 1.0 where the top class of a step (by index) is the given one."""
        return (self.logits[step].argmax(dim=1) == classes).double()


@torch.inference_mode()
def read(
    network: StepNetwork,
    batches: Iterable[X],
    run: Callable[[X], Sequence[StepOutput]],
    *,
    labels: Sequence[str] = (),
    edits: Mapping[str, Edit] | None = None,
    features: torch.dtype | None = None,
) -> Reading:
    """Run all batches.

    Args:
        run: outputs of the steps to measure. labels: probes to capture. edits: replace probed values.
        features: type of the stored class features; None stores none.
    """
    logits: list[Tensor] = []
    maps: list[Tensor] = []
    values: dict[Key, list[Tensor]] = {}
    for batch in batches:
        with edited(network, edits) if edits else nullcontext(), capture(network, list(labels)) as sink:
            outputs = run(batch)
        logits.append(torch.stack([out.logits.cpu() for out in outputs]))
        if features:
            maps.append(torch.stack([out.class_features.to("cpu", features) for out in outputs]))
        for tap, step, value in sink.batches:
            values.setdefault((tap.name, step), []).append(value)
    kept = torch.cat(maps, 1) if maps else torch.empty(0)
    return Reading(torch.cat(logits, 1), kept, {k: torch.cat(v) for k, v in values.items()})


def to_means(values: Mapping[Key, Tensor], labels: Sequence[str]) -> dict[str, Edit]:
    """Edits that replace every picture's own value by the data-set mean, for each probe and step."""
    means: dict[str, dict[int, Tensor]] = {}
    for (name, step), value in values.items():
        if name.rpartition(".")[2] in labels:
            means.setdefault(name, {})[step] = value.mean(dim=0, keepdim=True)

    def edit_of(of_step: dict[int, Tensor]) -> Edit:
        return lambda x, step: of_step[step].to(x).expand_as(x)

    return {name: edit_of(of_step) for name, of_step in means.items()}


def class_maps(features: Tensor, weights: Tensor, classes: Tensor) -> Tensor:
    """(N, h, w) class maps of `classes` (N,) from features (N, 1280, h, w) and the classifier's weights."""
    chosen = weights.cpu().float()[classes]
    found = [
        torch.einsum("nchw,nc->nhw", features[i : i + 100].float(), chosen[i : i + 100])
        for i in range(0, len(classes), 100)
    ]
    return torch.cat(found)


def gate_mass(gates: Tensor, covers: Tensor) -> Tensor:
    """(N,) share of the gate inside the covered cells; chance level is the share of the area."""
    return (gates * covers).sum(dim=(1, 2)) / gates.sum(dim=(1, 2)).clamp_min(1e-9)


def largest_box(cam: Tensor, ratio: float) -> Box:
    """Box of the largest component of a class map (h, w): bilinear to 224, min-max, threshold at `ratio`."""
    # OpenCV's bilinear resize equals interpolate(align_corners=False), without torch's overhead for small calls.
    big = cv2.resize(cam.float().numpy(), (SIZE, SIZE), interpolation=cv2.INTER_LINEAR)
    span = big.max() - big.min()
    mask = ((big - big.min()) / span >= ratio if span > 0 else np.zeros_like(big)).astype(np.uint8)
    count, _, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
    if count < 2:
        return (0.0, 0.0, 0.0, 0.0)
    x, y, w, h, _ = stats[1 + int(np.argmax(stats[1:, cv2.CC_STAT_AREA]))]
    return (float(x), float(y), float(x + w), float(y + h))


def box_rates(form: str, cams: Tensor, truth: Sequence[Sequence[Box]], groups: Groups | None = None) -> Measured:
    """Share of pictures whose box has an IoU of each of `DELTAS` with a true box; threshold from the other fold.

    Args:
        form: name of a figure, with a field for the delta. cams: (N, h, w). truth: boxes of each picture.
    """
    found = [[largest_box(cam, ratio) for ratio in RATIOS] for cam in cams]
    return _rates(form, found, truth, groups)


def centred_rates(form: str, truth: Sequence[Sequence[Box]], groups: Groups | None = None) -> Measured:
    """The same for one box in the middle of every picture, whose size is chosen like a threshold: a floor."""
    middle = [(SIZE * (1 - r) / 2, SIZE * (1 - r) / 2, SIZE * (1 + r) / 2, SIZE * (1 + r) / 2) for r in RATIOS]
    return _rates(form, [middle] * len(truth), truth, groups)


def _rates(
    form: str, boxes: Sequence[Sequence[Box]], truth: Sequence[Sequence[Box]], groups: Groups | None
) -> Measured:
    """Rates of the boxes of each picture at each of `RATIOS`."""
    best = [[max(iou(box, t) for t in of) for box in found] for found, of in zip(boxes, truth, strict=True)]
    fold = np.arange(len(best)) % 2
    rates = {}
    for delta in DELTAS:
        hits, row = np.array(best) >= delta, np.zeros(len(best))
        for side in (0, 1):
            row[fold == side] = hits[fold == side, int(hits[fold != side].mean(axis=0).argmax())]
        rates[form.format(delta)] = interval(row, groups)
    return rates


def plain(figures: Mapping[str, Interval]) -> dict[str, dict[str, Any]]:
    """Figures as plain, rounded values."""
    return {name: row.to_dict() for name, row in figures.items()}
