"""Tables: CSV with commas, semicolons or tabs, as spreadsheets and scripts write it."""

from __future__ import annotations

import csv
import io
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from viz.datasets.core import DatasetError
from viz.datasets.files import MAX_TEXT, read_text, shown

_DELIMITERS = (",", ";", "\t")
_LIMIT = threading.Lock()


def read_rows(
    path: Path, expected: str = "", unnamed: Counter[str] | None = None
) -> tuple[list[str], Iterator[tuple[int, dict[str, str]]]]:
    """Column names of a table, and its rows with their line numbers; cells that a short row lacks are empty.

    Columns without a name are left out; so are empty cells beyond the last column.

    Args:
        expected: a column that the table should have (any case): tells commas from semicolons and tabs.
        unnamed: counts, while rows are read, the cells in columns without a name that are not empty, under ``""``.

    Raises:
        DatasetError: as `read_text`; without a header; or, while reading, not CSV.
    """
    text = read_text(path)
    header = text[: text.find("\n") + 1 or len(text)]
    delimiter = _delimiter(header, expected)
    reader = csv.reader(io.StringIO(text, newline=""), strict=True, delimiter=delimiter, skipinitialspace=True)
    # A cell may be as long as the file: the module's limit is raised, for a row at a time, where a line could need it.
    roomy = len(text) > csv.field_size_limit()
    try:
        columns = [name.strip() for name in _next(reader, roomy)]
    except (csv.Error, StopIteration):
        columns = []
    named = [name for name in columns if name]
    if not named:
        raise DatasetError(f"{shown(path.name)} has no header line with a name of its own for every column.")
    again = [name for name, count in Counter(named).items() if count > 1]
    if again:
        raise DatasetError(
            f"{shown(path.name)} has the column {shown(again[0])} twice; give every column a name of its own."
        )

    def rows() -> Iterator[tuple[int, dict[str, str]]]:
        while True:
            try:
                cells = _next(reader, roomy)
            except StopIteration:
                return
            except csv.Error as error:
                raise DatasetError(
                    f"{shown(path.name)} line {reader.line_num} is not CSV: {shown(str(error))}."
                ) from None
            if not cells:
                continue
            if any(cell.strip() for cell in cells[len(columns) :]):
                raise DatasetError(
                    f"{shown(path.name)} line {reader.line_num} has more cells than the header; quote commas."
                )
            padded = (*cells, *("",) * (len(columns) - len(cells)))
            row = {}
            for name, cell in zip(columns, padded, strict=False):
                if name:
                    row[name] = cell.strip()
                elif unnamed is not None and cell.strip():
                    unnamed[""] += 1
            yield reader.line_num, row

    return named, rows()


def _delimiter(header: str, expected: str) -> str:
    """The delimiter for which the header has the expected column; else the first one that it holds."""
    for delimiter in _DELIMITERS:
        if expected and expected in [cell.strip().strip('"').casefold() for cell in header.split(delimiter)]:
            return delimiter
    return next((d for d in _DELIMITERS if d in header), ",")


def _next(reader: Iterator[list[str]], roomy: bool) -> list[str]:
    if not roomy:
        return next(reader)
    with _LIMIT:  # the limit is the whole process's
        before = csv.field_size_limit(MAX_TEXT)
        try:
            return next(reader)
        finally:
            csv.field_size_limit(before)
