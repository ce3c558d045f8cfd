"""Text, JSON and lists from files that are not trusted: sizes are bounded, and errors name the file."""

from __future__ import annotations

import json
from collections.abc import Container, Iterator
from pathlib import Path
from typing import Any

from viz.datasets.core import DatasetError, shown

MAX_TEXT = 256 * 2**20
MAX_JSON = 2**30


def read_bytes(path: Path, limit: int) -> bytes:
    """A regular file's bytes.

    Raises:
        DatasetError: missing, not a regular file, unreadable, or larger than `limit` bytes.
    """
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
    """A file's text (UTF-8).

    Raises:
        DatasetError: as `read_bytes`, or not UTF-8.
    """
    try:
        return read_bytes(path, limit).decode("utf-8-sig")
    except UnicodeDecodeError:
        raise DatasetError(f"{shown(path.name)} is not UTF-8 text; save it as UTF-8.") from None


def lines(path: Path) -> list[str]:
    """The lines of a text file that are not blank, stripped.

    Raises:
        DatasetError: as `read_text`.
    """
    return [line.strip() for line in read_text(path).splitlines() if line.strip()]


def keyed_lines(
    path: Path, cells: Container[int], separator: str | None, most: int = -1
) -> Iterator[tuple[str, list[str]]]:
    """The first cell of each line and the other ones.

    Args:
        cells: allowed numbers of the other cells. separator: of cells; None for white space. most: number of splits.

    Raises:
        DatasetError: as `read_text`, or a line with another number of cells.
    """
    for line in lines(path):
        key, *rest = line.split(separator, most)
        if len(rest) not in cells:
            raise DatasetError(f"{shown(path.name)} has a line with missing or extra fields: {shown(line)!r}.")
        yield key, rest


def keyed_table(path: Path, cells: Container[int], separator: str | None, most: int = -1) -> dict[str, list[str]]:
    """The lines of `keyed_lines` by key.

    Raises:
        DatasetError: as `keyed_lines`, or a key has two different lines.
    """
    found: dict[str, list[str]] = {}
    for key, rest in keyed_lines(path, cells, separator, most):
        if found.setdefault(key, rest) != rest:
            raise DatasetError(f"{shown(path.name)} lists {shown(key)} twice with different values.")
    return found


def read_json(path: Path) -> Any:
    """A JSON file's value.

    Raises:
        DatasetError: as `read_text`, or not JSON.
    """
    text = read_text(path, MAX_JSON)
    try:
        return json.loads(text)
    except RecursionError:
        raise DatasetError(f"{shown(path.name)} is nested too deeply.") from None
    except ValueError as error:
        where = f"line {error.lineno}" if isinstance(error, json.JSONDecodeError) else "a number"
        raise DatasetError(f"{shown(path.name)} is not JSON: {where} cannot be read.") from None
