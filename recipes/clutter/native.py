"""Each family's own spatial map: the place where its attention can be read."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from recipes.readings import Key
from viz.models.networks.base import StepNetwork

# The label of each family's own spatial map.
NATIVE: dict[str, str] = {
    "tdam": "spatial_gate",
    "psa": "spatial_gate",
    "ema": "group_gate",
    "vista": "structured",
    "paka": "kernel_attention",
}
# Families whose own map should say where the thing is; PAKA's says how much a cell takes in.
PLACES = frozenset({"psa", "ema", "vista"})


def native_map(network: StepNetwork, values: Mapping[Key, Tensor]) -> Tensor:
    """(N, h, w): the family's own spatial attention at its last step.

    TDAM and PSA: the spatial gate. EMA: the mean of the groups' gates. VISTA: the structured tensors' channel means,
    averaged over the messages with the absolute strength of each as weight. PAKA: the kernel attention, averaged over
    the taps of the last level (the total input of a cell).
    """
    chosen = {k: v for k, v in values.items() if k[0].rpartition(".")[2] == NATIVE[network.family or ""]}
    last = max(step for _, step in chosen)
    maps = {name: v if v.ndim == 3 else v.mean(dim=1) for (name, step), v in chosen.items() if step == last}
    weights = {name: _strength(network, name) for name in maps}
    total = sum(weights.values())
    return torch.stack([weights[name] / total * value for name, value in maps.items()]).sum(dim=0)


def _strength(network: StepNetwork, name: str) -> float:
    """Weight of one module's map: the strength of a VISTA message, else 1."""
    strength = getattr(network.get_submodule(name.rpartition(".")[0]), "strength", None)
    return abs(float(strength.detach())) + 1e-9 if isinstance(strength, Tensor) else 1.0
