"""Headers of every response: what a browser may load, who may frame the page, and no guessing of types."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterable, Sequence

_SCRIPT = re.compile(r"<script(?![^>]*\ssrc=)[^>]*>(.*?)</script>", re.DOTALL | re.IGNORECASE)


def script_hashes(html: str) -> tuple[str, ...]:
    """CSP sources of the inline scripts of a document, in order."""
    bodies = (m[1].encode() for m in _SCRIPT.finditer(html))
    return tuple(f"'sha256-{base64.b64encode(hashlib.sha256(b).digest()).decode()}'" for b in bodies)


def policy(scripts: Iterable[str] = (), frames: Sequence[str] = ()) -> str:
    """The content security policy: this origin alone.

    Args:
        scripts: hashes of the document's own inline scripts; no other inline script runs.
        frames: origins that may show the page in a frame.
    """
    rules = {
        "default-src": "'self'",
        # Gradio builds the listeners of its HTML component from text at run time: 'unsafe-eval'.
        "script-src": " ".join(["'self'", "'unsafe-eval'", *scripts]),
        # Gradio and Plotly set styles of elements from code and write style sheets of their own.
        "style-src": "'self' 'unsafe-inline'",
        # Pictures and plots travel as data, pasted and downloaded ones as blobs of this page.
        "img-src": "'self' data: blob:",
        "media-src": "'self' data: blob:",
        "font-src": "'self' data:",
        "connect-src": "'self' data: blob:",
        "worker-src": "'self' blob:",
        "frame-src": "'none'",
        "object-src": "'none'",
        "base-uri": "'self'",
        "form-action": "'self'",
        "frame-ancestors": " ".join(["'self'", *frames]) if frames else "'none'",
    }
    return "; ".join(f"{name} {value}" for name, value in rules.items())


def response_headers(scripts: Iterable[str] = (), frames: Sequence[str] = ()) -> list[tuple[bytes, bytes]]:
    """The headers that are set on a response, whatever the application wrote there."""
    found = {
        "content-security-policy": policy(scripts, frames),
        "x-content-type-options": "nosniff",
        "referrer-policy": "no-referrer",
        "cross-origin-opener-policy": "same-origin",
        "cross-origin-resource-policy": "same-origin",
    }
    if not frames:  # this header knows no list of origins; frame-ancestors does
        found["x-frame-options"] = "DENY"
    return [(name.encode(), value.encode()) for name, value in found.items()]
