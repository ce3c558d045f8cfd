"""The page. Importing any part of it imports Gradio, set up to call nobody and to write no files."""

from __future__ import annotations

import inspect
import os
from typing import Any

# Gradio reads these once, when it is imported.
os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
os.environ["HF_HUB_OFFLINE"] = "1"


def _import_gradio() -> None:
    """Import Gradio without its stub files.

    On every import it would write one for each component, beside its own sources: more work than the rest of the import
    (benchmarks/page_import.py). It writes none for a class whose source file cannot be found.
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
