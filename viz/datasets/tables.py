"""CSV files with commas, semicolons or tabs, as spreadsheets and scripts write them."""

from __future__ import annotations

import csv
import io
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from viz.datasets.core import DatasetError, shown
from viz.datasets.files import MAX_TEXT, read_text

_DELIMITERS = (",", ";", "\t")
_LIMIT = threading.Lock()


class Table:
    """A table, read row by row.

    Attributes:
        columns: names of the columns that have one; the others are not read.
        unnamed_cells: number of cells with text in columns without a name, in the rows read so far.
    """

    def __init__(self, path: Path, expected: str = "") -> None:
        """Read the header.

        Args:
            expected: a column that the table should have (any case); it identifies the delimiter.

        Raises:
            DatasetError: as `read_text`; no header, or two columns of the same name.
        """
        text = read_text(path)
        delimiter = _delimiter(text.partition("\n")[0], expected)
        self._file = shown(path.name)
        lines = io.StringIO(text, newline="")
        self._reader = csv.reader(lines, strict=True, delimiter=delimiter, skipinitialspace=True)
        # A cell may be as long as the file. The module's limit is raised only where a line could need it.
        self._has_room = len(text) <= csv.field_size_limit()
        try:
            self._header = [name.strip() for name in self._next()]
        except (csv.Error, StopIteration):
            self._header = []
        self.unnamed_cells = 0
        self.columns = [name for name in self._header if name]
        if not self.columns:
            raise DatasetError(f"{self._file} has no header line with the names of the columns.")
        duplicates = [name for name, count in Counter(self.columns).items() if count > 1]
        if duplicates:
            raise DatasetError(f"{self._file} has the column {shown(duplicates[0])} twice; rename one of them.")

    def __iter__(self) -> Iterator[tuple[int, dict[str, str]]]:
        """Line number and cells by column of each row; missing cells are empty.

        Raises:
            DatasetError: not CSV, or a row with more cells than the header.
        """
        while True:
            try:
                cells = [cell.strip() for cell in self._next()]
            except StopIteration:
                return
            except csv.Error as error:
                raise self._error(f"is not CSV: {shown(str(error))}") from None
            if not cells:
                continue
            if any(cells[len(self._header) :]):
                raise self._error("has more cells than the header; quote cells that contain the delimiter")
            row = dict.fromkeys(self.columns, "")
            for name, cell in zip(self._header, cells, strict=False):
                if name:
                    row[name] = cell
                elif cell:
                    self.unnamed_cells += 1
            yield self._reader.line_num, row

    def _error(self, what: str) -> DatasetError:
        return DatasetError(f"{self._file} line {self._reader.line_num} {what}.")

    def _next(self) -> list[str]:
        if self._has_room:
            return next(self._reader)
        with _LIMIT:  # the limit is global to the process
            before = csv.field_size_limit(MAX_TEXT)
            try:
                return next(self._reader)
            finally:
                csv.field_size_limit(before)


def _delimiter(header: str, expected: str) -> str:
    """The delimiter that gives the header the expected column; else the first one that it contains."""
    for delimiter in _DELIMITERS:
        if expected and expected in [cell.strip().strip('"').casefold() for cell in header.split(delimiter)]:
            return delimiter
    return next((d for d in _DELIMITERS if d in header), ",")
