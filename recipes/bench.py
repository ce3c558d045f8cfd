"""The inputs of every run of a recipe: pictures, views, cached features and plain Lite0's answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Generic

import torch
from torch import Tensor

from recipes.features import TOP, Layer, Maps, cached, lite0, plain_logits
from recipes.pictures import Photo, Pictures, hold_out, labels_of, split_pictures
from recipes.tdam.collages import single
from recipes.views import V, ViewSet
from viz.datasets.core import Box

Scenes = Mapping[str, Sequence[Path]]


@dataclass(frozen=True)
class Answers:
    """Plain Lite0 on each single picture: last `maps` (pictures, 320, 7, 7) and `logits` (pictures, 1000)."""

    maps: Maps
    logits: Tensor


@dataclass(frozen=True)
class Bench(Generic[V]):
    """The inputs of a run.

    Attributes:
        out: folder of caches, runs, weights and figures. plain: plain Lite0 on the pictures.
        layer: the cached features of the views. sets: the views by name. scenes: pictures of street scenes by split.
    """

    out: Path
    device: torch.device
    pictures: Pictures
    plain: Answers
    layer: Layer
    sets: Mapping[str, ViewSet[V]]
    scenes: Scenes

    def maps(self, name: str) -> Maps:
        """Cached maps of a set of views."""
        chosen = self.sets[name]
        sources = (self.pictures.photos, self.scenes.get(chosen.split, ()))
        return cached(self.out, name, chosen.views, sources, layer=self.layer, backbone=lite0(self.device))

    def classes(self, name: str) -> Tensor:
        """(views, parts) classes of a set of views."""
        return torch.tensor(self.sets[name].classes)

    def clean(self, photos: Sequence[Sequence[int]]) -> Tensor:
        """(views, parts, 1000) plain Lite0's logits on each part of some views as a single picture."""
        return self.plain.logits[torch.tensor(photos)]

    def allowed(self) -> Tensor:
        """(1000,) bool, False for held-out classes."""
        allowed = torch.ones(self.plain.logits.shape[1], dtype=torch.bool)
        allowed[list(self.pictures.held_out.classes)] = False
        return allowed

    def boxes(self, photos: Sequence[int]) -> dict[int, tuple[Box, ...]]:
        """True boxes in pixels of the view, by position in a list of pictures; pictures without boxes are left out."""
        return {k: boxes for k, i in enumerate(photos) if (boxes := self.pictures.photos[i].boxes)}

    def facts(self) -> dict[str, object]:
        """The data on the cards: counts, held-out classes, seed."""
        pictures, held = self.pictures, asdict(self.pictures.held_out)
        train = pictures.pools["train"]
        sources = [pictures.photos[i].source for i in train]
        return {
            "trained_on": {s: sources.count(s) for s in sorted(set(sources))},
            "trained_classes": len({pictures.labels[i] for i in train}),
            "views": {k: len(v.views) for k, v in self.sets.items()},
            **({"scenes": {k: len(v) for k, v in self.scenes.items()}} if self.scenes else {}),
            "held_out": {k: list(v) if isinstance(v, tuple) else v for k, v in held.items()},
        }


def named_pictures(
    photos: Sequence[Photo], out: Path, device: torch.device, held_out: tuple[int, int], seed: int = 7
) -> tuple[Pictures, Answers]:
    """Label the Caltech pictures by plain Lite0 and split all pictures.

    Args:
        held_out: number of classes of ImageNet and of Caltech-101 held out of training. seed: of the data.
    """
    backbone, every = lite0(device), [single(i) for i in range(len(photos))]
    maps = cached(out, "singles", every, (photos, ()), layer=TOP, backbone=backbone)
    plain = Answers(maps, plain_logits(maps, backbone).clone())
    labels = labels_of(photos, plain.logits)
    return split_pictures(photos, labels, hold_out(photos, seed, *held_out)), plain
