"""Views, the inputs of the networks: described by numbers first, drawn from a seed, and composed later.

The description is a small dataclass, so that a feature cache can be interrupted and resumed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Generic, Protocol, TypeVar

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from recipes.pictures import SIZE, Photo, Pictures
from viz.errors import PictureError

Region = tuple[int, int, int, int]
# Shares of the folders. Single pictures keep their class only if many classes occur as single pictures.
SINGLE_WEIGHTS = {"imagenette": 0.35, "samples": 0.4, "caltech": 0.15, "outlined": 0.1}
TRAIN_WEIGHTS = {"imagenette": 0.2, "samples": 0.4, "caltech": 0.15, "outlined": 0.25}
EVEN_WEIGHTS = dict.fromkeys(TRAIN_WEIGHTS, 1.0)


class View(Protocol):
    """One 224x224 view, made of pictures and perhaps of a street scene."""

    def paint(self, photos: Sequence[Photo], scenes: Sequence[Path]) -> Image.Image:
        """The RGB view."""
        ...

    def key(self, photos: Sequence[Photo], scenes: Sequence[Path]) -> object:
        """A description that identifies this view, for the name of a cache."""
        ...


V = TypeVar("V", bound=View)


@dataclass(frozen=True)
class ViewSet(Generic[V]):
    """Views for one purpose. `classes` has one row per view, the class of each part; `split` names the scenes used."""

    views: tuple[V, ...]
    classes: tuple[tuple[int, ...], ...]
    split: str = ""


@dataclass(frozen=True)
class Kind(Generic[V]):
    """How the views of a set are drawn: shares of the folders, pictures per view, description, split of scenes, and the
    pool of pictures; an empty name stands for ``train`` in training and for the set's own name elsewhere."""

    weights: Mapping[str, float]
    parts: int
    make: Callable[[np.random.Generator, Sequence[int]], V]
    split: str = ""
    pool: str = ""


def draw(
    pictures: Pictures, counts: Mapping[str, int], kind: Callable[[str], Kind[V]], first: int = 0
) -> dict[str, ViewSet[V]]:
    """Views by name of their set, each set from its own stream of random numbers.

    Args:
        counts: of views, in order of the streams. Training sets start with ``train``; the others have the name of the
            pool they draw from. kind: of the views of a set. first: number of the first stream.
    """
    found: dict[str, ViewSet[V]] = {}
    for stream, (name, count) in enumerate(counts.items(), first):
        rng, one, trains = np.random.default_rng((pictures.held_out.seed, stream)), kind(name), name.startswith("train")
        chosen = choices(rng, pictures, pictures.pools.get(one.pool or ("train" if trains else name), ()), one)
        drawn = list(islice(chosen, count))
        classes = tuple(tuple(pictures.labels[i] for i in photos) for photos in drawn)
        found[name] = ViewSet(tuple(one.make(rng, photos) for photos in drawn), classes, one.split)
    return found


def choices(rng: np.random.Generator, pictures: Pictures, pool: Sequence[int], kind: Kind[V]) -> Iterator[list[int]]:
    """Endless draws of pictures of different classes, balanced over classes and folders; `pool` holds indices.

    Raises:
        PictureError: the pool has too few classes.
    """
    members: dict[str, dict[int, list[int]]] = {}
    for i in pool:
        members.setdefault(pictures.photos[i].source, {}).setdefault(pictures.labels[i], []).append(i)
    groups = [[members[g][c] for c in sorted(members[g])] for g in sorted(members)]
    odds = np.array([kind.weights[g] for g in sorted(members)])
    classes = len({pictures.labels[i] for i in pool})
    if classes < kind.parts:
        raise PictureError(f"A view needs pictures of {kind.parts} classes, and there are only {classes}.")
    while True:
        chosen: dict[int, int] = {}
        while len(chosen) < kind.parts:
            group = groups[int(rng.choice(len(groups), p=odds / odds.sum()))]
            same = group[int(rng.integers(len(group)))]
            photo = same[int(rng.integers(len(same)))]
            chosen.setdefault(pictures.labels[photo], photo)
        yield list(chosen.values())


def covered(region: Region, cells: int) -> Tensor:
    """(cells, cells) share of each cell that a region of the view covers."""
    x0, y0, x1, y1 = region
    mask = torch.zeros(SIZE, SIZE)
    mask[y0:y1, x0:x1] = 1
    return F.avg_pool2d(mask[None, None], SIZE // cells)[0, 0]
