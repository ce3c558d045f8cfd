"""PAKA: the convolution in its published forms, guided from outside, and stacked."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from tests.parity.case import Case, NotUnderstoodError, realize
from tests.parity.families.paka_build import constructor, set_singular_vectors
from viz.capture.probe import capture
from viz.families.paka.conv import attention
from viz.families.paka.module import AdaptiveConv2d, PAKA3x3

FAMILY = "paka"
_FIRST = r"(?:[._]first(?P<first>\d+)(?:_?channels)?)?"
_NAME = re.compile(rf"(?:(?P<path>[\w.]+?)\.)?(?P<what>[a-z]+(?:_[a-z]+)*?){_FIRST}")
_PROBES = {
    "channel_logits": "channel_logits",
    "spatial_logits": "tap_logits",
    "attention_mean_over_channels": "kernel_attention",
}
_STATS = ("attention_stats", "attention_stats_mean_std_min_max_meanabsdev")


def evaluate(case: Case) -> Mapping[str, NDArray[Any]]:
    """Our values of a PAKA case."""
    if case.kind != "module":
        raise NotUnderstoodError(f"kind {case.kind!r}")
    case.only("inputs", {"x", "guide_ch", "guide_sp"})
    if case.call:
        raise NotUnderstoodError(f"call {dict(case.call)}")
    module = realize(case, constructor(case))
    if case.manifest.get("after_fill"):
        set_singular_vectors(module)
    inputs = [case.required("x")]
    if "guide_ch" in case.inputs:
        inputs += [case.required("guide_ch"), case.required("guide_sp")]
    outputs: dict[str, Tensor] = {}

    def keep(path: str) -> Any:
        def hook(module: nn.Module, inputs: tuple[Any, ...], output: Tensor) -> None:
            outputs[path] = output.clone()

        return hook

    for path, part in module.named_modules():
        if isinstance(part, AdaptiveConv2d | PAKA3x3):
            part.register_forward_hook(keep(path))
    with capture(module) as sink:
        outputs[""] = module(*inputs)
    seen = {(tap.path, tap.label): value for tap, _, value in sink.batches}
    made = {}
    for name in case.expected:
        match = _NAME.fullmatch(name)
        value = _value(seen, outputs, match["path"] or "", match["what"]) if match else None
        if match and value is not None:
            made[name] = (value[:, : int(match["first"])] if match["first"] else value).numpy()
    return made


def _value(
    seen: Mapping[tuple[str, str], Tensor], outputs: Mapping[str, Tensor], path: str, what: str
) -> Tensor | None:
    # A wrapper shows what the convolution inside it shows.
    inside = next((p for p in (path, f"{path}.conv".lstrip(".")) if (p, "tap_logits") in seen), None)
    if what == "out" or inside is None:
        return outputs.get(path) if what == "out" else None
    if what in _PROBES:
        return seen[inside, _PROBES[what]]
    full = attention(seen[inside, "channel_logits"], seen[inside, "tap_logits"])
    if what in _STATS:
        v = full.numpy().astype(np.float64)
        return torch.tensor([v.mean(), v.std(), v.min(), v.max(), np.abs(v - 1).mean()])
    return {"attention": full, "attention_mean_over_taps": full.mean(dim=2)}.get(what)
