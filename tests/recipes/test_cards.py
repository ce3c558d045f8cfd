"""The committed cards are those that the commands write, and stand beside the figures that were measured."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from recipes import cards
from recipes.clutter.card import write_cards as write_clutter
from recipes.tdam.card import bars
from recipes.tdam.card import write_cards as write_tdam
from viz.models.backbone import LITE0_SHA256

FOLDER = Path(__file__).parents[2] / "checkpoints"
FAMILIES = ("psa", "ema", "vista", "paka")


def card_of(name: str) -> dict[str, Any]:
    card: dict[str, Any] = json.loads((FOLDER / f"{name}.json").read_text())
    return card


def facts_of(card: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in card["data"].items() if key != "folders"}


def grouped(rows: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Figures by set and name from a card's flat list."""
    found: dict[str, dict[str, Any]] = {}
    for row in rows:
        found.setdefault(row["set"], {})[row["name"]] = {k: v for k, v in row.items() if k not in ("set", "name")}
    return found


def write(path: Path, value: object) -> None:
    path.write_text(json.dumps(value))


def assert_same(folder: Path, count: int) -> None:
    files = [p for p in folder.rglob("*") if p.is_file()]
    assert len(files) == count
    for path in files:
        assert path.read_bytes() == (FOLDER / path.relative_to(folder)).read_bytes(), path.name


def test_the_families_cards_are_what_the_command_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    measured, card, out = json.loads((FOLDER / "measured/clutter.json").read_text()), card_of("lite0-psa"), tmp_path
    rows = measured["rows"]
    write(out / "costs.json", {name: row["cost"] for name, row in rows.items()})
    write(out / "lite0-tdam.figures.json", rows["tdam"]["seeds"]["0"])
    for family in FAMILIES:
        shutil.copyfile(FOLDER / f"lite0-{family}.safetensors", out / f"lite0-{family}-seed0.safetensors")
        for seed, figures in rows[family]["seeds"].items():
            write(out / f"lite0-{family}-seed{seed}.figures.json", figures)
            write(out / f"lite0-{family}-seed{seed}.curve.json", rows[family]["curves"][seed])
    monkeypatch.setattr(cards, "versions", lambda: card["versions"])
    write_clutter(tmp_path / "cards", out, facts_of(card))
    assert_same(tmp_path / "cards", 3 * len(FAMILIES) + 2)


def test_the_cards_of_the_searchlight_and_of_plain_lite0_are_what_the_command_writes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    card = card_of("lite0-tdam")
    shutil.copyfile(FOLDER / "lite0-tdam.safetensors", tmp_path / "lite0-tdam-seed0.safetensors")
    for seed, rows in {"seed 0": card["figures"], **card["other_seeds"]}.items():
        write(tmp_path / f"lite0-tdam-{seed.replace(' ', '')}.figures.json", grouped(rows))
    monkeypatch.setattr(cards, "versions", lambda: card["versions"])
    write_tdam(tmp_path / "cards", tmp_path, facts_of(card))
    assert_same(tmp_path / "cards", 5)


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
