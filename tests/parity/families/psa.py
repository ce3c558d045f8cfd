"""PSA: the parallel and the sequential module."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from numpy.typing import NDArray
from torch import Tensor

from tests.parity.case import Case, NotUnderstoodError, realize
from tests.parity.families.psa_arrays import arguments, arrays, count, run_module
from viz.families.psa.module import ParallelPSA, SequentialPSA

FAMILY = "psa"
CLASSES = {"PSA_p": ParallelPSA, "PSA_s": SequentialPSA}
_POSITIONS = ("inplanes", "planes", "kernel_size", "stride")


def evaluate(case: Case) -> Mapping[str, NDArray[Any]]:
    """Our values of a PSA case."""
    if case.kind != "module":
        raise NotUnderstoodError(f"kind {case.kind!r} of {FAMILY}: only the module itself has a meaning so far")
    name, named = arguments(case, dict.fromkeys(CLASSES, _POSITIONS))
    # The original accepts a kernel size and never reads it.
    if named.get("stride", 1) != 1:
        raise NotUnderstoodError(f"stride {named['stride']!r}, which the original cannot run")
    inplanes = count(named, "inplanes")
    planes = count(named, "planes", inplanes)
    module = realize(case, lambda: CLASSES[name](inplanes, planes))
    seen, out = run_module(case, module)
    return arrays(case, {**_named(seen, name), "out": out})


def _named(seen: Mapping[str, Tensor], name: str) -> dict[str, Tensor]:
    """Probed values under the original's names, in its shapes."""
    values = {
        "ch_pool_weights": seen["channel_pool"][:, None],
        "ch_logit": seen["channel_logits"][:, :, None, None],
        "mask_ch": seen["channel_gate"][:, :, None, None],
        "sp_query": seen["spatial_query"],
        "mask_sp": seen["spatial_gate"][:, None],
    }
    # The original names what enters the sigmoid: in the parallel form that is already the softmax.
    if name == "PSA_p":
        return {**values, "sp_score": seen["spatial_score"][:, None], "sp_logit": seen["spatial_softmax"][:, None]}
    return {**values, "sp_logit": seen["spatial_score"][:, None], "sp_value_softmax": seen["value_softmax"]}
