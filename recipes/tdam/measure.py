"""Figures of a trained searchlight on unseen collages and pictures, with controls."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from recipes.bench import Bench
from recipes.features import Maps, batches
from recipes.readings import (
    RATIOS,
    Measured,
    Reading,
    box_rates,
    class_maps,
    gate_mass,
    largest_box,
    plain,
    read,
    to_means,
)
from recipes.tdam.collages import Collage
from recipes.tdam.learn import in_turn, others
from recipes.views import Region, covered
from viz.capture.probe import Edit
from viz.core.boxes import iou
from viz.datasets.core import Box
from viz.measures.intervals import interval
from viz.models.networks.lite0_tdam import Lite0TDAM

BATCH = 128
# Collages have two pictures: whatever the number of steps, their figures are those of step 2.
SECOND = 1
GATE = ("searchlight.spatial_gate", SECOND + 1)
# Added to the logits of the ten imagenette classes by the class-prior control.
PRIOR = 2.0


def look(
    network: Lite0TDAM,
    maps: Maps,
    labels: Sequence[str] = (),
    edits: Mapping[str, Edit] | None = None,
    features: torch.dtype | None = None,
) -> Reading:
    """Run all steps on maps (N, 320, 7, 7)."""
    inputs = batches(maps, network.bottom_mean.device, BATCH)
    return read(network, inputs, network.forward_maps, labels=labels, edits=edits, features=features)


@torch.inference_mode()
def gated_logits(network: Lite0TDAM, maps: Maps, gates: Tensor) -> Tensor:
    """(N, 1000) logits with given gates (N, 7, 7) in place of the searchlight's."""
    found = []
    for i, x in enumerate(batches(maps, network.bottom_mean.device, BATCH)):
        gate = gates[i * BATCH : i * BATCH + len(x)].to(x)
        found.append(network.backbone.head(x * (gate / gate.mean((1, 2), keepdim=True))[:, None]).logits.cpu())
    return torch.cat(found)


def masked_hits(network: Lite0TDAM, maps: Maps, gates: Tensor, classes: Tensor) -> Tensor:
    """(N,) 1.0 where given gates (N, 7, 7) in place of the searchlight make the class the top one.

    With a perfect mask of the other's half this is close to the upper bound of a spatial gate.
    """
    return (gated_logits(network, maps, gates).argmax(1) == classes).double()


def away(network: Lite0TDAM, maps: Maps, full: Reading) -> Tensor:
    """(steps, N, 1000) logits of the untrained rule: every step looks away from the class maps of all that was named.

    Args:
        full: a reading with class features, whose first step is plain Lite0.
    """
    logits, gates = [full.logits[0]], torch.ones(())
    for _ in range(1, network.steps):
        gates = gates * inhibition(network, full, logits[-1].argmax(1))
        logits.append(gated_logits(network, maps, gates))
    return torch.stack(logits)


def inhibition(network: Lite0TDAM, full: Reading, named: Tensor) -> Tensor:
    """Untrained gates (N, 7, 7): the sigmoid of minus twice the standardised class map of what was named (N,)."""
    cams = class_maps(full.features[0], network.class_weights(), named)
    mean, spread = cams.mean(dim=(1, 2), keepdim=True), cams.std(dim=(1, 2), keepdim=True).clamp_min(1e-6)
    return torch.sigmoid(-2 * (cams - mean) / spread)


def overlaps(cams: Tensor, regions: Sequence[Region], ratio: float) -> list[float]:
    """IoU of each class map's box with a region of the view."""
    return [iou(largest_box(cam, ratio), region) for cam, region in zip(cams, regions, strict=True)]


def part_regions(views: Sequence[Collage], parts: Tensor) -> list[Region]:
    """Region of one part of each collage."""
    return [view.parts[int(i)].region for view, i in zip(views, parts, strict=True)]


def collage_figures(
    network: Lite0TDAM,
    control: Lite0TDAM,
    *,
    maps: Maps,
    views: Sequence[Collage],
    classes: Tensor,
    ten: Sequence[int],
    ratio: float,
) -> Measured:
    """All figures of a set of two-part collages.

    Args:
        control: the same network with a random searchlight.
        maps: (N, 320, 7, 7). classes: (N, 2).
        ten: classes whose logits the class-prior control raises.
        ratio: threshold of the boxes, chosen elsewhere.
    """
    groups = [view.groups() for view in views]
    gates = ["spatial_gate", "channel_gate"][: 1 + ("channel" in network.searchlight.sequence)]
    full, noise = look(network, maps, gates, features=torch.float32), look(control, maps, gates)
    first, rows = full.logits[0], torch.arange(len(classes))
    winner, other = others(first, classes)
    wanted, won = classes[rows, other], classes[rows, winner]
    covers = torch.stack([covered(region, maps.shape[-1]) for region in part_regions(views, other)])
    prior = first.clone()
    prior[:, list(ten)] += PRIOR
    untrained = inhibition(network, full, first.argmax(1))

    def second_guess(logits: Tensor) -> Tensor:
        return (logits.topk(2, dim=1).indices[:, 1] == wanted).double()

    def without(*labels: str) -> Tensor:
        return look(network, maps, edits=to_means(full.values, labels)).hits(wanted, SECOND)

    hits = full.hits(wanted, SECOND)
    found = {
        "other_named_step2": hits,
        "winner_kept_step2": full.hits(won, SECOND),
        "winner_named_step1": full.hits(won, 0),
        "plain_second_guess": second_guess(first),
        "step2_minus_second_guess": hits - second_guess(first),
        "plain_second_guess_prior": second_guess(prior),
        "spatial_gate_mean": without("spatial_gate"),
        "random_module": noise.hits(wanted, SECOND),
        "random_module_mass": gate_mass(noise.values[GATE], covers),
        "gate_mass_other": gate_mass(full.values[GATE], covers),
        "other_area": covers.mean(dim=(1, 2)),
        "half_mask": masked_hits(network, maps, covers, wanted),
        "class_map_inhibition": masked_hits(network, maps, untrained, wanted),
        "class_map_inhibition_mass": gate_mass(untrained, covers),
    }
    if len(gates) > 1:
        found |= {"channel_gate_mean": without("channel_gate"), "both_gates_mean": without(*gates)}
    for name, step, part, named in (
        ("box_step1_own_half", 0, winner, won),
        ("box_step2_other_half", SECOND, other, wanted),
        ("box_plain_other_half", 0, other, wanted),
    ):
        cams = class_maps(full.features[step], network.class_weights(), named)
        found[name] = torch.tensor(overlaps(cams, part_regions(views, part), ratio), dtype=torch.float64)
    return {name: interval(values, groups) for name, values in found.items()}


def scene_figures(
    network: Lite0TDAM, control: Lite0TDAM, *, maps: Maps, views: Sequence[Collage], classes: Tensor
) -> Measured:
    """All figures of a set of scenes with three pictures. A step's own picture is the one with its highest logit among
    those that no earlier step had; the gate is the product of all gates so far.

    Args:
        control: the same network with a random searchlight. maps: (N, 320, 7, 7). classes: (N, 3).
    """
    groups = [view.groups() for view in views]
    full, noise = look(network, maps, ("spatial_gate",), features=torch.float32), look(control, maps)
    meant = look(network, maps, edits=to_means(full.values, ("spatial_gate",)))
    found: dict[str, Tensor] = {}
    for rule, logits in {
        "{}": full.logits,
        "{}_gates_mean": meant.logits,
        "{}_random_module": noise.logits,
        "{}_class_map_inhibition": away(network, maps, full),
    }.items():
        turns, answers = in_turn(list(logits), classes), logits.argmax(dim=2).T
        hits = (classes.gather(1, turns) == answers).double()
        found |= {rule.format(f"new_named_step{t + 1}"): hits[:, t] for t in range(network.steps)}
        found[rule.format("all_named")] = hits.prod(dim=1)
        again = (answers[:, 1:, None] == answers[:, None, :]).tril(0).any(dim=2).double()
        found |= {rule.format(f"repeated_step{t + 2}"): again[:, t] for t in range(network.steps - 1)}
    turns, gates = in_turn(list(full.logits), classes), torch.ones(())
    regions = torch.stack([torch.stack([covered(p.region, maps.shape[-1]) for p in view.parts]) for view in views])
    for step in range(2, network.steps + 1):
        gates = gates * full.values["searchlight.spatial_gate", step]
        covers = regions[torch.arange(len(views)), turns[:, step - 1]]
        found |= {f"gate_mass_step{step}": gate_mass(gates, covers), f"area_step{step}": covers.mean(dim=(1, 2))}
    return {name: interval(values, groups) for name, values in found.items()}


def choose_ratio(network: Lite0TDAM, maps: Maps, views: Sequence[Collage], classes: Tensor) -> float:
    """Threshold of the winner's box on the selection collages: the best mean IoU of step 1."""
    full = look(network, maps, features=torch.float32)
    winner, _ = others(full.logits[0], classes)
    cams = class_maps(full.features[0], network.class_weights(), classes[torch.arange(len(classes)), winner])
    halves = part_regions(views, winner)
    return max(RATIOS, key=lambda ratio: float(np.mean(overlaps(cams, halves, ratio))))


def single_figures(network: Lite0TDAM, maps: Maps, classes: Tensor, boxes: Mapping[int, Sequence[Box]]) -> Measured:
    """Top-1 of each step and of the untrained gate on single pictures; boxes of the true class."""
    full, weights, places = look(network, maps, features=torch.float32), network.class_weights(), list(boxes)
    found = {f"top1_step{t + 1}": interval(full.hits(classes, t)) for t in range(network.steps)}
    untrained = (away(network, maps, full).argmax(dim=2) == classes).double()
    found |= {f"top1_class_map_inhibition_step{t + 1}": interval(untrained[t]) for t in range(1, network.steps)}
    for t, features in enumerate(full.features) if boxes else ():
        cams = class_maps(features[places], weights, classes[places])
        found |= box_rates(f"box_iou_{{}}_step{t + 1}", cams, list(boxes.values()))
    return found


def all_figures(bench: Bench[Collage], network: Lite0TDAM, control: Lite0TDAM) -> dict[str, dict[str, Any]]:
    """All figures by set of pictures. `control` is the same network with a random searchlight."""
    photos, pools = bench.pictures.photos, bench.pictures.pools
    ten = sorted({p.class_index for p in photos if p.source == "imagenette"})
    labels = torch.tensor(bench.pictures.labels)
    chosen = bench.sets["choose_nette"].views
    ratio = choose_ratio(network, bench.maps("choose_nette"), chosen, bench.classes("choose_nette"))
    found: dict[str, Measured] = {}
    for name in ("report_nette", "report_unseen", "report_caltech"):
        views, classes = bench.sets[name].views, bench.classes(name)
        if views:
            found[name.replace("report", "collages")] = collage_figures(
                network, control, maps=bench.maps(name), views=views, classes=classes, ten=ten, ratio=ratio
            )
    for name in ("nette", "unseen"):
        key = f"report_triples_{name}"
        if views := bench.sets[key].views:
            found[f"scenes_{name}"] = scene_figures(
                network, control, maps=bench.maps(key), views=views, classes=bench.classes(key)
            )
    for name, places in (("loc_val", pools["report_nette"]), ("unseen", pools["report_unseen"])):
        maps, boxes = bench.plain.maps[list(places)], bench.boxes(places)
        found[f"single_{name}"] = single_figures(network, maps, labels[list(places)], boxes)
    return {name: plain(rows) for name, rows in found.items()} | {"settings": {"box_ratio": {"value": ratio}}}
