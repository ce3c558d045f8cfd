"""A log that no visitor can flood."""

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
    """Passes a limited number of bytes per period on to a stream; then one line says that messages are left out.

    Gradio prints a traceback for every request that it cannot process, and a visitor can send such requests all day.
    """

    def __init__(self, stream: TextIO, limits: Limits, clock: Callable[[], float] = time.monotonic) -> None:
        self._stream, self._limits, self._clock = stream, limits, clock
        self._since, self._written = clock(), 0

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return self._stream.encoding

    def flush(self) -> None:
        self._stream.flush()

    def isatty(self) -> bool:
        return self._stream.isatty()

    def fileno(self) -> int:
        return self._stream.fileno()

    def write(self, text: str) -> int:
        """Write a text, or leave it out."""
        now = self._clock()
        if now - self._since >= self._limits.log_seconds:
            self._since, self._written = now, 0
        before, most = self._written, self._limits.log_bytes
        self._written += len(text.encode("utf-8", "replace"))
        if self._written <= most:
            self._stream.write(text)
        elif before <= most:
            self._stream.write("\nsearchlight: further messages of this minute are left out.\n")
        return len(text)


@contextmanager
def bounded_stderr(limits: Limits) -> Iterator[None]:
    """Limit what is printed to stderr together with what the root logger's handlers write there."""
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
