"""Request bodies: read up to a limit, given up when they stall, counted while they stream."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from python_multipart.exceptions import MultipartParseError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.formparsers import MultiPartException
from starlette.types import Message, Receive

from viz.page.server.limits import Limits, RefusedError


def too_long(limits: Limits) -> RefusedError:
    """The error for a message that is too long: usually an SVG drawing, which the browser sends inside a message."""
    most = limits.json_bytes // 1024
    return RefusedError(413, f"The message is too long; the limit is {most} KiB. Export an SVG drawing as PNG.")


async def read_json(receive: Receive, limits: Limits) -> dict[str, Any]:
    """Read the JSON object in a request's body.

    Raises:
        RefusedError: it is too long, stalls, breaks off, or is not a JSON object.
    """
    body = bytearray()
    more = True
    while more:
        message = await _next(receive, limits)
        if message["type"] == "http.disconnect":
            raise RefusedError(400, "The request broke off.")
        body += message.get("body", b"")
        if len(body) > limits.json_bytes:
            raise too_long(limits)
        more = message.get("more_body", False)
    try:
        found = json.loads(bytes(body))
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise RefusedError(400, "The request is not a JSON object.")
    return found


async def _next(receive: Receive, limits: Limits) -> Message:
    try:
        return await asyncio.wait_for(receive(), limits.stall_seconds)
    except TimeoutError:
        raise RefusedError(408, "The request stalled.") from None


def replayed(data: dict[str, Any], receive: Receive) -> tuple[bytes, Receive]:
    """A body that was already read: as bytes, and as the `receive` of the application."""
    body = json.dumps(data).encode()
    pending = [{"type": "http.request", "body": body, "more_body": False}]

    async def again() -> Message:
        return pending.pop() if pending else await receive()

    return body, again


def watched_upload(content_type: str, receive: Receive, limits: Limits) -> Receive:
    """The `receive` of an upload, checked as it streams.

    Too many files, too many bytes, a stall and a visitor who leaves raise the error on which Gradio's parser removes
    what it has written. Otherwise it would keep the partial file forever.

    Raises:
        RefusedError: the body is not a multipart form.
    """
    kind, options = parse_options_header(content_type)
    boundary = options.get(b"boundary")
    if kind != b"multipart/form-data" or not boundary:
        raise RefusedError(400, "An upload must be a multipart form.")
    files = total = 0
    ended = False

    def part_begins() -> None:
        nonlocal files
        files += 1
        if files > limits.files:
            raise MultiPartException(f"Too many files: at most {limits.files} per upload.")

    parser = MultipartParser(boundary, {"on_part_begin": part_begins})

    async def checked() -> Message:
        nonlocal total, ended
        if ended:
            return await receive()
        try:
            message = await _next(receive, limits)
        except RefusedError as error:
            raise MultiPartException(str(error)) from None
        if message["type"] == "http.disconnect":
            raise MultiPartException("The upload broke off.")
        body = message.get("body", b"")
        total += len(body)
        if total > limits.upload_bytes:
            # Gradio answers 413 where the sentence says "maximum allowed size".
            raise MultiPartException("The upload exceeds the maximum allowed size.")
        try:
            parser.write(body)
        except MultipartParseError:
            raise MultiPartException("The upload is not a multipart form.") from None
        ended = not message.get("more_body", False)
        return message

    return checked
