"""Which files of this machine a visitor may name: those in the page's own folder, and no others."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from viz.errors import VizError

# Stands for the page's folder in everything that leaves the server: its true place concerns nobody.
ALIAS = "/searchlight-files"
REFUSED = "This file is not one that was uploaded to this page; drop the picture on the page again."


class FileRefusedError(VizError):
    """A file that a visitor may not name. One sentence for all reasons: it must not tell what exists on the machine."""

    def __init__(self) -> None:
        super().__init__(REFUSED)


def own_folder() -> Path:
    """The folder of uploads and exports of the page that runs in this process.

    Raises:
        FileRefusedError: no page runs.
    """
    folder = os.environ.get("GRADIO_TEMP_DIR")
    if not folder:
        raise FileRefusedError
    return Path(folder)


def uploaded_path(text: object, folder: Path) -> Path:
    """The file below the page's folder that a visitor's message names.

    Args:
        text: a path, also one that begins with `ALIAS`.
        folder: the page's own.

    Raises:
        FileRefusedError: it is no text, or resolves, links followed, to anything but a file below the folder.
    """
    if not isinstance(text, str) or not text or len(text) > 4096:
        raise FileRefusedError
    try:
        root = folder.resolve(strict=True)
        aliased = text.startswith(f"{ALIAS}/")
        named = root / text[len(ALIAS) :].lstrip("/") if aliased else Path(text)
        if not named.is_absolute():
            raise FileRefusedError
        # What lies elsewhere is not even looked at: the time that it takes would tell whether it exists.
        lexical = Path(os.path.normpath(named))
        if not (lexical.is_relative_to(root) or lexical.is_relative_to(folder)):
            raise FileRefusedError
        found = named.resolve(strict=True)
        if found == root or not found.is_relative_to(root) or not found.is_file():
            raise FileRefusedError
    except (OSError, ValueError, RuntimeError):
        raise FileRefusedError from None
    return found


def _is_file_data(value: dict[str, Any]) -> bool:
    meta = value.get("meta")
    marked = isinstance(meta, dict) and str(meta.get("_type", "")).startswith("gradio.")
    return marked or "path" in value or "url" in value or "orig_name" in value


@dataclass(frozen=True)
class MessageFiles:
    """Checks the files that a message names.

    Attributes:
        folder: the page's own. own: whether a URL's authority is this page's address.
    """

    folder: Path
    own: Callable[[str], bool]

    def checked(self, value: Any, depth: int = 0) -> Any:
        """A message with true paths, for every handler, whatever component it is meant for.

        Every dictionary that could be taken for a file is one: with a ``path``, a ``url`` or Gradio's mark.

        Raises:
            FileRefusedError: a file outside the folder, or a URL of another place.
        """
        if depth > 64:
            raise FileRefusedError
        if isinstance(value, list):
            return [self.checked(v, depth + 1) for v in value]
        if not isinstance(value, dict):
            return value
        made = {k: v if k in ("path", "url") else self.checked(v, depth + 1) for k, v in value.items()}
        if not _is_file_data(value):
            return made
        if value.get("path") is not None:
            made["path"] = str(uploaded_path(value["path"], self.folder))
        if value.get("url") is not None:
            self._check_url(value["url"])
            made["url"] = None  # Gradio writes it anew from the path
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
        # What the browser itself holds, such as a drawing as a data URL, is nothing that a server would look up.
        if not (here or relative or parts.scheme in ("blob", "data")):
            raise FileRefusedError
