"""The tables of the six networks on the clutter task, as Markdown, from the measured figures."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from recipes.cards import grid
from recipes.readings import DELTAS

Row = Mapping[str, Any]
# Head of each column, and a function of a network's row and the figures of its first seed that gives its text.
Columns = Mapping[str, Callable[[Row, Row], str]]
ORDER = ("tdam", "psa", "ema", "vista", "paka")
START, END = "<!-- clutter table: start -->", "<!-- clutter table: end -->"


def spread(cell: Mapping[str, float], form: str = "{:.1f}", factor: float = 100) -> str:
    """``38.2 (35.1 to 41.4)``: a value with its interval."""
    value, low, high = (form.format(factor * cell[k]) for k in ("value", "low", "high"))
    return f"{value} ({low} to {high})"


def signed(cell: Mapping[str, float]) -> str:
    """``+38.2 (+35.1 to +41.4)``: a difference in points with its interval."""
    return spread(cell, "{:+.1f}")


def of_seeds(row: Row, group: str, name: str, form: str, factor: float = 1) -> str:
    """The same figure of every seed, in order."""
    return ", ".join(form.format(factor * row["seeds"][seed][group][name]["value"]) for seed in sorted(row["seeds"]))


def gain_columns(group: str) -> Columns:
    """Top-1 in clutter of one set of views, with its controls."""
    return {
        "top-1": lambda row, f: spread(f[group]["top1"]),
        "gain over plain": lambda row, f: signed(f[group]["gain"]),
        "gain, each seed": lambda row, f: of_seeds(row, group, "gain", "{:+.1f}", 100),
        "gates at their mean": lambda row, f: spread(f[group]["gates_mean"]),
        "module with random weights": lambda row, f: spread(f[group]["random_module"]),
    }


def place_columns(group: str) -> Columns:
    """The position of the native attention, and the effect on ordinary pictures."""
    own, noise, both = "mass_over_area", "random_mass_over_area", "spread of the native map within / between pictures"
    return {
        "attention mass on the object / its area": lambda row, f: spread(f[group][own], "{:.2f}", 1),
        "each seed": lambda row, f: of_seeds(row, group, own, "{:.2f}"),
        "random weights": lambda row, f: spread(f[group][noise], "{:.2f}", 1),
        "ordinary top-1, ten classes": lambda row, f: signed(f["alone_nette"]["change"]),
        "ordinary top-1, other classes": lambda row, f: signed(f["alone_unseen"]["change"]),
        both: lambda row, f: "{value:.3f} / {between:.3f}".format(**f[group]["variation_native"]),
    }


def box_columns(group: str) -> Columns:
    """Boxes of the pasted object at three overlaps."""

    def column(source: str) -> Callable[[Row, Row], str]:
        return lambda row, f: " / ".join(f"{100 * f[group][f'box_{source}_{d}']['value']:.1f}" for d in DELTAS)

    sources = {"plain's class map": "plain_class_map", "class map": "class_map", "native attention": "native"}
    return {head: column(source) for head, source in sources.items()}


COST_COLUMNS: Columns = {
    "parameters of the module": lambda row, f: f"{row['cost']['parameters']:,.0f}",
    "multiply-adds over plain": lambda row, f: f"{row['cost']['added_macs']:+.1f} M",
    "CPU time over plain": lambda row, f: f"{row['cost']['cpu_ratio']:.2f}",
}


def tables(data: Mapping[str, Any]) -> str:
    """All tables with their explanations, between the two marks."""
    rows = {family: data["rows"][family] for family in ORDER if family in data["rows"]}
    first = {family: row["seeds"][min(row["seeds"])] for family, row in rows.items()}
    shared = next(iter(first.values()))

    def table(columns: Columns, group: str = "") -> str:
        cells = [[f"`lite0-{n}`", *(cell(row, first[n]) for cell in columns.values())] for n, row in rows.items()]
        plain = [["`lite0` (plain)", spread(shared[group]["plain"]), "", "", "", ""]] if group else []
        return grid(["network", *columns], [*plain, *cells])

    return "\n\n".join(
        [
            START,
            f"{shared['unseen']['top1']['n']:.0f} views: a photograph of one of {data['unseen_classes']} classes never "
            f"trained on, 72 to 127 px wide, pasted into one of {data['scenes']['test']} street scenes never trained "
            "on. Values in percent with 95 % bootstrap intervals (pictures and scenes drawn again) of seed 0; TDAM has "
            "one seed and was trained for another task.",
            table(gain_columns("unseen"), "unseen"),
            "The same with the ten imagenette classes, which are trained on with other pictures:",
            table(gain_columns("nette"), "nette"),
            "Where the attention lies, and ordinary pictures (change in points against plain):",
            table(place_columns("unseen")),
            "Boxes around the pasted object, share at IoU 0.3 / 0.5 / 0.7, threshold from the other half of the views; "
            "the class maps are those of the true class:",
            table(box_columns("unseen")),
            "Cost of one picture (multiply-adds of convolutions and matrix products; time on one thread, in turns with "
            "plain Lite0, one answer):",
            table(COST_COLUMNS),
            END,
        ]
    )
