"""The model cards of the four families, the figures of all runs, and their table."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from recipes import cards
from recipes.clutter.table import tables
from recipes.readings import Figures
from viz.models.networks.lite0_families import FAMILIES, build_family

# Families whose own spatial map should lie on the object.
WITH_MAP = ("psa", "ema", "vista")
SETS = {
    "unseen": "clutter, classes never trained on",
    "nette": "clutter, the ten imagenette classes, pictures never trained on",
    "caltech": "clutter, Caltech-101 names never trained on, under plain Lite0's own names",
    "alone_nette": "ordinary pictures, the ten imagenette classes (ILSVRC validation)",
    "alone_unseen": "ordinary pictures, classes never trained on",
}
# The meaning of a figure's name.
WORDS = {
    "plain": "control: plain Lite0",
    "top1": "top-1 with the module",
    "gain": "gain over plain (paired)",
    "gates_mean": "control: gates replaced by their data-set means",
    "gates_loss": "what that loses (paired)",
    "random_module": "control: module with random weights",
    "mass": "native attention mass on the object",
    "area": "the object's area (chance for the mass)",
    "mass_over_area": "mass over area",
    "random_mass_over_area": "control: mass over area with random weights",
    "perfect_mask": "the object's true place as spatial gate, no training",
    "change": "change against plain (paired)",
    "variation_native": "standard deviation of the native map within a picture",
}
# The neutral gates that follow from the learned number; 1/2, where the sigmoid rests, changes the maps.
RESTS = {
    "psa": "; gates whose product is {:.2f} leave the maps as they are",
    "ema": "; a gate of {:.2f} leaves the maps as they are",
}


def bars(family: str, figures: Figures) -> list[dict[str, Any]]:
    """Each bar with its required and its measured value."""
    found = []
    for group in ("unseen", "nette"):
        gain, loss, mass = (figures[group][name]["value"] for name in ("gain", "gates_loss", "mass_over_area"))
        found.append(("top-1 minus plain", group, 0.03, gain))
        found.append(("what gates at their means lose, over the gain", group, 0.5, loss / gain if gain > 0 else 0.0))
        if family in WITH_MAP:
            found.append(("attention mass over area", group, 1.3, mass))
    for group in ("alone_nette", "alone_unseen"):
        found.append(("top-1 minus plain", group, -0.02, figures[group]["change"]["value"]))
    return [cards.bar(f"{SETS[group]}: {what}", asked, value) for what, group, asked, value in found]


def gather(out: Path, facts: Mapping[str, Any]) -> dict[str, Any]:
    """All figures, curves and costs of a finished run, as one plain value."""

    def load(name: str) -> Any:
        return json.loads((out / name).read_text())

    costs = load("costs.json")
    rows: dict[str, Any] = {"tdam": {"seeds": {"0": load("lite0-tdam.figures.json")}, "cost": costs["tdam"]}}
    for family in FAMILIES:
        stems = [p.name.removesuffix(".figures.json") for p in sorted(out.glob(f"lite0-{family}-seed*.figures.json"))]
        seeds = {stem.rpartition("seed")[2]: load(f"{stem}.figures.json") for stem in stems}
        curves = {stem.rpartition("seed")[2]: load(f"{stem}.curve.json") for stem in stems}
        rows[family] = {"seeds": seeds, "curves": curves, "cost": costs[family]}
    return {
        "unseen_classes": len(facts["held_out"]["report_classes"]),
        "scenes": facts["scenes"],
        "views": facts["views"],
        "versions": cards.versions(),
        "rows": rows,
    }


def write_cards(folder: Path, out: Path, facts: Mapping[str, Any]) -> None:
    """Copy the bundled weights and write cards, ``measured/clutter.json`` and ``measured/clutter.md``."""
    data = gather(out, facts)
    measured = folder / "measured"
    measured.mkdir(parents=True, exist_ok=True)
    (measured / "clutter.json").write_text(json.dumps(data, indent=1) + "\n")
    (measured / "clutter.md").write_text(tables(data) + "\n")
    for family in FAMILIES:
        card = family_card(folder, out, family, facts, data["rows"][family])
        cards.write_card(folder, card, page(card))


def family_card(folder: Path, out: Path, family: str, facts: Mapping[str, Any], row: Mapping[str, Any]) -> cards.Card:
    """The card of a family, from its row of the measured figures."""
    shipped = str(cards.SHIPPED)
    file = cards.ship(out / f"lite0-{family}-seed{shipped}.safetensors", folder, f"lite0-{family}")
    config, figures = str(file.metadata["config"]), row["seeds"][shipped]
    others = {seed: [b["met"] for b in bars(family, f)] for seed, f in row["seeds"].items() if seed != shipped}
    measured = {
        "arguments": json.loads(config)["arguments"],
        "steps": build_family(config).steps,
        "curve": row["curves"][shipped],
        "cost": row["cost"],
        "scale": round(float(file.state["scale"]), 4),
        "bars": bars(family, figures),
        "bars_of_other_seeds": others,
    }
    return cards.module_card(file, figures, facts, measured)


def page(card: cards.Card) -> Iterator[str]:
    """The card's page, block by block."""
    missed = [b["bar"] for b in card["bars"] if not b["met"]]
    cost, others = card["cost"], card["bars_of_other_seeds"].values()
    rests = RESTS.get(card["family"], "").format(1 / card["scale"])
    yield from (f"# {card['name']}", f"{card['title']}.", card["task"])
    yield "Missed: " + "; ".join(missed) + "." if missed else "Every bar below is met."
    identity = {
        "arguments": cards.pairs(card["arguments"]) or "none",
        "parameters of the module": f"{cost['parameters']:,.0f}",
        "multiply-adds over plain": f"{cost['added_macs']:+.1f} M",
        "CPU time over plain": f"{cost['cpu_ratio']:.2f}",
        "learned number times the result": f"{card['scale']:.3f}{rests}",
        "file": f"{card['file']}, {card['bytes']} bytes, sha256 `{card['sha256']}`",
        "source": card["source"],
        "licence": card["licence"],
        "preprocessing": card["preprocessing"]["rule"],
        "recipe": cards.pairs(card["recipe"]),
        "training": f"{card['minutes']} minutes",
        "versions": cards.pairs(card["versions"]),
    }
    yield cards.grid(["", ""], identity.items())
    rows = [[*cards.bar_row(b), ", ".join(cards.said(met[k]) for met in others)] for k, b in enumerate(card["bars"])]
    yield from ("## Bars", cards.grid(["bar", "at least", "measured", "", "other seeds"], rows))
    yield from ("## Figures", cards.MEASURED_ON)
    yield from cards.figure_tables(card, {group: title[0].upper() + title[1:] for group, title in SETS.items()}, WORDS)
    yield from ("## Where this differs from the paper", cards.bullets(card["deviations"]))
    yield from ("## What a reader must know", cards.bullets(card["notes"]))
    yield from ("## Data", cards.bullets(cards.folders_of(card)))
    yield f"Classes trained on: {card['data']['trained_classes']}; held-out classes are listed in the JSON file."
