"""The outermost layer of the page: every request is checked here before Gradio sees it."""

from __future__ import annotations

import logging
import re
from collections.abc import Container
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal
from urllib.parse import parse_qs

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from viz.page.server.access import Access
from viz.page.server.answers import CSP, response_headers
from viz.page.server.bodies import read_json, replayed, too_long, watched_upload
from viz.page.server.files import MessageFiles, make_room, uploaded_path
from viz.page.server.jobs import Jobs
from viz.page.server.limits import Limits, RefusedError

log = logging.getLogger(__name__)
API = "/gradio_api"
FILE = f"{API}/file="
Kind = Literal["plain", "file", "stream", "json", "upload"]
# The requests that the page sends. Gradio has many more routes; no other request is served.
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
    """Return the kind of a request, or None if the page never sends it.

    Args:
        path: decoded, without the query.
    """
    table = {"GET": _GET, "HEAD": _GET, "POST": _POST}.get(method, ())
    return next((kind for pattern, kind in table if re.fullmatch(pattern, path, re.DOTALL)), None)


@dataclass
class Guard:
    """ASGI application that checks a request and passes it on.

    Attributes:
        app: the page. folder: its uploads and exports. access: accepted hosts and origins. limits: of requests.
        jobs: of the queue. handlers: numbers of the page's handlers. keep: entries of `folder` that are never removed.
    """

    app: ASGIApp
    folder: Path
    access: Access
    limits: Limits
    jobs: Jobs
    handlers: Container[object]
    keep: frozenset[str] = frozenset()
    _running: int = field(default=0, init=False)
    _uploading: int = field(default=0, init=False)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        if scope["type"] != "http":
            return
        response = _Response(send, response_headers(self.access.frames))
        self._running += 1
        try:
            if self._running > self.limits.requests:
                raise RefusedError(503, "The page is answering too many requests; try again in a minute.")
            await self._checked(scope, receive, response)
        except RefusedError as error:
            await response.refuse(scope, receive, error)
        except Exception:
            log.exception("A request failed")
            await response.refuse(scope, receive, RefusedError(500, "The page could not answer this request."))
        finally:
            self._running -= 1

    async def _checked(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = Headers(scope=scope)
        self._check_origin(scope, headers)
        path = str(scope["path"])
        kind = kind_of(scope["method"], path)
        query = parse_qs(scope.get("query_string", b"").decode("latin-1"))
        if kind is None or "deep_link" in query:
            raise RefusedError(404, "This page has nothing at this address.")
        if kind == "stream":
            with self.jobs.listening(query.get("session_hash", [""])[0]):
                await self.app(scope, receive, send)
        elif kind == "json":
            await self._json(scope, receive, send, headers)
        elif kind == "upload":
            await self._upload(scope, receive, send, headers)
        else:
            if kind == "file":
                found = FILE + str(uploaded_path(path.removeprefix(FILE), self.folder))
                scope = {**scope, "path": found, "raw_path": found.encode()}
            await self.app(scope, receive, send)

    def _check_origin(self, scope: Scope, headers: Headers) -> None:
        hosts = [*headers.getlist("host"), *headers.getlist("x-forwarded-host")]
        if len(headers.getlist("host")) != 1 or not all(self._is_own(host, scope) for host in hosts):
            raise RefusedError(403, "This host name is not allowed; the operator can allow it with --allow-host NAME.")
        for origin in headers.getlist("origin"):
            if not self.access.accepts(origin, headers["host"]):
                raise RefusedError(403, "Requests from other sites are not allowed.")

    def _is_own(self, authority: str, scope: Scope) -> bool:
        server = scope.get("server")
        return self.access.answers_to(authority, str(server[0]) if server else None)

    async def _json(self, scope: Scope, receive: Receive, send: Send, headers: Headers) -> None:
        if _declared(headers) > self.limits.json_bytes:
            raise too_long(self.limits)
        files = MessageFiles(self.folder, lambda authority: self._is_own(authority, scope))
        data = files.checked(await read_json(receive, self.limits))
        session = data.get("session_hash")
        if session is not None and not (isinstance(session, str) and len(session) <= self.limits.session_name):
            raise RefusedError(400, "Invalid session name; load the page again.")
        path = str(scope["path"]).removeprefix(API)
        number = data.get("fn_index")
        runs = path.startswith(("/queue/join", "/run/predict"))
        if runs and (type(number) is not int or number not in self.handlers):
            raise RefusedError(404, "The page has no such handler; load it again.")
        body, again = replayed(data, receive)
        changed = MutableHeaders(raw=list(scope["headers"]))
        changed["content-length"] = str(len(body))
        scope = {**scope, "headers": changed.raw}
        if not path.startswith("/queue/join"):
            await self.app(scope, again, send)
            return
        if not session:
            raise RefusedError(400, "A job needs a session.")
        await self.jobs.admit(session)
        try:
            await self.app(scope, again, send)
        finally:
            self.jobs.joined(session)

    async def _upload(self, scope: Scope, receive: Receive, send: Send, headers: Headers) -> None:
        if _declared(headers) > self.limits.upload_bytes:
            mib = self.limits.file_bytes // 2**20
            raise RefusedError(413, f"The picture file is too large; the limit is {mib} MiB.")
        if self._uploading >= self.limits.uploads:
            raise RefusedError(429, "Too many uploads are in progress; try again in a minute.")
        self._uploading += 1
        try:
            await self.app(scope, watched_upload(headers.get("content-type", ""), receive, self.limits), send)
        finally:
            self._uploading -= 1
            make_room(self.folder, self.limits.stored_bytes, self.keep)


def _declared(headers: Headers) -> int:
    """The declared length of a body; 0 if there is none."""
    declared = headers.get("content-length", "")
    return int(declared) if declared.isdigit() else 0


class _Response:
    """Sends a response with the page's headers, and knows whether it has begun."""

    def __init__(self, send: Send, headers: dict[str, str]) -> None:
        self._send, self._headers, self._begun = send, headers, False

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._begun = True
            headers = MutableHeaders(raw=list(message.get("headers", ())))
            for name, value in self._headers.items():
                if name != CSP or name not in headers:  # a document keeps its own policy
                    headers[name] = value
            message = {**message, "headers": headers.raw}
        await self._send(message)

    async def refuse(self, scope: Scope, receive: Receive, error: RefusedError) -> None:
        if not self._begun:
            await JSONResponse({"detail": str(error)}, error.status)(scope, receive, self)
