"""Hashes of files and of networks, for cards and for the proof that a backbone did not move."""

from __future__ import annotations

import hashlib
from pathlib import Path

from torch import nn


def sha256_of(path: Path) -> str:
    """Hexadecimal sha256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def parameters_sha256(network: nn.Module) -> str:
    """One hash over all parameters and buffers: equal before and after means frozen bit for bit."""
    total = hashlib.sha256()
    for key, value in sorted(network.state_dict().items()):
        total.update(key.encode())
        total.update(value.detach().cpu().contiguous().numpy().tobytes())
    return total.hexdigest()
