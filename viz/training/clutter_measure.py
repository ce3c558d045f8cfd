"""Figures of a trained module on views of clutter that it never saw, with a control beside each."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor

from viz.capture.probe import Edit, capture, edited
from viz.datasets.core import Box
from viz.families.family import family_of
from viz.models.networks.base import StepNetwork, StepOutput
from viz.models.networks.efficientnet_lite import EfficientNetLite0
from viz.models.networks.lite0_attended import Lite0Attended
from viz.models.networks.lite0_tdam import Lite0TDAM
from viz.training.clutter_learn import rows
from viz.training.features import Maps
from viz.training.measure import Figure, figure, gate_mass, located
from viz.training.scenes import Scene, covered

DELTAS = (0.3, 0.5, 0.7)
# What is read as the family's own spatial map.
NATIVE: dict[str, str] = {
    "tdam": "spatial_gate",
    "psa": "spatial_gate",
    "ema": "group_gate",
    "vista": "structured",
    "paka": "kernel_attention",
}
Key = tuple[str, int]


@dataclass(frozen=True, eq=False)
class Reading:
    """What one pass over cached views gives: `logits` (N, 1000), `features` (N, 1280, h, w) in float16, and captured
    `values` by (full probe name, step), batch first."""

    logits: Tensor
    features: Tensor
    values: Mapping[Key, Tensor]


def last_output(network: StepNetwork, taps: Sequence[Tensor]) -> StepOutput:
    """The last step's output of any of the six networks from the lower part's maps."""
    if isinstance(network, Lite0Attended):
        return network.last_output(taps)
    if isinstance(network, Lite0TDAM):
        return network.forward_maps(network.backbone.upper(taps[-1]))[-1]
    if isinstance(network, EfficientNetLite0):
        return network.head(network.upper(taps[-1]))
    raise TypeError(f"{type(network).__name__} does not stand on Lite0")


def batches(maps: Maps, device: torch.device, size: int = 100) -> Iterator[list[Tensor]]:
    """The cached views in order."""
    for start in range(0, len(maps), size):
        yield rows([maps], torch.arange(start, min(start + size, len(maps))), device)


@torch.inference_mode()
def read(
    network: StepNetwork, maps: Maps, labels: Sequence[str] = (), edits: Mapping[str, Edit] | None = None
) -> Reading:
    """Run all views; copy the probes named by `labels`; `edits` (by full probe name) replace values."""
    device = next(network.parameters()).device
    logits: list[Tensor] = []
    features: list[Tensor] = []
    found: dict[Key, list[Tensor]] = {}
    for taps in batches(maps, device):
        with edited(network, edits) if edits else nullcontext(), capture(network, list(labels)) as sink:
            output = last_output(network, taps)
        logits.append(output.logits.cpu())
        features.append(output.features.half().cpu())
        for tap, step, value in sink.batches:
            found.setdefault((tap.name, step), []).append(value)
    return Reading(torch.cat(logits), torch.cat(features), {k: torch.cat(v) for k, v in found.items()})


def to_means(values: Mapping[Key, Tensor], labels: Sequence[str]) -> dict[str, Edit]:
    """Edits that put the data-set mean in place of every picture's own value, probe by probe and step by step."""
    means: dict[str, dict[int, Tensor]] = {}
    for (name, step), value in values.items():
        if name.rpartition(".")[2] in labels:
            means.setdefault(name, {})[step] = value.mean(dim=0, keepdim=True)

    def edit_of(of_step: dict[int, Tensor]) -> Edit:
        return lambda x, step: of_step[step].to(x).expand_as(x)

    return {name: edit_of(of_step) for name, of_step in means.items()}


def native_map(network: StepNetwork, values: Mapping[Key, Tensor]) -> Tensor:
    """(N, h, w): the family's own attention over places at its last step.

    TDAM and PSA: the spatial gate. EMA: the groups' gates, averaged. VISTA: the structured tensors' channel means,
    averaged over the messages by the absolute strength of each. PAKA: the kernel attention, averaged over the taps of
    the last level (how much the cell takes in at all).
    """
    label = NATIVE[network.family or ""]
    chosen = {k: v for k, v in values.items() if k[0].rpartition(".")[2] == label}
    last = max(step for _, step in chosen)
    maps = {name: v if v.ndim == 3 else v.mean(dim=1) for (name, step), v in chosen.items() if step == last}
    weights = {name: _strength(network, name) for name in maps}
    total = sum(weights.values())
    return torch.stack([weights[name] / total * value for name, value in maps.items()]).sum(dim=0)


def _strength(network: StepNetwork, name: str) -> float:
    """Weight of one module's map: the strength of a VISTA message, else 1."""
    module = network.get_submodule(name.rpartition(".")[0])
    strength = getattr(module, "strength", None)
    return abs(float(strength.detach())) + 1e-9 if isinstance(strength, Tensor) else 1.0


@dataclass(frozen=True)
class Variation:
    """Standard deviation of a gate: `within` a picture (over its places or channels, mean over pictures), `between`
    pictures (at the same place, mean over places)."""

    within: Figure
    between: float

    def to_dict(self) -> dict[str, float]:
        return {**self.within.to_dict(), "between": round(self.between, 4)}


def variation(gate: Tensor, groups: Sequence[Sequence[int]]) -> Variation:
    """Of a gate (N, ...)."""
    flat = gate.flatten(1)
    within = figure(flat.std(dim=1, correction=0).double(), groups)
    return Variation(within, float(flat.std(dim=0, correction=0).mean()))


def class_maps(reading: Reading, weights: Tensor, classes: Tensor) -> Tensor:
    """(N, h, w) class maps of `classes` (N,)."""
    chosen = weights.cpu().float()[classes]
    found = [
        torch.einsum("nchw,nc->nhw", reading.features[i : i + 100].float(), chosen[i : i + 100])
        for i in range(0, len(classes), 100)
    ]
    return torch.cat(found)


@contextmanager
def _gate_at_module(network: Lite0Attended, gate: Tensor) -> Iterator[None]:
    """Let the module be a given gate (N, h, w) in 0..1 while the block runs: the ceiling of a spatial gate there."""
    attend = network.attend
    scale = network.scale.data.clone()
    network.attend = lambda taps: [taps[-1] * gate[:, None].to(taps[-1])]  # type: ignore[method-assign]
    network.scale.data.fill_(1.0)
    try:
        yield
    finally:
        network.attend = attend  # type: ignore[method-assign]
        network.scale.data.copy_(scale)


@torch.inference_mode()
def masked_logits(network: Lite0Attended, maps: Maps, covers: Tensor) -> Tensor:
    """Logits (N, 1000) when the object's true places (N, 14, 14) gate the maps."""
    device = next(network.parameters()).device
    found = []
    start = 0
    for taps in batches(maps, device):
        stop = start + len(taps[0])
        with _gate_at_module(network, covers[start:stop]):
            found.append(network.last_output(taps).logits.cpu())
        start = stop
    return torch.cat(found)


def scene_figures(
    network: StepNetwork,
    control: StepNetwork,
    plain: EfficientNetLite0,
    *,
    maps: Maps,
    scenes: Sequence[Scene],
    classes: Tensor,
) -> dict[str, dict[str, float]]:
    """Everything said of one set of clutter views.

    Args:
        control: the same network with a random module.
        maps: (N, 232, 14, 14). classes: (N,).
    """
    # A picture and a street scene occur in several views: both are drawn again.
    groups = [[s.photo, 10**6 + s.background] for s in scenes]
    gates = family_of(network.family).gates
    base = read(plain, maps)
    full = read(network, maps, tuple(dict.fromkeys([*gates, NATIVE[network.family or ""]])))
    hit = _hits(classes)
    accuracy, floor = hit(full), hit(base)

    def rate(row: Tensor) -> Figure:
        return figure(row, groups)

    everything = to_means(full.values, gates)
    without = hit(read(network, maps, edits=everything))
    native = native_map(network, full.values)
    covers = torch.stack([covered(s, native.shape[-1]) for s in scenes])
    mass, area = gate_mass(native, covers), covers.mean(dim=(1, 2))
    noise = read(control, maps, (NATIVE[network.family or ""],))
    noise_mass = gate_mass(native_map(control, noise.values), covers)
    found: dict[str, Figure | Variation] = {
        "plain": rate(floor),
        "top1": rate(accuracy),
        "gain": rate(accuracy - floor),
        "gates_mean": rate(without),
        "gates_loss": rate(accuracy - without),
        "random_module": rate(hit(noise)),
        "mass": rate(mass),
        "area": rate(area),
        "mass_over_area": _ratio(mass, area, groups),
        "random_mass_over_area": _ratio(noise_mass, area, groups),
        "variation_native": variation(native, groups),
    }
    for label in gates:
        only = hit(read(network, maps, edits=to_means(full.values, (label,)))) if len(gates) > 1 else without
        found[f"mean_{label}"] = rate(only)
        value = torch.cat([v.flatten(1) for (n, _), v in full.values.items() if n.rpartition(".")[2] == label], dim=1)
        found[f"variation_{label}"] = variation(value, groups)
    truth: list[list[Box]] = [[(float(a), float(b), float(c), float(d))] for a, b, c, d in (s.region for s in scenes)]
    sources = {
        "plain_class_map": class_maps(base, plain.class_weights(), classes),
        "class_map": class_maps(full, plain.class_weights(), classes),
        "native": native,
    }
    for source, cams in sources.items():
        for delta, row in zip(DELTAS, located(cams, truth, DELTAS), strict=True):
            found[f"box_{source}_{delta}"] = figure(row, groups)
    if isinstance(network, Lite0Attended):
        cover14 = torch.stack([covered(s, 14) for s in scenes])
        logits = masked_logits(network, maps, cover14)
        found["perfect_mask"] = rate((logits.argmax(1) == classes).double())
    return {name: row.to_dict() for name, row in found.items()}


def _hits(classes: Tensor) -> Callable[[Reading], Tensor]:
    return lambda reading: (reading.logits.argmax(dim=1) == classes).double()


def _ratio(mass: Tensor, area: Tensor, groups: Sequence[Sequence[int]]) -> Figure:
    """Mean mass over mean area; the interval is the mass's, over the fixed mean area."""
    mean = float(area.mean())
    found = figure(mass.double(), groups)
    return Figure(found.value / mean, found.low / mean, found.high / mean, found.n)


def ordinary_figures(
    network: StepNetwork,
    plain: EfficientNetLite0,
    *,
    maps: Maps,
    classes: Tensor,
    boxes: Sequence[Sequence[Box]] | None = None,
) -> dict[str, dict[str, float]]:
    """Top-1 on ordinary pictures, with and without the module, and boxes of the true class where known."""
    hit = _hits(classes)
    base, full = read(plain, maps), read(network, maps)
    found = {
        "plain": figure(hit(base)),
        "top1": figure(hit(full)),
        "change": figure(hit(full) - hit(base)),
    }
    if boxes is not None:
        for source, reading in (("plain_class_map", base), ("class_map", full)):
            cams = class_maps(reading, plain.class_weights(), classes)
            for delta, row in zip(DELTAS, located(cams, boxes, DELTAS), strict=True):
                found[f"box_{source}_{delta}"] = figure(row)
    return {name: row.to_dict() for name, row in found.items()}
