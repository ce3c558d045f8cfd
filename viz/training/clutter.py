"""The command behind four checkpoints: ``python -m viz.training.clutter train | measure | cost | card ...``.

``train`` caches features once, then trains each family with each seed and writes weights and learning curves;
``measure`` writes the figures of each file (and of ``lite0-tdam``, which keeps its own training); ``cost`` times all
networks side by side; ``card`` writes the cards, ``checkpoints/clutter.json`` and the table. Every part skips what is
done and continues where an interrupted run stopped.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file

from viz.errors import CheckpointError, VizError
from viz.models.backbone import load_lite0
from viz.models.catalogue import Catalogue
from viz.models.networks.base import StepNetwork
from viz.models.networks.lite0_attended import Lite0Attended
from viz.models.networks.lite0_families import FAMILIES, build_family
from viz.training.clutter_bench import ClutterBench, Folders, open_bench, take, true_boxes
from viz.training.clutter_cost import costs
from viz.training.clutter_learn import ClutterRecipe, prepare, train
from viz.training.clutter_measure import ordinary_figures, scene_figures
from viz.training.clutter_views import ClutterPlan
from viz.training.hashes import parameters_sha256

log = logging.getLogger(__name__)
RECIPE = ClutterRecipe()
SEEDS = (0, 1, 2)
SCENE_SETS = ("report_unseen", "report_nette", "report_caltech")
TDAM = "lite0-tdam"


def new_network(family: str, seed: int, device: torch.device) -> Lite0Attended:
    """A network of the family on the published backbone with a random module."""
    torch.manual_seed(seed)
    network = FAMILIES[family]()
    network.backbone.load_state_dict(load_lite0().state_dict())
    network.backbone.freeze()
    return network.to(device)


def weights_path(out: Path, family: str, seed: int) -> Path:
    return out / f"lite0-{family}-seed{seed}.safetensors"


def run_training(bench: ClutterBench, family: str, recipe: ClutterRecipe) -> Path:
    """Train one family with one seed; writes weights and the curve beside them."""
    path = weights_path(bench.out, family, recipe.seed)
    if path.is_file():
        log.info("%s is there", path.name)
        return path
    network = new_network(family, recipe.seed, bench.device)
    before = parameters_sha256(network.backbone)
    data = bench.data()
    # From ordinary pictures: a module at rest is the network as it is, clutter is what stands out.
    prepare(network, data.alone[0])
    curve = train(network, data, recipe, bench.out / "runs")
    if parameters_sha256(network.backbone) != before:
        raise CheckpointError("The backbone changed during training; nothing was written.")
    meta = {
        "config": network.config_json(),
        "recipe": json.dumps(asdict(recipe), sort_keys=True),
        "minutes": f"{sum(curve.seconds) / 60:.1f}",
    }
    path.with_suffix(".curve.json").write_text(json.dumps(asdict(curve), indent=1))
    part = path.with_suffix(".part")
    save_file(stored(network), part, metadata=meta)
    os.replace(part, path)  # noqa: PTH105  (atomic: a kill leaves no half file)
    log.info("wrote %s", path.name)
    return path


def stored(network: Lite0Attended) -> dict[str, torch.Tensor]:
    """What the file holds: the module in float16, which halves it, the scale and the buffers as they are.

    Figures are measured on the network as it is read back from the file.
    """
    state = {k: v.detach().cpu().contiguous() for k, v in network.module_state().items()}
    return {k: v.half() if k.startswith("attention.") and v.is_floating_point() else v for k, v in state.items()}


def load_network(path: Path, device: torch.device) -> tuple[Lite0Attended, dict[str, str]]:
    """Network and metadata of a file that `run_training` wrote."""
    with safe_open(path, framework="pt") as file:
        meta = dict(file.metadata() or {})
        state = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    network = build_family(meta.get("config", ""))
    network.backbone.load_state_dict(load_lite0().state_dict())
    network.load_module_state(state)
    network.backbone.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return network.eval().to(device), meta


def run_measure(
    bench: ClutterBench, network: StepNetwork, control: StepNetwork
) -> dict[str, dict[str, dict[str, float]]]:
    """All figures of one network by set of views. `control` is the same network with a random module."""
    plain = load_lite0().to(bench.device)
    found: dict[str, dict[str, dict[str, float]]] = {}
    for name in SCENE_SETS:
        found[name.removeprefix("report_")] = scene_figures(
            network,
            control,
            plain,
            maps=bench.maps(name),
            scenes=bench.sets[name].views,
            classes=bench.classes(name),
        )
        log.info("measured %s", name)
    for name in ("alone_nette", "alone_unseen"):
        maps, classes = bench.maps(name), bench.classes(name)
        found[name] = ordinary_figures(network, plain, maps=maps, classes=classes)
        places, boxes = true_boxes(bench, name)
        if places:
            some = ordinary_figures(network, plain, maps=take(maps, places), classes=classes[places], boxes=boxes)
            found[name] |= {k: v for k, v in some.items() if k.startswith("box_")}
    return found


def random_tdam(seed: int) -> StepNetwork:
    """Lite0-TDAM as it ships, with a random searchlight."""
    network = Catalogue().build(TDAM)[1]
    torch.manual_seed(seed)
    for name, module in network.named_modules():
        if name.startswith("searchlight") and isinstance(module, torch.nn.Conv2d):
            module.reset_parameters()
    return network.eval()


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m viz.training.clutter", description=__doc__)
    parser.add_argument("what", choices=("train", "measure", "cost", "card", "all"))
    for folder in ("imagenette", "samples", "caltech", "scenes"):
        parser.add_argument(f"--{folder}", type=Path, required=True, help="folder with an index.csv")
    parser.add_argument("--out", type=Path, required=True, help="cache, runs, weights and figures go here")
    parser.add_argument("--cards", type=Path, default=Path("checkpoints"), help="where `card` writes")
    parser.add_argument("--family", nargs="+", choices=tuple(FAMILIES), default=list(FAMILIES))
    parser.add_argument("--seed", nargs="+", type=int, default=list(SEEDS))
    parser.add_argument("--device", default="auto")
    parser.add_argument("--threads", type=int, default=min(2, os.cpu_count() or 1))
    args = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    torch.set_num_threads(args.threads)
    try:
        return _run(args)
    except VizError as error:
        parser.exit(2, f"{error}\n")


def _run(args: argparse.Namespace) -> int:
    folders = Folders(args.imagenette, args.samples, args.caltech, args.scenes)
    bench = open_bench(folders, args.out, ClutterPlan(), args.device)
    wanted = ("train", "measure", "cost", "card") if args.what == "all" else (args.what,)
    # Seed by seed, so that every family has one trained module as early as possible.
    if "train" in wanted:
        for seed in args.seed:
            for family in args.family:
                run_training(bench, family, ClutterRecipe(**{**asdict(RECIPE), "seed": seed}))
    if "measure" in wanted:
        for seed in args.seed:
            for family in args.family:
                _measure_file(bench, family, seed)
        _measure_tdam(bench)
    if "cost" in wanted:
        networks: dict[str, StepNetwork] = {
            f: load_network(weights_path(args.out, f, 0), bench.device)[0] for f in FAMILIES
        }
        networks["tdam"] = Catalogue().build(TDAM)[1]
        found = costs(networks, load_lite0())
        (args.out / "costs.json").write_text(json.dumps({k: v.to_dict() for k, v in found.items()}, indent=1))
    if "card" in wanted:
        from viz.training.clutter_card import write_all

        write_all(args.cards, args.out, bench.facts())
    return 0


def _measure_file(bench: ClutterBench, family: str, seed: int) -> None:
    path = weights_path(bench.out, family, seed)
    figures = path.with_suffix(".figures.json")
    if figures.is_file() and figures.stat().st_mtime > path.stat().st_mtime:
        return
    if not path.is_file():
        raise CheckpointError(f"There is no {path.name} in the output folder yet; run `train` first.")
    network, _ = load_network(path, bench.device)
    control = new_network(family, 12345 + seed, bench.device)
    prepare(control, bench.maps("train_alone"))
    log.info("measuring %s", path.name)
    figures.write_text(json.dumps(run_measure(bench, network, control.eval()), indent=1))


def _measure_tdam(bench: ClutterBench) -> None:
    figures = bench.out / f"{TDAM}.figures.json"
    if not figures.is_file():
        network = Catalogue().build(TDAM)[1].to(bench.device)
        figures.write_text(json.dumps(run_measure(bench, network, random_tdam(12345).to(bench.device)), indent=1))


if __name__ == "__main__":
    raise SystemExit(main())
