"""What leaves the server: no path of this machine, and documents whose own scripts alone run. Inside compression."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from viz.page.server.files import ALIAS
from viz.page.server.headers import policy, script_hashes

# Kinds of bodies that Gradio makes itself; files are sent as they are.
_TEXTS = ("application/json", "text/event-stream", "text/html", "text/plain")
_FILES = ("/gradio_api/file=", "/assets/", "/static/")


class Answers:
    """ASGI middleware: the page's folder is told by its alias, and the policy of a document names its own scripts.

    Args:
        folder: of uploads and exports. frames: origins that may frame the page.
    """

    def __init__(self, app: ASGIApp, folder: Path, frames: Sequence[str] = ()) -> None:
        self.app, self.frames = app, frames
        # In JSON a backslash of a path is written twice.
        self.names = tuple(dict.fromkeys(n.encode() for n in (json.dumps(str(folder))[1:-1], str(folder))))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on and change what comes back."""
        if scope["type"] != "http" or scope["path"].startswith(_FILES):
            await self.app(scope, receive, send)
            return
        start: Message | None = None
        kind = ""

        async def changed(message: Message) -> None:
            nonlocal start, kind
            if message["type"] == "http.response.start":
                kind = MutableHeaders(raw=message["headers"]).get("content-type", "").partition(";")[0]
                if kind not in _TEXTS:
                    await send(message)
                    return
                start = message
                return
            if message["type"] != "http.response.body" or kind not in _TEXTS:
                await send(message)
                return
            body = self._hidden(message.get("body", b""))
            if start is not None:
                await send(self._opened(start, kind, body, whole=not message.get("more_body", False)))
                start = None
            await send({**message, "body": body})

        await self.app(scope, receive, changed)

    def _hidden(self, body: bytes) -> bytes:
        for name in self.names:
            body = body.replace(name, ALIAS.encode())
        return body

    def _opened(self, start: Message, kind: str, body: bytes, *, whole: bool) -> Message:
        headers = MutableHeaders(raw=list(start["headers"]))
        if "content-length" in headers:
            del headers["content-length"]
        if whole:
            headers["content-length"] = str(len(body))
        if kind == "text/html":
            headers["content-security-policy"] = policy(script_hashes(body.decode("utf-8", "replace")), self.frames)
        return {**start, "headers": headers.raw}
