"""The page. Importing any part of it keeps Gradio from calling out: it reads these variables once, when imported."""

from __future__ import annotations

import os

os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
os.environ["HF_HUB_OFFLINE"] = "1"
