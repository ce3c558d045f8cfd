"""Files that visitors take home: written to a private temporary folder, the oldest removed."""

from __future__ import annotations

import os
import shutil
import tempfile
import threading
from collections import deque
from pathlib import Path


class Exports:
    """Hands out fresh folders. The page copies a file as soon as it is returned, so old folders may go.

    Args:
        keep: folders kept before the oldest is removed.
    """

    def __init__(self, keep: int = 32) -> None:
        self._keep = keep
        self._folders: deque[Path] = deque()
        self._lock = threading.Lock()

    def folder(self) -> Path:
        """A new empty folder."""
        made = Path(tempfile.mkdtemp(prefix="export-", dir=os.environ.get("GRADIO_TEMP_DIR")))
        with self._lock:
            self._folders.append(made)
            while len(self._folders) > self._keep:
                shutil.rmtree(self._folders.popleft(), ignore_errors=True)
        return made
