"""Figures of a trained module on unseen clutter views, with a control beside each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from recipes.bench import Bench
from recipes.clutter.scenes import Scene
from recipes.features import Maps, batches, split_taps
from recipes.readings import Groups, Key, Reading, box_rates, class_maps, gate_mass, plain, read, to_means
from recipes.views import covered
from viz.capture.probe import Edit
from viz.datasets.core import Box
from viz.families.family import family_of
from viz.measures.intervals import Interval, interval
from viz.models.networks.base import StepNetwork, StepOutput
from viz.models.networks.efficientnet_lite import EfficientNetLite0
from viz.models.networks.lite0_attended import Lite0Attended
from viz.models.networks.lite0_tdam import Lite0TDAM

BATCH = 100
# The label of each family's own spatial map.
NATIVE: dict[str, str] = {
    "tdam": "spatial_gate",
    "psa": "spatial_gate",
    "ema": "group_gate",
    "vista": "structured",
    "paka": "kernel_attention",
}


def last_output(network: StepNetwork, taps: Sequence[Tensor]) -> StepOutput:
    """The last step's output of any of the six networks from the lower part's maps."""
    if isinstance(network, Lite0Attended):
        return network.last_output(taps)
    if isinstance(network, Lite0TDAM):
        return network.forward_maps(network.backbone.upper(taps[-1]))[-1]
    if isinstance(network, EfficientNetLite0):
        return network.head(network.upper(taps[-1]))
    raise TypeError(f"{type(network).__name__} is not built on Lite0")


def scales(network: StepNetwork, maps: Maps) -> Iterator[list[Tensor]]:
    """The cached views in order, as maps of three scales on the network's device."""
    return map(split_taps, batches(maps, next(network.parameters()).device, BATCH))


def look(
    network: StepNetwork, maps: Maps, labels: Sequence[str] = (), edits: Mapping[str, Edit] | None = None
) -> Reading:
    """Run the last step on all views; class features are kept in float16."""

    def run(taps: list[Tensor]) -> list[StepOutput]:
        return [last_output(network, taps)]

    return read(network, scales(network, maps), run, labels=labels, edits=edits, features=torch.float16)


def native_map(network: StepNetwork, values: Mapping[Key, Tensor]) -> Tensor:
    """(N, h, w): the family's own spatial attention at its last step.

    TDAM and PSA: the spatial gate. EMA: the mean of the groups' gates. VISTA: the structured tensors' channel means,
    averaged over the messages with the absolute strength of each as weight. PAKA: the kernel attention, averaged over
    the taps of the last level (the total input of a cell).
    """
    chosen = {k: v for k, v in values.items() if k[0].rpartition(".")[2] == NATIVE[network.family or ""]}
    last = max(step for _, step in chosen)
    maps = {name: v if v.ndim == 3 else v.mean(dim=1) for (name, step), v in chosen.items() if step == last}
    weights = {name: _strength(network, name) for name in maps}
    total = sum(weights.values())
    return torch.stack([weights[name] / total * value for name, value in maps.items()]).sum(dim=0)


def _strength(network: StepNetwork, name: str) -> float:
    """Weight of one module's map: the strength of a VISTA message, else 1."""
    strength = getattr(network.get_submodule(name.rpartition(".")[0]), "strength", None)
    return abs(float(strength.detach())) + 1e-9 if isinstance(strength, Tensor) else 1.0


@dataclass(frozen=True)
class Variation(Interval):
    """Standard deviation of a gate within a picture (over its positions or channels, mean over pictures), and
    `between` pictures (at the same position, mean over positions)."""

    between: float


def variation(gate: Tensor, groups: Groups) -> Variation:
    """Variation of a gate (N, ...)."""
    flat = gate.flatten(1)
    within = interval(flat.std(dim=1, correction=0).double(), groups)
    between = float(flat.std(dim=0, correction=0).mean())
    return Variation(within.value, within.low, within.high, within.n, between)


@contextmanager
def _gate_at_module(network: Lite0Attended, gate: Tensor) -> Iterator[None]:
    """Replace the module by a given gate (N, h, w) in 0..1 while the block runs: the upper bound of a spatial gate."""
    attend, scale = network.attend, network.scale.data.clone()
    network.attend = lambda taps: [taps[-1] * gate[:, None].to(taps[-1])]  # type: ignore[method-assign]
    network.scale.data.fill_(1.0)
    try:
        yield
    finally:
        network.attend = attend  # type: ignore[method-assign]
        network.scale.data.copy_(scale)


@torch.inference_mode()
def masked_logits(network: Lite0Attended, maps: Maps, covers: Tensor) -> Tensor:
    """Logits (N, 1000) with the object's true mask (N, 14, 14) as the gate of the maps."""
    found = []
    for gate, taps in zip(torch.split(covers, BATCH), scales(network, maps), strict=True):
        with _gate_at_module(network, gate):
            found.append(network.last_output(taps).logits.cpu())
    return torch.cat(found)


def scene_figures(
    network: StepNetwork,
    control: StepNetwork,
    bare: EfficientNetLite0,
    *,
    maps: Maps,
    scenes: Sequence[Scene],
    classes: Tensor,
) -> dict[str, Interval]:
    """All figures of one set of clutter views.

    Args:
        control: the same network with a random module. bare: plain Lite0.
        maps: (N, 232, 14, 14). classes: (N,).
    """
    # Pictures and street scenes occur in several views; the bootstrap resamples both.
    groups = [[s.photo, 10**6 + s.background] for s in scenes]
    gates, own = family_of(network.family).gates, NATIVE[network.family or ""]
    base, noise = look(bare, maps), look(control, maps, (own,))
    full = look(network, maps, tuple(dict.fromkeys([*gates, own])))
    native = native_map(network, full.values)
    covers = torch.stack([covered(s.region, native.shape[-1]) for s in scenes])
    area, mass = covers.mean(dim=(1, 2)), gate_mass(native, covers)

    def without(*labels: str) -> Tensor:
        return look(network, maps, edits=to_means(full.values, labels)).hits(classes)

    def over_area(masses: Tensor) -> Interval:
        """Mean mass over mean area; the interval is that of the mass, over the fixed mean area."""
        found, mean = interval(masses.double(), groups), float(area.mean())
        return Interval(found.value / mean, found.low / mean, found.high / mean, found.n)

    hits, floor, meant = full.hits(classes), base.hits(classes), without(*gates)
    rates = {
        "plain": floor,
        "top1": hits,
        "gain": hits - floor,
        "gates_mean": meant,
        "gates_loss": hits - meant,
        "random_module": noise.hits(classes),
        "mass": mass,
        "area": area,
    }
    found = {name: interval(values, groups) for name, values in rates.items()} | {
        "mass_over_area": over_area(mass),
        "random_mass_over_area": over_area(gate_mass(native_map(control, noise.values), covers)),
        "variation_native": variation(native, groups),
    }
    for label in gates:
        found[f"mean_{label}"] = interval(without(label) if len(gates) > 1 else meant, groups)
        values = [v.flatten(1) for (name, _), v in full.values.items() if name.rpartition(".")[2] == label]
        found[f"variation_{label}"] = variation(torch.cat(values, dim=1), groups)
    weights, truth = bare.class_weights(), [[s.region] for s in scenes]
    sources = {
        "plain_class_map": class_maps(base.features[-1], weights, classes),
        "class_map": class_maps(full.features[-1], weights, classes),
        "native": native,
    }
    for source, cams in sources.items():
        found |= box_rates(f"box_{source}_{{}}", cams, truth, groups)
    if isinstance(network, Lite0Attended):
        perfect = masked_logits(network, maps, torch.stack([covered(s.region, maps.shape[-1]) for s in scenes]))
        found["perfect_mask"] = interval((perfect.argmax(1) == classes).double(), groups)
    return found


def ordinary_figures(
    network: StepNetwork, bare: EfficientNetLite0, maps: Maps, classes: Tensor, boxes: Mapping[int, Sequence[Box]]
) -> dict[str, Interval]:
    """Top-1 on ordinary pictures, with and without the module, and boxes of the true class where known."""
    base, full = look(bare, maps), look(network, maps)
    floor, hits, places = base.hits(classes), full.hits(classes), list(boxes)
    found = {"plain": interval(floor), "top1": interval(hits), "change": interval(hits - floor)}
    for source, reading in (("plain_class_map", base), ("class_map", full)) if boxes else ():
        cams = class_maps(reading.features[-1][places], bare.class_weights(), classes[places])
        found |= box_rates(f"box_{source}_{{}}", cams, list(boxes.values()))
    return found


def all_figures(
    bench: Bench[Scene], network: StepNetwork, control: StepNetwork, bare: EfficientNetLite0
) -> dict[str, dict[str, Any]]:
    """All figures by set of views. `control` is the same network with a random module, `bare` plain Lite0."""
    found: dict[str, dict[str, Interval]] = {}
    for name in ("report_unseen", "report_nette", "report_caltech"):
        maps, classes, scenes = bench.maps(name), bench.classes(name)[:, 0], bench.sets[name].views
        found[name.removeprefix("report_")] = scene_figures(
            network, control, bare, maps=maps, scenes=scenes, classes=classes
        )
    for name in ("alone_nette", "alone_unseen"):
        maps, classes = bench.maps(name), bench.classes(name)[:, 0]
        boxes = bench.boxes([view.photo for view in bench.sets[name].views])
        found[name] = ordinary_figures(network, bare, maps, classes, boxes)
    return {name: plain(rows) for name, rows in found.items()}
