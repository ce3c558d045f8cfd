"""The tables of the networks on the clutter task, as Markdown, from the measured figures."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from recipes.cards import grid
from recipes.readings import DELTAS

Row = Mapping[str, Any]
Cell = Callable[[Row, Row], str]
ORDER = ("tdam", "psa", "ema", "vista", "paka")
START, END = "<!-- clutter table: start -->", "<!-- clutter table: end -->"
# Sets of views and their names in the tables; the first three are the kinds that no module was trained on.
KINDS = {
    "unseen_photographs": "photographs",
    "unseen_landscapes": "landscapes",
    "unseen_interiors": "interiors",
    "unseen_grey": "plain grey",
    "unseen_streets": "streets (trained on)",
}
HELD_OUT = tuple(KINDS)[:3]
# Maps without a module, and their names in the tables.
FLOORS = {
    "plain_class_map": "plain's class map",
    "untrained": "plain's squared activations",
    "features": "sum of plain's class features",
    "centred": "one box in the middle of every picture",
}


def spread(cell: Mapping[str, float], form: str = "{:.1f}", factor: float = 100) -> str:
    """``38.2 (35.1 to 41.4)``: a value with its interval."""
    value, low, high = (form.format(factor * cell[k]) for k in ("value", "low", "high"))
    return f"{value} ({low} to {high})"


def signed(cell: Mapping[str, float]) -> str:
    """``+38.2 (+35.1 to +41.4)``: a difference in points with its interval."""
    return spread(cell, "{:+.1f}")


def shown(first: Row, group: str, name: str, text: Callable[[Mapping[str, float]], str]) -> str:
    """A figure's text, or nothing where it was not measured."""
    return text(first[group][name]) if name in first[group] else ""


def of_seeds(row: Row, group: str, name: str, form: str, factor: float = 1) -> str:
    """The same figure of every seed, in order."""
    return ", ".join(form.format(factor * row["seeds"][seed][group][name]["value"]) for seed in sorted(row["seeds"]))


def over_one(cell: Mapping[str, float]) -> str:
    """``1.41 (1.36 to 1.46)``: a ratio with its interval."""
    return spread(cell, "{:.2f}", 1)


def gain_columns(group: str) -> Mapping[str, Cell]:
    """Top-1 in one kind of clutter, with its controls."""
    return {
        "top-1": lambda row, f: spread(f[group]["top1"]),
        "gain over plain": lambda row, f: signed(f[group]["gain"]),
        "gain, each seed": lambda row, f: of_seeds(row, group, "gain", "{:+.1f}", 100),
        "gates at their mean": lambda row, f: spread(f[group]["gates_mean"]),
        "random weights": lambda row, f: spread(f[group]["random_module"]),
        "adapter without attention": lambda row, f: shown(f, group, "adapter", spread),
        "gain over the adapter": lambda row, f: shown(f, group, "over_adapter", signed),
    }


def place_columns(group: str) -> Mapping[str, Cell]:
    """The share of the native attention on the object over its area, in one kind of clutter."""
    return {
        "attention mass on the object / its area": lambda row, f: over_one(f[group]["mass_over_area"]),
        "each seed": lambda row, f: of_seeds(row, group, "mass_over_area", "{:.2f}"),
        "random weights": lambda row, f: over_one(f[group]["random_mass_over_area"]),
        "plain's squared activations": lambda row, f: over_one(f[group]["untrained_mass_over_area"]),
        "sum of plain's class features": lambda row, f: over_one(f[group]["features_mass_over_area"]),
        "boxes at IoU 0.3 / 0.5 / 0.7": lambda row, f: boxes(f[group], "native"),
        "plain's class map": lambda row, f: boxes(f[group], "plain_class_map"),
    }


def boxes(figures: Mapping[str, Mapping[str, float]], source: str) -> str:
    """``99.1 / 97.6 / 80.4``: boxes at the three overlaps."""
    return " / ".join(f"{100 * figures[f'box_{source}_{delta}']['value']:.1f}" for delta in DELTAS)


ORDINARY_COLUMNS: Mapping[str, Cell] = {
    "ten classes": lambda row, f: signed(f["alone_nette"]["change"]),
    "other classes": lambda row, f: signed(f["alone_unseen"]["change"]),
    "small things: gain": lambda row, f: signed(f["alone_nette"]["small_gain"]),
    "each seed": lambda row, f: of_seeds(row, "alone_nette", "small_gain", "{:+.1f}", 100),
    "small things: mass / area": lambda row, f: over_one(f["alone_nette"]["small_mass_over_area"]),
    "its own map's boxes": lambda row, f: boxes(f["alone_nette"], "native"),
    "class map's boxes": lambda row, f: boxes(f["alone_nette"], "class_map"),
}
COST_COLUMNS: Mapping[str, Cell] = {
    "parameters of the module": lambda row, f: f"{row['cost']['parameters']:,.0f}",
    "multiply-adds over plain": lambda row, f: f"{row['cost']['added_macs']:+.1f} M",
    "CPU time over plain": lambda row, f: f"{row['cost']['cpu_ratio']:.2f}",
}


def tables(data: Mapping[str, Any]) -> str:
    """All tables with their explanations, between the two marks."""
    rows = {family: data["rows"][family] for family in ORDER if family in data["rows"]}
    first = {family: row["seeds"][min(row["seeds"])] for family, row in rows.items()}
    shared = next(iter(first.values()))
    ordinary = shared["alone_nette"]

    def table(columns: Mapping[str, Cell], plain: Sequence[str] = ()) -> str:
        cells = [[f"`lite0-{n}`", *(cell(row, first[n]) for cell in columns.values())] for n, row in rows.items()]
        top = [["`lite0` (plain)", *plain, *[""] * (len(columns) - len(plain))]] if plain else []
        return grid(["network", *columns], [*top, *cells])

    def in_kind(group: str) -> Cell:
        return lambda row, f: signed(f[group]["gain"])

    blocks = [
        f"A photograph of one of {data['unseen_classes']} classes never trained on, 72 to 127 px wide, pasted into a "
        "background. Gain over plain Lite0 in points (first row: plain's top-1 in percent), with 95 % bootstrap "
        "intervals (pictures and backgrounds drawn again) of seed 0. Photographs, landscapes, interiors and plain "
        "grey are kinds of background that no module was trained on. TDAM was trained for another task.",
        table({name: in_kind(g) for g, name in KINDS.items()}, [spread(shared[g]["plain"]) for g in KINDS]),
    ]
    for group in HELD_OUT:
        blocks += [
            f"On {KINDS[group]} ({shared[group]['top1']['n']:.0f} views), with the controls:",
            table(gain_columns(group)),
            table(place_columns(group)),
        ]
    blocks += [
        "Ordinary pictures: top-1 against plain in points; small things are those whose boxes cover less than a "
        f"quarter of the picture ({ordinary['small_top1']['n']:.0f} ILSVRC validation pictures, plain's top-1 "
        f"{100 * ordinary['small_plain']['value']:.1f} %). Boxes at IoU 0.3 / 0.5 / 0.7: "
        + "; ".join(f"{name} {boxes(ordinary, source)}" for source, name in FLOORS.items())
        + ".",
        table(ORDINARY_COLUMNS),
        "Cost of one picture (multiply-adds of convolutions and matrix products; time on one thread, in turns with "
        "plain Lite0, one answer):",
        table(COST_COLUMNS),
    ]
    return "\n\n".join([START, *blocks, END])
