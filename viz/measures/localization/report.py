"""Reports of an evaluation: CSV for machines, LaTeX for papers, Markdown for a README, one HTML page for readers.

All show the same numbers, baselines included; none computes a new one.
"""

from __future__ import annotations

from itertools import product
from typing import Any

from viz.files import csv_text
from viz.latex_text import escaped
from viz.measures.localization.columns import COLUMNS, LATEX, MARKDOWN, above_floor, below_floor, floors, kept, table_of
from viz.measures.localization.report_html import CaseView, Pictures, to_html
from viz.measures.localization.results import NAMES, VERSIONS, Result, Row
from viz.measures.localization.words import counted_words, data_words, interval_words
from viz.measures.tables import MARK, latex, markdown

__all__ = ["CSV_FIELDS", "CaseView", "Pictures", "to_csv", "to_html", "to_latex", "to_markdown"]

_AT = tuple(f"{v}_{d}" for v, d in product(VERSIONS, NAMES))
CSV_FIELDS = (
    *("data", "split", "fingerprint", "tuning", "classes", "model", "source", "title", "kind", "step", "n", "n_masks"),
    *(f"{c.key}{part}" for c in COLUMNS for part in ("", "_low", "_high")),
    *(f"max_{at}" for at in _AT),
    "max_v2_mean",
    *(f"thresholds_{at}" for at in _AT),
    "gt_known_above_floor",
)


def to_csv(result: Result) -> str:
    """One line a row of the result, floors first.

    Percent throughout; ``KEY``, ``KEY_low`` and ``KEY_high`` are a value and its interval, ``max_`` the reference's
    optimistic numbers (the threshold that is best on these very pictures), ``thresholds_`` the thresholds reported at,
    one a fold, separated by semicolons. What does not exist is empty.
    """
    return csv_text([_csv_row(row, result) for row in result.rows], CSV_FIELDS)


def _csv_row(row: Row, result: Result) -> dict[str, Any]:
    data, clear = result.data, above_floor(row, COLUMNS[0], result)
    out: dict[str, Any] = {"data": data.name, "split": data.split, "fingerprint": data.fingerprint}
    out |= {"tuning": result.tuning.mode, "classes": result.protocol.classes}
    out |= {name: getattr(row, name) for name in ("model", "source", "title", "kind", "step", "n", "n_masks")}
    for column in COLUMNS:
        if value := row.value(column.key):
            out |= {column.key: value.value, f"{column.key}_low": value.low, f"{column.key}_high": value.high}
    if row.boxes is not None:
        out["max_v2_mean"] = row.boxes.max.v2_mean
        for v, d in product(VERSIONS, NAMES):
            out[f"max_{v}_{d}"] = getattr(row.boxes.max, v)[d]
            out[f"thresholds_{v}_{d}"] = ";".join(f"{t:g}" for t in row.boxes.thresholds[v][d])
    return out | {"gt_known_above_floor": None if clear is None else "yes" if clear else "no"}


def to_markdown(result: Result) -> str:
    """One paragraph that says how it was measured, and one line a row; floors first, columns without a value left out.

    `IoU` columns take the box of the largest contour; `difference` is GT-known minus that of the first class map of the
    first network, in points, on the same pictures.
    """
    intro = (
        f"{data_words(result).replace('<', '&lt;')}, {counted_words(result)}. {result.tuning.words} In percent, with "
        f"{interval_words(result)}."
    )
    return markdown(table_of(result, kept(MARKDOWN, result), "map"), intro) + "\n"


def to_latex(result: Result) -> str:
    """A table for a paper under a caption that says how it was measured, see `viz.measures.tables.latex`."""
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
    if below_floor(columns, result):
        names = " and ".join(escaped(f.title) for f in floors(result))
        caption += rf" {MARK}: the interval does not lie above the better floor ({names})."
    many = len({row.counted for row in result.rows}) > 1
    return latex(table_of(result, columns, count=many), caption, "tab:localization")
