"""The four bundled checkpoints of the bottom-up families: they load, share one backbone, and their cards add up."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import viz
from recipes.clutter.card import bars
from recipes.clutter.native import NATIVE, PLACES
from viz.errors import CheckpointError
from viz.families.family import family_of
from viz.models.backbone import lite0_state
from viz.models.build import network_of
from viz.models.catalogue import Catalogue
from viz.models.networks.lite0_attended import Lite0Attended

ROOT = Path(__file__).parents[1].parent
FAMILIES = ("psa", "ema", "vista", "paka")
PHOTO = ROOT / "assets" / "panda.jpg"


def card_of(family: str) -> dict[str, object]:
    found: dict[str, object] = json.loads((ROOT / f"checkpoints/lite0-{family}.json").read_text())
    return found


@pytest.mark.parametrize("family", FAMILIES)
def test_it_loads_and_answers(family: str) -> None:
    model = viz.load(f"lite0-{family}")
    trace = model.trace(PHOTO)
    assert model.card.family == family and trace.steps == model.card.steps == model.network.steps
    assert trace.predictions[-1][0].label == "giant panda"
    labels = {r.label for r in trace.records}
    assert {*family_of(family).gates, NATIVE[family], "bottom"} <= labels
    assert len(trace.stages) >= trace.steps and all(f.caption and f.title for f in trace.stages)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_backbone_is_the_plain_one(family: str) -> None:
    network = viz.load(f"lite0-{family}").network
    assert isinstance(network, Lite0Attended)
    held = network.backbone.state_dict()
    assert all(torch.equal(held[key], value) for key, value in lite0_state().items())


@pytest.mark.parametrize("family", FAMILIES)
def test_the_gate_is_used(family: str) -> None:
    """With its values put to their mean over places and channels the network answers otherwise."""
    from viz.capture.probe import edited

    model = viz.load(f"lite0-{family}")
    assert isinstance(model.network, Lite0Attended)
    x = torch.randn(1, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    flat = {label: lambda v, s: v.mean().expand_as(v) for label in family_of(family).gates}
    with torch.inference_mode():
        before = model.network(x)
        with edited(model.network, flat):
            after = model.network(x)
    assert (before.softmax(1) - after.softmax(1)).abs().sum() > 0.02


@pytest.mark.parametrize("family", FAMILIES)
def test_the_card_adds_up(family: str) -> None:
    card = card_of(family)
    measured = json.loads((ROOT / "checkpoints/measured/clutter.json").read_text())["rows"][family]
    first = measured["seeds"]["0"]
    assert card["bars"] == bars(family, first)
    figures = {(f["set"], f["name"]): f for f in card["figures"]}  # type: ignore[attr-defined]
    assert all(figures[g, n]["value"] == v["value"] for g, values in first.items() for n, v in values.items())
    assert any("mass over area" in b["bar"] for b in card["bars"]) == (family in PLACES)  # type: ignore[attr-defined]
    page = (ROOT / f"checkpoints/lite0-{family}.md").read_text()
    missed = [b["bar"] for b in card["bars"] if not b["met"]]  # type: ignore[attr-defined]
    assert all(f"Missed: {bar}" in page or f"; {bar}" in page for bar in missed)
    assert ("Every bar below is met." in page) == (not missed)
    assert page.count("MISSED") >= len(missed)
    curve = card["curve"]
    assert len(curve["clutter"]) == card["recipe"]["epochs"]  # type: ignore[index]


@pytest.mark.parametrize("family", FAMILIES)
def test_another_file_is_refused(family: str, tmp_path: Path) -> None:
    source, card = ROOT / f"checkpoints/lite0-{family}.safetensors", Catalogue().bundled[f"lite0-{family}"]
    changed = bytearray(source.read_bytes())
    changed[-1] ^= 1
    copy = tmp_path / source.name
    copy.write_bytes(changed)
    with pytest.raises(CheckpointError, match="not the file that the card of"):
        network_of(card, tmp_path)
    other = "psa" if family != "psa" else "ema"
    with pytest.raises(CheckpointError, match=f"its card is {other}"):
        network_of(replace(card, family=other), source.parent)
