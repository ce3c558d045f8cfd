"""The page. Importing any part of it imports Gradio as it is wanted here: calling nobody, and writing no file."""

from __future__ import annotations

import inspect
import os
from typing import Any

# Gradio reads these once, when it is imported.
os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
os.environ["HF_HUB_OFFLINE"] = "1"


def _import_gradio() -> None:
    """Import Gradio without its stub files.

    Each time it is imported it makes one for every component, beside its own sources, which takes longer than all the
    rest of the import. It makes none for a class that has no source file.
    """
    found = inspect.getfile

    def getfile(thing: Any) -> str:
        if isinstance(thing, type) and thing.__module__.startswith("gradio."):
            raise OSError
        return found(thing)

    inspect.getfile = getfile  # type: ignore[assignment]
    try:
        import gradio  # noqa: F401
    finally:
        inspect.getfile = found


_import_gradio()
