"""Does the gain in clutter hold on other backgrounds? The same pasted photographs on street scenes and elsewhere.

A photograph of a class never trained on is pasted, 72 to 127 pixels wide, into a square crop of a background (as in the
task that PSA, EMA, VISTA and PAKA learned, see their cards) and each bundled network names what the view shows. Which
photograph is pasted, how large and where is the same for all backgrounds. Reported: top-1 for the pasted photograph's
class and the gain over plain Lite0, with 95 % bootstrap intervals (photographs and backgrounds are drawn again).

    python -m benchmarks.clutter_backgrounds --pasted SAMPLES --backgrounds FOLDER[:ROWS] ...

``SAMPLES/index.csv`` has the columns ``image`` and ``class_index``; the classes that the cards hold out for reporting
are used. ``FOLDER/index.csv`` has a column ``image``; ``ROWS`` keeps the rows of a split, or, as ``held_out``, the rows
whose ``label`` the cards hold out for reporting.
"""

from __future__ import annotations

import argparse
import csv
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

import viz
from viz.allocator import keep_memory
from viz.geometry import prepare
from viz.measures.intervals import interval
from viz.models.paths import bundled

RESULTS = Path(__file__).parent / "results" / "clutter_backgrounds.json"
PLAIN = "lite0"
NETWORKS = (PLAIN, "lite0-tdam", "lite0-psa", "lite0-ema", "lite0-vista", "lite0-paka")
SIZE = 224
SMALLEST, LARGEST = 72, 127
BATCH = 8


@dataclass(frozen=True)
class View:
    """A pasted photograph and its class; `left`, `top`, `side` in pixels of the 224x224 view.

    The crop of the background has `share` of its shorter side, at `at` (0..1, 0..1) of the slack; `draw` (0..1) chooses
    the background.
    """

    photograph: Path
    class_index: int
    left: int
    top: int
    side: int
    share: float
    at: tuple[float, float]
    mirror: bool
    draw: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pasted", type=Path, required=True, metavar="SAMPLES")
    parser.add_argument("--backgrounds", nargs="+", required=True, metavar="FOLDER[:ROWS]")
    parser.add_argument("--views", type=int, default=1000, help="of each background; default 1000")
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    keep_memory()
    torch.set_num_threads(1)
    held_out = json.loads((bundled("checkpoints") / "lite0-psa.json").read_text())["data"]["held_out"]
    views = draw(pasted(asked.pasted, held_out["report_classes"]), asked.views, asked.seed)
    models = {name: viz.load(name, "cpu") for name in NETWORKS}
    share_lower_part(models)
    found = {"views": asked.views, "seed": asked.seed, "backgrounds": []}
    for text in asked.backgrounds:
        scenes = backgrounds(text, held_out["report_caltech"])
        chosen = [int(view.draw * len(scenes)) for view in views]
        hits = correct(models, views, [scenes[i] for i in chosen])
        # A photograph and a background occur in several views: both are drawn again.
        places = {path: i for i, path in enumerate(sorted({v.photograph for v in views}))}
        groups = [[places[v.photograph], 10**6 + i] for v, i in zip(views, chosen, strict=True)]
        row = {
            "name": Path(text.partition(":")[0]).name + (f", {text.partition(':')[2]}" if ":" in text else ""),
            "pictures": len(scenes),
            "networks": {
                name: {
                    "top1": interval(hit, groups).to_dict(),
                    "gain": interval(hit - hits[PLAIN], groups).to_dict(),
                }
                for name, hit in hits.items()
            },
        }
        found["backgrounds"].append(row)
        print(f"{row['name']}: {len(scenes)} backgrounds, {asked.views} views")
        for name, of in row["networks"].items():
            print(f"  {name:<12} top-1 {percent(of['top1'], '.1f')}   gain {percent(of['gain'], '+.1f')}", flush=True)
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(found, indent=1) + "\n")


def percent(cell: dict[str, float], form: str) -> str:
    """``+14.2 (+9.3 to +19.3)``."""
    value, low, high = (format(100 * cell[k], form) for k in ("value", "low", "high"))
    return f"{value} ({low} to {high})"


def rows_of(folder: Path) -> list[dict[str, str]]:
    with (folder / "index.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def pasted(folder: Path, classes: Sequence[int]) -> list[tuple[Path, int]]:
    """Photographs of the given ImageNet classes, each with its class."""
    wanted = set(classes)
    rows = [(folder / row["image"], int(row["class_index"])) for row in rows_of(folder)]
    return [(path, index) for path, index in rows if index in wanted]


def backgrounds(text: str, held_out: Sequence[str]) -> list[Path]:
    """Pictures of ``FOLDER[:ROWS]``."""
    name, _, kept = text.partition(":")
    folder = Path(name)
    rows = rows_of(folder)
    if kept == "held_out":
        rows = [row for row in rows if row["label"] in held_out]
    elif kept:
        rows = [row for row in rows if row["split"] == kept]
    if not rows:
        raise SystemExit(f"{text} names no picture.")
    return [folder / row["image"] for row in rows]


def draw(photographs: Sequence[tuple[Path, int]], count: int, seed: int) -> list[View]:
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(count):
        path, index = photographs[int(rng.integers(len(photographs)))]
        side = int(rng.integers(SMALLEST, LARGEST + 1))
        left, top = (int(rng.integers(0, SIZE - side + 1)) for _ in range(2))
        share, x, y = float(rng.uniform(0.6, 1.0)), float(rng.random()), float(rng.random())
        found.append(View(path, index, left, top, side, share, (x, y), bool(rng.random() < 0.5), float(rng.random())))
    return found


def square(path: Path, share: float, at: tuple[float, float], size: int) -> Image.Image:
    """A square of `share` of the picture's shorter side, at `at` of the slack, as `size` x `size` RGB."""
    with Image.open(path) as opened:
        image = opened.convert("RGB")
    side = min(image.size) * share
    left, top = (image.width - side) * at[0], (image.height - side) * at[1]
    box = (left, top, min(left + side, image.width), min(top + side, image.height))
    return image.resize((size, size), Image.Resampling.BICUBIC, box=box)


def painted(view: View, background: Path) -> NDArray[np.uint8]:
    """(224, 224, 3) RGB."""
    canvas = square(background, view.share, view.at, SIZE)
    if view.mirror:
        canvas = canvas.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    canvas.paste(square(view.photograph, 1.0, (0.5, 0.5), view.side), (view.left, view.top))
    return np.asarray(canvas)


def share_lower_part(models: dict[str, viz.Model]) -> None:
    """Compute the lower part once for a batch: all networks have the same frozen one, and it takes most of the time."""
    compute = models[PLAIN].network.taps
    last: list[tuple[Tensor, list[Tensor]]] = []

    def taps(x: Tensor) -> list[Tensor]:
        if not last or last[0][0] is not x:
            last[:] = [(x, compute(x))]
        return last[0][1]

    for model in models.values():
        getattr(model.network, "backbone", model.network).taps = taps


@torch.inference_mode()
def correct(
    models: dict[str, viz.Model], views: Sequence[View], scenes: Sequence[Path]
) -> dict[str, NDArray[np.float64]]:
    """For each network and view: 1 where its best class is that of the pasted photograph, else 0."""
    hits: dict[str, list[NDArray[np.float64]]] = {name: [] for name in models}
    rule = models[PLAIN].card.preprocessing
    for start in range(0, len(views), BATCH):
        part, behind = views[start : start + BATCH], scenes[start : start + BATCH]
        pictures = [viz.open_picture(painted(v, b)) for v, b in zip(part, behind, strict=True)]
        x = torch.cat([prepare(p, rule, "squash")[0] for p in pictures])
        x = x.contiguous(memory_format=torch.channels_last)  # depthwise convolutions then take half the time
        classes = torch.tensor([v.class_index for v in part])
        for name, model in models.items():
            hits[name].append((model.network(x).argmax(dim=1) == classes).double().numpy())
    return {name: np.concatenate(parts) for name, parts in hits.items()}


if __name__ == "__main__":
    main()
