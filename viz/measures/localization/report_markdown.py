"""The table of an evaluation as Markdown: the same numbers as the other reports."""

from __future__ import annotations

from typing import Any

from viz.measures.localization.report_columns import counted_words, data_words, interval_words, label, number
from viz.measures.localization.results import Result

_HEAD = ("network", "map", "IoU 0.3", "IoU 0.5 (GT-known)", "IoU 0.7", "MaxBoxAccV2", "PxAP", "top-1 Loc", "difference")


def to_markdown(result: Result) -> str:
    """One paragraph that says how it was measured, and one line a row; floors first, columns without a value left out.

    `IoU` columns take the box of the largest contour; `difference` is GT-known minus that of the first class map of the
    first network, in points, on the same pictures.
    """
    rows = [_cells(row, result) for row in result["rows"]]
    kept = [i for i in range(len(_HEAD)) if i < 2 or any(row[i] for row in rows)]
    data = data_words(result).replace("<", "&lt;")
    words = [
        f"{data}, {counted_words(result)}. {result['tuning']['words']} In percent, with {interval_words(result)}.",
        "",
        _line([_HEAD[i] for i in kept]),
        _line(["---" if i < 2 else "---:" for i in kept]),
        *(_line([row[i] for i in kept]) for row in rows),
    ]
    return "\n".join(words) + "\n"


def _line(cells: list[str]) -> str:
    # A name must not open a cell or a tag.
    safe = [c.replace("|", "\\|").replace("<", "&lt;") for c in cells]
    return f"| {' | '.join(safe)} |"


def _cells(row: dict[str, Any], result: Result) -> list[str]:
    boxes = row["boxes"]
    v1: dict[str, Any] = boxes["reported"]["v1"] if boxes else {}
    return [
        f"`{row['model']}`" if row["model"] else "none",
        label(row, result, model=False),
        _plain(v1.get("30")),
        _with_interval(v1.get("50")),
        _plain(v1.get("70")),
        _with_interval(boxes["reported"]["v2_mean"] if boxes else None),
        _with_interval(row["pxap"]),
        _plain(boxes["top1_loc"] if boxes else None),
        _with_interval(boxes["difference"] if boxes else None, "+.1f"),
    ]


def _plain(value: dict[str, Any] | None) -> str:
    found = number(value)
    return "" if found is None else f"{found:.1f}"


def _with_interval(value: dict[str, Any] | None, form: str = ".1f") -> str:
    found = number(value)
    if value is None or found is None:
        return ""
    if value["low"] is None:  # one picture has no interval
        return f"{found:{form}}"
    return f"{found:{form}} ({value['low']:{form}} to {value['high']:{form}})"
