"""Gradio's queue: how many jobs it takes, and which of its messages reach the page."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from gradio.queueing import Event, Queue
from gradio.server_messages import EstimationMessage, EventMessage, ProcessStartsMessage

from viz.page.server.limits import Limits, RefusedError


def send_visible_only(queue: Queue) -> None:
    """Drop messages on an event's place in the queue if the page does not show its progress.

    Gradio's page copies the state of every component that any event reads or shows at each such message, and an upload
    triggers many hidden events.
    """
    send = queue.send_message

    def send_visible(event: Event, message: EventMessage) -> None:
        hidden = event.fn.show_progress == "hidden"
        if not (hidden and isinstance(message, EstimationMessage | ProcessStartsMessage)):
            send(event, message)

    queue.send_message = send_visible  # type: ignore[method-assign]


class Jobs:
    """Admits jobs to a page's queue. To be used from the server's event loop only.

    A job counts until its answer was delivered, so that unread answers cannot pile up in memory. Those of a session
    without a listener are dropped after a while, and at once when the queue is full.

    Args:
        queue: Gradio's queue of the page. clock: seconds.
    """

    def __init__(self, queue: Any, limits: Limits, clock: Callable[[], float] = time.monotonic) -> None:
        self._queue, self._limits, self._clock = queue, limits, clock
        self._joining: Counter[str] = Counter()
        self._listening: Counter[str] = Counter()
        self._seen: dict[str, float] = {}

    def __len__(self) -> int:
        """Unanswered jobs of all sessions."""
        return sum(map(len, self._queue.pending_event_ids_session.values())) + self._joining.total()

    async def admit(self, session: str) -> None:
        """Count a job in, until `joined` is called.

        Raises:
            RefusedError: the session, or the page, has too many jobs.
        """
        await self._drop(self._limits.orphan_seconds)
        own = len(self._queue.pending_event_ids_session.get(session, ())) + self._joining[session]
        if own >= self._limits.session_jobs:
            raise RefusedError(429, "This page is waiting for too many answers; try again when they have arrived.")
        if len(self) >= self._limits.jobs:
            await self._drop(1.0)
        if len(self) >= self._limits.jobs:
            raise RefusedError(429, "Too many visitors are waiting for answers; try again in a minute.")
        self._joining[session] += 1
        self._seen[session] = self._clock()

    def joined(self, session: str) -> None:
        """Count the job out: Gradio counts it now, or has refused it."""
        self._joining[session] -= 1
        self._joining += Counter()  # drops zeros

    @contextmanager
    def listening(self, session: str) -> Iterator[None]:
        """While a visitor reads a session's answers."""
        self._listening[session] += 1
        try:
            yield
        finally:
            self._listening[session] -= 1
            self._listening += Counter()
            self._seen[session] = self._clock()

    async def _drop(self, after: float) -> None:
        """Drop the jobs and answers of sessions without a listener for that many seconds."""
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
