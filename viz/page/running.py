"""Long computations that a visitor can stop: the progress callback notices the wish and ends the thread's work."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import gradio as gr

from viz.allocator import give_back
from viz.core.map_spec import MapSpec, parse
from viz.core.trace import Trace
from viz.errors import ProbeError
from viz.geometry import Mode
from viz.picture import Picture
from viz.run.engine import Engine

# Gradio finds a handler's progress argument by a default of this type.
PROGRESS = gr.Progress()
QUIET: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
# For what follows a new picture: while one run of it is under way, another is kept and not dropped.
FOLLOWS: dict[str, Any] = {**QUIET, "trigger_mode": "always_last"}
# Told the done share, 0 to 1, and a word; ends the work by raising `Stopped`.
Tell = Callable[[float, str], None]


class Stopped(Exception):  # noqa: N818 - a wish, no error
    """The visitor wants no more of it. No `VizError`: nothing is wrong, and what skips a refused method must not skip
    this."""


class Running:
    """Which visitors' computations wait for their turn or run, and which of them are to end. Safe to share between
    threads.

    Gradio's own `cancels` lets a running function go on, takes down the visitor's connection when it cancels, and so
    loses what comes right after; a computation that is stopped here ends by itself.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: dict[str, deque[threading.Event]] = {}
        self._running: dict[str, list[threading.Event]] = {}

    def __len__(self) -> int:
        """How many run."""
        return sum(map(len, self._running.values()))

    def announce(self, session: str | None) -> None:
        """A visitor's computation waits for its turn from now on and can be stopped."""
        with self._lock:
            self._waiting.setdefault(session or "", deque()).append(threading.Event())

    @contextmanager
    def started(self, session: str | None) -> Iterator[Callable[[], None]]:
        """While a visitor's computation runs; gives what raises `Stopped` once it is to end."""
        key = session or ""
        with self._lock:
            waiting = self._waiting.get(key)
            wish = waiting.popleft() if waiting else threading.Event()
            if not waiting:
                self._waiting.pop(key, None)
            self._running.setdefault(key, []).append(wish)

        def check() -> None:
            if wish.is_set():
                raise Stopped

        try:
            yield check
        finally:
            with self._lock:
                self._running[key].remove(wish)
                if not self._running[key]:
                    del self._running[key]
            give_back()

    def stop(self, session: str | None) -> None:
        """End what the visitor runs at its next sign of progress, and what waits as soon as its turn comes."""
        with self._lock:
            for wish in (*self._waiting.get(session or "", ()), *self._running.get(session or "", ())):
                wish.set()

    def leave(self, session: str | None) -> None:
        """The visitor is gone, and so is the wish for what runs."""
        self.stop(session)
        with self._lock:
            self._waiting.pop(session or "", None)


class StopButton:
    """A button that stands in the place of the one that starts, for as long as the computation runs.

    Args:
        said: what a visitor is told who pressed it.
    """

    def __init__(self, start: gr.Button, elem_id: str, said: str) -> None:
        self.start, self.said, self.running = start, said, Running()
        self.button = gr.Button("Stop", variant="stop", elem_id=elem_id, scale=1, min_width=120, visible=False)

    def run(
        self,
        trigger: Callable[..., Any],
        work: Callable[..., Any],
        inputs: Any,
        outputs: Any,
        *,
        noted: Callable[..., Any] | None = None,
        note: gr.State | None = None,
        **more: Any,
    ) -> Any:
        """Run `work` after an event, with the button shown meanwhile.

        Args:
            noted: what of the event's own data `work` needs to know; it is put in `note`.

        Returns:
            the event of `work`, for what is to follow it.
        """
        buttons = self._buttons

        def begin(request: gr.Request) -> list[Any]:
            self.running.announce(request.session_hash)
            return _shown(running=True)

        if noted is None:
            began = trigger(begin, None, buttons, queue=False, **QUIET)
        else:
            began = trigger(noted, None, [note], queue=False, **QUIET).then(begin, None, buttons, queue=False, **QUIET)
        job = began.then(work, inputs, outputs, api_visibility="private", **more)
        job.then(lambda: _shown(running=False), None, buttons, queue=False, **QUIET)
        return job

    def listen(self) -> None:
        """Wire the button."""

        def stopped(request: gr.Request) -> list[Any]:
            self.running.stop(request.session_hash)
            gr.Info(self.said, title="", duration=4)
            return _shown(running=False)

        # In the queue, for the sentence to reach the visitor, but never waiting there.
        self.button.click(stopped, None, self._buttons, concurrency_limit=None, **QUIET)

    @property
    def _buttons(self) -> list[gr.Button]:
        return [self.start, self.button]


def _shown(*, running: bool) -> list[Any]:
    return [gr.update(visible=not running), gr.update(visible=running)]


def telling(progress: gr.Progress, check: Callable[[], None]) -> Tell:
    """A progress callback that shows and that stops."""

    def tell(share: float, words: str) -> None:
        check()
        progress(share, desc=words)

    return tell


def parts_of(tell: Tell, words: Sequence[str]) -> list[Callable[[float], None]]:
    """For each of several equal parts of the work, its own progress callback."""

    def part(index: int, word: str) -> Callable[[float], None]:
        return lambda share: tell((index + share) / len(words), word)

    return [part(i, w) for i, w in enumerate(words)]


def attributed(
    engine: Engine,
    picture: Picture,
    model: str,
    method: MapSpec | str,
    geometry: Mode | None = None,
    *,
    class_index: int,
    tell: Callable[[float], None] | None = None,
) -> Trace:
    """The trace with a method's map at every step that has one; those that the engine holds are not computed again.

    Args:
        tell: called with the done share of all steps, 0 to 1; what it raises ends the work.

    Raises:
        ProbeError: no step has one. VizError: as from `Engine.attribute`.
    """
    choice = parse(method)
    trace = engine.trace(picture, model, geometry)
    steps, made, why = trace.steps, 0, None
    for step in range(1, steps + 1):
        part = None if tell is None else (lambda share, step=step: tell((step - 1 + share) / steps))
        if part is not None:
            part(0.0)
        try:
            trace = engine.attribute(
                picture, model, choice, geometry, class_index=class_index, step=step, progress=part
            )
            made += 1
        except ProbeError as error:  # a step that makes no use of the probe has no map
            why = error
    if why is not None and not made:
        raise why
    return trace
