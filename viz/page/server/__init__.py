"""The page as a server: who may ask, for what, how much of it, and what an answer may hold."""

from __future__ import annotations

from viz.page.server.access import Access
from viz.page.server.limits import Limits

__all__ = ["Access", "Limits"]
