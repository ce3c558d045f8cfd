"""Safe reading of weights files: nothing in a file is ever run, and every refusal is one sentence.

Three containers are read: safetensors, the torch zip file and the torch file from before 1.6. Of torch files only
tensors and plain values are unpickled (``weights_only``); the only class allowed beside them is `argparse.Namespace`,
which timm's saver writes (shantanuj/TDAM_Top_down_attention_module@1e4a2cd keeps timm 0.5.4 and its saver).

The tables of a file are checked first (`container`, `table`, `weights`): sizes, counts, keys and shapes. Its tensors
are read only if these are the ones of a usable network.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import os
import pickle
import threading
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import safetensors
import torch
from torch import Tensor

from viz.errors import CheckpointError
from viz.models.container import Container, declared
from viz.models.table import DAMAGED, MORE_THAN_WEIGHTS, TOO_MUCH_MEMORY
from viz.models.weights import MAX_TEXT, Wanted, Weights, check_shape, check_total, choose, kind_of, short_text
from viz.picture import text_name

MAX_BYTES = 1 << 30
_FLOATS = (torch.float32, torch.float16, torch.bfloat16, torch.float64)
DTYPES = (*_FLOATS, torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8, torch.bool)
# The counter of batch normalization.
COUNTER = "num_batches_tracked"
# torch's list of allowed classes is global to the process, so loads take turns.
_UNPICKLING = threading.Lock()


@dataclass(frozen=True)
class Checkpoint:
    """The content of a weights file.

    Attributes:
        state: dense, finite CPU tensors by the network's key, in the file's own dtypes; see `viz.models.weights`.
        metadata: the plain values beside the weights: ``epoch``, ``arch``, ``metric``, ``version`` of a torch file, the
            text entries of a safetensors header. Written by the author of the file: for display, not for decisions.
        sha256: of the file. size: of the file in bytes.
        format: ``safetensors``, ``torch-zip`` or ``torch-legacy``.
        name: file name without its folder.
        notes: sentences on which of the file's weights these are, where there is a choice.
    """

    state: Mapping[str, Tensor] = field(repr=False)
    metadata: Mapping[str, str | int | float | bool]
    sha256: str
    size: int
    format: Container
    name: str
    notes: tuple[str, ...] = ()


@contextmanager
def naming(name: str) -> Iterator[None]:
    """Put the name of a file before the message of a `CheckpointError` that is raised while the block runs."""
    try:
        yield
    except CheckpointError as error:
        raise CheckpointError(f"{name} {error}") from None


def read_checkpoint(path: str | Path, max_bytes: int = MAX_BYTES, wanted: Wanted | None = None) -> Checkpoint:
    """Read a weights file without running anything in it.

    Args:
        path: safetensors, torch zip or pre-1.6 torch file, with any suffix.
        max_bytes: limit of the file's size, and of its tensors' memory.
        wanted: the network to look for in it; None takes the largest set of weights.

    Raises:
        CheckpointError: one sentence on why the file cannot be used, with the file's name but not its folder.
    """
    path = Path(path)
    with naming(text_name(path.name)):
        try:
            if not path.is_file():
                kind = "is a folder" if path.is_dir() else "does not exist or is not an ordinary file"
                raise CheckpointError(f"{kind}; give the path of a weights file.")
            with path.open("rb") as file:
                return _read(file, path, max_bytes, wanted)
        except OSError as error:
            raise CheckpointError(f"cannot be read ({error.strerror or 'input error'}).") from None


def _read(file: io.BufferedReader, path: Path, max_bytes: int, wanted: Wanted | None) -> Checkpoint:
    before = os.fstat(file.fileno())
    size = before.st_size
    if not size:
        raise CheckpointError("is empty; download it again.")
    if size > max_bytes:
        raise CheckpointError(f"is larger than {max_bytes / 1e6:.0f} MB, the limit for a weights file.")
    found = declared(file, size, max_bytes)
    weights = choose(found.content, max_bytes, wanted)
    metadata: dict[str, str | int | float | bool] = {**found.metadata}
    if found.container == "safetensors":
        state = _load_safetensors(path, weights)
    else:
        metadata |= _plain(found.content)
        file.seek(0)
        state = _load_torch(file, weights)
    state = _checked_state(state, max_bytes)
    file.seek(0)
    sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    # The checked, the loaded and the hashed file must be one and the same.
    for now in (os.fstat(file.fileno()), path.stat()):
        if (now.st_ino, now.st_size, now.st_mtime_ns) != (before.st_ino, size, before.st_mtime_ns):
            raise CheckpointError("changed while it was read; try again when it is complete.")
    return Checkpoint(state, metadata, sha256, size, found.container, text_name(path.name), weights.notes)


def _load_safetensors(path: Path, weights: Weights) -> dict[str, Any]:
    try:
        with safetensors.safe_open(path, "pt") as file:
            # Copied: results of some kernels depend in the last bits on the memory alignment of a tensor.
            return {short: file.get_tensor(key).clone() for short, key in weights.keys.items()}
    except Exception:  # the library raises its own kinds, KeyError for an unknown dtype among them
        raise CheckpointError("is a damaged safetensors file; download it again.") from None


def _load_torch(file: io.BufferedReader, weights: Weights) -> dict[str, Any]:
    try:
        with _UNPICKLING, warnings.catch_warnings(), torch.serialization.safe_globals([argparse.Namespace]):
            warnings.simplefilter("ignore")
            content = torch.load(file, map_location="cpu", weights_only=True)
        for part in weights.path:
            content = content[part]
        return {short: content[key] for short, key in weights.keys.items()}
    except pickle.UnpicklingError:
        raise CheckpointError(MORE_THAN_WEIGHTS) from None
    except (MemoryError, RecursionError):
        raise CheckpointError(TOO_MUCH_MEMORY) from None
    except Exception:  # torch raises many kinds for damaged files; their texts do not help a user
        raise CheckpointError(DAMAGED) from None


def _plain(content: Any) -> dict[str, str | int | float | bool]:
    if not isinstance(content, Mapping):
        return {}
    found: dict[str, str | int | float | bool] = {}
    for key in ("epoch", "arch", "metric", "version"):
        value = content.get(key)
        if isinstance(value, bool | int | float) or (isinstance(value, str) and len(value) <= MAX_TEXT):
            found[key] = value
    return found


def _checked_state(content: Mapping[str, Any], max_bytes: int) -> dict[str, Tensor]:
    for key, value in content.items():
        if not isinstance(value, Tensor):
            raise CheckpointError(f"holds {kind_of(value)} under {short_text(key)} instead of a tensor.")
        _check_layout(key, value)
    # Sizes before values: a tensor may claim to be far larger than its memory.
    check_total((t.numel() * t.element_size() for t in content.values()), max_bytes)
    state: dict[str, Tensor] = {}
    addresses: set[int] = set()
    for key, value in content.items():
        plain = _checked_values(key, value)
        if plain.data_ptr() in addresses:
            plain = plain.clone()
        addresses.add(plain.data_ptr())
        state[key] = plain
    return state


def _check_layout(key: str, value: Tensor) -> None:
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
        raise CheckpointError(f"has the weight {short_text(key)} that is {problem}, which no network here can use.")
    check_shape(key, tuple(value.shape), value.element_size(), value.untyped_storage().nbytes())


def _checked_values(key: str, value: Tensor) -> Tensor:
    plain = value.detach()
    # Entries never share memory, and none keeps a larger piece of the file alive.
    if not plain.is_contiguous() or plain.untyped_storage().nbytes() != plain.numel() * plain.element_size():
        plain = plain.clone(memory_format=torch.contiguous_format)
    # A counter of batches in half precision soon becomes infinite, but it is not a weight.
    is_weight = plain.is_floating_point() and not key.endswith(COUNTER)
    if is_weight and not torch.isfinite(plain.float()).all():
        raise CheckpointError(f"has NaN or infinite values in the weight {short_text(key)}; the file is damaged.")
    return plain
