"""Which views a recipe trains on, chooses by and reports on; drawn once from the seed of the data."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from torch import Tensor

from viz.training.collages import TEST_STYLE, TRAIN_STYLE, Collage, Sampler, Style, compose, single
from viz.training.pictures import UNKNOWN, HeldOut, Photo, hold_out

CONFIDENT = 0.5
# Single pictures keep their class on classes never trained on only if many classes are seen alone.
SINGLE_WEIGHTS = {"imagenette": 0.35, "samples": 0.4, "caltech": 0.25}
TRAIN_WEIGHTS = {"imagenette": 0.25, "samples": 0.45, "caltech": 0.30}


@dataclass(frozen=True)
class Plan:
    """Counts of views. The defaults made the bundled checkpoint."""

    data_seed: int = 7
    train_pairs: int = 8000
    train_triples: int = 0
    choose: int = 400
    report_nette: int = 800
    report_unseen: int = 600
    report_caltech: int = 400
    report_triples: int = 0
    train_singles: int = 16000


@dataclass(frozen=True)
class ViewSet:
    """Views of one purpose. `classes` is one row a view: the ImageNet class of each part, as named below."""

    name: str
    views: tuple[Collage, ...]
    classes: tuple[tuple[int, ...], ...]


def labels_of(photos: list[Photo], logits: Tensor) -> list[int]:
    """ImageNet class of each picture: its own, or else what plain Lite0 says with confidence, or else -1.

    Args:
        logits: (pictures, 1000) of plain Lite0 on each picture alone.
    """
    sure, named = logits.softmax(dim=1).max(dim=1)
    return [
        p.class_index if p.class_index != UNKNOWN else int(n) if float(s) >= CONFIDENT else UNKNOWN
        for p, s, n in zip(photos, sure, named, strict=True)
    ]


@dataclass(frozen=True)
class Pools:
    """Places of pictures by purpose."""

    held_out: HeldOut
    train: tuple[int, ...]
    choose_nette: tuple[int, ...]
    choose_unseen: tuple[int, ...]
    report_nette: tuple[int, ...]
    report_unseen: tuple[int, ...]
    report_caltech: tuple[int, ...]


def make_pools(photos: list[Photo], labels: list[int], seed: int) -> Pools:
    """Split the pictures. Nothing of a held-out class, by label or by plain Lite0's word, is trained on."""
    held = hold_out(photos, seed)

    def trains(i: int) -> bool:
        photo = photos[i]
        kept = photo.label not in held.caltech if photo.source == "caltech" else photo.split in ("", "train")
        return kept and labels[i] != UNKNOWN and labels[i] not in held.classes

    places = range(len(photos))

    def nette(split: str) -> tuple[int, ...]:
        return tuple(i for i in places if photos[i].source == "imagenette" and photos[i].split == split)

    def samples(classes: tuple[int, ...]) -> tuple[int, ...]:
        wanted = set(classes)
        return tuple(i for i in places if photos[i].source == "samples" and photos[i].class_index in wanted)

    caltech = set(held.report_caltech)
    return Pools(
        held,
        tuple(i for i in places if trains(i)),
        nette("val"),
        samples(held.choose_classes),
        nette("loc_val"),
        samples(held.report_classes),
        tuple(i for i in places if photos[i].label in caltech and labels[i] != UNKNOWN),
    )


def make_views(photos: list[Photo], labels: list[int], pools: Pools, plan: Plan) -> dict[str, ViewSet]:
    """All collages of the plan by name, each set from its own stream of random numbers."""
    sources = [p.source for p in photos]
    even = dict.fromkeys(TRAIN_WEIGHTS, 1.0)
    wanted: list[tuple[str, tuple[int, ...], int, int, Style, dict[str, float]]] = [
        ("choose_nette", pools.choose_nette, 2, plan.choose, TEST_STYLE, even),
        ("choose_unseen", pools.choose_unseen, 2, plan.choose, TEST_STYLE, even),
        ("report_nette", pools.report_nette, 2, plan.report_nette, TEST_STYLE, even),
        ("report_unseen", pools.report_unseen, 2, plan.report_unseen, TEST_STYLE, even),
        ("report_caltech", pools.report_caltech, 2, plan.report_caltech, TEST_STYLE, even),
        ("train_pairs", pools.train, 2, plan.train_pairs, TRAIN_STYLE, TRAIN_WEIGHTS),
        ("train_triples", pools.train, 3, plan.train_triples, TRAIN_STYLE, TRAIN_WEIGHTS),
        ("report_triples", pools.report_nette, 3, plan.report_triples, TEST_STYLE, even),
        ("train_singles", pools.train, 1, plan.train_singles, TRAIN_STYLE, SINGLE_WEIGHTS),
    ]
    found: dict[str, ViewSet] = {}
    for stream, (name, pool, parts, count, style, weights) in enumerate(wanted):
        rng = np.random.default_rng((plan.data_seed, stream))
        sampler = Sampler(pool, sources, labels, weights)
        drawn = [sampler.draw(rng, parts) for _ in range(count)]
        found[name] = ViewSet(
            name,
            tuple(compose(rng, photos_of, style) for photos_of in drawn),
            tuple(tuple(labels[i] for i in photos_of) for photos_of in drawn),
        )
    return found


def singles(photos: list[Photo]) -> tuple[Collage, ...]:
    """Every picture alone."""
    return tuple(single(i) for i in range(len(photos)))
