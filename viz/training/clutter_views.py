"""Which views the clutter task trains on, chooses by and reports on; drawn once from the seed of the data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from viz.training.collages import Sampler
from viz.training.pictures import Photo
from viz.training.scenes import Scene, crop_alone, place
from viz.training.views import SINGLE_WEIGHTS, TRAIN_WEIGHTS, Pools


@dataclass(frozen=True)
class ClutterPlan:
    """Counts of views. The defaults made the bundled checkpoints."""

    data_seed: int = 7
    train: int = 12000
    train_alone: int = 6000
    choose: int = 500
    report_nette: int = 500
    report_unseen: int = 1000
    report_caltech: int = 500


@dataclass(frozen=True)
class SceneSet:
    """Views of one purpose. `classes` holds the ImageNet class of each view; `split` names the scenes they use."""

    name: str
    split: str
    views: tuple[Scene, ...]
    classes: tuple[int, ...]


def make_scenes(
    photos: Sequence[Photo], labels: Sequence[int], pools: Pools, backgrounds: dict[str, int], plan: ClutterPlan
) -> dict[str, SceneSet]:
    """All views of the plan by name, each set from its own stream of random numbers.

    Args:
        labels: class of each picture. backgrounds: how many scenes each split (``train``, ``val``, ``test``) has.
    """
    sources = [p.source for p in photos]
    even = dict.fromkeys(TRAIN_WEIGHTS, 1.0)
    wanted: list[tuple[str, str, tuple[int, ...], int, dict[str, float]]] = [
        ("train", "train", pools.train, plan.train, TRAIN_WEIGHTS),
        ("train_alone", "", pools.train, plan.train_alone, SINGLE_WEIGHTS),
        ("choose_nette", "val", pools.choose_nette, plan.choose, even),
        ("choose_unseen", "val", pools.choose_unseen, plan.choose, even),
        ("report_nette", "test", pools.report_nette, plan.report_nette, even),
        ("report_unseen", "test", pools.report_unseen, plan.report_unseen, even),
        ("report_caltech", "test", pools.report_caltech, plan.report_caltech, even),
    ]
    found: dict[str, SceneSet] = {}
    for stream, (name, split, pool, count, weights) in enumerate(wanted):
        rng = np.random.default_rng((plan.data_seed, 100 + stream))
        sampler = Sampler(pool, sources, labels, weights)
        drawn = [sampler.draw(rng, 1)[0] for _ in range(count)]
        views = [
            place(rng, i, backgrounds[split], vary=name == "train") if split else crop_alone(rng, i) for i in drawn
        ]
        found[name] = SceneSet(name, split, tuple(views), tuple(labels[i] for i in drawn))
    return found


def every_picture(photos: Sequence[Photo]) -> tuple[Scene, ...]:
    """Every picture alone, as the network sees it."""
    return tuple(Scene(i) for i in range(len(photos)))
