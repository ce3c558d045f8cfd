"""A log that no visitor can make endless."""

from __future__ import annotations

import io
import logging
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr
from typing import TextIO

from viz.page.server.limits import Limits


class BoundedLog(io.TextIOBase):
    """Passes text on to a stream, up to so many bytes in so many seconds; then one line says that some was left out.

    Gradio prints a traceback of every request that it cannot follow, and a visitor can send such requests all day.
    """

    def __init__(self, stream: TextIO, limits: Limits, clock: Callable[[], float] = time.monotonic) -> None:
        self._stream, self._limits, self._clock = stream, limits, clock
        self._since, self._written, self._full = clock(), 0, False

    def write(self, text: str) -> int:
        """Write a text, or leave it out."""
        now = self._clock()
        if now - self._since >= self._limits.log_seconds:
            self._since, self._written, self._full = now, 0, False
        self._written += len(text.encode("utf-8", "replace"))
        if self._written <= self._limits.log_bytes:
            self._stream.write(text)
        elif not self._full:
            self._full = True
            self._stream.write("\nsearchlight: further messages of this minute are left out.\n")
        return len(text)

    def flush(self) -> None:
        """Flush the stream."""
        self._stream.flush()

    def isatty(self) -> bool:
        """Whether a person reads along."""
        return self._stream.isatty()

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """Of the stream."""
        return self._stream.encoding

    def fileno(self) -> int:
        """Of the stream."""
        return self._stream.fileno()


@contextmanager
def bounded_stderr(limits: Limits) -> Iterator[None]:
    """While it lasts, what is printed to stderr and what the root logger's handlers write there is bounded together."""
    before = sys.stderr
    bounded = BoundedLog(before, limits)
    handlers = [h for h in logging.getLogger().handlers if getattr(h, "stream", None) is before]
    with redirect_stderr(bounded):
        for handler in handlers:
            handler.setStream(bounded)  # type: ignore[attr-defined]
        try:
            yield
        finally:
            for handler in handlers:
                handler.setStream(before)  # type: ignore[attr-defined]
