"""Outgoing responses: security headers, and no path of this machine in any body."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from viz.page.server.files import ALIAS

# Bodies that Gradio generates itself. Files are sent as they are.
_TEXTS = ("application/json", "text/event-stream", "text/html", "text/plain")
_FILES = ("/gradio_api/file=", "/assets/", "/static/")
_SCRIPT = re.compile(r"<script(?![^>]*\ssrc=)[^>]*>(.*?)</script>", re.DOTALL | re.IGNORECASE)
CSP = "content-security-policy"


def script_hashes(html: str) -> tuple[str, ...]:
    """CSP sources of the inline scripts of a document, in order."""
    bodies = (m[1].encode() for m in _SCRIPT.finditer(html))
    return tuple(f"'sha256-{base64.b64encode(hashlib.sha256(b).digest()).decode()}'" for b in bodies)


def policy(scripts: Iterable[str] = (), frames: Sequence[str] = ()) -> str:
    """The content security policy: resources of this origin only.

    Args:
        scripts: hashes of the document's inline scripts; no other inline script runs.
        frames: origins that may embed the page in a frame.
    """
    rules = {
        "default-src": "'self'",
        # Gradio builds the listeners of its HTML component from text at run time: 'unsafe-eval'.
        "script-src": " ".join(["'self'", "'unsafe-eval'", *scripts]),
        # Gradio and Plotly set inline styles and write style sheets from code.
        "style-src": "'self' 'unsafe-inline'",
        # Pictures and plots are data URIs; pasted and downloaded ones are blobs of this page.
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


def response_headers(frames: Sequence[str] = ()) -> dict[str, str]:
    """Headers of every response, whatever the application set."""
    headers = {
        CSP: policy(frames=frames),
        "x-content-type-options": "nosniff",
        "referrer-policy": "no-referrer",
        "cross-origin-opener-policy": "same-origin",
        "cross-origin-resource-policy": "same-origin",
    }
    if not frames:  # this header takes no list of origins; frame-ancestors does
        headers["x-frame-options"] = "DENY"
    return headers


class Answers:
    """ASGI middleware, inside compression: replaces the page's folder by its alias and adds a document's own policy.

    Args:
        folder: of uploads and exports. frames: origins that may embed the page in a frame.
    """

    def __init__(self, app: ASGIApp, folder: Path, frames: Sequence[str] = ()) -> None:
        self.app, self.frames = app, frames
        # JSON doubles the backslashes of a path.
        self.names = tuple(dict.fromkeys(n.encode() for n in (json.dumps(str(folder))[1:-1], str(folder))))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on and edit the response."""
        if scope["type"] != "http" or scope["path"].startswith(_FILES):
            await self.app(scope, receive, send)
            return
        # The start of a text response waits for the first part of its body.
        start: Message | None = None
        is_text = False

        async def edited(message: Message) -> None:
            nonlocal start, is_text
            if message["type"] == "http.response.start":
                kind = MutableHeaders(raw=message["headers"]).get("content-type", "").partition(";")[0]
                is_text = kind in _TEXTS
                if is_text:
                    start = message
                    return
            elif is_text and message["type"] == "http.response.body":
                body = message.get("body", b"")
                for name in self.names:
                    body = body.replace(name, ALIAS.encode())
                message = {**message, "body": body}
                if start is not None:
                    await send(self._started(start, message))
                    start = None
            await send(message)

        await self.app(scope, receive, edited)

    def _started(self, start: Message, first: Message) -> Message:
        """The start of a response whose first body part was edited."""
        headers = MutableHeaders(raw=list(start["headers"]))
        del headers["content-length"]
        if not first.get("more_body", False):
            headers["content-length"] = str(len(first["body"]))
        if headers.get("content-type", "").startswith("text/html"):
            scripts = script_hashes(first["body"].decode("utf-8", "replace"))
            headers[CSP] = policy(scripts, self.frames)
        return {**start, "headers": headers.raw}
