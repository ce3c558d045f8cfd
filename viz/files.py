"""Writing files: whole or not at all, and with the same bytes for the same values. Imports nothing heavy."""

from __future__ import annotations

import json
import os
import re
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from viz.errors import FigureError


def as_json_bytes(data: Mapping[str, Any]) -> bytes:
    """Readable JSON, the same for the same values; every number must be finite."""
    text = json.dumps(data, indent=1, ensure_ascii=False, allow_nan=False)
    # Lists of numbers and words go on one line. JSON writes a line break inside a text as two characters, so only
    # layout is touched.
    text = re.sub(
        r"\[\n[^\[\]{}]*\]", lambda m: re.sub(r"\n\s*", " ", m[0]).replace("[ ", "[").replace(" ]", "]"), text
    )
    return (text + "\n").encode()


def as_text_bytes(text: str) -> bytes:
    """UTF-8; of a file name that is no Unicode the odd bytes become a question mark, so that no run ends on it."""
    return text.encode("utf-8", "replace")


def write_whole(path: Path, data: bytes) -> None:
    """Write a file at once: a reader sees the old one or the new one, never half of one.

    Raises:
        FigureError: the folder does not exist or cannot be written to.
    """
    part = path.with_name(f".{path.name[:40]}.{secrets.token_hex(6)}")
    try:
        # Exclusive, and with the permissions of any other new file of this user.
        handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o666)
    except OSError:
        raise FigureError(f"The folder of {path.name} does not exist or cannot be written to.") from None
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        part.replace(path)
    except OSError:
        part.unlink(missing_ok=True)
        raise FigureError(f"The file {path.name} cannot be written.") from None
