"""The committed cards name what made them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from recipes import cards
from recipes.tdam.card import bars
from viz.models.backbone import LITE0_SHA256

FOLDER = Path(__file__).parents[2] / "checkpoints"
FAMILIES = ("psa", "ema", "vista", "paka")


def card_of(name: str) -> dict[str, Any]:
    card: dict[str, Any] = json.loads((FOLDER / f"{name}.json").read_text())
    return card


@pytest.mark.parametrize("name", ["lite0-tdam", *(f"lite0-{family}" for family in FAMILIES)])
def test_a_card_names_its_recipe_and_its_backbone(name: str) -> None:
    card = card_of(name)
    package = "recipes.tdam" if name == "lite0-tdam" else "recipes.clutter"
    assert card["source"].startswith(f"trained by {package} as of commit ")
    assert card["backbone"]["sha256"] == LITE0_SHA256 == card_of("lite0")["sha256"]


def test_bars_that_were_not_measured_are_said_to_be() -> None:
    found = bars({})
    assert all(b["measured"] is None and b["met"] is None for b in found)
    assert cards.said(None) == "not measured" and cards.said(True) == "met" and cards.said(False) == "MISSED"
