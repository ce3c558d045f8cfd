"""What all tabs share: the pictures and traces of visitors, folders for exports, updates of components."""

from __future__ import annotations

import html
import os
import re
import shutil
import tempfile
import threading
from collections import deque
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import gradio as gr

from viz.core.trace import Trace
from viz.errors import VizError
from viz.page.session import Pictures, Shown, trace_of
from viz.run.engine import Engine

# Gradio finds a handler's progress argument by a default of this type.
PROGRESS = gr.Progress()
QUIET: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
# For handlers that follow a new picture: while one call runs, the newest further one waits and is not dropped.
FOLLOWS: dict[str, Any] = {**QUIET, "trigger_mode": "always_last"}


class Tab:
    """A tab of the page: `__init__` creates its components, `listen` wires their events.

    A handler that returns a single `gr.skip()` leaves all of its outputs as they are.

    Args:
        shown: state with what the visitor looks at.
    """

    def __init__(self, engine: Engine, pictures: Pictures, shown: gr.State) -> None:
        self.engine, self.pictures, self.shown = engine, pictures, shown
        self.exports = Exports()

    def trace(self, shown: Shown | None) -> Trace:
        """The trace that a visitor looks at.

        Raises:
            VizError: none yet, or its picture is no longer kept.
        """
        return trace_of(required(shown), self.engine, self.pictures)

    def trace_or_none(self, shown: Shown | None) -> Trace | None:
        """The same trace, or None."""
        try:
            return self.trace(shown)
        except VizError:
            return None


def required(shown: Shown | None) -> Shown:
    """What a visitor looks at.

    Raises:
        VizError: nothing yet.
    """
    if shown is None:
        raise VizError("Choose a picture first.")
    return shown


class Exports:
    """Creates temporary folders for exported files. The page copies a file at once, so old folders can be removed.

    Args:
        keep: folders kept before the oldest is removed.
    """

    def __init__(self, keep: int = 32) -> None:
        self._keep = keep
        self._folders: deque[Path] = deque()
        self._lock = threading.Lock()

    def folder(self) -> Path:
        """Create an empty folder."""
        made = Path(tempfile.mkdtemp(prefix="export-", dir=os.environ.get("GRADIO_TEMP_DIR")))
        with self._lock:
            self._folders.append(made)
            while len(self._folders) > self._keep:
                shutil.rmtree(self._folders.popleft(), ignore_errors=True)
        return made


def file_stem(*parts: str, default: str, limit: int = 80) -> str:
    """A file name without ending that joins the parts: letters, digits, dots, dashes and underscores only."""
    return re.sub(r"[^A-Za-z0-9._-]+", "_", "-".join(parts))[:limit].strip("._") or default


def hidden() -> Any:
    """Update that empties and hides a component."""
    return gr.update(value=None, visible=False)


def filled(value: Any) -> Any:
    """Update that shows a value; hides the component if there is none."""
    return hidden() if value is None else gr.update(value=value, visible=True)


def offered_files(paths: Iterable[Path]) -> Any:
    """Update of a file component that offers files for download."""
    return filled([str(path) for path in paths])


def toast(sentence: str) -> None:
    """Show one sentence for a few seconds; a file's name in it is text, never markup."""
    gr.Warning(html.escape(sentence, quote=False), title="")
