"""Where the cells of Lite0's maps look: the effective receptive field, and whether drawing it there would help boxes.

A cell is drawn over its own square of the input. What it looks at is measured as the centre of the gradient
|d(sum of the cell's features) / d(input)| of cells far from the border, over pictures and all their mirror images: what
an object draws to one side in one of them it draws to the other side in another, so that what is left is the network's
own. TensorFlow's padding, which EfficientNet-Lite keeps, puts more of it right and below, so the field lies there, too.

With ``--data DIR`` (a data set with boxes) the boxes of plain Lite0's class map are measured as they are drawn, and
with the map moved by whole input pixels: MaxBoxAcc at the threshold that is best for the even half of the pictures,
over the odd half, and the other way round.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

import viz
from viz.datasets import open_dataset, open_sample
from viz.geometry import prepare
from viz.measures.localization.protocol import (
    Thresholds,
    best_ious,
    box_ious,
    boxes_at,
    hits,
    protocol_map,
    resize_boxes,
)

ROOT = Path(__file__).parents[1]
RESULTS = Path(__file__).parent / "results" / "receptive_field.json"
SHIFTS = range(5)


@dataclass(frozen=True)
class Field:
    """Of cells of one stride, in input pixels: how far the field's centre lies right of and below the cell's centre
    (mean over the cells and pictures), and its root mean square radius."""

    stride: int
    cells: int
    right: float
    below: float
    radius: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--split", default=None)
    parser.add_argument("--leave-out", nargs="*", default=[])
    asked = parser.parse_args()
    torch.set_num_threads(1)
    model = viz.load("lite0", "cpu")
    pictures = [viz.open_picture(p) for p in sorted((ROOT / "assets").glob("*.jpg"))]
    inputs = torch.cat([prepare(p, model.card.preprocessing, "center_crop")[0] for p in pictures])
    # Twice as large as the network usually sees, so that the border cuts little of the fields.
    inputs = torch.nn.functional.interpolate(inputs, scale_factor=2, mode="bicubic")
    mirrored = torch.cat([inputs.flip(axes) for axes in ((), (2,), (3,), (2, 3))])
    fields = [field(model.network, mirrored, stride) for stride in (16, 32)]
    found = {"pictures": len(pictures), "fields": [asdict(f) for f in fields]}
    for f in fields:
        print(f"stride {f.stride}: {f.right:+.2f} right, {f.below:+.2f} below, radius {f.radius:.1f} input pixels")
    if asked.data is not None:
        found["boxes"] = moved_boxes(model, asked.data, asked.split, asked.leave_out)
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(found, indent=1) + "\n")


def field(network: torch.nn.Module, inputs: Tensor, stride: int) -> Field:
    """The field of the cells in the middle of the features of a stride."""
    kept: list[Tensor] = []
    size = inputs.shape[-1] // stride

    def keep(module: torch.nn.Module, given: object, value: object) -> None:
        if isinstance(value, Tensor) and value.ndim == 4 and value.shape[-1] == size:
            kept.append(value)

    hooks = [m.register_forward_hook(keep) for m in network.modules() if not list(m.children())]
    middle = range((size - 1) // 2, size // 2 + 1)  # the border cuts their fields equally on all sides
    offsets, radii = [], []
    for x in inputs:
        kept.clear()
        asked = x[None].clone().requires_grad_()
        network(asked)
        last = kept[-1]  # of this stride
        for row in middle:
            for column in middle:
                (gradient,) = torch.autograd.grad(last[0, :, row, column].sum(), asked, retain_graph=True)
                weights = gradient[0].abs().sum(0).double().numpy()
                at, radius = centre(weights)
                offsets.append(at - (np.array([row, column]) + 0.5) * stride)
                radii.append(radius)
    for hook in hooks:
        hook.remove()
    below, right = np.mean(offsets, axis=0)
    return Field(stride, len(middle) ** 2, float(right), float(below), float(np.mean(radii)))


def centre(weights: NDArray[np.float64]) -> tuple[NDArray[np.float64], float]:
    """(row, column) of the centre of gravity, pixels' centres at .5, and the root mean square distance from it."""
    total = weights.sum()
    rows, columns = (np.arange(n) + 0.5 for n in weights.shape)
    row, column = (weights.sum(1) @ rows) / total, (weights.sum(0) @ columns) / total
    square = (weights.sum(1) @ (rows - row) ** 2 + weights.sum(0) @ (columns - column) ** 2) / total
    return np.array([row, column]), float(np.sqrt(square))


def moved_boxes(model: viz.Model, folder: Path, split: str | None, left_out: list[str]) -> list[dict[str, float]]:
    """Accuracy of boxes for each way of moving the map right and down."""
    data = open_dataset(folder, split)
    data = data.without(left_out) if left_out else data
    thresholds = Thresholds(0.01)
    right: dict[int, list[NDArray[np.bool_]]] = {shift: [] for shift in SHIFTS}
    largest: list[tuple[NDArray[np.int64], NDArray[np.int64]]] = []
    for sample in data.samples:
        picture = open_sample(sample)
        trace = model.trace(picture, geometry="squash")
        truth = resize_boxes(sample.boxes, picture.size)
        drawn = protocol_map(trace.class_map(-1, sample.class_index).native)
        for shift in SHIFTS:
            padded = np.pad(drawn, ((shift, 0), (shift, 0)), mode="edge")[: len(drawn), : len(drawn)]
            boxes = boxes_at(padded, thresholds)
            right[shift].append(hits(best_ious(boxes, truth)[0]))
            if shift == 0:
                largest.append((boxes.largest, truth))
    best = np.stack(right[0])[:, 1].mean(0).argmax()
    off = np.nanmean([offset(boxes[best], truth) for boxes, truth in largest], axis=0)
    print(f"boxes as drawn, where they meet an object: {off[0]:+.1f} right, {off[1]:+.1f} below its middle")
    rows: list[dict[str, float]] = [{"box_right": off[0], "box_below": off[1]}]
    plain: NDArray[np.float64] | None = None
    for shift, found in right.items():
        every = np.stack(found)  # (pictures, deltas, levels)
        halves = [every[0::2], every[1::2]]
        scored = [
            halves[1 - side][:, d, halves[side][:, d].mean(0).argmax()]
            for d in range(every.shape[1])
            for side in (0, 1)
        ]
        at = [100 * float(np.concatenate(scored[2 * d : 2 * d + 2]).mean()) for d in range(every.shape[1])]
        middle = np.concatenate(scored[2:4]).astype(float)
        plain = middle if plain is None else plain
        gain = 100 * (middle - plain)
        low, high = gain.mean() + np.array([-1.96, 1.96]) * gain.std() / np.sqrt(len(gain))
        rows.append(
            {
                "moved": shift,
                "iou_30": at[0],
                "iou_50": at[1],
                "iou_70": at[2],
                "low": low,
                "high": high,
                "n": len(gain),
            }
        )
        print(
            f"moved by {shift}: {at[0]:.1f} / {at[1]:.1f} / {at[2]:.1f} % at IoU 0.3 / 0.5 / 0.7;"
            f" at 0.5 {gain.mean():+.1f} ({low:+.1f} to {high:+.1f}) against 0"
        )
    return rows


def offset(box: NDArray[np.int64], truth: NDArray[np.int64]) -> NDArray[np.float64]:
    """(right, below) of the middle of a box from the middle of the true box that it fits best, in input pixels; NaN
    where they share less than half."""
    ious = box_ious(box[None], truth)[0]
    if ious.max() < 0.5:
        return np.full(2, np.nan)
    middles = np.stack([box, truth[ious.argmax()]]).reshape(2, 2, 2).mean(axis=1)
    return np.asarray(middles[0] - middles[1], dtype=np.float64)


if __name__ == "__main__":
    main()
