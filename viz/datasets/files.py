"""Reading what strangers wrote: bounded text, tables, JSON and XML, and paths that stay inside the data folder."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any
from xml.etree import ElementTree

from viz.datasets.core import DatasetError

MAX_TEXT = 256 * 2**20
MAX_JSON = 2**30
MAX_XML = 2**20
MAX_DEPTH = 16
PICTURES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".avif")


def shown(text: str) -> str:
    """A name or value fit for a one-line sentence."""
    flat = "".join(c if c.isprintable() else "?" for c in text)
    return flat if len(flat) <= 80 else f"{flat[:60]}...{flat[-15:]}"


def read_text(path: Path, limit: int = MAX_TEXT) -> str:
    """A file's text (UTF-8).

    Raises:
        DatasetError: missing, a link, larger than `limit` bytes, or not UTF-8.
    """
    try:
        if path.is_symlink():  # it could show a file of this machine in an error's words
            raise DatasetError(f"{shown(path.name)} is a link; put the file itself there.")
        if not path.is_file():
            raise DatasetError(f"{shown(path.name)} is missing or not a file.")
        with path.open("rb") as file:
            data = file.read(limit + 1)
    except (OSError, ValueError):
        raise DatasetError(f"{shown(path.name)} cannot be read.") from None
    if len(data) > limit:
        raise DatasetError(f"{shown(path.name)} is larger than {limit / 2**20:.0f} MiB.")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise DatasetError(f"{shown(path.name)} is not UTF-8 text; save it as UTF-8.") from None
    return text


def lines(path: Path) -> list[str]:
    """The lines of a text file that are not blank.

    Raises:
        DatasetError: as `read_text`.
    """
    return [line.strip() for line in read_text(path).splitlines() if line.strip()]


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


def read_rows(path: Path) -> tuple[list[str], Iterator[tuple[int, dict[str, str]]]]:
    """Column names of a CSV file, and its rows with their line numbers; cells that a short row lacks are empty.

    Raises:
        DatasetError: as `read_text`; without a header; or, while reading, not CSV.
    """
    reader = csv.DictReader(io.StringIO(read_text(path), newline=""), restkey="\0", restval="", strict=True)
    try:
        columns = [name.strip() for name in reader.fieldnames or ()]
    except csv.Error:
        columns = []
    if not columns or len(set(columns)) != len(columns):
        raise DatasetError(f"{shown(path.name)} has no header line with a name of its own for every column.")
    reader.fieldnames = columns

    def rows() -> Iterator[tuple[int, dict[str, str]]]:
        try:
            for row in reader:
                if "\0" in row:
                    raise DatasetError(
                        f"{shown(path.name)} line {reader.line_num} has more cells than the header; quote commas."
                    )
                yield reader.line_num, {k: v.strip() for k, v in row.items()}
        except csv.Error:
            raise DatasetError(f"{shown(path.name)} line {reader.line_num + 1} is not CSV.") from None

    return columns, rows()


def read_xml(path: Path) -> ElementTree.Element:
    """The root of a small XML file. Document types and entities are refused, so nothing can expand or be fetched.

    Raises:
        DatasetError: as `read_text`; not XML; with a document type; or nested too deeply.
    """
    text = read_text(path, MAX_XML)
    # Decoded first: a file in another encoding could hide these words from a search of its bytes.
    if "<!doctype" in text.lower() or "<!entity" in text.lower() or "\0" in text:
        raise DatasetError(f"{shown(path.name)} declares a document type or entities, which are not read.")
    try:
        root = ElementTree.fromstring(text)
    except (ElementTree.ParseError, ValueError):
        raise DatasetError(f"{shown(path.name)} is not well-formed XML.") from None
    level = [root]
    for _ in range(MAX_DEPTH):
        level = [child for element in level for child in element]
    if level:
        raise DatasetError(f"{shown(path.name)} is nested too deeply.")
    return root


@dataclass
class Inside:
    """Paths that an index names, kept inside one folder.

    Attributes:
        root: the folder, resolved: it may itself be a link.
    """

    root: Path
    _folders: dict[Path, bool] = field(default_factory=dict, repr=False)

    def __call__(self, relative: str, base: Path | None = None) -> Path:
        """The file of a relative path (slashes), which need not exist.

        Args:
            base: the folder inside `root` that it is relative to; `root` itself by default.

        Raises:
            DatasetError: absolute, or leaving the folder by ``..`` or by a link.
        """
        parts = PurePosixPath(relative.replace("\\", "/"))
        bad = not relative or "\0" in relative or parts.is_absolute() or ".." in parts.parts or ":" in parts.parts[0]
        if bad:
            raise DatasetError(f"The path {shown(relative)!r} leaves the data set's folder, or is empty.")
        path = (base or self.root) / parts
        try:
            if path.parent not in self._folders:  # resolving costs; most pictures share their folder
                self._folders[path.parent] = Path(os.path.realpath(path.parent)).is_relative_to(self.root)
            link = path.is_symlink()
            inside = Path(os.path.realpath(path)).is_relative_to(self.root) if link else self._folders[path.parent]
        except (OSError, ValueError):
            raise DatasetError(f"The path {shown(relative)!r} cannot be used.") from None
        if not inside:
            raise DatasetError(f"The path {shown(relative)!r} leads out of the data set's folder by a link.")
        return path


def inside(root: Path) -> Inside:
    """Paths inside a folder."""
    return Inside(Path(os.path.realpath(root)))


def files_below(folder: Path, suffixes: tuple[str, ...] = PICTURES, depth: int = 4) -> list[Path]:
    """Files with these suffixes (any case) in a folder and its subfolders, sorted by relative path; links are not
    followed into folders."""
    found: list[Path] = []
    for base, folders, names in os.walk(folder):
        here = Path(base)
        if len(here.relative_to(folder).parts) >= depth:
            folders.clear()
        found += [here / n for n in names if n.lower().endswith(suffixes) and not n.startswith(".")]
    return sorted(found, key=lambda p: p.relative_to(folder).as_posix())
