"""Reads text, lists, tables and JSON from files that are not trusted.

Every reader raises `DatasetError` for a file that is missing, not a regular file, unreadable, too large or not UTF-8.
"""

from __future__ import annotations

import csv
import io
import json
import threading
from collections import Counter
from collections.abc import Container, Iterator
from pathlib import Path
from typing import Any

from viz.datasets.core import DatasetError, shown

MAX_TEXT = 256 * 2**20
MAX_JSON = 2**30
_DELIMITERS = (",", ";", "\t")
_LIMIT = threading.Lock()


def read_bytes(path: Path, limit: int) -> bytes:
    """A regular file's bytes, at most `limit` of them."""
    try:
        if not path.is_file():
            why = "is a link to a missing file" if path.is_symlink() else "is missing or not a file"
            raise DatasetError(f"{shown(path.name)} {why}.")
        with path.open("rb") as file:
            data = file.read(limit + 1)
    except (OSError, ValueError):
        raise DatasetError(f"{shown(path.name)} cannot be read.") from None
    if len(data) > limit:
        raise DatasetError(f"{shown(path.name)} is larger than {limit / 2**20:.0f} MiB.")
    return data


def read_text(path: Path, limit: int = MAX_TEXT) -> str:
    """A file's text (UTF-8)."""
    try:
        return read_bytes(path, limit).decode("utf-8-sig")
    except UnicodeDecodeError:
        raise DatasetError(f"{shown(path.name)} is not UTF-8 text; save it as UTF-8.") from None


def lines(path: Path) -> list[str]:
    """The lines of a text file that are not blank, stripped."""
    return [line.strip() for line in read_text(path).splitlines() if line.strip()]


def lines_if_any(path: Path) -> list[str] | None:
    """As `lines`; None without the file."""
    return lines(path) if path.is_file() else None


def keyed_lines(
    path: Path, cells: Container[int], separator: str | None, maxsplit: int = -1
) -> Iterator[tuple[str, list[str]]]:
    """The first cell of each line, and the others. A line with another number of cells is an error.

    Args:
        cells: allowed numbers of other cells. separator, maxsplit: as of `str.split`.
    """
    for line in lines(path):
        key, *rest = line.split(separator, maxsplit)
        if len(rest) not in cells:
            raise DatasetError(f"{shown(path.name)} has a line with missing or extra fields: {shown(line)!r}.")
        yield key, rest


def keyed_table(path: Path, cells: Container[int], separator: str | None, maxsplit: int = -1) -> dict[str, list[str]]:
    """The lines of `keyed_lines` by key. Two different lines of one key are an error."""
    found: dict[str, list[str]] = {}
    for key, rest in keyed_lines(path, cells, separator, maxsplit):
        if found.setdefault(key, rest) != rest:
            raise DatasetError(f"{shown(path.name)} lists {shown(key)} twice with different values.")
    return found


def read_json(path: Path) -> Any:
    """A JSON file's value."""
    text = read_text(path, MAX_JSON)
    try:
        return json.loads(text)
    except RecursionError:
        raise DatasetError(f"{shown(path.name)} is nested too deeply.") from None
    except ValueError as error:
        where = f"line {error.lineno}" if isinstance(error, json.JSONDecodeError) else "a number"
        raise DatasetError(f"{shown(path.name)} is not JSON: {where} cannot be read.") from None


class Table:
    """A CSV file with commas, semicolons or tabs, read row by row.

    Attributes:
        columns: names of the columns that have one; the others are not read.
        unnamed_cells: number of cells with text in columns without a name, in the rows read so far.
    """

    def __init__(self, path: Path, expected: str = "") -> None:
        """Read the header; `expected` is a column that the table should have (any case), to identify the delimiter."""
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
        """Line number and cells by column of each row; missing cells are empty."""
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
