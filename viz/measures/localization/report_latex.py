"""An evaluation as a LaTeX table (booktabs): what a paper needs, under a caption that says how it was measured."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from viz.latex_text import escaped
from viz.measures.localization.report_columns import (
    Column,
    Row,
    above_floor,
    columns_of,
    counted,
    counted_words,
    counts,
    data_words,
    floors,
    interval_words,
    label,
    number,
    signed,
)
from viz.measures.localization.results import Result

_SHOWN = ("gt_known", "v2_mean", "v2_30", "v2_50", "v2_70", "pxap", "top1_loc", "difference")
_WITH_INTERVAL = ("gt_known", "v2_mean", "pxap", "difference")
_MARK = r"$^\dagger$"


def to_latex(result: Result) -> str:
    r"""A ``table*`` with booktabs rules; needs ``\usepackage{booktabs}`` and nothing else.

    Floors stand above the first rule between rows, each network's rows below. Plain ASCII; all names are escaped.
    """
    columns = [c for c in columns_of(result) if c.key in _SHOWN]
    many = len(counts(result)) > 1
    heads = ["Map", *(["$n$"] if many else []), *(escaped(c.head) for c in columns)]
    lines = [
        r"% needs \usepackage{booktabs}",
        r"\begin{table*}",
        r"  \centering\footnotesize",
        rf"  \caption{{{_caption(result, columns, escaped)}}}",
        r"  \label{tab:localization}",
        rf"  \begin{{tabular}}{{@{{}}l{'r' * (len(heads) - 1)}@{{}}}}",
        r"    \toprule",
        f"    {' & '.join(heads)} " + r"\\",
    ]
    last: object = ()
    for row in result["rows"]:
        if row["model"] != last:
            lines.append(r"    \midrule")
            if row["model"] is not None:
                width = len(heads)
                lines.append(rf"    \multicolumn{{{width}}}{{@{{}}l}}{{\emph{{{escaped(row['model'])}}}}} " + r"\\")
            last = row["model"]
        cells = [escaped(label(row, result, model=False)), *([str(counted(row))] if many else [])]
        cells += [_cell(row, c, result) for c in columns]
        lines.append(f"    {' & '.join(cells)} " + r"\\")
    lines += [r"    \bottomrule", r"  \end{tabular}", r"\end{table*}", ""]
    return "\n".join(lines)


def _cell(row: Row, column: Column, result: Result) -> str:
    value = column.get(row)
    middle = number(value)
    if middle is None or value is None:
        return "--"
    text = f"${signed(column, middle)}$".replace("\u2212", "-")
    if column.key in _WITH_INTERVAL and value.get("low") is not None:
        text += rf" {{\scriptsize[${value['low']:.1f}$, ${value['high']:.1f}$]}}"
    return text + (_MARK if above_floor(row, column, result) is False else "")


def _caption(result: Result, columns: Sequence[Column], escaped: Callable[[str], str]) -> str:
    protocol, tuning = result["protocol"], result["tuning"]
    parts = [
        f"Weakly-supervised localization on {data_words(result)} ({counted_words(result)}), in percent.",
        f"Protocol of Choe et al. (CVPR 2020): pictures squashed to {protocol['size']} x {protocol['size']}, "
        f"{protocol['thresholds']} thresholds; maps of the "
        + ("true class." if protocol["classes"] == "label" else "class that the network predicts."),
        tuning["words"],
        *(f"{c.head}: {c.words}." for c in columns if c.key not in ("v2_30", "v2_50", "v2_70")),
        f"In brackets: {interval_words(result)}.",
    ]
    text = " ".join(escaped(p) for p in parts)
    if any(above_floor(row, c, result) is False for row in result["rows"] for c in columns):
        names = " and ".join(escaped(f["title"]) for f in floors(result))
        text += rf" {_MARK}: the interval does not lie above the better floor ({names})."
    return text
