"""The cards of ``lite0-tdam`` and of plain ``lite0``, which is measured beside it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from recipes.cards import (
    MEASURED_ON,
    SHIPPED,
    Card,
    bar,
    bar_row,
    bullets,
    figure_tables,
    folders_of,
    grid,
    listed,
    module_card,
    name_in_words,
    pairs,
    ship,
    words_of,
    write_card,
)
from recipes.readings import Figures

NAME = "lite0-tdam"
# The figures that the table over seeds shows.
MAIN = (
    *((f"collages_{g}", n) for g in ("nette", "unseen", "caltech") for n in ("other_named_step2", "gate_mass_other")),
    *((f"single_{g}", f"top1_step{t}") for g in ("loc_val", "unseen") for t in (1, 2)),
)
# What plain Lite0's card takes over.
PLAIN = ("top1_step1", "box_iou_0.3_step1", "box_iou_0.5_step1", "box_iou_0.7_step1")
IDENTITY = (
    *("network", "arguments", "file", "package", "sha256", "bytes", "backbone", "licence", "classes", "preprocessing"),
    *("recipe", "seed", "minutes", "versions"),
)


# What a figure's name means.
WORDS = {
    "other_named_step2": "step 2 names the other object",
    "winner_kept_step2": "step 2 keeps the winner's name",
    "winner_named_step1": "step 1 (plain) names the winner",
    "plain_second_guess": "control: plain's second guess is the other object",
    "step2_minus_second_guess": "step 2 minus plain's second guess (paired)",
    "plain_second_guess_prior": "control: the same with +2 on the ten imagenette logits",
    "spatial_gate_mean": "control: spatial gate replaced by its data-set mean",
    "random_module": "control: searchlight with random weights",
    "random_module_mass": "control: gate mass with random weights",
    "gate_mass_other": "gate mass in the other's half",
    "other_area": "area of the other's half (chance for the mass)",
    "half_mask": "a perfect mask of the other's half as gate",
    "class_map_inhibition": "control: untrained gate away from the named class map",
    "class_map_inhibition_mass": "gate mass of that untrained gate",
    "channel_gate_mean": "control: channel gate replaced by its mean",
    "both_gates_mean": "control: both gates replaced by their means",
    "box_step1_own_half": "box of step 1's winner, IoU with its half",
    "box_step2_other_half": "box of step 2, other class, IoU with its half",
    "box_plain_other_half": "control: plain's box of the other class, IoU with its half",
    "top1_step1": "top-1, step 1",
    "top1_step2": "top-1, step 2",
    "top1_class_map_inhibition": "control: top-1 with the untrained gate",
}


def bars(figures: Figures) -> list[dict[str, Any]]:
    """Each bar with what it asks and what was measured."""

    def get(group: str, name: str, what: str = "value") -> float:
        return float(figures.get(group, {}).get(name, {}).get(what, float("nan")))

    def change(group: str) -> float:
        return get(group, "top1_step2") - get(group, "top1_step1")

    ten, new = "collages_nette", "collages_unseen"
    second = get(ten, "plain_second_guess") or float("nan")
    return [
        bar("loc_val top-1, step 1 (plain: 0.696)", 0.696, get("single_loc_val", "top1_step1")),
        bar("loc_val top-1, step 2 minus step 1", -0.05, change("single_loc_val")),
        bar("unseen classes top-1, step 2 minus step 1", -0.05, change("single_unseen")),
        bar(
            "ten classes: step 2 names the other, times plain's second guess",
            2.5,
            get(ten, "other_named_step2") / second,
        ),
        bar(
            "unseen classes: step 2 minus plain's second guess, lower end of the paired interval",
            0.0,
            get(new, "step2_minus_second_guess", "low"),
        ),
        bar(
            "ten classes: fall when the spatial gate is its mean",
            0.10,
            get(ten, "other_named_step2") - get(ten, "spatial_gate_mean"),
        ),
        bar("ten classes: gate mass in the other's half", 0.65, get(ten, "gate_mass_other")),
        bar("unseen classes: gate mass in the other's half", 0.58, get(new, "gate_mass_other")),
        bar("loc_val boxes of step 1, IoU 0.5 (plain: 0.616)", 0.616, get("single_loc_val", "box_iou_0.5_step1")),
    ]


def write_cards(folder: Path, out: Path, facts: Mapping[str, Any]) -> None:
    """Copy the weights of the shipped seed from `out` into `folder` and write both cards beside them."""
    measured = {
        int(p.name.split("seed")[1].split(".")[0]): json.loads(p.read_text())
        for p in sorted(out.glob(f"{NAME}-seed*.figures.json"))
    }
    file = ship(out / f"{NAME}-seed{SHIPPED}.safetensors", folder, NAME)
    figures, config = measured[SHIPPED], json.loads(str(file.metadata["config"]))
    others = {f"seed {seed}": listed(found) for seed, found in measured.items() if seed != SHIPPED}
    tdam = module_card(
        file,
        figures,
        facts,
        arguments=config,
        steps=config["steps"],
        losses=json.loads(str(file.metadata["losses"])),
        other_seeds=others,
        bars=bars(figures),
    )
    rows = [row for row in tdam["figures"] if row["set"].startswith("single") and row["name"] in PLAIN]
    plain = words_of("lite0") | {"figures": rows}
    for card in (tdam, plain):
        write_card(folder, card, page(card))


def page(card: Card) -> Iterator[str]:
    """The card's page, block by block; what a card does not have is left out."""

    def cell(value: Any) -> str:
        return pairs(value) if isinstance(value, Mapping) else str(value)

    yield f"# {card['name']}"
    if "task" in card:
        yield card["task"]
    yield card["source"]
    yield grid(["", ""], [[key, cell(card[key])] for key in IDENTITY if key in card])
    if "data" in card:
        data = card["data"]
        yield "## Data"
        yield bullets(
            [
                *folders_of(card),
                *(f"{key.replace('_', ' ')}: {pairs(data[key])}" for key in ("trained_on", "views")),
                f"classes trained on: {data['trained_classes']}; held-out classes are listed in the JSON file",
            ]
        )
    if "bars" in card:
        yield "## Bars"
        yield grid(["bar", "at least", "measured", ""], map(bar_row, card["bars"]))
    yield "## Figures"
    yield MEASURED_ON
    sets = dict.fromkeys(row["set"] for row in card["figures"] if "n" in row)
    yield from figure_tables(card, {group: group.replace("_", " ") for group in sets}, WORDS)
    if card.get("other_seeds"):
        yield "## Other seeds"
        yield seed_table({f"seed {card['seed']} (shipped)": card["figures"], **card["other_seeds"]})
    titles = {
        "deviations": "Deviations from the paper",
        "tried": "Tried, and how the settings were chosen",
        "notes": "Limits",
    }
    for key, title in titles.items():
        if card.get(key):
            yield f"## {title}"
            yield bullets(card[key])


def seed_table(seeds: Mapping[str, Sequence[Mapping[str, Any]]]) -> str:
    """The main figures, one column per seed; all figures of every seed are in the JSON file."""

    def value(rows: Sequence[Mapping[str, Any]], group: str, name: str) -> str:
        return next((f"{r['value']:.3f}" for r in rows if (r["set"], r["name"]) == (group, name)), "")

    rows = [
        [
            f"{group.replace('_', ' ')}: {WORDS.get(name) or name_in_words(name)}",
            *(value(rows, group, name) for rows in seeds.values()),
        ]
        for group, name in MAIN
    ]
    return grid(["figure", *seeds], rows)
