"""The cost of a module relative to plain Lite0: parameters, multiply-adds, CPU time."""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass

import torch
from torch.utils.flop_counter import FlopCounterMode

from viz.models.networks.base import StepNetwork
from viz.models.networks.efficientnet_lite import EfficientNetLite0


@dataclass(frozen=True)
class Cost:
    """`parameters` of the module alone; `macs` of one 224x224 picture in millions (convolutions and matrix products
    only), and the part that the module adds; `cpu_ratio` to plain Lite0 for one picture, one thread, medians."""

    parameters: int
    macs: float
    added_macs: float
    cpu_ratio: float

    def to_dict(self) -> dict[str, float]:
        return {k: round(v, 4) for k, v in asdict(self).items()}


@torch.inference_mode()
def macs(network: StepNetwork) -> float:
    """Multiply-adds in millions for one 224x224 picture and one answer, that of the last step."""
    with FlopCounterMode(display=False) as counter:
        network(torch.zeros(1, 3, 224, 224))
    return counter.get_total_flops() / 2e6


@torch.inference_mode()
def costs(networks: Mapping[str, StepNetwork], plain: EfficientNetLite0, rounds: int = 30) -> dict[str, Cost]:
    """Costs of several networks, timed in turns with plain Lite0 so that other load affects all equally."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        x = torch.zeros(1, 3, 224, 224)
        every: dict[str, StepNetwork] = {"": plain, **networks}
        for network in every.values():  # all in the layout that users get
            network.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
        times: dict[str, list[float]] = {name: [] for name in every}
        for turn in range(rounds + 2):
            for name, network in every.items():
                started = time.process_time()
                network(x)
                if turn >= 2:
                    times[name].append(time.process_time() - started)
    finally:
        torch.set_num_threads(before)
    floor, base = statistics.median(times[""]), macs(plain)
    held = sum(p.numel() for p in plain.parameters())
    return {
        name: Cost(
            sum(p.numel() for p in network.parameters()) - held,
            macs(network),
            macs(network) - base,
            statistics.median(times[name]) / floor,
        )
        for name, network in networks.items()
    }
