"""Views: what the networks see, described by numbers first, drawn from a seed, and painted later.

The description is a small dataclass, so that a cache of features can be made, interrupted and continued.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, Protocol, TypeVar

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from recipes.pictures import SIZE, Photo, Pictures

Region = tuple[int, int, int, int]
# Shares of the folders. Single pictures keep their class only if many classes are seen alone.
SINGLE_WEIGHTS = {"imagenette": 0.35, "samples": 0.4, "caltech": 0.25}
TRAIN_WEIGHTS = {"imagenette": 0.25, "samples": 0.45, "caltech": 0.30}
EVEN_WEIGHTS = dict.fromkeys(TRAIN_WEIGHTS, 1.0)


class View(Protocol):
    """One 224x224 view, made of pictures and perhaps of a street scene."""

    def paint(self, photos: Sequence[Photo], scenes: Sequence[Path]) -> Image.Image:
        """The RGB view."""
        ...

    def key(self, photos: Sequence[Photo], scenes: Sequence[Path]) -> object:
        """What tells this view from all others, for the name of a cache."""
        ...


V = TypeVar("V", bound=View)


@dataclass(frozen=True)
class ViewSet(Generic[V]):
    """Views of one purpose. `classes` is one row per view, the class of each part; `split` names the scenes used."""

    views: tuple[V, ...]
    classes: tuple[tuple[int, ...], ...]
    split: str = ""


def draw_views(
    rng: np.random.Generator,
    pictures: Pictures,
    chosen: Sequence[Sequence[int]],
    make: Callable[[np.random.Generator, Sequence[int]], V],
    split: str = "",
) -> ViewSet[V]:
    """Describe one view of each choice of pictures."""
    classes = tuple(tuple(pictures.labels[i] for i in photos) for photos in chosen)
    return ViewSet(tuple(make(rng, photos) for photos in chosen), classes, split)


def choices(
    rng: np.random.Generator, pictures: Pictures, pool: Sequence[int], parts: int, weights: Mapping[str, float]
) -> Iterator[list[int]]:
    """Endless draws of `parts` pictures of different classes, so that no class and no folder dominates.

    Args:
        pool: places of the pictures that may be drawn. weights: of the folders; classes inside a folder are equal.
    """
    members: dict[str, dict[int, list[int]]] = {}
    for i in pool:
        members.setdefault(pictures.photos[i].source, {}).setdefault(pictures.labels[i], []).append(i)
    groups = [[members[g][c] for c in sorted(members[g])] for g in sorted(members)]
    odds = np.array([weights[g] for g in sorted(members)])
    while True:
        chosen: dict[int, int] = {}
        while len(chosen) < parts:
            group = groups[int(rng.choice(len(groups), p=odds / odds.sum()))]
            same = group[int(rng.integers(len(group)))]
            photo = same[int(rng.integers(len(same)))]
            chosen.setdefault(pictures.labels[photo], photo)
        yield list(chosen.values())


def covered(region: Region, cells: int) -> Tensor:
    """(cells, cells) share of each cell that a region of the view fills."""
    x0, y0, x1, y1 = region
    mask = torch.zeros(SIZE, SIZE)
    mask[y0:y1, x0:x1] = 1
    return F.avg_pool2d(mask[None, None], SIZE // cells)[0, 0]
