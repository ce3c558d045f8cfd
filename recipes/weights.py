"""Networks on frozen Lite0: built with a random module, prepared from cached maps, written to files and read back."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TypeVar

import torch
from safetensors.torch import save_file
from torch import nn

from recipes.features import Maps, split
from recipes.learning import Curve, Recipe
from viz.errors import CheckpointError
from viz.models.backbone import lite0_state
from viz.models.networks.lite0_attended import FrozenLite0
from viz.models.reading import read_checkpoint

log = logging.getLogger(__name__)
N = TypeVar("N", bound=FrozenLite0)
FLOOR = 1e-3


def fresh(build: Callable[[], N], seed: int, device: torch.device) -> N:
    """A network with the published, frozen backbone and a random module."""
    torch.manual_seed(seed)
    network = build()
    network.backbone.load_state_dict(lite0_state())
    network.backbone.freeze()
    return network.to(device)


@torch.inference_mode()
def prepare(network: FrozenLite0, maps: Maps, views: int = 1024) -> None:
    """Set the frozen buffers from cached views: mean and standard deviation of each channel of the module's input."""
    mean, std = network.statistics
    some = torch.from_numpy(maps[:views].copy()).float().to(mean.device)
    parts = [part.transpose(0, 1).flatten(1) for part in network.read(split(some))]
    mean.copy_(torch.cat([part.mean(dim=1) for part in parts]))
    std.copy_(torch.cat([part.std(dim=1) for part in parts]).clamp_min(FLOOR))


def parameters_sha256(network: nn.Module) -> str:
    """One hash over all parameters and buffers: if it stays equal, the network is bit-identical."""
    total = hashlib.sha256()
    for key, value in sorted(network.state_dict().items()):
        total.update(key.encode())
        total.update(value.detach().cpu().contiguous().numpy().tobytes())
    return total.hexdigest()


def run_name(network: FrozenLite0, recipe: Recipe) -> str:
    """A name of the run that depends on all its settings."""
    text = json.dumps([network.config_json(), asdict(recipe)], sort_keys=True)
    return f"{network.family}-seed{recipe.seed}-{hashlib.sha256(text.encode()).hexdigest()[:12]}"


def train_and_save(path: Path, network: FrozenLite0, recipe: Recipe, train: Callable[[], Curve]) -> None:
    """Train the module of `network` and write it to `path`, its curve beside it.

    Parameters are stored in float16, which halves the file; buffers and the scale keep their type. Figures are
    measured on the network that is read back.

    Raises:
        CheckpointError: training changed the backbone; nothing is written.
    """
    before = parameters_sha256(network.backbone)
    curve = train()
    if parameters_sha256(network.backbone) != before:
        raise CheckpointError("The backbone changed during training; nothing was written.")
    state = {k: v.detach().cpu().contiguous() for k, v in network.module_state().items()}
    half = ("attention.", "reduce_", "searchlight.")
    state = {k: v.half() if k.startswith(half) and v.is_floating_point() else v for k, v in state.items()}
    metadata = {
        "config": network.config_json(),
        "recipe": json.dumps(asdict(recipe), sort_keys=True),
        "minutes": f"{sum(curve['seconds']) / 60:.1f}",
        "losses": json.dumps([round(x, 4) for x in next(iter(curve.values()))]),
    }
    path.with_suffix(".curve.json").write_text(json.dumps(curve, indent=1))
    # Renamed at the end: a killed run leaves no incomplete file.
    part = path.with_suffix(".part")
    save_file(state, part, metadata=metadata)
    part.replace(path)
    log.info("wrote %s", path.name)


def load(path: Path, build: Callable[[str], N], device: torch.device) -> N:
    """The network of a file written by `train_and_save`, in evaluation mode, built by `build` from its configuration.

    Raises:
        CheckpointError: not such a file.
    """
    file = read_checkpoint(path)
    network = fresh(lambda: build(str(file.metadata.get("config", ""))), 0, torch.device("cpu"))
    network.load_module_state(file.state)
    return network.eval().to(device)
