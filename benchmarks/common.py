"""What the benchmarks share: interleaved CPU time on one thread, a table, and a JSON file without dates."""

from __future__ import annotations

import argparse
import gc
import json
import statistics
import time
from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2
import torch
from torch import Tensor, nn

from viz.capture.probe import Probe
from viz.core.card import ModelCard
from viz.core.trace import ClassHead
from viz.models.cards import labels_for
from viz.models.networks.td_resnet import TDResNet, released_config
from viz.models.paths import bundled
from viz.picture import Picture, open_picture
from viz.run.engine import Model, load, versions

RESULTS = Path(__file__).parent / "results"


@dataclass(frozen=True)
class Timing:
    """CPU milliseconds over the rounds, and the ratio to the base: the median of the rounds' own ratios."""

    name: str
    median_ms: float
    min_ms: float
    ratio: float
    ratio_of_minima: float


def rounds_from_command_line(default: int = 15) -> int:
    """``--rounds N``; fewer than 15 are for trying out only."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=default)
    return int(parser.parse_args().rounds)


def one_thread() -> None:
    """Both libraries on one thread: spinning helpers would be counted as CPU time."""
    torch.set_num_threads(1)
    cv2.setNumThreads(1)


def interleave(
    jobs: Mapping[str, Callable[[], Any]],
    base: str,
    rounds: int,
    warmup: int = 2,
    clock: Callable[[], int] = time.process_time_ns,
) -> list[Timing]:
    """Run every job once a round, each round starting at another job, so that slow moments hit all alike.

    Args:
        clock: the CPU time spent so far, nanoseconds; default this process's own.
    """
    names = list(jobs)
    for _ in range(warmup):
        for name in names:
            jobs[name]()
    spent: dict[str, list[float]] = {name: [] for name in names}
    gc.collect()
    gc.disable()
    try:
        for r in range(rounds):
            for name in names[r % len(names) :] + names[: r % len(names)]:
                start = clock()
                jobs[name]()
                spent[name].append((clock() - start) / 1e6)
            gc.collect()
    finally:
        gc.enable()
    floor = spent[base]
    return [
        Timing(
            name,
            round(statistics.median(ms), 3),
            round(min(ms), 3),
            round(statistics.median(a / b for a, b in zip(ms, floor, strict=True)), 4),
            round(min(ms) / min(floor), 4),
        )
        for name, ms in spent.items()
    ]


def show(title: str, rows: list[Timing]) -> None:
    """Print a Markdown table."""
    print(f"\n{title}\n\n| what | median ms | min ms | ratio | ratio of minima |\n| --- | ---: | ---: | ---: | ---: |")
    for r in rows:
        print(
            f"| {r.name} | {r.median_ms:.1f} | {r.min_ms:.1f} | {r.ratio:.3f} | {r.ratio_of_minima:.3f} |", flush=True
        )


def save(name: str, rounds: int, tables: Mapping[str, list[Timing]], **more: Any) -> None:
    """Write benchmarks/results/<name>.json."""
    RESULTS.mkdir(exist_ok=True)
    data = {
        "benchmark": name,
        "unit": "ms of process CPU time, one thread, interleaved",
        "rounds": rounds,
        "versions": versions(),
        **more,
        "tables": {title: [asdict(r) for r in rows] for title, rows in tables.items()},
    }
    (RESULTS / f"{name}.json").write_text(json.dumps(data, indent=2) + "\n")


def td_resnet50() -> Model:
    """TD-ResNet-50 as published (T = 2), random weights: time does not depend on them."""
    torch.manual_seed(0)
    network = TDResNet(released_config(50)).eval().requires_grad_(False)
    card = ModelCard("td-resnet50", "TD-ResNet-50, random weights", "tdam", "td_resnet", steps=network.steps)
    weights = network.class_weights().clone().numpy()
    return Model(card, network, ClassHead(weights, labels_for(1000)), card.geometry, torch.device("cpu"), torch.float32)


def models() -> dict[str, Model]:
    """What is measured."""
    return {
        "TD-ResNet-50 (T = 2)": td_resnet50(),
        "lite0": load("lite0", "cpu"),
        "lite0-tdam": load("lite0-tdam", "cpu"),
    }


def photo() -> tuple[bytes, Picture]:
    """A JPEG of 500 x 375 pixels made of a bundled sample, and the opened picture."""
    rgb = open_picture(bundled("assets") / "coffee.jpg").rgb
    small = cv2.resize(rgb, (500, 375), interpolation=cv2.INTER_AREA)
    data = cv2.imencode(".jpg", small[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 90])[1].tobytes()
    return data, open_picture(data, name="photo.jpg")


def without_probes(network: nn.Module) -> nn.Module:
    """A copy whose probes are bare functions: the network as it would be without Searchlight."""

    def same(value: Tensor, step: int = 1) -> Tensor:
        return value

    copy = deepcopy(network)
    for module in list(copy.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, Probe):
                delattr(module, name)
                object.__setattr__(module, name, same)
    return copy
