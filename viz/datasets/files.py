"""Reading what strangers wrote: bounded text, JSON and XML, and paths that stay inside the data folder.

Links on the disk were made by whoever keeps the data and are followed, wherever they lead. Words of an index are not
trusted so far: a path in it may not leave the data set's folder.
"""

from __future__ import annotations

import codecs
import errno
import json
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from viz.datasets.core import DatasetError
from viz.picture_files import PICTURE_ENDINGS, walk

MAX_TEXT = 256 * 2**20
MAX_JSON = 2**30
MAX_XML = 2**20
MAX_DEPTH = 16
DEPTH = 4  # of folders in a data set


def shown(text: str) -> str:
    """A name or value fit for a one-line sentence."""
    flat = "".join(c if c.isprintable() else "?" for c in text)
    return flat if len(flat) <= 80 else f"{flat[:60]}...{flat[-15:]}"


def read_bytes(path: Path, limit: int) -> bytes:
    """A regular file's bytes.

    Raises:
        DatasetError: missing, not a regular file, or larger than `limit` bytes.
    """
    try:
        if not path.is_file():
            why = "is a link that leads to no file" if path.is_symlink() else "is missing or not a file"
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
        text = read_bytes(path, limit).decode("utf-8-sig")
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


_DECLARED = re.compile(rb"""<\?xml[^>]{0,200}?encoding\s*=\s*["']([A-Za-z0-9._:-]{1,40})["']""")
_MARKS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))
# Encodings of written text only; Python's list also holds compressors and escapes.
_ENCODINGS = re.compile(
    r"utf-8|ascii|gb\w*|hz|big5\w*|iso8859-\d+|cp\d+|koi8-\w|mac-\w+|shift_jis\w*|euc_\w+|johab|tis-620|iso2022_\w+"
)


def _decoded(data: bytes, name: str) -> str:
    """The text of an XML file: by its byte order mark, else as it declares, else UTF-8.

    Raises:
        DatasetError: the bytes are not of that encoding, or its name is unknown.
    """
    for mark, encoding in _MARKS:
        if data.startswith(mark):
            return _by(encoding, data[len(mark) :], name, "as its byte order mark says")
    for start, encoding in ((b"<\0?\0", "utf-16-le"), (b"\0<\0?", "utf-16-be")):
        if data.startswith(start):
            return _by(encoding, data, name, "as its first bytes say")
    found = _DECLARED.match(data.lstrip())
    declared = "" if found is None else found[1].decode("ascii")
    # "UTF-16" in front of single bytes is what .NET leaves when it writes such a text as UTF-8.
    if not declared or declared.lower().replace("_", "-").startswith("utf-16"):
        return _by("utf-8", data, name, "and declares no encoding" if not declared else "though it declares UTF-16")
    try:
        known = codecs.lookup(declared).name
    except LookupError:
        known = ""
    if not _ENCODINGS.fullmatch(known):
        raise DatasetError(f"{name} declares the encoding {shown(declared)!r}, which is unknown; save it as UTF-8.")
    # The later standards hold the earlier ones, and files that declare those use characters of these.
    wider = {"gb2312": "gb18030", "gbk": "gb18030", "iso8859-1": "cp1252", "shift_jis": "cp932", "euc_kr": "cp949"}
    try:
        return data.decode(wider.get(known, known))
    except UnicodeDecodeError:
        return _by(known, data, name, "as it declares")


def _by(encoding: str, data: bytes, name: str, why: str) -> str:
    try:
        return data.decode(encoding)
    except UnicodeDecodeError:
        raise DatasetError(f"{name} is not {encoding.upper()} text, {why}; save it as UTF-8.") from None


def read_xml(path: Path) -> ElementTree.Element:
    """The root of a small XML file, its tags without namespaces.

    Document types and entities are refused, so nothing can expand or be fetched.

    Raises:
        DatasetError: as `read_bytes`; in an unknown encoding; not XML; with a document type; or nested too deeply.
    """
    text = _decoded(read_bytes(path, MAX_XML), shown(path.name))
    # Decoded first: a file in another encoding could hide these words from a search of its bytes.
    if "<!doctype" in text.lower() or "<!entity" in text.lower() or "\0" in text:
        raise DatasetError(f"{shown(path.name)} declares a document type or entities, which are not read.")
    try:
        root = ElementTree.fromstring(text.strip())
    except (ElementTree.ParseError, ValueError):
        raise DatasetError(f"{shown(path.name)} is not well-formed XML.") from None
    level = [root]
    for _ in range(MAX_DEPTH):
        level = [child for element in level for child in element]
    if level:
        raise DatasetError(f"{shown(path.name)} is nested too deeply.")
    for element in root.iter():
        element.tag = element.tag.rpartition("}")[2]
    return root


_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_DRIVE = re.compile(r"[A-Za-z]:")


@dataclass(frozen=True)
class Inside:
    """Paths that an index names, kept inside one folder.

    Attributes:
        root: the folder, resolved. given: the same folder as it was named, which may lead through links.
    """

    root: Path
    given: Path

    def __call__(self, relative: str, base: Path | None = None, bound: Path | None = None) -> Path:
        """The file of a relative path (slashes), which need not exist; ``..`` is taken as written, before any link.

        Args:
            base: the folder inside `root` that it is relative to; `root` itself by default.
            bound: the folder inside `root` that it may not leave; `base` by default.

        Raises:
            DatasetError: leaving the folder, elsewhere on the disk, or a link that leads to itself.
        """
        name, text = shown(relative), relative.replace("\\", "/")
        if not text or "\0" in text:
            raise DatasetError(f"The path {name!r} is empty.")
        if _ADDRESS.match(text):
            raise DatasetError(f"The path {name!r} is an address; nothing is fetched.")
        path = Path(os.path.normpath((base or self.root) / text))
        if text.startswith("/") or _DRIVE.match(text):
            path = Path(os.path.normpath(text))
            if path.is_relative_to(self.given):
                path = self.root / path.relative_to(self.given)
            elif not path.is_relative_to(self.root):
                raise DatasetError(
                    f"The path {name!r} is absolute and leaves the data set's folder; write it relative."
                )
        bound = bound or base or self.root
        if path == bound or not path.is_relative_to(bound):
            folder = "the data set's folder" if bound == self.root else f"the folder {shown(bound.name)}"
            why = f"is {folder} itself" if path == bound else f"leaves {folder} by '..'"
            raise DatasetError(f"The path {name!r} {why}.")
        try:
            os.stat(path)  # noqa: PTH116 - the error's number is needed, and pathlib hides it
        except (OSError, ValueError) as error:
            if not isinstance(error, OSError) or error.errno == errno.ENAMETOOLONG:
                raise DatasetError(f"The path {name!r} cannot be used.") from None
            if error.errno == errno.ELOOP:
                raise DatasetError(f"The path {name!r} is a link that leads to itself.") from None
        return path


def inside(root: Path) -> Inside:
    """Paths inside a folder."""
    return Inside(Path(os.path.realpath(root)), Path(os.path.abspath(root)))  # noqa: PTH100 - links stay


def files_below(
    folder: Path,
    suffixes: tuple[str, ...] = PICTURE_ENDINGS,
    depth: int = DEPTH,
    told: Callable[[Path, str], None] | None = None,
) -> list[Path]:
    """Files with these suffixes (any case) in a folder and its subfolders, sorted by relative path.

    Links to folders are followed, save those to a folder that holds them. Hidden files and folders are passed over.

    Args:
        told: called with each folder that is left out, and why.
    """
    found = [path for path in walk(folder, depth, told) if path.name.lower().endswith(suffixes)]
    return sorted(found, key=lambda p: p.relative_to(folder).as_posix())
