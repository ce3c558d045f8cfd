"""Tables of an evaluation: CSV for machines, LaTeX for papers, Markdown for a README. `report_html` makes the page.

All show the same numbers, including the baselines, and compute no new ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

from viz.core.finite import finite
from viz.datasets.core import LEFT_OUT
from viz.files import csv_text
from viz.latex_text import escaped
from viz.measures.intervals import Interval
from viz.measures.localization.results import NAMES, VERSIONS, Result, Row
from viz.measures.tables import MARK, Cell, Number, Table, latex, markdown


@dataclass(frozen=True)
class Column:
    """One column of numbers.

    Attributes:
        key: of `Row.value`, and in CSV. head: for tables. words: what it is, in a sentence.
        floored: whether rows are compared with the baselines. interval: whether narrow tables show it.
    """

    key: str
    head: str
    words: str = ""
    floored: bool = True
    interval: bool = False
    form: str = ".1f"


_KNOWN = "share of samples whose box (of the largest contour) has IoU 0.5 or more with a true box"
_MEAN = "mean of the shares right at IoU 0.3, 0.5 and 0.7, where any contour's box counts"
_TOP5 = "GT-known and the true class is among the network's best five"
_DIFFERENCE = "GT-known minus that of the first network's first class map on the same samples, in points"
COLUMNS = (
    Column("gt_known", "GT-known", _KNOWN, interval=True),
    Column("v2_mean", "BoxAccV2", _MEAN, interval=True),
    Column("v2_30", "V2 at 0.3", "the same at IoU 0.3 alone"),
    Column("v2_50", "V2 at 0.5", "the same at IoU 0.5 alone"),
    Column("v2_70", "V2 at 0.7", "the same at IoU 0.7 alone"),
    Column("pxap", "PxAP", "area under the pixels' precision and recall", interval=True),
    Column("top1_loc", "Top-1 Loc", "GT-known and the network's best class is right", floored=False),
    Column("top5_loc", "Top-5 Loc", _TOP5, floored=False),
    Column("difference", "vs. class map", _DIFFERENCE, floored=False, interval=True, form="+.1f"),
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
_AT = tuple(product(VERSIONS, NAMES))
_NAMED = ("model", "source", "title", "kind", "step", "n", "n_masks")
CSV_FIELDS = (
    *("data", "split", "fingerprint", "tuning", "classes", *_NAMED),
    *(f"{c.key}{part}" for c in COLUMNS for part in ("", "_low", "_high")),
    *(f"max_{v}_{d}" for v, d in _AT),
    "max_v2_mean",
    *(f"thresholds_{v}_{d}" for v, d in _AT),
    "gt_known_above_floor",
)


def kept(columns: Sequence[Column], result: Result) -> tuple[Column, ...]:
    """The columns that at least one row has a value for."""
    return tuple(c for c in columns if any(row.value(c.key) for row in result.rows))


def cell(value: Interval | None, form: str = ".1f", *, interval: bool = True, flagged: bool = False) -> Cell:
    """A value in a table; None where it is missing."""
    if value is None or finite(value.value) is None:
        return None
    low, high = (finite(value.low), finite(value.high)) if interval else (None, None)
    return Number(value.value, low, high, form, flagged)


def label(row: Row, result: Result, *, model: bool = False) -> str:
    """A row's title, with its step if the network has several and, on request, its network if there are several."""
    parts = [row.title]
    steps = {m.name: m.steps for m in result.models}
    if row.step is not None and row.model and steps.get(row.model, 1) > 1:
        parts.append(f"step {row.step}")
    if model and row.model is not None and len(result.models) > 1:
        parts.append(row.model)
    return ", ".join(parts)


def baselines(result: Result) -> list[Row]:
    """The rows of the baselines."""
    return [row for row in result.rows if row.kind == "floor"]


def above_baselines(row: Row, column: Column, result: Result) -> bool | None:
    """Whether a row's whole interval lies above the better baseline's value; None where not applicable."""
    best = [v.value for b in baselines(result) if (v := b.value(column.key))]
    value = row.value(column.key)
    if row.kind == "floor" or not column.floored or not best or value is None or finite(value.low) is None:
        return None
    return value.low > max(best)


def flags(columns: Sequence[Column], result: Result) -> bool:
    """Whether any number of a table is flagged because it does not lie above the better baseline."""
    return any(above_baselines(row, c, result) is False for row in result.rows for c in columns)


def table_of(
    result: Result, columns: Sequence[Column], first: str = "Map", *, count: bool = False, wide: bool = False
) -> Table:
    """The rows of a result; `count` adds the number of samples, `wide` shows all intervals."""
    rows = []
    for row in result.rows:
        cells = (
            cell(
                row.value(c.key), c.form, interval=wide or c.interval, flagged=above_baselines(row, c, result) is False
            )
            for c in columns
        )
        rows.append((row.model, (label(row, result), *([str(row.counted)] if count else []), *cells)))
    return Table((first, *(["n"] if count else []), *(c.head for c in columns)), tuple(rows))


def data_words(result: Result) -> str:
    """The data set in words: name, split, samples and pictures."""
    data = result.data
    split = f", split {data.split}" if data.split else ""
    pictures = "pictures" if data.pictures == data.samples else f"samples of {data.pictures} pictures"
    chosen = f", chosen of {data.chosen_of} by a hash of their names" if data.chosen_of else ""
    named = data.index_problems.get(LEFT_OUT, 0)
    left_out = f", {named} left out by name" if named else ""
    return f"{data.name}{split}: {data.samples} {pictures}{chosen}{left_out}"


def counted_words(result: Result) -> str:
    """The number of samples behind the rows."""
    numbers = sorted({row.counted for row in result.rows})
    if not numbers:
        return "no row"
    return f"n = {numbers[0]}" if len(numbers) == 1 else f"n = {numbers[0]} to {numbers[-1]}"


def interval_words(result: Result) -> str:
    """How the intervals are made."""
    boot = result.bootstrap
    draws = [f"{boot.draws} draws"] if any(row.boxes for row in result.rows) else []
    if any(row.pxap for row in result.rows):
        draws.append(f"{boot.pxap_draws} draws" + (" for PxAP" if draws else ""))
    return f"{boot.level * 100:.0f} % bootstrap intervals over pictures ({', '.join(draws)}, percentiles; {boot.words})"


def to_csv(result: Result) -> str:
    """One line per row of the result, baselines first.

    Percent throughout; ``KEY``, ``KEY_low`` and ``KEY_high`` are a value and its interval, ``max_`` the reference's
    optimistic numbers (best threshold for these very pictures), ``thresholds_`` the thresholds reported at, one per
    fold, separated by semicolons. Missing values are empty.
    """
    return csv_text([_csv_row(row, result) for row in result.rows], CSV_FIELDS)


def _csv_row(row: Row, result: Result) -> dict[str, Any]:
    data, above = result.data, above_baselines(row, COLUMNS[0], result)
    out: dict[str, Any] = {"data": data.name, "split": data.split, "fingerprint": data.fingerprint}
    out |= {"tuning": result.tuning.mode, "classes": result.protocol.classes}
    out |= {name: getattr(row, name) for name in _NAMED}
    for column in COLUMNS:
        if value := row.value(column.key):
            key, low, high = column.key, finite(value.low), finite(value.high)
            out |= {key: value.value, f"{key}_low": low, f"{key}_high": high}
    if row.boxes is not None:
        out["max_v2_mean"] = row.boxes.max.v2_mean
        for v, d in _AT:
            out[f"max_{v}_{d}"] = getattr(row.boxes.max, v)[d]
            out[f"thresholds_{v}_{d}"] = ";".join(f"{t:g}" for t in row.boxes.thresholds[v][d])
    return out | {"gt_known_above_floor": None if above is None else "yes" if above else "no"}


def to_markdown(result: Result) -> str:
    """A paragraph on how it was measured, and one line per row, baselines first; empty columns are left out.

    `IoU` columns take the box of the largest contour; `difference` is GT-known minus that of the first class map of the
    first network, in points, on the same pictures.
    """
    intro = (
        f"{data_words(result).replace('<', '&lt;')}, {counted_words(result)}. {result.tuning.words} In percent, with "
        f"{interval_words(result)}."
    )
    return markdown(table_of(result, kept(MARKDOWN, result), "map"), intro) + "\n"


def to_latex(result: Result) -> str:
    """A table for a paper whose caption says how it was measured, see `viz.measures.tables.latex`."""
    columns, protocol = kept(LATEX, result), result.protocol
    parts = [
        f"Weakly-supervised localization on {data_words(result)} ({counted_words(result)}), in percent.",
        f"Protocol of Choe et al. (CVPR 2020): pictures squashed to {protocol.size} x {protocol.size}, "
        f"{protocol.thresholds} thresholds; maps of the "
        + ("true class." if protocol.classes == "label" else "class that the network predicts."),
        result.tuning.words,
        *(f"{c.head}: {c.words}." for c in columns if c.key not in ("v2_30", "v2_50", "v2_70")),
        f"In brackets: {interval_words(result)}.",
    ]
    caption = " ".join(escaped(p) for p in parts)
    if flags(columns, result):
        names = " and ".join(escaped(b.title) for b in baselines(result))
        caption += rf" {MARK}: the interval does not lie above the better baseline ({names})."
    many = len({row.counted for row in result.rows}) > 1
    return latex(table_of(result, columns, count=many), caption, "tab:localization")
