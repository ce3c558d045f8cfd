"""Figures of a trained module on unseen clutter views, with a control beside each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from recipes.bench import Bench
from recipes.clutter.native import NATIVE, native_map
from recipes.clutter.scenes import Scene
from recipes.features import Maps, batches, split
from recipes.readings import (
    Groups,
    Reading,
    box_rates,
    centred_rates,
    class_maps,
    gate_mass,
    plain,
    read,
    to_means,
)
from recipes.views import covered
from recipes.weights import FLOOR
from viz.capture.probe import Edit
from viz.datasets.core import Box
from viz.families.family import family_of
from viz.measures.intervals import Interval, interval
from viz.models.networks.base import StepNetwork, StepOutput
from viz.models.networks.efficientnet_lite import EfficientNetLite0
from viz.models.networks.lite0_attended import BOTTOM, Lite0Attended
from viz.models.networks.lite0_tdam import Lite0TDAM

BATCH = 100
# A thing is small if its boxes cover less than this share of the picture.
SMALL = 0.25


def last_output(network: StepNetwork, taps: Sequence[Tensor]) -> StepOutput:
    """The last step's output of any of the six networks from the cached maps, see `recipes.features.split`."""
    if isinstance(network, Lite0Attended):
        return network.last_output(taps)
    if isinstance(network, Lite0TDAM):
        return network.forward_maps(taps[-1])[-1]
    if isinstance(network, EfficientNetLite0):
        return network.head(taps[-1])
    raise TypeError(f"{type(network).__name__} is not built on Lite0")


def scales(network: StepNetwork, maps: Maps) -> Iterator[list[Tensor]]:
    """The cached views in order, as maps of three scales on the network's device."""
    return map(split, batches(maps, next(network.parameters()).device, BATCH))


def look(
    network: StepNetwork, maps: Maps, labels: Sequence[str] = (), edits: Mapping[str, Edit] | None = None
) -> Reading:
    """Run the last step on all views; class features are kept in float16."""

    def run(taps: list[Tensor]) -> list[StepOutput]:
        return [last_output(network, taps)]

    return read(network, scales(network, maps), run, labels=labels, edits=edits, features=torch.float16)


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
    attend, scale, share = network.attend, network.scale.data.clone(), network.share
    network.attend = lambda taps: [taps[BOTTOM] * gate[:, None].to(taps[BOTTOM])]  # type: ignore[method-assign]
    network.scale.data.fill_(1.0)
    network.share = 1.0
    try:
        yield
    finally:
        network.attend = attend  # type: ignore[method-assign]
        network.scale.data.copy_(scale)
        network.share = share


@torch.inference_mode()
def masked_logits(network: Lite0Attended, maps: Maps, covers: Tensor) -> Tensor:
    """Logits (N, 1000) with the object's true mask (N, 14, 14) as the gate of the maps."""
    found = []
    for gate, taps in zip(torch.split(covers, BATCH), scales(network, maps), strict=True):
        with _gate_at_module(network, gate):
            found.append(network.last_output(taps).logits.cpu())
    return torch.cat(found)


def untrained_map(network: StepNetwork, maps: Maps) -> Tensor:
    """(N, 14, 14): squared activations at the module's input, standardised over all views, mean over channels, blurred.

    The control that a trained map has to beat: strong activations lie on things without any training.
    """
    bottom = torch.cat([taps[BOTTOM] for taps in scales(network, maps)])
    mean, std = bottom.mean(dim=(0, 2, 3), keepdim=True), bottom.std(dim=(0, 2, 3), keepdim=True)
    energy = ((bottom - mean) / std.clamp_min(FLOOR)).square().mean(dim=1, keepdim=True)
    return F.avg_pool2d(energy, 3, stride=1, padding=1, count_include_pad=False)[:, 0].cpu()


def over_area(masses: Tensor, covers: Tensor, groups: Groups | None = None) -> Interval:
    """Mean mass over mean area; the interval is that of the mass, over the fixed mean area."""
    found, mean = interval(masses.double(), groups), float(covers.mean())
    return Interval(found.value / mean, found.low / mean, found.high / mean, found.n)


def scene_figures(
    network: StepNetwork,
    control: StepNetwork,
    bare: EfficientNetLite0,
    *,
    maps: Maps,
    scenes: Sequence[Scene],
    classes: Tensor,
    adapter: StepNetwork | None = None,
) -> dict[str, Interval]:
    """All figures of one set of clutter views.

    Args:
        control: the same network with a random module. bare: plain Lite0.
        maps: (N, 312, 14, 14). classes: (N,).
        adapter: a network with an adapter of equal size instead of the module.
    """
    # Pictures and backgrounds occur in several views; the bootstrap resamples both.
    groups = [s.groups() for s in scenes]
    gates, own = family_of(network.family).gates, NATIVE[network.family or ""]
    base, noise = look(bare, maps), look(control, maps, (own,))
    full = look(network, maps, tuple(dict.fromkeys([*gates, own])))
    native = native_map(network, full.values)
    covers = torch.stack([covered(s.region, native.shape[-1]) for s in scenes])
    untrained = untrained_map(bare, maps)
    fine = torch.stack([covered(s.region, untrained.shape[-1]) for s in scenes])
    # What the modules read, without a module.
    total = base.features[-1].float().sum(dim=1)
    coarse = torch.stack([covered(s.region, total.shape[-1]) for s in scenes])

    def without(*labels: str) -> Tensor:
        return look(network, maps, edits=to_means(full.values, labels)).hits(classes)

    hits, floor, meant = full.hits(classes), base.hits(classes), without(*gates)
    rates = {
        "plain": floor,
        "top1": hits,
        "gain": hits - floor,
        "gates_mean": meant,
        "gates_loss": hits - meant,
        "random_module": noise.hits(classes),
        "mass": gate_mass(native, covers),
        "area": covers.mean(dim=(1, 2)),
    }
    if adapter is not None:
        other = look(adapter, maps).hits(classes)
        rates |= {"adapter": other, "over_adapter": hits - other}
    found = {name: interval(values, groups) for name, values in rates.items()} | {
        "mass_over_area": over_area(rates["mass"], covers, groups),
        "random_mass_over_area": over_area(gate_mass(native_map(control, noise.values), covers), covers, groups),
        "untrained_mass_over_area": over_area(gate_mass(untrained, fine), fine, groups),
        "features_mass_over_area": over_area(gate_mass(total, coarse), coarse, groups),
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
        "untrained": untrained,
        "features": total,
    }
    for source, cams in sources.items():
        found |= box_rates(f"box_{source}_{{}}", cams, truth, groups)
    if isinstance(network, Lite0Attended):
        found["perfect_mask"] = interval((masked_logits(network, maps, fine).argmax(1) == classes).double(), groups)
    return found


def ordinary_figures(
    network: StepNetwork,
    bare: EfficientNetLite0,
    *,
    maps: Maps,
    classes: Tensor,
    boxes: Mapping[int, Sequence[Box]],
    adapter: StepNetwork | None = None,
) -> dict[str, Interval]:
    """Top-1 on ordinary pictures, with and without the module; where boxes are known, boxes of the true class, of the
    family's own map and of the controls, and the figures of the pictures whose things are small."""
    own = NATIVE[network.family or ""]
    base, full = look(bare, maps), look(network, maps, (own,))
    floor, hits, places = base.hits(classes), full.hits(classes), list(boxes)
    others = {} if adapter is None else {"adapter": look(adapter, maps).hits(classes)}
    found = {
        name: interval(row) for name, row in {"plain": floor, "top1": hits, "change": hits - floor, **others}.items()
    }
    if not boxes:
        return found
    native, untrained, truth = native_map(network, full.values), untrained_map(bare, maps), list(boxes.values())
    sources = {
        "plain_class_map": class_maps(base.features[-1][places], bare.class_weights(), classes[places]),
        "class_map": class_maps(full.features[-1][places], bare.class_weights(), classes[places]),
        "native": native[places],
        "untrained": untrained[places],
        "features": base.features[-1][places].float().sum(dim=1),
    }
    for source, cams in sources.items():
        found |= box_rates(f"box_{source}_{{}}", cams, truth)
    found |= centred_rates("box_centred_{}", truth)

    # Which things are small does not depend on the cells of the network's own map.
    covers = {k: covered_by(of, untrained.shape[-1]) for k, of in boxes.items()}
    small = [k for k, cover in covers.items() if float(cover.mean()) < SMALL]
    fine = torch.stack([covers[k] for k in small])
    places_of = torch.stack([covered_by(boxes[k], native.shape[-1]) for k in small])
    few = {"plain": floor, "top1": hits, "gain": hits - floor, **others}
    return (
        found
        | {f"small_{name}": interval(row[small]) for name, row in few.items()}
        | {
            "small_mass_over_area": over_area(gate_mass(native[small], places_of), places_of),
            "small_untrained_mass_over_area": over_area(gate_mass(untrained[small], fine), fine),
        }
    )


def covered_by(boxes: Sequence[Box], cells: int) -> Tensor:
    """(cells, cells) share of each cell that the boxes of a picture cover."""
    rounded = [tuple(round(v) for v in box) for box in boxes]
    return torch.stack([covered((x0, y0, x1, y1), cells) for x0, y0, x1, y1 in rounded]).amax(dim=0)


def all_figures(
    bench: Bench[Scene],
    network: StepNetwork,
    control: StepNetwork,
    bare: EfficientNetLite0,
    adapter: StepNetwork | None = None,
) -> dict[str, dict[str, Any]]:
    """All figures by set of views. `control` is the same network with a random module, `bare` plain Lite0."""
    found: dict[str, dict[str, Interval]] = {}
    for name, views in bench.sets.items():
        maps, classes = bench.maps(name), bench.classes(name)[:, 0]
        if name.startswith("report_"):
            found[name.removeprefix("report_")] = scene_figures(
                network, control, bare, maps=maps, scenes=views.views, classes=classes, adapter=adapter
            )
        elif name in ("alone_nette", "alone_unseen"):
            boxes = bench.boxes([view.photo for view in views.views])
            found[name] = ordinary_figures(network, bare, maps=maps, classes=classes, boxes=boxes, adapter=adapter)
    return {name: plain(rows) for name, rows in found.items()}
