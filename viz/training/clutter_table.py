"""The table of the six networks on one task, as Markdown, from the figures that `viz.training.clutter` measured."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

Row = Mapping[str, Any]
ORDER = ("tdam", "psa", "ema", "vista", "paka")
START, END = "<!-- clutter table: start -->", "<!-- clutter table: end -->"


def percent(cell: Mapping[str, float], *, signed: bool = False) -> str:
    """``38.2 (35.1 to 41.4)``: a share in percent with its interval."""
    form = "{:+.1f}" if signed else "{:.1f}"
    value, low, high = (form.format(100 * cell[k]) for k in ("value", "low", "high"))
    return f"{value} ({low} to {high})"


def ratio(cell: Mapping[str, float]) -> str:
    """``1.84 (1.77 to 1.91)``."""
    return f"{cell['value']:.2f} ({cell['low']:.2f} to {cell['high']:.2f})"


def seeds_of(row: Row, group: str, name: str, factor: float = 100.0, form: str = "{:.1f}") -> str:
    """The same figure of every seed, in order."""
    values = [row["seeds"][seed][group][name]["value"] for seed in sorted(row["seeds"])]
    return ", ".join(form.format(factor * v) for v in values)


def _grid(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(head) + " |", "| " + " | ".join("---" for _ in head) + " |"]
    return "\n".join([*lines, *("| " + " | ".join(r) + " |" for r in rows)])


def _rows(data: Mapping[str, Any], cells: Callable[[str, Row, Row], list[str]]) -> list[list[str]]:
    """One line a family; `cells` gets the family, its row and the figures of its first seed."""
    found = []
    for family in ORDER:
        if family in data["rows"]:
            row = data["rows"][family]
            found.append([f"`lite0-{family}`", *cells(family, row, row["seeds"][min(row["seeds"])])])
    return found


def gain_table(data: Mapping[str, Any], group: str) -> str:
    """Top-1 in clutter of one set of views, with its controls."""

    def cells(family: str, row: Row, first: Row) -> list[str]:
        f = first[group]
        return [
            percent(f["top1"]),
            percent(f["gain"], signed=True),
            seeds_of(row, group, "gain", form="{:+.1f}"),
            percent(f["gates_mean"]),
            percent(f["random_module"]),
        ]

    rows = _rows(data, cells)
    any_row = next(iter(data["rows"].values()))
    plain = next(iter(any_row["seeds"].values()))[group]["plain"]
    head = [
        "network",
        "top-1",
        "gain over plain",
        "gain, each seed",
        "gates at their mean",
        "module with random weights",
    ]
    return _grid(head, [["`lite0` (plain)", percent(plain), "", "", "", ""], *rows])


def place_table(data: Mapping[str, Any], group: str) -> str:
    """Where the native attention lies, and what happens to ordinary pictures."""

    def cells(family: str, row: Row, first: Row) -> list[str]:
        f, alone, new = first[group], first["alone_nette"], first["alone_unseen"]
        return [
            ratio(f["mass_over_area"]),
            seeds_of(row, group, "mass_over_area", 1.0, "{:.2f}"),
            ratio(f["random_mass_over_area"]),
            percent(alone["change"], signed=True),
            percent(new["change"], signed=True),
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
    return _grid(head, _rows(data, cells))


def box_table(data: Mapping[str, Any], group: str) -> str:
    """Boxes of the pasted object at three overlaps."""

    def triple(f: Row, source: str) -> str:
        return " / ".join(f"{100 * f[f'box_{source}_{d}']['value']:.1f}" for d in (0.3, 0.5, 0.7))

    def cells(family: str, row: Row, first: Row) -> list[str]:
        return [triple(first[group], source) for source in ("plain_class_map", "class_map", "native")]

    head = ["network", "plain's class map", "class map", "native attention"]
    return _grid(head, _rows(data, cells))


def cost_table(data: Mapping[str, Any]) -> str:
    """Parameters, multiply-adds and time."""

    def cells(family: str, row: Row, first: Row) -> list[str]:
        c = row["cost"]
        return [f"{c['parameters']:,.0f}", f"{c['added_macs']:+.1f} M", f"{c['cpu_ratio']:.2f}"]

    head = ["network", "parameters of the module", "multiply-adds over plain", "CPU time over plain"]
    return _grid(head, _rows(data, cells))


def tables(data: Mapping[str, Any]) -> str:
    """All tables with the sentences that a reader needs, between the two marks."""
    first = next(iter(next(iter(data["rows"].values()))["seeds"].values()))
    count, scenes = first["unseen"]["top1"]["n"], data["scenes"]["test"]
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


def put_into(text: str, table: str) -> str:
    """A page with the part between the marks replaced.

    Raises:
        ValueError: the page has no marks.
    """
    if START not in text or END not in text:
        raise ValueError("the page has no marks for the table")
    return text[: text.index(START)] + table + text[text.index(END) + len(END) :]
