"""The model cards of the four families, the figures of all runs, and their table."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from recipes import cards
from recipes.clutter.native import PLACES
from recipes.clutter.table import HELD_OUT, tables
from recipes.readings import Figures
from viz.models.networks.lite0_families import FAMILIES, build_family

SETS = {
    "unseen_photographs": "clutter of other photographs, a kind of background never trained on",
    "unseen_landscapes": "clutter of landscapes, a kind of background never trained on",
    "unseen_interiors": "clutter of interiors, a kind of background never trained on",
    "unseen_grey": "plain grey around the picture, a kind of background never trained on",
    "unseen_streets": "clutter of street scenes, a kind that is trained on with other scenes",
    "nette_photographs": "clutter of other photographs, pictures of the ten imagenette classes",
    "caltech_photographs": "clutter of other photographs, Caltech-101 names never trained on",
    "alone_nette": "ordinary pictures, the ten imagenette classes (ILSVRC validation)",
    "alone_unseen": "ordinary pictures, classes never trained on",
}
MEASURED_ON = (
    "On pictures never trained on; 95 % bootstrap intervals. Views of clutter were not used for choices. Settings were "
    "also compared on the ordinary pictures (see recipes/clutter/LOG.md), so figures on these may be a little too good."
)
# The meaning of a figure's name.
WORDS = {
    "plain": "control: plain Lite0",
    "top1": "top-1 with the module",
    "gain": "gain over plain (paired)",
    "gates_mean": "control: gates replaced by their data-set means",
    "gates_loss": "what that loses (paired)",
    "random_module": "control: module with random weights",
    "adapter": "control: an adapter of equal size without attention, trained the same way",
    "over_adapter": "gain over that adapter (paired)",
    "mass": "native attention mass on the object",
    "area": "the object's area (chance for the mass)",
    "mass_over_area": "mass over area",
    "random_mass_over_area": "control: mass over area with random weights",
    "untrained_mass_over_area": "control: mass over area of plain's squared activations",
    "features_mass_over_area": "control: mass over area of the sum of plain's class features",
    "perfect_mask": "the object's true place as spatial gate, no training",
    "change": "change against plain (paired)",
    "variation_native": "standard deviation of the native map within a picture",
    "small_plain": "small things: control: plain Lite0",
    "small_top1": "small things: top-1 with the module",
    "small_gain": "small things: gain over plain (paired)",
    "small_adapter": "small things: control: adapter of equal size",
    "small_mass_over_area": "small things: mass over area",
    "small_untrained_mass_over_area": "small things: control: mass over area of plain's squared activations",
}
# Above this accuracy of plain Lite0, the clutter is too easy for a gain.
FAIR = 0.30
# Mass over area that the map of a family should reach, and the gain on streets of the checkpoints before these, which
# had seen no other background.
MASS = {"psa": 1.4, "ema": 1.4, "vista": 1.8}
STREETS_BEFORE = {"psa": 0.142, "ema": 0.120, "vista": 0.178, "paka": 0.250}
# The neutral gates that follow from the learned number; 1/2, where the sigmoid rests, changes the maps.
RESTS = {
    "psa": "; gates whose product is {:.2f} leave the maps as they are",
    "ema": "; a gate of {:.2f} leaves the maps as they are",
}


def bars(family: str, figures: Figures) -> list[dict[str, Any]]:
    """Each bar with its required and its measured value."""

    def of(group: str, name: str) -> float:
        return float(figures[group][name]["value"])

    found: list[tuple[str, str, float, float]] = []
    for group in HELD_OUT:
        gain, loss = of(group, "gain"), of(group, "gates_loss")
        if of(group, "plain") < FAIR:
            found.append((group, "top-1 minus plain", 0.03, gain))
            found.append(
                (group, "what gates at their means lose, over the gain", 0.5, loss / gain if gain > 0 else 0.0)
            )
        if family in PLACES:
            found.append((group, "attention mass over area", MASS[family], of(group, "mass_over_area")))
            over = of(group, "mass_over_area") - of(group, "untrained_mass_over_area")
            found.append((group, "attention mass over area, minus that of plain's squared activations", 0.0, over))
    found += [(g, "top-1 minus plain", -0.01, of(g, "gain")) for g in figures if g.startswith("unseen_")]
    ten = "alone_nette"
    found += [(g, "top-1 minus plain", -0.01, of(g, "change")) for g in (ten, "alone_unseen")]
    found.append((ten, "small things, top-1 minus plain", 0.02, of(ten, "small_gain")))
    if family in PLACES:
        found.append((ten, "small things, attention mass over area", 1.3, of(ten, "small_mass_over_area")))
        floor = of(ten, "box_centred_0.5")
        found.append((ten, "boxes of its own map at IoU 0.5, against a centred box", floor, of(ten, "box_native_0.5")))
    street = "unseen_streets"
    found.append(
        (street, "top-1 minus plain, against the earlier one", STREETS_BEFORE[family] - 0.05, of(street, "gain"))
    )
    return [cards.bar(f"{SETS[group]}: {what}", asked, value) for group, what, asked, value in found]


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
    yield from ("## Figures", MEASURED_ON)
    yield from cards.figure_tables(card, {group: title[0].upper() + title[1:] for group, title in SETS.items()}, WORDS)
    yield from ("## Where this differs from the paper", cards.bullets(card["deviations"]))
    yield from ("## What a reader must know", cards.bullets(card["notes"]))
    yield from cards.earlier(card["history"])
    yield from ("## Data", cards.bullets(cards.folders_of(card)))
    yield f"Classes trained on: {card['data']['trained_classes']}; held-out classes are listed in the JSON file."
