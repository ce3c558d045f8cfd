"""The table of the six networks on the clutter task, as Markdown, from the measured figures."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from recipes.cards import grid

Row = Mapping[str, Any]
ORDER = ("tdam", "psa", "ema", "vista", "paka")
START, END = "<!-- clutter table: start -->", "<!-- clutter table: end -->"


def percent(cell: Mapping[str, float], form: str = "{:.1f}") -> str:
    """``38.2 (35.1 to 41.4)``: a share in percent with its interval."""
    value, low, high = (form.format(100 * cell[k]) for k in ("value", "low", "high"))
    return f"{value} ({low} to {high})"


def signed(cell: Mapping[str, float]) -> str:
    """``+38.2 (+35.1 to +41.4)``: a difference in points with its interval."""
    return percent(cell, "{:+.1f}")


def ratio(cell: Mapping[str, float]) -> str:
    """``1.84 (1.77 to 1.91)``."""
    return f"{cell['value']:.2f} ({cell['low']:.2f} to {cell['high']:.2f})"


def of_seeds(row: Row, group: str, name: str, form: str, factor: float = 1.0) -> str:
    """The same figure of every seed, in order."""
    return ", ".join(form.format(factor * row["seeds"][seed][group][name]["value"]) for seed in sorted(row["seeds"]))


def _rows(data: Mapping[str, Any], cells: Callable[[Row, Row], Sequence[str]]) -> list[list[str]]:
    """One line per family; `cells` gets its row and the figures of its first seed."""
    rows = {family: data["rows"][family] for family in ORDER if family in data["rows"]}
    return [[f"`lite0-{f}`", *cells(row, row["seeds"][min(row["seeds"])])] for f, row in rows.items()]


def gain_table(data: Mapping[str, Any], group: str) -> str:
    """Top-1 in clutter of one set of views, with its controls."""

    def cells(row: Row, first: Row) -> list[str]:
        f, seeds = first[group], of_seeds(row, group, "gain", "{:+.1f}", 100)
        return [percent(f["top1"]), signed(f["gain"]), seeds, percent(f["gates_mean"]), percent(f["random_module"])]

    head = ["network", "top-1", "gain over plain", "gain, each seed", "gates at their mean"]
    plain = ["`lite0` (plain)", percent(_any(data)[group]["plain"]), "", "", "", ""]
    return grid([*head, "module with random weights"], [plain, *_rows(data, cells)])


def place_table(data: Mapping[str, Any], group: str) -> str:
    """Where the native attention lies, and what happens to ordinary pictures."""

    def cells(row: Row, first: Row) -> list[str]:
        f = first[group]
        return [
            ratio(f["mass_over_area"]),
            of_seeds(row, group, "mass_over_area", "{:.2f}"),
            ratio(f["random_mass_over_area"]),
            signed(first["alone_nette"]["change"]),
            signed(first["alone_unseen"]["change"]),
            f"{f['variation_native']['value']:.3f} / {f['variation_native']['between']:.3f}",
        ]

    head = [
        "network",
        "attention mass on the object / its area",
        "each seed",
        "random weights",
        "ordinary top-1, ten classes",
        "ordinary top-1, other classes",
        "spread of the native map within / between pictures",
    ]
    return grid(head, _rows(data, cells))


def box_table(data: Mapping[str, Any], group: str) -> str:
    """Boxes of the pasted object at three overlaps."""

    def cells(row: Row, first: Row) -> list[str]:
        return [
            " / ".join(f"{100 * first[group][f'box_{source}_{d}']['value']:.1f}" for d in (0.3, 0.5, 0.7))
            for source in ("plain_class_map", "class_map", "native")
        ]

    return grid(["network", "plain's class map", "class map", "native attention"], _rows(data, cells))


def cost_table(data: Mapping[str, Any]) -> str:
    """Parameters, multiply-adds and time."""

    def cells(row: Row, first: Row) -> list[str]:
        c = row["cost"]
        return [f"{c['parameters']:,.0f}", f"{c['added_macs']:+.1f} M", f"{c['cpu_ratio']:.2f}"]

    head = ["network", "parameters of the module", "multiply-adds over plain", "CPU time over plain"]
    return grid(head, _rows(data, cells))


def _any(data: Mapping[str, Any]) -> Row:
    """Figures of one network, for what is the same for all."""
    found: Row = next(iter(next(iter(data["rows"].values()))["seeds"].values()))
    return found


def tables(data: Mapping[str, Any]) -> str:
    """All tables with the sentences that a reader needs, between the two marks."""
    count, scenes = _any(data)["unseen"]["top1"]["n"], data["scenes"]["test"]
    parts = [
        START,
        f"{count:.0f} views: a photograph of one of {data['unseen_classes']} classes never trained on, 72 to 127 px "
        f"wide, pasted into one of {scenes} street scenes never trained on. Values in percent with 95 % bootstrap "
        "intervals (pictures and scenes drawn again) of seed 0; TDAM has one seed and was trained for another task.",
        gain_table(data, "unseen"),
        "The same with the ten imagenette classes, which are trained on with other pictures:",
        gain_table(data, "nette"),
        "Where the attention lies, and ordinary pictures (change in points against plain):",
        place_table(data, "unseen"),
        "Boxes around the pasted object, share at IoU 0.3 / 0.5 / 0.7, threshold from the other half of the views; the "
        "class maps are those of the true class:",
        box_table(data, "unseen"),
        "Cost of one picture (multiply-adds of convolutions and matrix products; time on one thread, in turns with "
        "plain Lite0, one answer):",
        cost_table(data),
        END,
    ]
    return "\n\n".join(parts)
