"""The outermost layer of the page: every request is checked here before Gradio sees it."""

from __future__ import annotations

import json
import logging
from collections.abc import Container
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qs

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from viz.errors import VizError
from viz.page.server.access import Access
from viz.page.server.bodies import BodyError, read_json, replayed, too_long, watched_upload
from viz.page.server.files import FileRefusedError, MessageFiles, uploaded_path
from viz.page.server.headers import response_headers
from viz.page.server.jobs import BusyError, Jobs
from viz.page.server.limits import Limits
from viz.page.server.routes import API, FILE, kind_of
from viz.page.server.storage import make_room

log = logging.getLogger(__name__)
_NOT_HERE = "This page has nothing at this address."
_CROWDED = "The page answers too many requests just now; try again in a minute."


class _RefusedError(VizError):
    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status


@dataclass
class Guard:
    """ASGI application that checks a request and hands it on.

    Attributes:
        app: the page. folder: its uploads and exports. access: who may ask. limits: for how much.
        jobs: of the queue. handlers: numbers of the page's handlers. keep: entries of `folder` that stay.
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
        answered = _Answered(send, response_headers(frames=self.access.frames))
        self._running += 1
        try:
            if self._running > self.limits.requests:
                raise _RefusedError(503, _CROWDED)
            await self._checked(scope, receive, answered)
        except (_RefusedError, BodyError) as error:
            await answered.refuse(error.status, str(error))
        except FileRefusedError as error:
            await answered.refuse(403, str(error))
        except BusyError as error:
            await answered.refuse(429, str(error))
        except Exception:
            log.exception("A request failed")
            await answered.refuse(500, "The page could not answer this request.")
        finally:
            self._running -= 1

    async def _checked(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = Headers(scope=scope)
        self._check_origin(scope, headers)
        path = str(scope["path"])
        kind = kind_of(scope["method"], path)
        query = parse_qs(scope.get("query_string", b"").decode("latin-1"))
        if kind is None or "deep_link" in query:
            raise _RefusedError(404, _NOT_HERE)
        if kind == "file":
            found = str(uploaded_path(path[len(FILE) :], self.folder))
            scope = {**scope, "path": FILE + found, "raw_path": (FILE + found).encode()}
        if kind == "stream":
            with self.jobs.listening(query.get("session_hash", [""])[0]):
                await self.app(scope, receive, send)
        elif kind == "json":
            await self._json(scope, receive, send, headers)
        elif kind == "upload":
            await self._upload(scope, receive, send, headers)
        else:
            await self.app(scope, receive, send)

    def _check_origin(self, scope: Scope, headers: Headers) -> None:
        server = scope.get("server")
        reached = str(server[0]) if server else None
        hosts = [*headers.getlist("host"), *headers.getlist("x-forwarded-host")]
        if len(headers.getlist("host")) != 1 or not all(self.access.answers_to(h, reached) for h in hosts):
            raise _RefusedError(
                403, "The page does not answer to this host name; its operator can allow it with --allow-host NAME."
            )
        for origin in headers.getlist("origin"):
            if not self.access.accepts(origin, headers["host"]):
                raise _RefusedError(403, "Another site may not use this page.")

    def _files(self, scope: Scope) -> MessageFiles:
        server = scope.get("server")
        reached = str(server[0]) if server else None
        return MessageFiles(self.folder, lambda authority: self.access.answers_to(authority, reached))

    async def _json(self, scope: Scope, receive: Receive, send: Send, headers: Headers) -> None:
        declared = headers.get("content-length", "0")
        if declared.isdigit() and int(declared) > self.limits.json_bytes:
            raise too_long(self.limits)
        data = self._files(scope).checked(await read_json(receive, self.limits))
        session = data.get("session_hash")
        if session is not None and not (isinstance(session, str) and len(session) <= self.limits.session_name):
            raise _RefusedError(400, "The session's name is not one that the page gave.")
        path = str(scope["path"]).removeprefix(API)
        asks = path.startswith(("/queue/join", "/run/predict"))
        number = data.get("fn_index")
        if asks and (type(number) is not int or number not in self.handlers):
            raise _RefusedError(404, "The page has no such handler; load it again.")
        body, again = replayed(data, receive)
        kept = [(k, v) for k, v in scope["headers"] if k != b"content-length"]
        scope = {**scope, "headers": [*kept, (b"content-length", str(len(body)).encode())]}
        if not path.startswith("/queue/join"):
            await self.app(scope, again, send)
            return
        if not session:
            raise _RefusedError(400, "A job needs a session.")
        await self.jobs.admit(session)
        try:
            await self.app(scope, again, send)
        finally:
            self.jobs.joined(session)

    async def _upload(self, scope: Scope, receive: Receive, send: Send, headers: Headers) -> None:
        declared = headers.get("content-length", "0")
        if declared.isdigit() and int(declared) > self.limits.upload_bytes:
            mib = self.limits.file_bytes // 2**20
            raise BodyError(413, f"A picture file may hold {mib} MiB; this one holds more.")
        if self._uploading >= self.limits.uploads:
            raise BusyError("Too many pictures come in just now; try again in a minute.")
        self._uploading += 1
        try:
            await self.app(scope, watched_upload(headers.get("content-type", ""), receive, self.limits), send)
        finally:
            self._uploading -= 1
            make_room(self.folder, self.limits.stored_bytes, self.keep)


class _Answered:
    """Sends a response with the page's headers on it, and knows whether it has begun."""

    def __init__(self, send: Send, headers: list[tuple[bytes, bytes]]) -> None:
        self._send, self._headers, self.begun = send, headers, False

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.begun = True
            there = list(message.get("headers", ()))
            names = {k.lower() for k, _ in there}
            # A document's own policy stands; everything else is set here.
            ours = [(k, v) for k, v in self._headers if k not in names or k != b"content-security-policy"]
            replaced = {k for k, _ in ours}
            message = {**message, "headers": [*((k, v) for k, v in there if k.lower() not in replaced), *ours]}
        await self._send(message)

    async def refuse(self, status: int, sentence: str) -> None:
        if self.begun:
            return
        body = json.dumps({"detail": sentence}).encode()
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
        await self({"type": "http.response.start", "status": status, "headers": headers})
        await self({"type": "http.response.body", "body": body})
