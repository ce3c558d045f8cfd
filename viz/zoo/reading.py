"""Safe reading of weights files: nothing in a file is ever run, and every refusal is one sentence.

Three containers are read: safetensors, the torch zip file and the torch file from before 1.6. Of torch files only
tensors and plain values are unpickled (``weights_only``); the one class allowed beside them is `argparse.Namespace`,
which timm's saver writes (shantanuj/TDAM_Top_down_attention_module@1e4a2cd keeps timm 0.5.4 and its saver).
"""

from __future__ import annotations

import argparse
import hashlib
import io
import pickle
import threading
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor

from viz.errors import CheckpointError
from viz.zoo.container import LEGACY_PICKLES, Container, check_pickles, check_zip, container_of, safetensors_metadata

MAX_BYTES = 1 << 30
MAX_TENSORS = 20_000
MAX_DIMENSIONS = 6
MAX_TEXT = 2_000
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
WRAPPERS = ("state_dict", "model")
PREFIX = "module."
# torch's list of allowed classes belongs to the process, so loads take turns.
_UNPICKLING = threading.Lock()


@dataclass(frozen=True)
class Checkpoint:
    """A weights file, read.

    Attributes:
        state: dense, finite CPU tensors by key, in the file's own dtypes, without the ``module.`` prefix.
        metadata: the plain values beside the weights: ``epoch``, ``arch``, ``metric``, ``version`` of a torch file, the
            text entries of a safetensors header. Written by whoever made the file: for display, not for decisions.
        sha256: of the file. size: of the file in bytes.
        format: ``safetensors``, ``torch-zip`` or ``torch-legacy``.
        name: file name without its folder.
    """

    state: Mapping[str, Tensor] = field(repr=False)
    metadata: Mapping[str, str | int | float | bool]
    sha256: str
    size: int
    format: Container
    name: str

    @property
    def values(self) -> int:
        """How many numbers the tensors hold together."""
        return sum(t.numel() for t in self.state.values())


def read_checkpoint(path: str | Path, max_bytes: int = MAX_BYTES) -> Checkpoint:
    """Read a weights file without running anything in it.

    Args:
        path: safetensors, torch zip or pre-1.6 torch file, whatever its name ends with.
        max_bytes: the largest file, and the most that its tensors may take in memory.

    Raises:
        CheckpointError: one sentence on why the file cannot be used, with the file's name and no folder.
    """
    path = Path(path)
    name = path.name
    data = _read_bytes(path, max_bytes)
    sha256, size = hashlib.sha256(data).hexdigest(), len(data)
    container = container_of(data, name)
    metadata: dict[str, str | int | float | bool]
    if container == "safetensors":
        metadata = dict(safetensors_metadata(data, name))
        content: Any = _load_safetensors(data, name)
    else:
        if container == "torch-zip":
            check_zip(data, name, max_bytes)
        else:
            check_pickles(data, name, LEGACY_PICKLES)
        content = _load_torch(data, name)
        metadata = _plain(content)
        content = _weights_of(content, name)
    del data  # from here on the tensors alone are kept
    return Checkpoint(_checked_state(content, name, max_bytes), metadata, sha256, size, container, name)


def _read_bytes(path: Path, max_bytes: int) -> bytes:
    name = path.name
    try:
        if not path.is_file():
            kind = "is a folder" if path.is_dir() else "does not exist or is no ordinary file"
            raise CheckpointError(f"{name} {kind}; give the path of a weights file.")
        with path.open("rb") as file:
            data = file.read(max_bytes + 1)
    except OSError as error:
        raise CheckpointError(f"{name} cannot be read ({error.strerror or 'input error'}).") from None
    if not data:
        raise CheckpointError(f"{name} is empty; download it again.")
    if len(data) > max_bytes:
        raise CheckpointError(f"{name} is larger than {max_bytes / 1e6:.0f} MB, the most that a weights file may be.")
    return data


def _load_safetensors(data: bytes, name: str) -> dict[str, Tensor]:
    try:
        return safetensors.torch.load(data)
    except Exception:  # the library raises its own kinds, KeyError for an unknown dtype among them
        raise CheckpointError(f"{name} is a damaged safetensors file; download it again.") from None


def _load_torch(data: bytes, name: str) -> Any:
    try:
        with (
            _UNPICKLING,
            warnings.catch_warnings(),
            torch.serialization.safe_globals([argparse.Namespace]),
        ):
            warnings.simplefilter("ignore")
            return torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
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


def _weights_of(content: Any, name: str) -> Any:
    """What lies under ``state_dict``, else ``model``, else the content itself; averaged (EMA) weights are not used."""
    if isinstance(content, Mapping):
        for wrapper in WRAPPERS:
            if wrapper in content and not isinstance(content[wrapper], Tensor):
                inner = content[wrapper]
                if not isinstance(inner, Mapping):
                    raise CheckpointError(f"{name} holds no table of weights under {wrapper!r}.")
                return inner
    return content


def _checked_state(content: Any, name: str, max_bytes: int) -> dict[str, Tensor]:
    if not isinstance(content, Mapping):
        raise CheckpointError(f"{name} holds {_kind(content)} where a table of weights should be.")
    if not content:
        raise CheckpointError(f"{name} holds no weights.")
    if len(content) > MAX_TENSORS:
        raise CheckpointError(f"{name} holds {len(content)} entries, more than any network that is known here.")
    for key, value in content.items():
        if not isinstance(key, str) or not key or len(key) > MAX_TEXT:
            raise CheckpointError(f"{name} has a weight whose name is {_kind(key)}, not a short text.")
        if not isinstance(value, Tensor):
            raise CheckpointError(f"{name} holds {_kind(value)} under {_short(key)}, where a tensor should be.")
        _check_layout(key, value, name)
    # Sizes first, arithmetic later: a tensor may claim to be far larger than the memory behind it.
    if sum(t.numel() * t.element_size() for t in content.values()) > max_bytes:
        raise CheckpointError(f"{name} unpacks to more than {max_bytes / 1e6:.0f} MB; it is not to be trusted.")
    state: dict[str, Tensor] = {}
    addresses: set[int] = set()
    for key, value in content.items():
        short = key.removeprefix(PREFIX)
        if short in state:
            raise CheckpointError(f"{name} holds {_short(short)} twice, with and without the prefix {PREFIX!r}.")
        plain = _checked_values(key, value, name)
        if plain.data_ptr() in addresses:
            plain = plain.clone()
        addresses.add(plain.data_ptr())
        state[short] = plain
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
        raise CheckpointError(f"{name}: the weight {_short(key)} is {problem}, which no network here can use.")
    stored = value.untyped_storage().nbytes()
    if value.dim() > MAX_DIMENSIONS or value.numel() == 0 or value.numel() * value.element_size() > stored:
        shape = "x".join(str(n) for n in value.shape[: MAX_DIMENSIONS + 1])
        raise CheckpointError(f"{name}: the weight {_short(key)} has the impossible shape {shape}.")


def _checked_values(key: str, value: Tensor, name: str) -> Tensor:
    plain = value.detach()
    # No two entries share memory, and none keeps a larger piece of the file alive.
    if not plain.is_contiguous() or plain.untyped_storage().nbytes() != plain.numel() * plain.element_size():
        plain = plain.clone(memory_format=torch.contiguous_format)
    if plain.is_floating_point() and not torch.isfinite(plain.float()).all():
        raise CheckpointError(f"{name}: the weight {_short(key)} holds NaN or infinite values; the file is damaged.")
    return plain


def _kind(value: Any) -> str:
    return f"a value of type {type(value).__name__}"


def _short(key: str) -> str:
    return repr(key if len(key) <= 80 else key[:77] + "...")
