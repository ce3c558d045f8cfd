"""Uploads and exports: which files a visitor may name, and how much room they take."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from viz.page.server.limits import RefusedError

# Replaces the path of the page's folder in everything that leaves the server.
ALIAS = "/searchlight-files"
REFUSED = "This file was not uploaded to this page; drop the picture on the page again."


class FileRefusedError(RefusedError):
    """A file that a visitor may not name. One sentence for all reasons, so as not to reveal what exists here."""

    def __init__(self) -> None:
        super().__init__(403, REFUSED)


def own_folder() -> Path:
    """Return the folder of uploads and exports of the page that runs in this process.

    Raises:
        FileRefusedError: no page runs.
    """
    folder = os.environ.get("GRADIO_TEMP_DIR")
    if not folder:
        raise FileRefusedError
    return Path(folder)


def uploaded_path(text: object, folder: Path) -> Path:
    """Return the file below the page's folder that a visitor's message names.

    Args:
        text: a path, which may begin with `ALIAS`. folder: the page's own.

    Raises:
        FileRefusedError: it is not a text, or does not resolve, following links, to a file below the folder.
    """
    if not isinstance(text, str) or not text or len(text) > 4096:
        raise FileRefusedError
    try:
        root = folder.resolve(strict=True)
        aliased = text.startswith(f"{ALIAS}/")
        named = root / text[len(ALIAS) :].lstrip("/") if aliased else Path(text)
        if not named.is_absolute():
            raise FileRefusedError
        # Other places are not even looked at: the time that it takes would reveal what exists there.
        lexical = Path(os.path.normpath(named))
        if not (lexical.is_relative_to(root) or lexical.is_relative_to(folder)):
            raise FileRefusedError
        found = named.resolve(strict=True)
        if found == root or not found.is_relative_to(root) or not found.is_file():
            raise FileRefusedError
    except (OSError, ValueError, RuntimeError):
        raise FileRefusedError from None
    return found


@dataclass(frozen=True)
class MessageFiles:
    """Checks the files that a message names.

    Attributes:
        folder: the page's own. own: whether a URL's authority is this page's address.
    """

    folder: Path
    own: Callable[[str], bool]

    def checked(self, value: Any, depth: int = 0) -> Any:
        """Return a message with real paths, for any handler and component.

        Every dictionary with a ``path``, a ``url`` or Gradio's mark counts as a file.

        Raises:
            FileRefusedError: a file outside the folder, or a URL of another site.
        """
        if depth > 64:
            raise FileRefusedError
        if isinstance(value, list):
            return [self.checked(v, depth + 1) for v in value]
        if not isinstance(value, dict):
            return value
        made = {k: v if k in ("path", "url") else self.checked(v, depth + 1) for k, v in value.items()}
        meta = value.get("meta")
        marked = isinstance(meta, dict) and str(meta.get("_type", "")).startswith("gradio.")
        if not marked and value.keys().isdisjoint(("path", "url", "orig_name")):
            return made
        if value.get("path") is not None:
            made["path"] = str(uploaded_path(value["path"], self.folder))
        if value.get("url") is not None:
            self._check_url(value["url"])
            made["url"] = None  # Gradio derives it from the path
        return made

    def _check_url(self, url: object) -> None:
        if not isinstance(url, str):
            raise FileRefusedError
        try:
            parts = urlsplit(url)
        except ValueError:
            raise FileRefusedError from None
        here = parts.scheme in ("http", "https") and self.own(parts.netloc)
        relative = not parts.scheme and not parts.netloc and "\\" not in url
        # The browser's own data, such as a drawing as a data URI, is never fetched by a server.
        if not (here or relative or parts.scheme in ("blob", "data")):
            raise FileRefusedError


def entries(folder: Path) -> frozenset[str]:
    """Names in the page's folder, such as the samples that were put there when the page was built."""
    return frozenset(p.name for p in folder.iterdir())


def make_room(folder: Path, limit: int, keep: frozenset[str]) -> int:
    """Remove the oldest entries of a folder until the rest takes at most `limit` bytes; the newest one stays.

    Args:
        keep: names that are never removed.

    Returns:
        How many were removed.
    """
    found: list[tuple[float, int, Path]] = []
    for path in folder.iterdir():
        if path.name in keep:
            continue
        try:
            inside = [path] if path.is_file() else [p for p in path.rglob("*") if p.is_file()]
            found.append((path.stat().st_mtime, sum(p.stat().st_size for p in inside), path))
        except OSError:  # another request removed it
            continue
    found.sort()
    total, removed = sum(size for _, size, _ in found), 0
    for _, size, path in found[:-1]:
        if total <= limit:
            break
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
        total, removed = total - size, removed + 1
    return removed
