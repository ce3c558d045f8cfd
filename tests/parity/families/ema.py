"""EMA: the module."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from numpy.typing import NDArray
from torch import Tensor

from tests.parity.case import Case, NotUnderstoodError, realize
from tests.parity.families.psa_arrays import arguments, arrays, count, run_module
from viz.families.ema.module import EMA

FAMILY = "ema"
# ``c2`` is what YOLO's parser passes; the original never reads it.
POSITIONS = {"EMA": ("channels", "c2", "factor"), "EmaModule": ("channels", "factor")}


def evaluate(case: Case) -> Mapping[str, NDArray[Any]]:
    """Our values of an EMA case."""
    if case.kind != "module":
        raise NotUnderstoodError(f"kind {case.kind!r} of {FAMILY}: only the module itself has a meaning so far")
    _, named = arguments(case, POSITIONS)
    channels, groups = count(named, "channels"), count(named, "factor", 32)
    module = realize(case, lambda: EMA(channels, groups))
    seen, out = run_module(case, module)
    return arrays(case, {**_named(seen, groups), "out": out})


def _named(seen: Mapping[str, Tensor], groups: int) -> dict[str, Tensor]:
    """Probed values under the original's names, in its shapes: (N, groups, ...)."""

    def grouped(value: Tensor) -> Tensor:
        return value.reshape(len(value), groups, -1, *value.shape[2:])

    constant = seen["channel_softmax_1x1"]
    return {
        "gate_h": grouped(seen["row_gate"].squeeze(3)),
        "gate_w": grouped(seen["column_gate"].squeeze(2)),
        "chan_softmax_1x1": constant[:, None].expand(-1, groups, -1),
        "chan_softmax_3x3": grouped(seen["channel_softmax_3x3"]),
        "cross_map_1": seen["cross_map_1"],
        "cross_map_2": seen["cross_map_2"],
        "weight_logit": seen["group_logits"],
        "weight": seen["group_gate"],
    }
