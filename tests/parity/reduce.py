"""The statistics and samples that stand for a large tensor in a manifest: ``X_stat``, ``X_head64``, ``X_strided64``."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

Values = NDArray[np.float32]


def _stat(x: Values) -> NDArray[np.float64]:
    return np.array([x.mean(dtype=np.float64), x.std(dtype=np.float64), x.min(), x.max()])


def _head64(x: Values) -> Values:
    return x.reshape(len(x), -1)[:, :64]


def _strided64(x: Values) -> Values:
    flat = x.reshape(len(x), -1)
    return flat[:, :: max(1, flat.shape[1] // 64)][:, :64]


REDUCTIONS: dict[str, Callable[[Values], NDArray[np.generic]]] = {
    "": lambda x: x,
    "_stat": _stat,
    "_head64": _head64,
    "_strided64": _strided64,
}


def reduced(x: Tensor, suffix: str) -> NDArray[np.generic]:
    """Tensor (N, ...) under a suffix of `REDUCTIONS`."""
    return REDUCTIONS[suffix](x.detach().float().numpy())
