"""The requests that the page makes. Gradio answers many more; what is not here is not answered."""

from __future__ import annotations

import re
from typing import Literal

API = "/gradio_api"
FILE = f"{API}/file="
Kind = Literal["plain", "file", "stream", "json", "upload"]

_GET: tuple[tuple[str, Kind], ...] = (
    (r"/|/config/?|/theme\.css|/favicon\.ico|/robots\.txt|/manifest\.json", "plain"),
    (r"/(assets|static)/.+", "plain"),
    (r"/js/[0-9a-f]{16}/[a-z_]+\.js", "plain"),
    (rf"{API}/(info/?|app_id/?|heartbeat/[^/]+|upload_progress|theme\.css)", "plain"),
    (rf"{FILE}.+", "file"),
    (rf"{API}/queue/data", "stream"),
)
_POST: tuple[tuple[str, Kind], ...] = (
    (rf"{API}/(queue/join|run/predict|cancel|reset)/?", "json"),
    (rf"{API}/upload", "upload"),
)


def kind_of(method: str, path: str) -> Kind | None:
    """What a request is, or None where the page never makes it.

    Args:
        path: decoded, without the query.
    """
    table = {"GET": _GET, "HEAD": _GET, "POST": _POST}.get(method, ())
    for pattern, kind in table:
        if re.fullmatch(pattern, path, re.DOTALL):
            return kind
    return None
