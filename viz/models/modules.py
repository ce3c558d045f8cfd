"""Bundled module files: one attention module for the frozen Lite0, as safetensors with its configuration beside it."""

from __future__ import annotations

from pathlib import Path

from viz.errors import CheckpointError
from viz.models.backbone import lite0_state
from viz.models.networks.lite0_attended import Lite0Attended
from viz.models.networks.lite0_families import build_family
from viz.models.networks.lite0_tdam import Lite0TDAM, Lite0TDAMConfig
from viz.models.reading import Checkpoint, read_checkpoint

CONFIG_KEY = "config"


def load_lite0_tdam(path: Path, sha256: str) -> Lite0TDAM:
    """Plain Lite0 with the TDAM module of a bundled file, in evaluation mode.

    Args:
        sha256: what the model's card says of the file.

    Raises:
        CheckpointError: the file is not the measured one, or does not fit.
    """
    checkpoint = _measured(path, sha256)
    config = Lite0TDAMConfig.from_json(str(checkpoint.metadata.get(CONFIG_KEY, "")))
    network = Lite0TDAM(config.steps, config.width, config.sequence, config.top)
    network.backbone.load_state_dict(lite0_state(), strict=True)
    network.load_module_state(checkpoint.state)
    return network.eval()


def load_lite0_family(path: Path, sha256: str, family: str) -> Lite0Attended:
    """Plain Lite0 with the module of a bundled file of `family`, in evaluation mode.

    Args:
        sha256: what the model's card says of the file.

    Raises:
        CheckpointError: the file is not the measured one, or does not fit.
    """
    checkpoint = _measured(path, sha256)
    network = build_family(str(checkpoint.metadata.get(CONFIG_KEY, "")))
    if network.family != family:
        raise CheckpointError(f"{path.name} holds a module of {network.family}, its card says {family}.")
    network.backbone.load_state_dict(lite0_state(), strict=True)
    network.load_module_state(checkpoint.state)
    return network.eval()


def _measured(path: Path, sha256: str) -> Checkpoint:
    checkpoint = read_checkpoint(path)
    if checkpoint.sha256 != sha256:
        raise CheckpointError(f"{path.name} is not the file that its card describes; install Searchlight again.")
    return checkpoint
