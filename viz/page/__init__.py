"""The page. Importing any part of it imports Gradio, configured to make no requests and to write no files."""

from __future__ import annotations

import inspect
import os
from typing import Any

# Gradio reads these once, when it is imported.
os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
os.environ["HF_HUB_OFFLINE"] = "1"


def _import_gradio() -> None:
    """Import Gradio without its stub files.

    Each import would write one per component, beside Gradio's own sources, and take longer than the rest of the import
    (benchmarks/page_import.py). A class without a source file gets none.
    """
    original = inspect.getfile

    def getfile(thing: Any) -> str:
        if isinstance(thing, type) and thing.__module__.startswith("gradio."):
            raise OSError
        return original(thing)

    inspect.getfile = getfile  # type: ignore[assignment]
    try:
        import gradio  # noqa: F401
    finally:
        inspect.getfile = original


_import_gradio()
