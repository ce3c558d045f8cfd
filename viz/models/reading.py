"""Safe reading of weights files: nothing in a file is ever run, and every refusal is one sentence.

Three containers are read: safetensors, the torch zip file and the torch file from before 1.6. Of torch files only
tensors and plain values are unpickled (``weights_only``); the one class allowed beside them is `argparse.Namespace`,
which timm's saver writes (shantanuj/TDAM_Top_down_attention_module@1e4a2cd keeps timm 0.5.4 and its saver).

A file is first judged by its tables (`container`, `table`, `weights`): sizes, counts, keys and
shapes. Its tensors are read only when these are those of a network that can be used.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import os
import pickle
import threading
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import safetensors
import torch
from torch import Tensor

from viz.errors import CheckpointError
from viz.models.container import Container, declared
from viz.models.weights import (
    MAX_TEXT,
    Wanted,
    Weights,
    choose,
    impossible,
    impossible_shape,
    kind_of,
    short_text,
    unpacks,
)
from viz.picture import text_name

MAX_BYTES = 1 << 30
DTYPES = (
    torch.float32,
    torch.float16,
    torch.bfloat16,
    torch.float64,
    torch.int64,
    torch.int32,
    torch.int16,
    torch.int8,
    torch.uint8,
    torch.bool,
)
# What batch normalization counts.
COUNTER = "num_batches_tracked"
# torch's list of allowed classes belongs to the process, so loads take turns.
_UNPICKLING = threading.Lock()


@dataclass(frozen=True)
class Checkpoint:
    """A weights file, read.

    Attributes:
        state: dense, finite CPU tensors by the network's key, in the file's own dtypes; see `viz.models.weights`.
        metadata: the plain values beside the weights: ``epoch``, ``arch``, ``metric``, ``version`` of a torch file, the
            text entries of a safetensors header. Written by whoever made the file: for display, not for decisions.
        sha256: of the file. size: of the file in bytes.
        format: ``safetensors``, ``torch-zip`` or ``torch-legacy``.
        name: file name without its folder.
        notes: which of the file's weights these are, in sentences, where that is not plain.
    """

    state: Mapping[str, Tensor] = field(repr=False)
    metadata: Mapping[str, str | int | float | bool]
    sha256: str
    size: int
    format: Container
    name: str
    notes: tuple[str, ...] = ()

    @property
    def values(self) -> int:
        """How many numbers the tensors hold together."""
        return sum(t.numel() for t in self.state.values())


def read_checkpoint(path: str | Path, max_bytes: int = MAX_BYTES, wanted: Wanted | None = None) -> Checkpoint:
    """Read a weights file without running anything in it.

    Args:
        path: safetensors, torch zip or pre-1.6 torch file, whatever its name ends with.
        max_bytes: the largest file, and the most that its tensors may take in memory.
        wanted: the network that is looked for in it; None takes the largest set of weights.

    Raises:
        CheckpointError: one sentence on why the file cannot be used, with the file's name and no folder.
    """
    path = Path(path)
    name = text_name(path.name)
    try:
        if not path.is_file():
            kind = "is a folder" if path.is_dir() else "does not exist or is no ordinary file"
            raise CheckpointError(f"{name} {kind}; give the path of a weights file.")
        with path.open("rb") as file:
            return _read(file, path, name, max_bytes, wanted)
    except OSError as error:
        raise CheckpointError(f"{name} cannot be read ({error.strerror or 'input error'}).") from None


def _read(file: io.BufferedReader, path: Path, name: str, max_bytes: int, wanted: Wanted | None) -> Checkpoint:
    before = os.fstat(file.fileno())
    size = before.st_size
    if not size:
        raise CheckpointError(f"{name} is empty; download it again.")
    if size > max_bytes:
        raise CheckpointError(f"{name} is larger than {max_bytes / 1e6:.0f} MB, the most that a weights file may be.")
    found = declared(file, size, name, max_bytes)
    weights = choose(found.content, name, max_bytes, wanted)
    metadata: dict[str, str | int | float | bool] = {**found.metadata}
    if found.container == "safetensors":
        state = _load_safetensors(path, weights, name)
    else:
        metadata |= _plain(found.content)
        file.seek(0)
        state = _load_torch(file, weights, name)
    state = _checked_state(state, name, max_bytes)
    file.seek(0)
    sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    # What was judged, what was loaded and what the digest says must be one and the same file.
    for now in (os.fstat(file.fileno()), path.stat()):
        if (now.st_ino, now.st_size, now.st_mtime_ns) != (before.st_ino, size, before.st_mtime_ns):
            raise CheckpointError(f"{name} changed while it was read; try again when it is written to the end.")
    return Checkpoint(state, metadata, sha256, size, found.container, name, weights.notes)


def _load_safetensors(path: Path, weights: Weights, name: str) -> dict[str, Any]:
    try:
        with safetensors.safe_open(path, "pt") as file:
            # Copied: where a tensor begins in the file is no place that every kernel rounds alike from.
            return {short: file.get_tensor(key).clone() for short, key in weights.keys.items()}
    except Exception:  # the library raises its own kinds, KeyError for an unknown dtype among them
        raise CheckpointError(f"{name} is a damaged safetensors file; download it again.") from None


def _load_torch(file: io.BufferedReader, weights: Weights, name: str) -> dict[str, Any]:
    try:
        with (
            _UNPICKLING,
            warnings.catch_warnings(),
            torch.serialization.safe_globals([argparse.Namespace]),
        ):
            warnings.simplefilter("ignore")
            content = torch.load(file, map_location="cpu", weights_only=True)
        for part in weights.path:
            content = content[part]
        return {short: content[key] for short, key in weights.keys.items()}
    except pickle.UnpicklingError:
        raise CheckpointError(f"{name} holds more than tensors and plain values, or is damaged.") from None
    except (MemoryError, RecursionError):
        raise CheckpointError(f"{name} asks for more memory than it can need; the file is not to be trusted.") from None
    except Exception:  # torch raises many kinds for damaged files; none of their texts helps a person
        raise CheckpointError(f"{name} is damaged or cut off; download it again.") from None


def _plain(content: Any) -> dict[str, str | int | float | bool]:
    if not isinstance(content, Mapping):
        return {}
    found: dict[str, str | int | float | bool] = {}
    for key in ("epoch", "arch", "metric", "version"):
        value = content.get(key)
        if isinstance(value, bool | int | float) or (isinstance(value, str) and len(value) <= MAX_TEXT):
            found[key] = value
    return found


def _checked_state(content: Mapping[str, Any], name: str, max_bytes: int) -> dict[str, Tensor]:
    for key, value in content.items():
        if not isinstance(value, Tensor):
            raise CheckpointError(f"{name} holds {kind_of(value)} under {short_text(key)}, where a tensor should be.")
        _check_layout(key, value, name)
    # Sizes first, arithmetic later: a tensor may claim to be far larger than the memory behind it.
    if sum(t.numel() * t.element_size() for t in content.values()) > max_bytes:
        raise unpacks(name, max_bytes)
    state: dict[str, Tensor] = {}
    addresses: set[int] = set()
    for key, value in content.items():
        plain = _checked_values(key, value, name)
        if plain.data_ptr() in addresses:
            plain = plain.clone()
        addresses.add(plain.data_ptr())
        state[key] = plain
    return state


def _check_layout(key: str, value: Tensor, name: str) -> None:
    problem = None
    if value.layout != torch.strided:
        problem = "sparse"
    elif value.is_quantized:
        problem = "quantized"
    elif value.device.type != "cpu":
        problem = "without values (a meta tensor)"
    elif value.is_complex():
        problem = "complex"
    elif value.dtype not in DTYPES:
        problem = f"of type {str(value.dtype).removeprefix('torch.')}"
    if problem:
        raise CheckpointError(f"{name}: the weight {short_text(key)} is {problem}, which no network here can use.")
    shape = tuple(value.shape)
    if impossible(shape, value.element_size(), value.untyped_storage().nbytes()):
        raise impossible_shape(key, shape, name)


def _checked_values(key: str, value: Tensor, name: str) -> Tensor:
    plain = value.detach()
    # No two entries share memory, and none keeps a larger piece of the file alive.
    if not plain.is_contiguous() or plain.untyped_storage().nbytes() != plain.numel() * plain.element_size():
        plain = plain.clone(memory_format=torch.contiguous_format)
    # A counter of batches that was made half precision with the weights is infinite soon, and weighs nothing.
    weighs = plain.is_floating_point() and not key.endswith(COUNTER)
    if weighs and not torch.isfinite(plain.float()).all():
        raise CheckpointError(
            f"{name}: the weight {short_text(key)} holds NaN or infinite values; the file is damaged."
        )
    return plain
