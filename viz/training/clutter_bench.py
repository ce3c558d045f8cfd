"""What every run of the clutter task shares: pictures, scenes, splits, views, caches and targets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from viz.models.backbone import load_lite0
from viz.run.engine import pick_device
from viz.training.clutter_learn import ClutterData, plain_logits
from viz.training.clutter_views import ClutterPlan, SceneSet, make_scenes
from viz.training.features import Maps, cached_maps, whole_logits
from viz.training.pictures import Photo, read_photos
from viz.training.scenes import Scene, read_scenes
from viz.training.taps import cached_taps
from viz.training.views import Pools, labels_of, make_pools, singles

SPLITS = ("train", "val", "test")


@dataclass(frozen=True)
class Folders:
    """Where the pictures lie, each with an index.csv."""

    imagenette: Path
    samples: Path
    caltech: Path
    scenes: Path


@dataclass
class ClutterBench:
    """Everything a run needs. `clean` (pictures, 1000): plain Lite0's logits on each picture alone."""

    out: Path
    photos: list[Photo]
    backgrounds: Mapping[str, Sequence[Path]]
    pools: Pools
    labels: list[int]
    clean: Tensor
    sets: dict[str, SceneSet]
    device: torch.device

    def maps(self, name: str) -> Maps:
        """Cached maps of a set of views; views to train on are computed in bfloat16."""
        chosen = self.sets[name]
        behind = self.backgrounds[chosen.split] if chosen.split else []
        backbone = load_lite0().to(self.device)
        fast = name.startswith("train")
        return cached_taps(self.out / "features", name, chosen.views, self.photos, behind, backbone, fast=fast)

    def classes(self, name: str) -> Tensor:
        return torch.tensor(self.sets[name].classes)

    def data(self) -> ClutterData:
        """What training reads."""
        allowed = torch.ones(self.clean.shape[1], dtype=torch.bool)
        allowed[list(self.pools.held_out.classes)] = False
        photos = torch.tensor([view.photo for view in self.sets["train"].views])
        # Crops and whole pictures: a module that saw crops alone fails whole pictures more often.
        alone = [self.maps("train_alone"), self.maps("train_whole")]
        backbone = load_lite0().to(self.device)
        kept = torch.cat([plain_logits(maps, backbone) for maps in alone])
        return ClutterData(self.maps("train"), self.classes("train"), self.clean[photos], alone, kept, allowed)

    def facts(self) -> dict[str, object]:
        """What the cards say of the data: counts, held-out classes, seed."""
        held = self.pools.held_out
        sources = [self.photos[i].source for i in self.pools.train]
        return {
            "trained_on": {s: sources.count(s) for s in sorted(set(sources))},
            "trained_classes": len({self.labels[i] for i in self.pools.train}),
            "views": {k: len(v.views) for k, v in self.sets.items()},
            "scenes": {k: len(v) for k, v in self.backgrounds.items()},
            "held_out": {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(held).items()},
        }


def open_bench(folders: Folders, out: Path, plan: ClutterPlan, device: str) -> ClutterBench:
    """Read the folders, name the Caltech pictures by plain Lite0's word, split, and draw all views.

    The split of pictures and classes is the one that the TDAM searchlight was trained with.
    """
    photos = read_photos(folders.imagenette, folders.samples, folders.caltech)
    where = pick_device(device)
    backbone = load_lite0().to(where)
    clean = whole_logits(cached_maps(out / "features", "singles", singles(photos), photos, backbone), backbone)
    labels = labels_of(photos, clean)
    pools = make_pools(photos, labels, plan.data_seed)
    backgrounds = {split: read_scenes(folders.scenes, split) for split in SPLITS}
    sets = make_scenes(photos, labels, pools, {k: len(v) for k, v in backgrounds.items()}, plan)
    alone = {
        "train_whole": pools.train,
        "alone_nette": pools.report_nette,
        "alone_unseen": pools.report_unseen,
        "alone_choose_nette": pools.choose_nette,
        "alone_choose_unseen": pools.choose_unseen,
    }
    for name, places in alone.items():
        sets[name] = SceneSet(name, "", tuple(Scene(i) for i in places), tuple(labels[i] for i in places))
    return ClutterBench(out, photos, backgrounds, pools, labels, clean, sets, where)


def true_boxes(bench: ClutterBench, name: str) -> tuple[list[int], list[tuple[tuple[float, float, float, float], ...]]]:
    """Places in a set of whole pictures that have boxes, and these boxes in pixels of the 224x224 view."""
    found = [(k, bench.photos[v.photo].boxes) for k, v in enumerate(bench.sets[name].views)]
    chosen = [(k, boxes) for k, boxes in found if boxes]
    return [k for k, _ in chosen], [boxes for _, boxes in chosen]


def take(maps: Maps, places: Sequence[int]) -> Maps:
    """Some views of a cache, in memory."""
    return np.array(maps[list(places)])
