"""What a report's table shows of each row of an evaluation: the same numbers in every format."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from viz.datasets.core import LEFT_OUT
from viz.measures.localization.results import Result

Row = Mapping[str, Any]
Value = Mapping[str, Any]


@dataclass(frozen=True)
class Column:
    """One column of numbers.

    Attributes:
        key: short name, for CSV. head: for tables. words: what it is, in a sentence.
        get: the value {value, low, high, n} of a row, or None. floored: whether rows are held against the floors.
    """

    key: str
    head: str
    words: str
    get: Callable[[Row], Value | None]
    floored: bool = True


def _reported(version: str, delta: str) -> Callable[[Row], Value | None]:
    return lambda row: row["boxes"] and row["boxes"]["reported"][version][delta]


def _of_boxes(key: str) -> Callable[[Row], Value | None]:
    return lambda row: row["boxes"] and row["boxes"].get(key)


def _v2_mean(row: Row) -> Value | None:
    return row["boxes"] and row["boxes"]["reported"]["v2_mean"]


COLUMNS = (
    Column(
        "gt_known",
        "GT-known",
        "share of samples whose box (of the largest contour) has IoU 0.5 or more with a true box",
        _of_boxes("gt_known"),
    ),
    Column(
        "v2_mean",
        "BoxAccV2",
        "mean of the shares right at IoU 0.3, 0.5 and 0.7, where any contour's box counts",
        _v2_mean,
    ),
    Column("v2_30", "V2 at 0.3", "the same at IoU 0.3 alone", _reported("v2", "30")),
    Column("v2_50", "V2 at 0.5", "the same at IoU 0.5 alone", _reported("v2", "50")),
    Column("v2_70", "V2 at 0.7", "the same at IoU 0.7 alone", _reported("v2", "70")),
    Column("pxap", "PxAP", "area under the pixels' precision and recall", lambda row: row["pxap"]),
    Column(
        "top1_loc", "Top-1 Loc", "GT-known and the network's best class is right", _of_boxes("top1_loc"), floored=False
    ),
    Column(
        "top5_loc",
        "Top-5 Loc",
        "GT-known and the true class is among the network's best five",
        _of_boxes("top5_loc"),
        floored=False,
    ),
    Column(
        "difference",
        "vs. class map",
        "GT-known minus that of the first network's first class map on the same samples, in points",
        _of_boxes("difference"),
        floored=False,
    ),
)


def columns_of(result: Result) -> tuple[Column, ...]:
    """The columns that at least one row has a value for."""
    return tuple(c for c in COLUMNS if any(number(c.get(row)) is not None for row in result["rows"]))


def number(value: Value | None) -> float | None:
    """The value itself, or None."""
    found = value["value"] if value else None
    return None if found is None else float(found)


def label(row: Row, result: Result, *, model: bool = True) -> str:
    """A row's name: title, its step where its network has several, its network where there are several."""
    parts = [str(row["title"])]
    steps = {m["name"]: m["steps"] for m in result["models"]}
    if row["step"] is not None and steps.get(row["model"], 1) > 1:
        parts.append(f"step {row['step']}")
    if model and row["model"] is not None and len(result["models"]) > 1:
        parts.append(str(row["model"]))
    return ", ".join(parts)


def floors(result: Result) -> list[Row]:
    """The rows that look at no picture."""
    return [row for row in result["rows"] if row["kind"] == "floor"]


def above_floor(row: Row, column: Column, result: Result) -> bool | None:
    """Whether a row's whole interval lies above the better floor's value; None where that is no question."""
    if row["kind"] == "floor" or not column.floored:
        return None
    best = [v for f in floors(result) if (v := number(column.get(f))) is not None]
    value = column.get(row)
    if not best or not value or value.get("low") is None:
        return None
    return float(value["low"]) > max(best)


def counts(result: Result) -> tuple[int, ...]:
    """The different numbers of samples behind the rows, rising."""
    return tuple(sorted({counted(row) for row in result["rows"]}))


def counted(row: Row) -> int:
    """Samples behind a row: those with boxes, or with masks where none has a box."""
    return int(row["n"] or row["n_masks"])


def signed(column: Column, value: float) -> str:
    """A number with one decimal; differences carry their sign, with a true minus."""
    text = f"{value:+.1f}" if column.key == "difference" else f"{value:.1f}"
    return text.replace("-", "\u2212")


def listed(items: Sequence[str]) -> str:
    """Words in a sentence: a, b and c."""
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} and {items[-1]}" if items else ""


def data_words(result: Result) -> str:
    """The data set in words: name, split, samples and pictures."""
    data = result["data"]
    split = f", split {data['split']}" if data["split"] else ""
    same = data["pictures"] == data["samples"]
    of = "pictures" if same else f"samples of {data['pictures']} pictures"
    chosen = f", chosen of {data['chosen_of']} by a hash of their names" if data["chosen_of"] else ""
    named = data["index_problems"].get(LEFT_OUT, 0)
    left_out = f", {named} left out by name" if named else ""
    return f"{data['name']}{split}: {data['samples']} {of}{chosen}{left_out}"


def counted_words(result: Result) -> str:
    """How many samples the rows stand on."""
    numbers = counts(result)
    if not numbers:
        return "no row"
    return f"n = {numbers[0]}" if len(numbers) == 1 else f"n = {numbers[0]} to {numbers[-1]}"


def interval_words(result: Result) -> str:
    """What the intervals are."""
    boot = result["bootstrap"]
    draws = []
    if any(row["boxes"] for row in result["rows"]):
        draws.append(f"{boot['draws']} draws")
    if any(row["pxap"] for row in result["rows"]):
        draws.append(f"{boot['pxap_draws']} draws" + (" for PxAP" if draws else ""))
    return (
        f"{boot['level'] * 100:.0f} % bootstrap intervals over pictures ({', '.join(draws)}, "
        f"percentiles; {boot['words']})"
    )
