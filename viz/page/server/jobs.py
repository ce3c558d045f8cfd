"""What one session and all of them may have in the queue, counted where Gradio keeps it."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from viz.errors import VizError
from viz.page.server.limits import Limits


class BusyError(VizError):
    """No further job is taken now."""


class Jobs:
    """Admits jobs to a page's queue. Used from the server's own event loop only.

    A job counts until its answer was delivered, so that answers that nobody fetches do not gather in memory: those of a
    session to which nobody listens are dropped after a while, and at once when the queue is full.

    Args:
        queue: Gradio's, of the page. clock: seconds.
    """

    def __init__(self, queue: Any, limits: Limits, clock: Callable[[], float] = time.monotonic) -> None:
        self._queue, self._limits, self._clock = queue, limits, clock
        self._joining: Counter[str] = Counter()
        self._listening: Counter[str] = Counter()
        self._seen: dict[str, float] = {}

    def of(self, session: str) -> int:
        """Unanswered jobs of a session."""
        return len(self._queue.pending_event_ids_session.get(session, ())) + self._joining[session]

    def __len__(self) -> int:
        """Unanswered jobs of all sessions."""
        return sum(map(len, self._queue.pending_event_ids_session.values())) + self._joining.total()

    async def admit(self, session: str) -> None:
        """Count a job in, until `joined` is called.

        Raises:
            BusyError: the session, or the page, has as many as it may have.
        """
        await self._drop(self._limits.orphan_seconds)
        if self.of(session) >= self._limits.session_jobs:
            raise BusyError("This page already waits for several answers; try again when they are there.")
        if len(self) >= self._limits.jobs:
            await self._drop(1.0)
        if len(self) >= self._limits.jobs:
            raise BusyError("Too many visitors wait for answers just now; try again in a minute.")
        self._joining[session] += 1
        self._seen[session] = self._clock()

    def joined(self, session: str) -> None:
        """The job is in Gradio's own count now, or was refused there."""
        self._joining[session] -= 1
        if not self._joining[session]:
            del self._joining[session]

    @contextmanager
    def listening(self, session: str) -> Iterator[None]:
        """While a visitor fetches a session's answers."""
        self._listening[session] += 1
        try:
            yield
        finally:
            self._listening[session] -= 1
            if not self._listening[session]:
                del self._listening[session]
            self._seen[session] = self._clock()

    async def _drop(self, after: float) -> None:
        """Drop the jobs and answers of sessions to which nobody has listened for that many seconds."""
        now = self._clock()
        held = self._queue.pending_event_ids_session
        for session in [s for s in self._seen if s not in held and not self._joining[s] and not self._listening[s]]:
            del self._seen[session]
        for session in list(held):
            quiet = not self._listening[session] and not self._joining[session]
            if quiet and now - self._seen.setdefault(session, now) > after:
                await self._queue.clean_events(session_hash=session)
                held.pop(session, None)
                self._queue.pending_messages_per_session.pop(session, None)
                self._seen.pop(session, None)
