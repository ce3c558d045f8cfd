"""The cards of ``lite0-tdam`` and of plain ``lite0``, which is measured beside it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from recipes import cards
from recipes.readings import Figures

# The figures in the table over seeds.
MAIN = (
    *((f"collages_{g}", n) for g in ("nette", "unseen", "caltech") for n in ("other_named_step2", "gate_mass_other")),
    *((f"scenes_{g}", f"new_named_step{t}") for g in ("nette", "unseen") for t in (2, 3)),
    *((f"single_{g}", f"top1_step{t}") for g in ("loc_val", "unseen") for t in (1, 2, 3)),
)
# The figures on plain Lite0's card.
PLAIN = ("top1_step1", "box_iou_0.3_step1", "box_iou_0.5_step1", "box_iou_0.7_step1")
IDENTITY = (
    *("network", "arguments", "file", "package", "sha256", "bytes", "backbone", "licence", "classes", "preprocessing"),
    *("recipe", "seed", "minutes", "versions"),
)


LISTS = {
    "deviations": "Deviations from the paper",
    "tried": "Tried, and how the settings were chosen",
    "notes": "Limits",
}
# The meaning of a figure's name.
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
    "top1_step3": "top-1, step 3",
    **{f"top1_class_map_inhibition_step{t}": f"control: top-1 with the untrained gate, step {t}" for t in (2, 3)},
    **{
        f"{name}{rule}": f"{said}{how}"
        for rule, how in {
            "": "",
            "_gates_mean": "; control: gates at their data-set means",
            "_random_module": "; control: searchlight with random weights",
            "_class_map_inhibition": "; control: untrained gates away from all that was named",
        }.items()
        for name, said in {
            **{f"new_named_step{t}": f"step {t} names a picture that no step before has named" for t in (1, 2, 3)},
            "all_named": "all three pictures are named",
            **{f"repeated_step{t}": f"step {t} repeats an answer" for t in (2, 3)},
        }.items()
    },
    **{f"gate_mass_step{t}": f"mass of all gates so far on step {t}'s own picture" for t in (2, 3)},
    **{f"area_step{t}": f"area of step {t}'s own picture (chance for the mass)" for t in (2, 3)},
}


def bars(figures: Figures) -> list[dict[str, Any]]:
    """Each bar with its required and its measured value."""

    def get(group: str, name: str, what: str = "value") -> float:
        return float(figures.get(group, {}).get(name, {}).get(what, float("nan")))

    def change(group: str) -> float:
        return get(group, "top1_step2") - get(group, "top1_step1")

    def over_rule(group: str, alone: str) -> float:
        """The searchlight minus the untrained rule: other object named plus single picture kept."""
        named = get(group, "other_named_step2") - get(group, "class_map_inhibition")
        return named + get(alone, "top1_step2") - get(alone, "top1_class_map_inhibition_step2")

    def new(group: str, step: int) -> float:
        """How much more often a step names another picture than the same step of the untrained rule."""
        return get(group, f"new_named_step{step}") - get(group, f"new_named_step{step}_class_map_inhibition")

    ten, unseen, single = "collages_nette", "collages_unseen", "single_loc_val"
    hits, second = get(ten, "other_named_step2"), get(ten, "plain_second_guess") or float("nan")
    lower = "unseen classes: step 2 minus plain's second guess, lower end of the paired interval"
    asked = {
        "loc_val top-1, step 1 (plain: 0.696)": (0.696, get(single, "top1_step1")),
        "loc_val top-1, step 2 minus step 1": (-0.05, change(single)),
        "unseen classes top-1, step 2 minus step 1": (-0.05, change("single_unseen")),
        "ten classes: step 2 names the other, times plain's second guess": (2.5, hits / second),
        lower: (0.0, get(unseen, "step2_minus_second_guess", "low")),
        "ten classes: fall when the spatial gate is its mean": (0.10, hits - get(ten, "spatial_gate_mean")),
        "ten classes: gate mass in the other's half": (0.65, get(ten, "gate_mass_other")),
        "unseen classes: gate mass in the other's half": (0.58, get(unseen, "gate_mass_other")),
        "ten classes: other named plus single kept, minus the same of the untrained rule": (
            0.0,
            over_rule(ten, single),
        ),
        "unseen classes: the same": (0.0, over_rule(unseen, "single_unseen")),
        **{
            f"scenes of three, {words}: step {step} names another, minus the untrained rule's": (
                0.0,
                new(f"scenes_{name}", step),
            )
            for name, words in (("nette", "ten classes"), ("unseen", "unseen classes"))
            for step in (2, 3)
        },
        "loc_val boxes of step 1, IoU 0.5 (plain: 0.616)": (0.616, get(single, "box_iou_0.5_step1")),
    }
    return [cards.bar(what, *values) for what, values in asked.items()]


def write_cards(folder: Path, out: Path, facts: Mapping[str, Any]) -> None:
    """Copy the bundled weights from `out` into `folder` and write both cards beside them."""
    paths = sorted(out.glob("lite0-tdam-seed*.figures.json"))
    seeds = {int(p.name.split("seed")[1].split(".")[0]): json.loads(p.read_text()) for p in paths}
    figures = seeds.pop(cards.SHIPPED)
    file = cards.ship(out / f"lite0-tdam-seed{cards.SHIPPED}.safetensors", folder, "lite0-tdam")
    config = json.loads(str(file.metadata["config"]))
    measured = {
        "arguments": config,
        "steps": config["steps"],
        "losses": json.loads(str(file.metadata["losses"])),
        "other_seeds": {f"seed {seed}": cards.listed(found) for seed, found in seeds.items()},
        "bars": bars(figures),
    }
    tdam = cards.module_card(file, figures, facts, measured)
    rows = [row for row in tdam["figures"] if row["set"].startswith("single") and row["name"] in PLAIN]
    for card in (tdam, cards.words_of("lite0") | {"figures": rows}):
        cards.write_card(folder, card, page(card))


def page(card: cards.Card) -> Iterator[str]:
    """The card's page, block by block; missing entries are left out."""
    yield f"# {card['name']}"
    if "task" in card:
        yield card["task"]
    yield card["source"]
    cells = {k: cards.pairs(v) if isinstance(v := card[k], Mapping) else str(v) for k in IDENTITY if k in card}
    yield cards.grid(["", ""], cells.items())
    if "data" in card:
        data = card["data"]
        counts = [f"{key.replace('_', ' ')}: {cards.pairs(data[key])}" for key in ("trained_on", "views")]
        held = f"classes trained on: {data['trained_classes']}; held-out classes are listed in the JSON file"
        yield from ("## Data", cards.bullets([*cards.folders_of(card), *counts, held]))
    if "bars" in card:
        yield from ("## Bars", cards.grid(["bar", "at least", "measured", ""], map(cards.bar_row, card["bars"])))
    yield from ("## Figures", cards.MEASURED_ON)
    sets = dict.fromkeys(row["set"] for row in card["figures"] if "n" in row)
    yield from cards.figure_tables(card, {group: group.replace("_", " ") for group in sets}, WORDS)
    if card.get("other_seeds"):
        seeds = {f"seed {card['seed']} (shipped)": card["figures"], **card["other_seeds"]}
        yield from ("## Other seeds", seed_table(seeds))
    for key, title in LISTS.items():
        if card.get(key):
            yield from (f"## {title}", cards.bullets(card[key]))
    yield from cards.earlier(card.get("history", ()))


def seed_table(seeds: Mapping[str, Sequence[Mapping[str, Any]]]) -> str:
    """The main figures, one column per seed; all figures of every seed are in the JSON file."""
    known = [{(r["set"], r["name"]): f"{r['value']:.3f}" for r in rows} for rows in seeds.values()]
    rows = [
        [f"{g.replace('_', ' ')}: {WORDS[name]}", *(values.get((g, name), "") for values in known)] for g, name in MAIN
    ]
    return cards.grid(["figure", *seeds], rows)
