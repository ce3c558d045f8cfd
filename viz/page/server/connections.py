"""Idle connections are closed, so that no visitor can use up the system's connections."""

from __future__ import annotations

import asyncio
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from viz.page.server.limits import Limits


class Connection(H11Protocol):
    """One connection.

    uvicorn closes a connection that stays idle after a response. It waits forever for a first request, and for the rest
    of a request's head.

    Args:
        limits: how long to wait, and for how many connections.
    """

    def __init__(self, *arguments: Any, limits: Limits, **more: Any) -> None:
        super().__init__(*arguments, **more)
        self._limits = limits
        self._timer: asyncio.TimerHandle | None = None
        self.began = 0.0

    @property
    def idle(self) -> bool:
        """Whether no complete request head has come since the last response."""
        return self.conn.their_state is h11.IDLE

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin; close the oldest idle connection if there are too many."""
        super().connection_made(transport)
        self._watch()
        # uvicorn forgets a connection only some time after it was closed: of many made at once, each closes another.
        standing = [c for c in self.connections if not c.transport.is_closing()]
        if len(standing) > self._limits.connections:
            others = [c for c in standing if isinstance(c, Connection) and c.idle and c is not self]
            min(others, key=lambda c: c.began, default=self).transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """End."""
        if self._timer is not None:
            self._timer.cancel()
        super().connection_lost(exc)

    def on_response_complete(self) -> None:
        """Wait for the next request."""
        super().on_response_complete()
        self._watch()

    def _watch(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self.began = self.loop.time()
        self._timer = self.loop.call_later(self._limits.head_seconds, self._close_idle)

    def _close_idle(self) -> None:
        if self.idle:
            self.transport.close()
        else:
            self._watch()
