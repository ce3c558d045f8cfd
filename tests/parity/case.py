"""One case: a manifest, its arrays, and the weights and inputs that follow from it."""

from __future__ import annotations

import json
import math
import re
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

KNOWN_KINDS = ("module", "block", "network", "rule")


class NotUnderstoodError(Exception):
    """The manifest asks for something that the runner has no meaning for."""


class MismatchError(Exception):
    """Our side differs from the manifest before any number is compared: keys, shapes, parameters, names of arrays."""


@dataclass(frozen=True)
class Case:
    """A manifest as read.

    `build`, `call` and `inputs` are the original's; `shapes` maps each state_dict key to its shape; `expected` holds
    the original's arrays.
    """

    name: str
    family: str
    kind: str
    build: Mapping[str, Any]
    call: Mapping[str, Any]
    inputs: Mapping[str, Any]
    shapes: Mapping[str, tuple[int, ...]]
    tolerance: float
    expected: Mapping[str, NDArray[Any]]
    manifest: Mapping[str, Any]

    def tensor(self, *names: str) -> Tensor | None:
        """The input of the first of these names; None where it is null or absent."""
        for name in names:
            if self.inputs.get(name) is not None:
                return draw_input(self.inputs[name])
        return None

    def required(self, *names: str) -> Tensor:
        """Like `tensor`, for an input that the call cannot do without."""
        value = self.tensor(*names)
        if value is None:
            raise NotUnderstoodError(f"input {names[0]!r} is missing")
        return value

    def only(self, field: str, known: Mapping[str, Any] | set[str]) -> None:
        """Refuse names in `build`, `call` or `inputs` that nobody gave a meaning."""
        unknown = set(getattr(self, field)) - set(known)
        if unknown:
            raise NotUnderstoodError(f"{field} names {sorted(unknown)}")


def read_case(path: Path) -> Case:
    """The case of a manifest.

    Raises:
        NotUnderstoodError: not a manifest of this form. MismatchError: its arrays are not those that it lists.
    """
    try:
        m = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise NotUnderstoodError(f"not a JSON file: {error}") from None
    if not isinstance(m, dict):
        raise NotUnderstoodError("not a manifest: no JSON object")
    absent = [k for k in ("name", "family", "kind", "arrays", "tolerance") if k not in m]
    if absent:
        raise NotUnderstoodError(f"not a manifest: no {', '.join(absent)}")
    if m["kind"] not in KNOWN_KINDS:
        raise NotUnderstoodError(f"kind {m['kind']!r}")
    tolerance = m["tolerance"]
    if isinstance(tolerance, bool) or not isinstance(tolerance, int | float) or not 0 <= tolerance < math.inf:
        raise NotUnderstoodError(f"tolerance {tolerance!r}")
    if not isinstance(m["arrays"], dict) or not m["arrays"]:
        raise NotUnderstoodError("no arrays are listed")
    return Case(
        name=str(m["name"]),
        family=str(m["family"]),
        kind=m["kind"],
        build=_object(m, "build"),
        call=_object(m, "call"),
        inputs=_object(m, "inputs"),
        shapes={k: tuple(v) for k, v in _object(m, "state_dict").items()},
        tolerance=float(tolerance),
        expected=_read_arrays(path.with_suffix(".npz"), m["arrays"]),
        manifest=m,
    )


def _object(manifest: Mapping[str, Any], name: str) -> dict[str, Any]:
    value = manifest.get(name)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise NotUnderstoodError(f"{name} is not an object")
    return value


def _read_arrays(path: Path, listed: Mapping[str, Any]) -> dict[str, NDArray[Any]]:
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
    except Exception as error:
        raise MismatchError(f"{path.name} cannot be read: {type(error).__name__}: {error}") from None
    if set(arrays) != set(listed):
        raise MismatchError(f"arrays listed and stored differ: {sorted(set(arrays) ^ set(listed))[:4]}")
    for name, shape in listed.items():
        if list(arrays[name].shape) != list(shape):
            raise MismatchError(f"{name} is stored with shape {arrays[name].shape}, listed with {shape}")
    return arrays


def draw_input(spec: Any) -> Tensor:
    """``{seed, shape[, multiply_by]}`` to float32 values."""
    if not isinstance(spec, dict) or set(spec) - {"seed", "shape", "multiply_by"} or not {"seed", "shape"} <= set(spec):
        raise NotUnderstoodError(f"input {spec!r}")
    z = np.random.RandomState(spec["seed"]).standard_normal(tuple(spec["shape"])).astype(np.float32)
    return torch.from_numpy(z * np.float32(spec.get("multiply_by", 1)))


def filled(key: str, shape: tuple[int, ...]) -> Tensor:
    """The value that the fill rule gives a state_dict entry, from its name and shape alone."""
    if key.endswith("num_batches_tracked"):
        return torch.zeros(shape, dtype=torch.int64)
    rng = np.random.RandomState(zlib.crc32(key.encode()))
    z = np.asarray(rng.standard_normal(shape), dtype=np.float32)
    if key.endswith("running_var"):
        z = 1 + np.float32(0.1) * np.abs(z)
    elif key.endswith("running_mean"):
        z = np.float32(0.1) * z
    elif len(shape) >= 2:
        z = z * np.float32(np.sqrt(2 / np.prod(shape[1:])))
    elif len(shape) == 1 and key.endswith("weight"):
        z = 1 + np.float32(0.1) * z
    else:
        z = np.float32(0.1) * z
    return torch.from_numpy(np.ascontiguousarray(z))


def fill(case: Case) -> dict[str, Tensor]:
    """The whole state_dict of a case."""
    scales = case.manifest.get("fill_scale") or []
    skipped = set(case.manifest.get("not_filled") or ())
    state = {}
    for key, shape in case.shapes.items():
        if key in skipped:
            continue
        value = filled(key, shape)
        for pattern, factor in scales:
            if re.search(pattern, key):
                value = value * factor
        state[key] = value
    return state


def realize(case: Case, build: Callable[[], nn.Module]) -> nn.Module:
    """Build a module, check that its state_dict is the manifest's, fill it; evaluation mode, frozen.

    Raises:
        MismatchError: keys, shapes or the number of parameters differ.
    """
    if case.manifest.get("not_filled") or case.manifest.get("after_fill"):
        module = build()  # some values are the constructor's own
    else:
        with torch.device("meta"):
            module = build()
    ours = {k: tuple(v.shape) for k, v in module.state_dict().items()}
    theirs = dict(case.shapes)
    if ours != theirs:
        missing, extra = sorted(set(theirs) - set(ours)), sorted(set(ours) - set(theirs))
        wrong = [f"{k} {ours[k]} for {theirs[k]}" for k in theirs if k in ours and ours[k] != theirs[k]]
        parts = {"missing": missing, "unexpected": extra, "shape": wrong}
        raise MismatchError("state_dict: " + "; ".join(f"{len(v)} {k} ({v[0]}, ...)" for k, v in parts.items() if v))
    count = case.manifest.get("parameters")
    if count is not None and count != sum(p.numel() for p in module.parameters()):
        raise MismatchError(f"{sum(p.numel() for p in module.parameters())} parameters, not {count}")
    strict = not case.manifest.get("not_filled")
    module.load_state_dict(fill(case), strict=strict, assign=True)
    return module.eval().requires_grad_(False)
