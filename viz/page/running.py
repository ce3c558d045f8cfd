"""Long computations that a visitor can stop: their progress callback notices the wish and ends the thread's work."""

from __future__ import annotations

import threading
from collections import defaultdict, deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import gradio as gr

from viz.allocator import give_back
from viz.errors import VizError
from viz.page.tab import PROGRESS, QUIET, toast

# Called with the done share, 0 to 1, and a short text; ends the work by raising `Stopped`.
Tell = Callable[[float, str], None]


class Stopped(Exception):  # noqa: N818 - a wish, not an error
    """The visitor has stopped the computation.

    Not a `VizError`: code that skips a failed method must not skip this.
    """


class Running:
    """Which visitors' computations are waiting or running, and which of them are to stop. Thread-safe.

    Gradio's own `cancels` does not stop a running function. It also closes the visitor's connection, which loses what
    comes next. A computation that is stopped here ends by itself.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        # By session; an event is set when the computation is to stop.
        self._waiting: defaultdict[str | None, deque[threading.Event]] = defaultdict(deque)
        self._running: list[tuple[str | None, threading.Event]] = []

    def __len__(self) -> int:
        """How many are running."""
        return len(self._running)

    def announce(self, session: str | None) -> None:
        """Register a visitor's computation that waits for its turn and can be stopped from now on."""
        with self._lock:
            self._waiting[session].append(threading.Event())

    @contextmanager
    def started(self, session: str | None) -> Iterator[Callable[[], None]]:
        """While a visitor's computation runs; yields a check that raises `Stopped` once it is to stop."""
        with self._lock:
            waiting = self._waiting[session]
            stop = waiting.popleft() if waiting else threading.Event()
            if not waiting:
                del self._waiting[session]
            self._running.append((session, stop))

        def check() -> None:
            if stop.is_set():
                raise Stopped

        try:
            yield check
        finally:
            with self._lock:
                self._running.remove((session, stop))
            give_back()

    def stop(self, session: str | None) -> None:
        """Stop a visitor's running computations at their next progress call, and waiting ones when they start."""
        with self._lock:
            running = [stop for owner, stop in self._running if owner == session]
            for stop in (*self._waiting.get(session, ()), *running):
                stop.set()

    def leave(self, session: str | None) -> None:
        """Stop and forget the computations of a visitor who has left."""
        self.stop(session)
        with self._lock:
            self._waiting.pop(session, None)


class Job:
    """A row with a group of checkboxes and a button that computes what is ticked.

    A Stop button replaces the button while the computation runs.

    Args:
        name: prefix of the buttons' ids. words: on the start button. stopped: message after a stop.
        boxes: arguments of the group of checkboxes.
    """

    def __init__(self, name: str, words: str, stopped: str, **boxes: Any) -> None:
        self.stopped, self.running = stopped, Running()
        button: dict[str, Any] = {"scale": 1, "min_width": 120}
        with gr.Row(equal_height=True):
            self.boxes = gr.CheckboxGroup(scale=4, min_width=240, **boxes)
            self.start = gr.Button(words, variant="primary", elem_id=f"{name}-start", **button)
            self.stop = gr.Button("Stop", variant="stop", elem_id=f"{name}-stop", visible=False, **button)
        self._buttons = [self.start, self.stop]

    def run(
        self,
        trigger: Callable[..., Any],
        work: Callable[..., Any],
        inputs: Sequence[Any],
        outputs: Sequence[Any],
        *,
        note: tuple[Callable[..., Any], gr.State] | None = None,
        **more: Any,
    ) -> Any:
        """Run `work` after an event, with the Stop button shown meanwhile.

        `work` gets the inputs, and a `Tell` as `tell`. A `VizError` becomes a warning; the outputs stay as they are.

        Args:
            note: what reads the event's own data, and the state that keeps it, which may be one of the inputs.

        Returns:
            the event of `work`, for whatever follows it.
        """

        def begin(request: gr.Request) -> list[Any]:
            self.running.announce(request.session_hash)
            return _shown(running=True)

        def run(values: dict[Any, Any], request: gr.Request, progress: gr.Progress = PROGRESS) -> Any:
            with self.running.started(request.session_hash) as check:
                try:
                    return work(*(values[c] for c in inputs), tell=telling(progress, check))
                except Stopped:
                    return gr.skip()
                except VizError as error:
                    toast(str(error))
                    return gr.skip()

        if note is not None:
            read, state = note
            trigger = trigger(read, None, [state], queue=False, **QUIET).then
        job = trigger(begin, None, self._buttons, queue=False, **QUIET).then(
            run, set(inputs), outputs, api_visibility="private", **more
        )
        job.then(lambda: _shown(running=False), None, self._buttons, queue=False, **QUIET)
        return job

    def listen(self) -> None:
        """Wire the Stop button."""

        def stop(request: gr.Request) -> list[Any]:
            self.running.stop(request.session_hash)
            gr.Info(self.stopped, title="", duration=4)
            return _shown(running=False)

        # In the queue, so that the message reaches the visitor, but never waiting there.
        self.stop.click(stop, None, self._buttons, concurrency_limit=None, **QUIET)


def _shown(*, running: bool) -> list[Any]:
    return [gr.update(visible=not running), gr.update(visible=running)]


def telling(progress: gr.Progress, check: Callable[[], None]) -> Tell:
    """A progress callback that shows the progress, and raises `Stopped` once the computation is to stop."""

    def tell(share: float, words: str) -> None:
        check()
        progress(share, desc=words)

    return tell


def parts_of(tell: Tell, words: Sequence[str]) -> list[Callable[[float], None]]:
    """Progress callbacks for equal parts of the work, one per text."""

    def part(index: int, word: str) -> Callable[[float], None]:
        return lambda share: tell((index + share) / len(words), word)

    return [part(i, w) for i, w in enumerate(words)]
