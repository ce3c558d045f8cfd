"""Tables of results as Markdown or LaTeX. `viz.files` writes CSV, the template of the report HTML."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from viz.latex_text import escaped

MARK = r"$^\dagger$"


@dataclass(frozen=True)
class Number:
    """A number with its interval, if any; `form` is a format such as ``+.1f``; captions explain `flagged` numbers."""

    value: float
    low: float | None = None
    high: float | None = None
    form: str = ".1f"
    flagged: bool = False

    def words(self, value: float) -> str:
        """The number, or an end of its interval, with a minus sign (U+2212)."""
        return f"{value:{self.form}}".replace("-", "\u2212")


# None: no value.
Cell = str | Number | None


@dataclass(frozen=True)
class Table:
    """A table: `head` names the columns, of which the first `words` hold text. Each row names its network, if any."""

    head: tuple[str, ...]
    rows: tuple[tuple[str | None, tuple[Cell, ...]], ...]
    words: int = 1

    @property
    def groups(self) -> list[tuple[str | None, list[tuple[Cell, ...]]]]:
        """The rows of each network."""
        return [(name, [cells for _, cells in rows]) for name, rows in groupby(self.rows, lambda row: row[0])]


def markdown(table: Table, intro: str) -> str:
    """A paragraph and a table whose first column names the network, without a final line break."""
    rule = ["---"] * (table.words + 1) + ["---:"] * (len(table.head) - table.words)
    lines = [(f"`{name}`" if name else "none", *map(_in_markdown, cells)) for name, cells in table.rows]
    return "\n".join([intro, "", *map(_line, [("network", *table.head), rule, *lines])])


def _line(cells: Sequence[str]) -> str:
    # A name must not start a cell or a tag.
    safe = [c.replace("|", "\\|").replace("<", "&lt;") for c in cells]
    return f"| {' | '.join(safe)} |"


def _in_markdown(cell: Cell) -> str:
    if not isinstance(cell, Number):
        return cell or ""
    text = f"{cell.value:{cell.form}}"
    return text if cell.low is None else f"{text} ({cell.low:{cell.form}} to {cell.high:{cell.form}})"


def latex(table: Table, caption: str, label: str) -> str:
    r"""A ``table*`` in ASCII; needs ``\usepackage{booktabs}`` alone. Names are escaped here; `caption` must be already.

    Each network's rows follow a rule and its name.
    """
    width = len(table.head)
    lines = [
        r"% needs \usepackage{booktabs}",
        r"\begin{table*}",
        r"  \centering\footnotesize",
        rf"  \caption{{{caption}}}",
        rf"  \label{{{label}}}",
        rf"  \begin{{tabular}}{{@{{}}l{'r' * (width - 1)}@{{}}}}",
        r"    \toprule",
        f"    {' & '.join('$n$' if h == 'n' else escaped(h) for h in table.head)} " + r"\\",
    ]
    for name, rows in table.groups:
        lines.append(r"    \midrule")
        if name is not None:
            lines.append(rf"    \multicolumn{{{width}}}{{@{{}}l}}{{\emph{{{escaped(name)}}}}} " + r"\\")
        lines += [f"    {' & '.join(map(_in_latex, cells))} " + r"\\" for cells in rows]
    return "\n".join([*lines, r"    \bottomrule", r"  \end{tabular}", r"\end{table*}", ""])


def _in_latex(cell: Cell) -> str:
    if not isinstance(cell, Number):
        return "--" if cell is None else escaped(cell)
    text, form = f"${cell.value:{cell.form}}$", cell.form.removeprefix("+")
    if cell.low is not None:
        text += rf" {{\scriptsize[${cell.low:{form}}$, ${cell.high:{form}}$]}}"
    return text + (MARK if cell.flagged else "")
