"""Atomic writing of files with reproducible bytes. Imports nothing heavy."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import secrets
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from viz.errors import FileError

if TYPE_CHECKING:
    from numpy.typing import NDArray


def as_json_bytes(data: Mapping[str, Any]) -> bytes:
    """Readable, reproducible JSON; every number must be finite."""
    text = json.dumps(data, indent=1, ensure_ascii=False, allow_nan=False)
    # Lists of numbers and strings go on one line. JSON escapes line breaks inside strings, so only layout changes.
    text = re.sub(
        r"\[\n[^\[\]{}]*\]", lambda m: re.sub(r"\n\s*", " ", m[0]).replace("[ ", "[").replace(" ]", "]"), text
    )
    return (text + "\n").encode()


def as_text_bytes(text: str) -> bytes:
    """UTF-8; characters of a file name that are not valid Unicode become question marks instead of an error."""
    return text.encode("utf-8", "replace")


def csv_text(rows: Iterable[Mapping[str, Any]], fields: Sequence[str]) -> str:
    """Rows as CSV with a header; None and missing values become empty cells.

    Text that starts like a formula gets a leading apostrophe, so that no spreadsheet evaluates a file name.
    """
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(fields)
    writer.writerows([_safe(row.get(name)) for name in fields] for row in rows)
    return buffer.getvalue()


def _safe(value: Any) -> Any:
    return "'" + value if isinstance(value, str) and value[:1] in tuple("=+-@\t\r") else value


def npz_bytes(arrays: Mapping[str, NDArray[Any]]) -> bytes:
    """A compressed .npz whose bytes depend on names and values only (NumPy's may contain the time)."""
    import numpy as np

    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, array in arrays.items():
            entry = zipfile.ZipInfo(f"{name}.npy", (1980, 1, 1, 0, 0, 0))
            entry.compress_type = zipfile.ZIP_DEFLATED
            with archive.open(entry, "w") as file:
                np.lib.format.write_array(file, np.ascontiguousarray(array), allow_pickle=False)
    return buffer.getvalue()


def make_folder(path: str | Path) -> Path:
    """Create a folder and its parents if they do not exist.

    Raises:
        FileError: it cannot be created.
    """
    try:
        Path(path).mkdir(parents=True, exist_ok=True)
    except OSError:
        raise FileError(f"The folder {path} cannot be created.") from None
    return Path(path)


def write_whole(path: Path, data: bytes) -> None:
    """Write a file atomically: a reader sees the old or the new file, never a part.

    Raises:
        FileError: the folder does not exist or cannot be written to, or the disk is full.
    """
    part = path.with_name(f".{path.name[:40]}.{secrets.token_hex(6)}")
    try:
        # Exclusive, with the permissions of any new file of this user.
        handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o666)
    except OSError:
        raise FileError(f"The folder of {path.name} does not exist or cannot be written to.") from None
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        part.replace(path)
    except OSError:
        part.unlink(missing_ok=True)
        raise FileError(f"The file {path.name} cannot be written; is the disk full?") from None
