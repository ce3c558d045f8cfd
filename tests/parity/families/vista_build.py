"""VISTA: the original constructors' and calls' arguments mapped onto ours."""

from __future__ import annotations

from typing import Any

from tests.parity.case import Case, NotUnderstoodError
from viz.families.vista.graph import ZeroRank

_BUILD = {"class", "args", "kwargs"}
_CALL = {"rank", "epoch", "arguments", "returns", "kwargs"}
_NORMS = (None, "BatchNorm2d", "BatchNorm2d eval", "nn.BatchNorm2d")
# Epochs for which the warm-up file uses rank 1.
_WARM_UP = 50


def _kwargs(case: Case, known: set[str]) -> dict[str, Any]:
    case.only("build", _BUILD)
    kwargs = dict(case.build.get("kwargs") or {})
    if case.build.get("args") or set(kwargs) - known:
        raise NotUnderstoodError(f"build {dict(case.build)}")
    return kwargs


def width_of(case: Case) -> int:
    """W, 512 unless it is told."""
    width = (case.build.get("kwargs") or {}).get("width", 512)
    if isinstance(width, bool) or not isinstance(width, int) or width < 1:
        raise NotUnderstoodError(f"width {width!r}")
    return width


def _call(case: Case) -> dict[str, Any]:
    call = {**case.call, **(case.call.get("kwargs") or {})}
    if set(call) - _CALL:
        raise NotUnderstoodError(f"call names {sorted(set(call) - _CALL)}")
    return call


def rank_of(case: Case) -> tuple[int, ZeroRank, bool]:
    """T, what T = 0 means, and whether the gate is the plain sigmoid of the ``_test`` file, which takes no rank."""
    call = _call(case)
    source = str(case.manifest.get("source", ""))
    if "AttentionGraphCondKernel_test" in source:
        if call.get("rank") is not None:
            raise NotUnderstoodError(f"rank {call['rank']!r} of the gate without ranks")
        return 0, "energy", True
    warming = "w_warmup" in source
    # The file for surface normals alone has a default that the code relies on.
    rank, epoch = call.get("rank", 5 if "surface_normal" in source else None), call.get("epoch")
    if isinstance(rank, bool) or not isinstance(rank, int) or rank < 0:
        raise NotUnderstoodError(f"rank {rank!r}")
    if warming and isinstance(epoch, int) and epoch < _WARM_UP:
        rank = 1
    # The other files accept an epoch and ignore it.
    return rank, "nothing" if warming else "energy", False


def message_arguments(case: Case) -> dict[str, Any]:
    """Arguments of our `GatedMessage`."""
    _kwargs(case, {"width"})
    order = [str(name).split(" ")[0] for name in _call(case).get("arguments") or ()]
    if order and order != ["sr", "se"]:
        raise NotUnderstoodError(f"call arguments {order}")
    rank, zero_rank, sigmoid = rank_of(case)
    return {
        "width": width_of(case),
        "rank": rank,
        "gate": "sigmoid" if sigmoid else "structured",
        "zero_rank": zero_rank,
    }


def graph_arguments(case: Case) -> dict[str, Any]:
    """Arguments of our `AttentionGraph`; the combination is the one whose keys the manifest lists."""
    kwargs = _kwargs(case, {"ms_featmaps", "width", "norm_layer"})
    order = [str(name).split(" ")[0] for name in _call(case).get("arguments") or ()]
    if order and order != ["c1", "c2", "c3", "c4"]:
        raise NotUnderstoodError(f"call arguments {order}")
    if kwargs.get("norm_layer") not in _NORMS:
        raise NotUnderstoodError(f"norm_layer {kwargs['norm_layer']!r}")
    channels = kwargs.get("ms_featmaps", [512, 1024, 2048])
    if not isinstance(channels, list) or len(channels) != 3 or not all(isinstance(c, int) for c in channels):
        raise NotUnderstoodError(f"ms_featmaps {channels!r}")
    rank, zero_rank, sigmoid = rank_of(case)
    pointwise = any(key.startswith("combination_msgs_5.") for key in case.shapes)
    return {
        "channels": channels,
        "width": width_of(case),
        "rank": rank,
        "combination": "pointwise" if pointwise else "strided",
        "gate": "sigmoid" if sigmoid else "structured",
        "zero_rank": zero_rank,
    }
