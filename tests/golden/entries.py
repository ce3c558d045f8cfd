"""Files as golden entries: every number and pixel apart from the text that surrounds it.

**values** are arrays, pixels, numbers of tables and the bytes of PDF and SVG: they must never change. **records** are
the text of JSON, tables and captions, and the bytes around arrays and pixels: a commit of its own may change them.
"""

from __future__ import annotations

import base64
import csv
import io
import json
import re
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tests.golden.strip import left_out, stripped

# Cells that are kept of an array for a comparison that is not exact, evenly spread over its memory.
CELLS = 16
DPI = 100
# What draws an SVG: a file in, its pixels out.
Draw = Callable[[Path], NDArray[np.uint8]]
_NUMBER = r"[-+\u2212]?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?"
# A cell of a table that holds numbers and no words: one value, and its interval in brackets.
_CELL = re.compile(rf"^[\s$]*{_NUMBER}(?:[\s$%;,\[\](){{}}\\^]|to|scriptsize|small|dagger|{_NUMBER})*$")
_BASE64 = re.compile(r"^[A-Za-z0-9+/]{32,}={0,2}$")
_URI = re.compile(r"data:image/(?:png|jpeg);base64,([A-Za-z0-9+/]+={0,2})")


@dataclass
class Entries:
    """Golden entries of one case.

    Attributes:
        values, records: hash by ``FILE: WHAT``.
        rows: for arrays of floats, how many values, then mean, deviation, smallest and largest, then some cells.
    """

    values: dict[str, str] = field(default_factory=dict)
    records: dict[str, str] = field(default_factory=dict)
    rows: dict[str, list[float]] = field(default_factory=dict)

    def value(self, name: str, found: NDArray[Any] | bytes) -> None:
        """Add an array or bytes that must not change."""
        self.values[name] = hash_of(found)

    def record(self, name: str, found: str | bytes) -> None:
        """Add a text or bytes that a commit of its own may change."""
        self.records[name] = hash_of(found.encode() if isinstance(found, str) else found)


def hash_of(found: NDArray[Any] | bytes) -> str:
    """16 hexadecimal digits over bytes, or over the type, shape and values of an array."""
    if isinstance(found, bytes):
        return sha256(found).hexdigest()[:16]
    head = f"{found.dtype.str} {found.shape} ".encode()
    return sha256(head + np.ascontiguousarray(found).tobytes()).hexdigest()[:16]


def reduced(values: NDArray[Any]) -> list[float]:
    """An array in 5 + `CELLS` numbers."""
    flat = values.reshape(-1).astype(np.float64)
    if not len(flat):
        return [0.0] * (5 + CELLS)
    cells = flat[np.linspace(0, len(flat) - 1, CELLS).astype(int)]
    return [float(v) for v in (len(flat), flat.mean(), flat.std(), flat.min(), flat.max(), *cells)]


def entries_of(folder: Path, places: Mapping[Path, str], draw: Draw | None) -> Entries:
    """The entries of all files of a folder.

    Args:
        places: names that stand for folders. draw: draws an SVG; None leaves its pixels out.
    """
    found = Entries()
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        name = path.relative_to(folder)
        if not left_out(name):
            _add(found, path, name.as_posix(), places, draw)
    return found


def _add(found: Entries, path: Path, name: str, places: Mapping[Path, str], draw: Draw | None) -> None:
    kind = path.suffix
    if kind in (".npz", ".npy"):
        for key, array in _arrays(path).items():
            found.value(f"{name}: {key}", array)
            if array.dtype.kind == "f":
                found.rows[f"{name}: {key}"] = reduced(array)
    elif kind == ".png":
        found.value(f"{name}: pixels", pixels(path.read_bytes()))
    elif kind == ".pdf":
        found.value(f"{name}: bytes", path.read_bytes())
        found.value(f"{name}: pixels", _page(path))
    elif kind == ".svg":
        found.value(f"{name}: bytes", path.read_bytes())
        if draw is not None:
            found.value(f"{name}: pixels", draw(path))
    if kind in (".json", ".csv", ".md", ".tex", ".html", ".txt"):
        text = stripped(path.read_text(encoding="utf-8"), places)
        found.record(f"{name}: text", text)
        for key, value in numbers_in(text, kind):
            found.value(f"{name}: {key}", value)
    elif kind not in (".npy", ".pdf", ".svg"):
        # What stands around arrays and pixels: names and their order, what a PNG says of itself.
        found.record(f"{name}: bytes", path.read_bytes())


def _arrays(path: Path) -> dict[str, NDArray[Any]]:
    if path.suffix == ".npy":
        return {"array": np.load(path, allow_pickle=False)}
    with np.load(path, allow_pickle=False) as found:
        return {name: found[name] for name in found}


def pixels(data: bytes) -> NDArray[np.uint8]:
    """uint8 (H, W, 4) of a PNG or JPEG."""
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGBA"))


def _page(path: Path) -> NDArray[np.uint8]:
    """A PDF as poppler draws it."""
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "page"
        subprocess.run(["pdftoppm", "-r", str(DPI), "-png", "-singlefile", str(path), str(target)], check=True)
        return pixels(target.with_suffix(".png").read_bytes())


# ---------------------------------------------------------------- numbers in text


def numbers_in(text: str, kind: str) -> Iterator[tuple[str, NDArray[Any] | bytes]]:
    """The numbers of a text by what they are, and the arrays and pictures that it holds as base64.

    A name that ends in ``#`` and a number says only where in the text a thing stands.
    """
    if kind == ".json":
        yield from _in_json(json.loads(text))
        return
    for number, table in enumerate(_tables(text, kind), 1):
        for heading, cells in table:
            if (found := [c for c in cells if _CELL.match(c)]) != []:
                yield f"table {number}, {heading}", np.array([n for c in found for n in _numbers(c)])
    for number, uri in enumerate(_URI.findall(text), 1):
        yield f"picture#{number}", pixels(base64.b64decode(uri))


def _numbers(cell: str) -> list[float]:
    return [float(n.replace("\u2212", "-")) for n in re.findall(_NUMBER, cell)]


def _in_json(data: Any) -> Iterator[tuple[str, NDArray[Any] | bytes]]:
    series: dict[str, list[float]] = {}
    blobs: dict[str, list[bytes]] = {}
    _walk(data, "", series, blobs)
    for path, numbers in series.items():
        yield path, np.array(numbers, np.float64)
    for path, found in blobs.items():
        for number, blob in enumerate(found, 1):
            yield f"{path}#{number}", blob


def _walk(data: Any, path: str, series: dict[str, list[float]], blobs: dict[str, list[bytes]]) -> None:
    if isinstance(data, dict):
        for key, value in data.items():
            # A format's number is no measurement.
            if not key.endswith("version"):
                _walk(value, f"{path}.{key}" if path else key, series, blobs)
    elif isinstance(data, list):
        for value in data:
            _walk(value, f"{path}[]", series, blobs)
    elif isinstance(data, str):
        uri = _URI.fullmatch(data)
        # Hashes are written in hexadecimal.
        if uri or (_BASE64.match(data) and len(data) % 4 == 0 and not re.fullmatch("[0-9a-f]+", data)):
            blobs.setdefault(path, []).append(base64.b64decode(uri[1] if uri else data))
    elif isinstance(data, (int, float)) and not isinstance(data, bool):
        series.setdefault(path, []).append(data)


Column = tuple[str, list[str]]


def _tables(text: str, kind: str) -> Iterator[list[Column]]:
    """Tables as columns, each with its heading."""
    if kind == ".csv":
        yield _columns(list(csv.reader(io.StringIO(text))))
    elif kind == ".md":
        for block in re.findall(r"(?:^\|.*\n?)+", text, re.MULTILINE):
            yield _columns([[c.strip() for c in line.strip("|").split("|")] for line in block.splitlines()])
    elif kind == ".tex":
        for block in re.findall(r"\\toprule(.*?)\\bottomrule", text, re.DOTALL):
            lines = [line for line in block.split(r"\\") if "&" in line]
            yield _columns([[c.strip() for c in line.replace(r"\midrule", "").split("&")] for line in lines])
    elif kind == ".html":
        reader = _Tables()
        reader.feed(text)
        yield from map(_columns, reader.tables)


def _columns(rows: list[list[str]]) -> list[Column]:
    if not rows:
        return []
    columns = []
    for i, heading in enumerate(rows[0]):
        name = heading if rows[0].count(heading) == 1 else f"{heading} ({i + 1})"
        columns.append((name, [r[i] for r in rows[1:] if i < len(r)]))
    return columns


class _Tables(HTMLParser):
    """Cells of all tables of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.tables: list[list[list[str]]] = []
        self._inside = False

    def handle_starttag(self, tag: str, attrs: object) -> None:
        if tag == "table":
            self.tables.append([])
        elif tag == "tr" and self.tables:
            self.tables[-1].append([])
        elif tag in ("td", "th") and self.tables and self.tables[-1]:
            self.tables[-1][-1].append("")
            self._inside = True
        elif self._inside:
            self.tables[-1][-1][-1] += " "

    def handle_endtag(self, tag: str) -> None:
        if tag in ("td", "th"):
            self._inside = False

    def handle_data(self, data: str) -> None:
        if self._inside:
            self.tables[-1][-1][-1] += data
