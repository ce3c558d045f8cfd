"""Bodies of requests: read up to a limit, given up when they stall, counted while they stream."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from python_multipart.exceptions import MultipartParseError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.formparsers import MultiPartException
from starlette.types import Message, Receive

from viz.errors import VizError
from viz.page.server.limits import Limits


class BodyError(VizError):
    """A body that is not read to its end.

    Attributes:
        status: of the response.
    """

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status


def too_long(limits: Limits) -> BodyError:
    """What is said of a message that is too long; the browser sends a drawing as a message, not as a file."""
    most = limits.json_bytes // 1024
    return BodyError(413, f"A message may hold {most} KiB; this one holds more. Export an SVG drawing as PNG.")


async def read_json(receive: Receive, limits: Limits) -> dict[str, Any]:
    """The JSON object that a request brings.

    Raises:
        BodyError: it is too long, stalls, breaks off, or is no JSON object.
    """
    body = bytearray()
    more = True
    while more:
        message = await _next(receive, limits)
        if message["type"] == "http.disconnect":
            raise BodyError(400, "The request broke off.")
        body += message.get("body", b"")
        if len(body) > limits.json_bytes:
            raise too_long(limits)
        more = message.get("more_body", False)
    try:
        found = json.loads(bytes(body))
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise BodyError(400, "The request is not a JSON object.")
    return found


async def _next(receive: Receive, limits: Limits) -> Message:
    try:
        return await asyncio.wait_for(receive(), limits.stall_seconds)
    except TimeoutError:
        raise BodyError(408, "The request stalled.") from None


def replayed(data: dict[str, Any], receive: Receive) -> tuple[bytes, Receive]:
    """A body that was read, as bytes and as what the application receives."""
    body = json.dumps(data).encode()
    given = False

    async def again() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return body, again


def watched_upload(content_type: str, receive: Receive, limits: Limits) -> Receive:
    """What an upload receives, checked as it streams.

    Too many files, too many bytes, a stall and a visitor who leaves all end it with the error on which Gradio's parser
    removes what it has written; left alone, it would keep the half of a file for ever.

    Raises:
        BodyError: no multipart body.
    """
    kind, options = parse_options_header(content_type)
    boundary = options.get(b"boundary")
    if kind != b"multipart/form-data" or not boundary:
        raise BodyError(400, "An upload is a multipart form.")
    files = total = 0
    ended = False

    def part_begins() -> None:
        nonlocal files
        files += 1
        if files > limits.files:
            raise MultiPartException(f"Too many files: at most {limits.files} may be sent at once.")

    parser = MultipartParser(boundary, {"on_part_begin": part_begins})

    async def checked() -> Message:
        nonlocal total, ended
        if ended:
            return await receive()
        try:
            message = await _next(receive, limits)
        except BodyError as error:
            raise MultiPartException(str(error)) from None
        if message["type"] == "http.disconnect":
            raise MultiPartException("The upload broke off.")
        body = message.get("body", b"")
        total += len(body)
        if total > limits.upload_bytes:
            raise MultiPartException("The upload exceeds the maximum allowed size.")
        try:
            parser.write(body)
        except MultipartParseError:
            raise MultiPartException("The upload is not a multipart form.") from None
        ended = not message.get("more_body", False)
        return message

    return checked
