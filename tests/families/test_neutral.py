"""A neutral value is what makes the network plain: tested for every bundled model, each probe and all gates."""

from __future__ import annotations

import copy
import math
from functools import cache
from pathlib import Path

import pytest
import torch
from torch import Tensor

import viz
from viz.capture.probe import Edit, capture, edited, probes_of, taps_of
from viz.families.family import family_of
from viz.families.stages import span
from viz.geometry import prepare
from viz.measures.faithfulness import faithful
from viz.measures.faithfulness.gates import neutral_edits
from viz.models.networks.base import StepNetwork
from viz.models.networks.lite0_families import FAMILIES
from viz.models.networks.lite0_tdam import Lite0TDAM
from viz.run.engine import Model

ASSETS = Path(__file__).parents[2] / "assets"
BUNDLED = ("lite0-tdam", "lite0-psa", "lite0-ema", "lite0-vista", "lite0-paka")
TOLERANCE = 1e-5
# What each model declares; probes that are not here have no neutral value.
DECLARED = {"lite0-tdam": {"channel_logits"}, "lite0-ema": {"group_gate", "group_logits"}}
TOGETHER = {"lite0-psa", "lite0-ema", "lite0-vista"}


@cache
def loaded(name: str) -> Model:
    return viz.load(name)


@cache
def inputs() -> Tensor:
    card = loaded("lite0").card
    pictures = [viz.open_picture(ASSETS / f"{name}.jpg") for name in ("panda", "clutter")]
    return torch.cat([prepare(p, card.preprocessing, "center_crop")[0] for p in pictures])


@torch.inference_mode()
def answered(network: StepNetwork, edits: dict[str, Edit] | None = None) -> Tensor:
    with edited(network, edits or {}):
        return network(inputs())


def to(value: float) -> Edit:
    return lambda given, step: torch.full_like(given, value)


def gates_of(model: Model) -> list[str]:
    labels = family_of(model.card.family).gates
    return [name for name in probes_of(model.network) if name.rpartition(".")[2] in labels]


@pytest.mark.parametrize("name", BUNDLED)
def test_every_declared_neutral_value_makes_the_network_plain(name: str) -> None:
    model, plain = loaded(name), answered(loaded("lite0").network)
    assert (answered(model.network) - plain).abs().max() > 0.05, "the attention does something"
    declared = {n: p.neutral for n, p in taps_of(model.network).items() if p.neutral is not None}
    assert {n.rpartition(".")[2] for n in declared} == DECLARED.get(name, set())
    for probe, neutral in declared.items():
        assert (answered(model.network, {probe: to(neutral)}) - plain).abs().max() < TOLERANCE, probe


@pytest.mark.parametrize("name", BUNDLED)
def test_all_gates_together(name: str) -> None:
    model, plain = loaded(name), answered(loaded("lite0").network)
    edits = neutral_edits(model.network, gates_of(model))
    assert (edits is not None) == (name in TOGETHER)
    if edits is not None:
        assert set(edits) == set(gates_of(model))
        assert (answered(model.network, edits) - plain).abs().max() < TOLERANCE


@pytest.mark.parametrize("name", BUNDLED)
def test_a_gate_without_a_neutral_value_has_none(name: str) -> None:
    """No constant of a wide range makes the network plain where a probe declares nothing."""
    model, plain = loaded(name), answered(loaded("lite0").network)
    for probe in gates_of(model):
        if taps_of(model.network)[probe].neutral is None and name != "lite0-tdam":
            for value in (0.0, 0.25, 0.4963, 0.5, 1.0, 1.2432, 2.0):
                assert (answered(model.network, {probe: to(value)}) - plain).abs().max() > 1e-3, (probe, value)


def test_any_constant_gate_of_tdam_is_plain_so_that_none_is_the_neutral_one() -> None:
    model, plain = loaded("lite0-tdam"), answered(loaded("lite0").network)
    for value in (0.1, 0.5, 0.9):
        assert (answered(model.network, {"spatial_gate": to(value)}) - plain).abs().max() < TOLERANCE
    assert taps_of(model.network)["searchlight.spatial_gate"].neutral is None
    trace = model.trace(ASSETS / "panda.jpg")
    for stage in trace.stages[1:]:
        gate = trace.record("spatial_gate", stage.step)
        assert "mean" in gate.unit
        assert f"over its mean: {span(gate.values / gate.values.mean())}." in stage.caption


def test_the_neutral_value_follows_the_learned_number() -> None:
    network = copy.deepcopy(loaded("lite0-ema").network)
    scale = float(network.scale.detach())  # type: ignore[union-attr,operator]
    assert taps_of(network)["attention.group_gate"].neutral == pytest.approx(1 / scale)
    for changed, expected in ((4.0, 0.25), (0.9, None), (1.0, None), (-2.0, None)):
        with torch.no_grad():
            network.scale.fill_(changed)  # type: ignore[union-attr,operator]
        found = taps_of(network)
        assert found["attention.group_gate"].neutral == expected
        logit = found["attention.group_logits"].neutral
        assert (logit is None) if expected is None else logit == pytest.approx(math.log(1 / 3))
        with torch.inference_mode(), capture(network, ["group_gate"]) as sink:
            network(inputs())
        assert sink.records()[0].neutral == expected
    assert taps_of(loaded("lite0-ema").network)["attention.group_gate"].neutral == pytest.approx(1 / scale)


def test_networks_of_other_sizes_declare_only_what_they_have() -> None:
    for build in FAMILIES.values():
        taps_of(build())
    for sequence in ("channel", "spatial", "channel->spatial"):
        network = Lite0TDAM(sequence=sequence)
        assert taps_of(network)["searchlight.channel_logits"].neutral == 0


def test_reliance_replaces_by_the_value_that_makes_the_network_plain() -> None:
    plain = loaded("lite0").trace(ASSETS / "clutter.jpg").probabilities[0]
    for name in sorted(TOGETHER):
        model = loaded(name)
        trace = model.trace(ASSETS / "clutter.jpg")
        chosen = trace.top(-1, 1)[0].class_index
        report = faithful(model, ASSETS / "clutter.jpg", source="attention", parts=("reliance",), class_index=chosen)
        assert report.reliance is not None
        every = [r for r in report.reliance.replaced if r.how == "neutral"][-1]
        assert every.probability == pytest.approx(float(plain[chosen]), abs=1e-5)


def test_a_diverging_palette_has_the_plain_network_in_its_middle() -> None:
    trace = loaded("lite0-ema").trace(ASSETS / "panda.jpg")
    heat = trace.heatmap("mean(group_gate)")
    assert heat.neutral == pytest.approx(0.83905, abs=1e-5)
    assert loaded("lite0-psa").trace(ASSETS / "panda.jpg").heatmap("spatial_gate").neutral is None
    caption = next(f.caption for f in trace.stages if f.title == "gate 1")
    assert "0.839 everywhere leaves the network plain" in caption
