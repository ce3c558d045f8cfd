"""The columns of an evaluation's tables: the same numbers in every format."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from viz.measures.localization.results import Result, Row, Value
from viz.measures.tables import Cell, Number, Table


@dataclass(frozen=True)
class Column:
    """One column of numbers.

    Attributes:
        key: of `Row.value`, and in CSV. head: for tables. words: what it is, in a sentence.
        floored: whether rows are compared with the baselines. interval: whether narrow tables have room for it.
    """

    key: str
    head: str
    words: str = ""
    floored: bool = True
    interval: bool = False
    form: str = ".1f"


_SAID = {
    "known": "share of samples whose box (of the largest contour) has IoU 0.5 or more with a true box",
    "mean": "mean of the shares right at IoU 0.3, 0.5 and 0.7, where any contour's box counts",
    "top5": "GT-known and the true class is among the network's best five",
    "difference": "GT-known minus that of the first network's first class map on the same samples, in points",
}
COLUMNS = (
    Column("gt_known", "GT-known", _SAID["known"], interval=True),
    Column("v2_mean", "BoxAccV2", _SAID["mean"], interval=True),
    Column("v2_30", "V2 at 0.3", "the same at IoU 0.3 alone"),
    Column("v2_50", "V2 at 0.5", "the same at IoU 0.5 alone"),
    Column("v2_70", "V2 at 0.7", "the same at IoU 0.7 alone"),
    Column("pxap", "PxAP", "area under the pixels' precision and recall", interval=True),
    Column("top1_loc", "Top-1 Loc", "GT-known and the network's best class is right", floored=False),
    Column("top5_loc", "Top-5 Loc", _SAID["top5"], floored=False),
    Column("difference", "vs. class map", _SAID["difference"], floored=False, interval=True, form="+.1f"),
)
LATEX = tuple(c for c in COLUMNS if c.key != "top5_loc")
# For a README: `IoU` columns take the box of the largest contour.
MARKDOWN = (
    Column("v1_30", "IoU 0.3"),
    Column("gt_known", "IoU 0.5 (GT-known)", interval=True),
    Column("v1_70", "IoU 0.7"),
    Column("v2_mean", "MaxBoxAccV2", interval=True),
    Column("pxap", "PxAP", interval=True),
    Column("top1_loc", "top-1 Loc"),
    Column("difference", "difference", interval=True, form="+.1f"),
)


def kept(columns: Sequence[Column], result: Result) -> tuple[Column, ...]:
    """The columns that at least one row has a value for."""
    return tuple(c for c in columns if any(row.value(c.key) for row in result.rows))


def cell(value: Value | None, form: str = ".1f", *, interval: bool = True, flagged: bool = False) -> Cell:
    """A value in a table."""
    if value is None or value.value is None:
        return None
    low, high = (value.low, value.high) if interval else (None, None)
    return Number(value.value, low, high, form, flagged)


def label(row: Row, result: Result, *, model: bool = False) -> str:
    """A row's name: title, its step where its network has several, if wanted its network where there are several."""
    parts = [row.title]
    steps = {m.name: m.steps for m in result.models}
    if row.step is not None and row.model and steps.get(row.model, 1) > 1:
        parts.append(f"step {row.step}")
    if model and row.model is not None and len(result.models) > 1:
        parts.append(row.model)
    return ", ".join(parts)


def floors(result: Result) -> list[Row]:
    """The rows of the baselines."""
    return [row for row in result.rows if row.kind == "floor"]


def above_floor(row: Row, column: Column, result: Result) -> bool | None:
    """Whether a row's whole interval lies above the better baseline's value; None where not applicable."""
    best = [v.value for f in floors(result) if (v := f.value(column.key)) and v.value is not None]
    value = row.value(column.key)
    if row.kind == "floor" or not column.floored or not best or value is None or value.low is None:
        return None
    return value.low > max(best)


def below_floor(columns: Sequence[Column], result: Result) -> bool:
    """Whether any number of a table does not lie above the better baseline."""
    return any(above_floor(row, c, result) is False for row in result.rows for c in columns)


def table_of(
    result: Result, columns: Sequence[Column], first: str = "Map", *, count: bool = False, wide: bool = False
) -> Table:
    """The rows of a result; `count` adds the number of samples, `wide` tables have all intervals."""
    rows = []
    for row in result.rows:
        cells = (
            cell(row.value(c.key), c.form, interval=wide or c.interval, flagged=above_floor(row, c, result) is False)
            for c in columns
        )
        rows.append((row.model, (label(row, result), *([str(row.counted)] if count else []), *cells)))
    return Table((first, *(["n"] if count else []), *(c.head for c in columns)), tuple(rows))
