"""VISTA as published: the structured gate, one message, and the message graph."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from tests.parity.case import Case, MismatchError, NotUnderstoodError, realize
from tests.parity.families.vista_build import graph_arguments, message_arguments, rank_of, width_of
from viz.capture.probe import Sink, capture
from viz.families.local import local
from viz.families.vista.graph import DILATIONS, AttentionGraph, GatedMessage, StructuredAttention

FAMILY = "vista"
PROBES = {
    "kernel_prediction": "kernel_prediction",
    "kernel_se": "kernel_emitting",
    "kernel_sr": "kernel_receiving",
    "att_raw": "energy",
    "att_struct": "structured",
}
# Arrays over the ranks: (T, N, 1, h, w) and (T, N, W).
_RANKED = {"sp_ag": "spatial_map", "ch_ag": "channel_vector"}
_PROBED = re.compile(r"(?:MSG_(?P<message>35|45|55)\.)?(?P<what>[a-z_]+)_(?P<q>[123])")
_MESSAGE = re.compile(r"MSG_(35|45|55)\.message_out")
_LAYERS = ("conv3", "conv4", "conv5", "combination_msgs_51", "combination_msgs_52", "combination_msgs_5")


def evaluate(case: Case) -> Mapping[str, NDArray[Any]]:
    """Our values of a VISTA case."""
    if case.kind != "module":
        raise NotUnderstoodError(f"whole VISTA networks (kind {case.kind!r}) have no counterpart yet")
    draws = _draws(case)
    if "att" in case.inputs:
        made = _structured(case, draws)
    elif "se" in case.inputs:
        made = _message(case, draws)
    else:
        made = _graph(case, draws)
    return {**made, "ch_logits": np.stack(draws) if draws else np.zeros(0, np.float32)}


def _draws(case: Case) -> list[NDArray[np.float32]]:
    """The channel logits that the manifest's rule gives, in call order; the stored ones must be the same."""
    told = case.manifest.get("random_channel_logits") or {}
    count = told.get("draws", 0)
    if set(told) - {"seed0", "rule", "draws"} or not isinstance(count, int):
        raise NotUnderstoodError(f"random_channel_logits {sorted(told)}")
    if not count:
        return []
    if not isinstance(told.get("seed0"), int):
        raise NotUnderstoodError(f"seed0 {told.get('seed0')!r}")
    sizes = [spec["shape"][0] for spec in case.inputs.values() if isinstance(spec, dict) and "shape" in spec]
    shape = (sizes[0], width_of(case))
    return [np.random.RandomState(told["seed0"] + n).standard_normal(shape).astype(np.float32) for n in range(count)]


def _tensors(draws: list[NDArray[np.float32]]) -> list[Tensor]:
    return [torch.from_numpy(d) for d in draws]


def _over_ranks(sink: Sink, path: str, label: str, q: int, rank: int) -> NDArray[Any] | None:
    found = {tap.label: v for tap, _, v in sink.batches if tap.path == path}
    values = [found.get(f"{label}_{q}_{t}") for t in range(1, rank + 1)]
    kept = [v[:, None] if label == "spatial_map" else v for v in values if v is not None]
    return torch.stack(kept).numpy() if kept and len(kept) == rank else None


def _structured(case: Case, draws: list[NDArray[np.float32]]) -> dict[str, NDArray[Any]]:
    case.only("inputs", {"att"})
    case.only("build", {"class", "args", "kwargs"})
    energy = case.required("att")
    if energy.ndim != 4 or energy.shape[1] != width_of(case):
        raise MismatchError(f"the energy is {tuple(energy.shape)}, the width {width_of(case)}")
    rank, zero_rank, _ = rank_of(case)
    module = realize(case, lambda: StructuredAttention(rank, zero_rank=zero_rank))
    with capture(module) as sink:
        made = {"out": module(energy, _tensors(draws)).numpy()}
    for name, label in _RANKED.items():
        value = _over_ranks(sink, "", label, 1, rank)
        if value is not None:
            made[name] = value
    return made


def _message(case: Case, draws: list[NDArray[np.float32]]) -> dict[str, NDArray[Any]]:
    case.only("inputs", {"sr", "se"})
    arguments = message_arguments(case)
    module = realize(case, lambda: GatedMessage(**arguments))
    emitted = case.required("se")
    with capture(module) as sink:
        out = module(case.required("sr"), emitted, _tensors(draws))
    made = {"message_out": out.numpy(), **_probed(case, sink, arguments["rank"])}
    seen = {tap.label: value for tap, _, value in sink.batches}
    for q, dilation in enumerate(DILATIONS, 1):
        part = seen[f"structured_{q}"] * local(seen[f"kernel_prediction_{q}"], emitted, dilation)
        made[f"message_{q}"] = part.numpy()
    return made


def _probed(case: Case, sink: Sink, rank: int) -> dict[str, NDArray[Any]]:
    made = {}
    found = {(tap.path, tap.label): v for tap, _, v in sink.batches}
    for name in case.expected:
        match = _PROBED.fullmatch(name)
        if match is None:
            continue
        path = f"attention_MSG_{match['message']}" if match["message"] else ""
        what, q = match["what"], int(match["q"])
        if what in _RANKED:
            ranked = _over_ranks(sink, path, _RANKED[what], q, rank)
            if ranked is not None:
                made[name] = ranked
        elif (value := found.get((path, f"{PROBES.get(what)}_{q}"))) is not None:
            made[name] = value.numpy()
    return made


@contextmanager
def _outputs(network: nn.Module) -> Iterator[dict[str, Tensor]]:
    """Outputs of the named layers and of the messages, filled while the network runs."""
    seen: dict[str, Tensor] = {}

    def hook_of(name: str) -> Any:
        return lambda module, inputs, output: seen.__setitem__(name, output.clone())

    handles = [
        network.get_submodule(name).register_forward_hook(hook_of(name)) for name in _LAYERS if hasattr(network, name)
    ]
    handles += [
        network.get_submodule(f"attention_MSG_{m}").register_forward_hook(hook_of(f"MSG_{m}.message_out"))
        for m in ("35", "45", "55")
    ]
    try:
        yield seen
    finally:
        for handle in handles:
            handle.remove()


def _graph(case: Case, draws: list[NDArray[np.float32]]) -> dict[str, NDArray[Any]]:
    case.only("inputs", {"c1", "c2", "c3", "c4"})
    arguments = graph_arguments(case)
    module = realize(case, lambda: AttentionGraph(**arguments))
    scales = [case.required(name) for name in ("c2", "c3", "c4")]
    with _outputs(module) as seen, capture(module) as sink:
        out = module(*scales, _tensors(draws))
    named = {k: v.numpy() for k, v in seen.items() if k in _LAYERS or _MESSAGE.fullmatch(k)}
    return {"out": out.numpy(), **named, **_probed(case, sink, arguments["rank"])}
