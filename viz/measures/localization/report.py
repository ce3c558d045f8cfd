"""Reports of an evaluation's result: CSV for machines, LaTeX for papers, one HTML page for readers.

All three show the same numbers (`viz.measures.localization.report_columns`), floors included; none computes a new one.
"""

from __future__ import annotations

import csv
import io
from typing import Any

from viz.measures.localization.protocol import DELTAS
from viz.measures.localization.report_cases import CaseView, Pictures
from viz.measures.localization.report_columns import COLUMNS, above_floor
from viz.measures.localization.report_html import to_html
from viz.measures.localization.report_latex import to_latex
from viz.measures.localization.results import Result

__all__ = ["CSV_FIELDS", "CaseView", "Pictures", "to_csv", "to_html", "to_latex"]

_PARTS = ("", "_low", "_high")
_VERSIONS = ("v1", "v2")
CSV_FIELDS = (
    *("data", "split", "fingerprint", "tuning", "classes", "model", "source", "title", "kind", "step", "n", "n_masks"),
    *(f"{c.key}{part}" for c in COLUMNS for part in _PARTS),
    *(f"max_{v}_{d}" for v in _VERSIONS for d in DELTAS),
    "max_v2_mean",
    *(f"thresholds_{v}_{d}" for v in _VERSIONS for d in DELTAS),
    "gt_known_above_floor",
)


def to_csv(result: Result) -> str:
    """One line a row of the result, floors first.

    Percent throughout; ``KEY``, ``KEY_low`` and ``KEY_high`` are a value and its interval, ``max_`` the reference's
    optimistic numbers (the threshold that is best on these very pictures), ``thresholds_`` the thresholds reported at,
    one a fold, separated by semicolons. What does not exist is empty.
    """
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, CSV_FIELDS, lineterminator="\n")
    writer.writeheader()
    for row in result["rows"]:
        writer.writerow({key: _safe(value) for key, value in _csv_row(row, result).items()})
    return buffer.getvalue()


def _safe(value: Any) -> Any:
    # A name that begins like a formula must not become one in a spreadsheet.
    return "'" + value if isinstance(value, str) and value[:1] in tuple("=+-@\t\r") else value


def _csv_row(row: dict[str, Any], result: Result) -> dict[str, Any]:
    data = result["data"]
    out: dict[str, Any] = {
        "data": data["name"],
        "split": data["split"],
        "fingerprint": data["fingerprint"],
        "tuning": result["tuning"]["mode"],
        "classes": result["protocol"]["classes"],
    }
    out |= {key: row[key] for key in ("model", "source", "title", "kind", "step", "n", "n_masks")}
    for column in COLUMNS:
        value = column.get(row)
        if value:
            out |= {f"{column.key}{part}": value[part[1:] or "value"] for part in _PARTS}
    boxes = row["boxes"]
    if boxes is not None:
        for v in _VERSIONS:
            for d in DELTAS:
                out[f"max_{v}_{d}"] = boxes["max"][v][str(d)]
                out[f"thresholds_{v}_{d}"] = ";".join(f"{t:g}" for t in boxes["thresholds"][v][str(d)])
        out["max_v2_mean"] = boxes["max"]["v2_mean"]
    clear = above_floor(row, COLUMNS[0], result)
    return out | {"gt_known_above_floor": None if clear is None else "yes" if clear else "no"}
