"""The command that made ``checkpoints/lite0-tdam``: ``python -m viz.training.tdam train | measure | card ...``.

``train`` caches features, trains one searchlight for each seed and writes the weights; ``measure`` writes the figures;
``card`` renders both cards. Every part continues where an interrupted run stopped.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from viz.errors import CheckpointError, VizError
from viz.models.backbone import load_lite0
from viz.models.networks.lite0_tdam import Lite0TDAM, Lite0TDAMConfig
from viz.run.engine import pick_device
from viz.training.features import Maps, cached_maps, whole_logits
from viz.training.hashes import parameters_sha256
from viz.training.learn import Recipe, TrainingData, prepare, start_from_head, train
from viz.training.measure import Figure, choose_ratio, collage_figures, loc_val_boxes, single_figures
from viz.training.pictures import Photo, read_photos
from viz.training.views import Plan, Pools, ViewSet, labels_of, make_pools, make_views, singles

log = logging.getLogger(__name__)
NAME = "lite0-tdam"
CONFIG = Lite0TDAMConfig(steps=2, width=256, sequence="spatial", top="feedback")
RECIPE = Recipe()


@dataclass
class Bench:
    """Everything a run shares: pictures, pools, views, the frozen network and where the cache lies."""

    out: Path
    photos: list[Photo]
    pools: Pools
    views: dict[str, ViewSet]
    alone: Maps
    targets: torch.Tensor
    labels: list[int]
    device: torch.device

    def maps(self, name: str) -> Maps:
        """Cached maps of a set of views; views to train on are computed in bfloat16."""
        views = self.views[name].views
        network = load_lite0().to(self.device)
        return cached_maps(self.out / "features", name, views, self.photos, network, fast=name.startswith("train"))

    def classes(self, name: str) -> torch.Tensor:
        return torch.tensor(self.views[name].classes)


def open_bench(imagenette: Path, samples: Path, caltech: Path, *, out: Path, plan: Plan, device: str) -> Bench:
    """Read the folders, cache every picture alone, name the Caltech pictures, split, and draw all collages."""
    photos = read_photos(imagenette, samples, caltech)
    where = pick_device(device)
    backbone = load_lite0().to(where)
    alone = cached_maps(out / "features", "singles", singles(photos), photos, backbone)
    targets = whole_logits(alone, backbone)
    labels = labels_of(photos, targets)
    pools = make_pools(photos, labels, plan.data_seed)
    return Bench(out, photos, pools, make_views(photos, labels, pools, plan), alone, targets, labels, where)


def new_network(config: Lite0TDAMConfig, seed: int, device: torch.device) -> Lite0TDAM:
    """Lite0-TDAM on the published backbone with a random searchlight."""
    torch.manual_seed(seed)
    network = Lite0TDAM(**asdict(config))
    network.backbone.load_state_dict(load_lite0().state_dict())
    network.backbone.freeze()
    return network.to(device)


def run_training(bench: Bench, config: Lite0TDAMConfig, recipe: Recipe) -> tuple[Lite0TDAM, Path]:
    """Train one seed and write ``lite0-tdam-seedN.safetensors`` with its metadata."""
    started = time.monotonic()
    pairs = bench.views["train_pairs"]
    triples = bench.views["train_triples"]
    allowed = torch.ones(bench.targets.shape[1], dtype=torch.bool)
    allowed[list(bench.pools.held_out.classes)] = False
    data = TrainingData(
        np.array(bench.maps("train_pairs")),
        bench.classes("train_pairs"),
        torch.tensor([[p.photo for p in v.parts] for v in pairs.views]),
        np.array(bench.maps("train_triples")) if triples.views else None,
        bench.classes("train_triples"),
        np.concatenate([np.array(bench.maps("train_singles")), np.array(bench.alone[list(bench.pools.train)])]),
        bench.targets,
        allowed,
    )
    network = new_network(config, recipe.seed, bench.device)
    before = parameters_sha256(network.backbone)
    prepare(network, data.pairs)
    start_from_head(network, recipe.gain)
    losses, seconds = train(config, network, data, recipe, bench.out / "runs")
    if parameters_sha256(network.backbone) != before:
        raise CheckpointError("The backbone changed during training; nothing was written.")
    path = bench.out / f"{NAME}-seed{recipe.seed}.safetensors"
    meta = {
        "network": "Lite0TDAM",
        "config": config.to_json(),
        "recipe": json.dumps(asdict(recipe), sort_keys=True),
        "minutes": f"{sum(seconds) / 60:.1f}",
        "losses": json.dumps([round(x, 4) for x in losses]),
    }
    part = path.with_suffix(".part")
    save_file(stored(network), part, metadata=meta)
    os.replace(part, path)  # noqa: PTH105
    log.info("wrote %s after %.1f minutes", path.name, (time.monotonic() - started) / 60)
    return network, path


def stored(network: Lite0TDAM) -> dict[str, torch.Tensor]:
    """What the file holds: the searchlight in float16, which halves it, and the buffers as they are.

    Figures are measured on the network as it is read back from the file.
    """
    state = {k: v.detach().cpu().contiguous() for k, v in network.module_state().items()}
    return {k: v.half() if k.startswith("searchlight.") else v for k, v in state.items()}


def load_network(path: Path, device: torch.device) -> tuple[Lite0TDAM, dict[str, str]]:
    """Network and metadata of a file that `run_training` wrote."""
    with safe_open(path, framework="pt") as file:
        meta = dict(file.metadata() or {})
        state = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    network = new_network(Lite0TDAMConfig.from_json(meta.get("config", "")), 0, torch.device("cpu"))
    network.load_module_state(state)
    return network.eval().to(device), meta


def run_measure(bench: Bench, path: Path) -> dict[str, dict[str, dict[str, float]]]:
    """All figures of one file by set of pictures."""
    network, _ = load_network(path, bench.device)
    control = new_network(network.config, 12345, bench.device)
    prepare(control, bench.maps("train_pairs"))
    ten = sorted({p.class_index for p in bench.photos if p.source == "imagenette"})
    ratio = choose_ratio(
        network, bench.maps("choose_nette"), bench.views["choose_nette"].views, bench.classes("choose_nette")
    )
    found: dict[str, dict[str, Figure]] = {}
    for name in ("report_nette", "report_unseen", "report_caltech"):
        if not bench.views[name].views:
            continue
        found[f"collages_{name.removeprefix('report_')}"] = collage_figures(
            network,
            control,
            maps=bench.maps(name),
            views=bench.views[name].views,
            classes=bench.classes(name),
            ten=ten,
            ratio=ratio,
        )
        log.info("measured %s", name)
    for name, pool in (("loc_val", bench.pools.report_nette), ("unseen", bench.pools.report_unseen)):
        places = list(pool)
        found[f"single_{name}"] = single_figures(network, bench.alone[places], [bench.labels[i] for i in places])
    places = [i for i in bench.pools.report_nette if bench.photos[i].boxes]
    photos = [bench.photos[i] for i in places]
    for step in range(1, network.steps + 1):
        boxes = loc_val_boxes(network, bench.alone[places], photos, step)
        found["single_loc_val"] |= {f"{k}_step{step}": v for k, v in boxes.items()}
    plain = {k: {n: f.to_dict() for n, f in rows.items()} for k, rows in found.items()}
    plain["settings"] = {"box_ratio": {"value": ratio}}
    return plain


def data_facts(bench: Bench) -> dict[str, object]:
    """What the card says of the data: counts, held-out classes, seed."""
    held = bench.pools.held_out
    train_sources = [bench.photos[i].source for i in bench.pools.train]
    return {
        "trained_on": {s: train_sources.count(s) for s in sorted(set(train_sources))},
        "trained_classes": len({bench.labels[i] for i in bench.pools.train}),
        "views": {k: len(v.views) for k, v in bench.views.items()},
        "held_out": {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(held).items()},
    }


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m viz.training.tdam", description=__doc__)
    parser.add_argument("what", choices=("train", "measure", "card"))
    for folder in ("imagenette", "samples", "caltech"):
        parser.add_argument(f"--{folder}", type=Path, required=True, help="folder with an index.csv")
    parser.add_argument("--out", type=Path, required=True, help="cache, runs, weights and figures go here")
    parser.add_argument("--cards", type=Path, default=Path("checkpoints"), help="where `card` writes")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=min(2, os.cpu_count() or 1))
    args = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    torch.set_num_threads(args.threads)
    try:
        return _run(args)
    except VizError as error:
        parser.exit(2, f"{error}\n")


def _run(args: argparse.Namespace) -> int:
    bench = open_bench(args.imagenette, args.samples, args.caltech, out=args.out, plan=Plan(), device=args.device)
    recipe = Recipe(**{**asdict(RECIPE), "seed": args.seed})
    weights = args.out / f"{NAME}-seed{args.seed}.safetensors"
    figures = weights.with_suffix(".figures.json")
    if args.what == "train":
        run_training(bench, CONFIG, recipe)
        return 0
    if not weights.is_file():
        raise CheckpointError(f"There is no {weights.name} in the output folder yet; run `train` first.")
    if args.what == "measure":
        figures.write_text(json.dumps(run_measure(bench, weights), indent=1))
        return 0
    if not figures.is_file():
        raise CheckpointError(f"There is no {figures.name} in the output folder yet; run `measure` first.")
    from viz.training.card import write_cards

    others = {
        f"seed {p.name.split('seed')[1].split('.')[0]}": json.loads(p.read_text())
        for p in sorted(args.out.glob(f"{NAME}-seed*.figures.json"))
        if p != figures
    }
    mine = json.loads(figures.read_text())
    write_cards(args.cards, weights, mine, data=data_facts(bench), seed=args.seed, other_seeds=others)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
