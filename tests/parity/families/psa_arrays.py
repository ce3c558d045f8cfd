"""Arrays of PSA and EMA cases: from the original's array names, with or without a prefix, to values and reductions."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from tests.parity.case import Case, NotUnderstoodError
from tests.parity.reduce import REDUCTIONS, reduced
from viz.capture.probe import capture

Array = NDArray[Any]
INPUTS = ("x", "input")


def run_module(case: Case, module: nn.Module) -> tuple[dict[str, Tensor], Tensor]:
    """The probed values of one pass by label, and the output."""
    case.only("inputs", set(INPUTS))
    call = {k: v for k, v in case.call.items() if v}
    if set(call) - {"arguments", "returns"} or list(call.get("arguments", ["x"])) not in [[n] for n in INPUTS]:
        raise NotUnderstoodError(f"call {dict(case.call)}")
    with capture(module) as sink:
        out = module(case.required(*INPUTS))
    return {tap.label: value for tap, _, value in sink.batches}, out


def arguments(case: Case, positions: Mapping[str, Sequence[str]]) -> tuple[str, dict[str, Any]]:
    """The original's class and its arguments by name; `positions` holds the arguments of each class in order."""
    case.only("build", {"class", "args", "kwargs"})
    name = str(case.build.get("class")).rpartition(".")[2]
    if name not in positions:
        raise NotUnderstoodError(f"class {case.build.get('class')!r}")
    order = positions[name]
    args, kwargs = case.build.get("args") or [], case.build.get("kwargs") or {}
    if len(args) > len(order):
        raise NotUnderstoodError(f"{len(args)} positional arguments")
    named = dict(zip(order, args, strict=False))
    unknown, twice = sorted(set(kwargs) - set(order)), sorted(set(kwargs) & set(named))
    if unknown or twice:
        raise NotUnderstoodError(f"keyword {unknown}" if unknown else f"{twice} given twice")
    return name, {**named, **kwargs}


def count(named: Mapping[str, Any], what: str, default: int | None = None) -> int:
    """An argument that must be a whole number."""
    value = named.get(what, default)
    if not isinstance(value, int) or isinstance(value, bool):
        raise NotUnderstoodError(f"{what} {value!r}")
    return value


def arrays(case: Case, values: Mapping[str, Tensor]) -> dict[str, Array]:
    """Every expected array whose name is one of `values`, maybe behind a path, maybe reduced."""
    made = {}
    for name, expected in case.expected.items():
        for suffix in (*(s for s in (*REDUCTIONS, *_BY_SHAPE) if s), ""):
            what = re.split(r"[./]", name.removesuffix(suffix))[-1]
            if name.endswith(suffix) and what in values:
                value = values[what]
                by_shape = _BY_SHAPE.get(suffix)
                made[name] = by_shape(value, expected.shape) if by_shape else reduced(value, suffix)
                break
    return made


def _view(value: Tensor, shape: tuple[int, ...]) -> Array:
    """The strided view of that shape: on each axis the smallest stride, a power of two where one fits."""
    if len(shape) != value.ndim:
        raise NotUnderstoodError(f"a view of shape {shape} of an array of shape {tuple(value.shape)}")
    return value.numpy()[tuple(slice(None, None, _stride(n, m)) for n, m in zip(value.shape, shape, strict=True))]


def _stride(size: int, kept: int) -> int:
    fitting = [s for s in range(1, size + 1) if -(-size // s) == kept]
    if not fitting:
        raise NotUnderstoodError(f"a view of {kept} of {size} values")
    return next((s for s in fitting if s & (s - 1) == 0), fitting[0])


def _moment(what: str) -> Callable[[Tensor, tuple[int, ...]], Array]:
    """Mean or unbiased standard deviation: of all values, or of each channel where the shape says so."""

    def moment(value: Tensor, shape: tuple[int, ...]) -> Array:
        if int(np.prod(shape)) == 1:
            result = getattr(value, what)().reshape(shape)
        elif value.ndim > 1 and shape == (value.shape[1],):
            result = getattr(value, what)(dim=[d for d in range(value.ndim) if d != 1])
        else:
            raise NotUnderstoodError(f"a {what} of shape {shape} of an array of shape {tuple(value.shape)}")
        return np.asarray(result.numpy())

    return moment


_BY_SHAPE: dict[str, Callable[[Tensor, tuple[int, ...]], Array]] = {
    ".sub": _view,
    ".mean": _moment("mean"),
    ".std": _moment("std"),
    ".ch_mean": _moment("mean"),
    ".ch_std": _moment("std"),
    ".shape": lambda value, _: np.array(value.shape),
}
