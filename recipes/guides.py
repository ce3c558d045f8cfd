"""Class maps of the frozen network as guides of a trained map: weak supervision, from labels alone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from recipes.readings import Key
from viz.capture.probe import Edit, edited, probes_of
from viz.models.networks.lite0_attended import resized

# Shares of a class map's highest value: up to the first nothing is seen, from the second on a thing as a whole.
LOW, HIGH = 0.1, 0.5


@torch.no_grad()
def guides(features: Tensor, weights: Tensor, like: Tensor, floors: Tensor) -> Tensor:
    """(N, h, w) where the class map of each view says that the thing is, at the size of the maps `like` (N, C, h, w): 1
    on the thing, the floor elsewhere, and a slope from `LOW` to `HIGH` in between.

    A gate made of the class map itself would weaken all of a thing but its most telling part.

    Args:
        features: (N, 1280, 7, 7) plain Lite0's class features. weights: (N, 1280) of the class layer for each label.
        floors: (N,) 0..1.
    """
    found = resized(torch.einsum("nchw,nc->nhw", features, weights).relu()[:, None], like)[:, 0]
    found = found / found.amax(dim=(1, 2), keepdim=True).clamp_min(1e-6)
    low = floors[:, None, None]
    return low + (1 - low) * ((found - LOW) / (HIGH - LOW)).clamp(0, 1)


def unlike(maps: Tensor, guide: Tensor) -> Tensor:
    """(N,) generalised Kullback-Leibler divergence of each map from its guide, both (N, h, w) and not negative, over
    the guide's sum: sum (m log(m / g) - m + g) / sum g.

    In this direction a map that cannot tell two things apart chooses one of them instead of both. It also fixes the
    map's height, so that a thing has about 1.
    """
    maps, guide = maps.clamp_min(1e-6), guide.clamp_min(1e-6)
    apart = maps * (maps.log() - guide.log()) - maps + guide
    return apart.sum(dim=(1, 2)) / guide.sum(dim=(1, 2))


@contextmanager
def watched(network: nn.Module, label: str) -> Iterator[dict[Key, Tensor]]:
    """Values of the probes with this label, by name and step, with their gradients."""
    seen: dict[Key, Tensor] = {}

    def keeping(name: str) -> Edit:
        def keep(value: Tensor, step: int) -> Tensor:
            seen[name, step] = value
            return value

        return keep

    names = [name for name in probes_of(network) if name.rpartition(".")[2] == label]
    with edited(network, {name: keeping(name) for name in names}):
        yield seen
