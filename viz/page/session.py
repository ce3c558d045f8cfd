"""What the page remembers between two events: what each visitor sees, and a limited number of opened pictures."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from viz.core.trace import Trace
from viz.errors import VizError
from viz.geometry import Mode
from viz.picture import Picture
from viz.run.engine import Engine


@dataclass(frozen=True)
class Shown:
    """What one visitor is looking at. Names only: a session holds no picture and no tensor."""

    sha256: str
    model: str
    geometry: Mode | None


class Turns:
    """Which of a visitor's requests to show something is the newest. Thread-safe.

    During an upload the page may send several requests, which arrive and run concurrently and in any order. The answer
    to the newest one counts, whichever is ready last.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._newest: dict[str, int] = {}

    def begin(self, session: str | None, turn: int) -> Callable[[], bool]:
        """Register the `turn`-th request of a visitor's browser; returns a check of whether it is still the newest."""
        key = session or ""
        with self._lock:
            self._newest[key] = max(turn, self._newest.get(key, 0))
        return lambda: self._newest.get(key) == turn

    def leave(self, session: str | None) -> None:
        """Forget a visitor who has left."""
        with self._lock:
            self._newest.pop(session or "", None)


class Pictures:
    """The most recently used pictures of all visitors, by sha256. Thread-safe.

    Args:
        max_count, max_bytes: the oldest are dropped first; the newest always stays.
    """

    def __init__(self, max_count: int = 48, max_bytes: int = 384 * 2**20) -> None:
        self._max_count, self._max_bytes = max_count, max_bytes
        self._kept: OrderedDict[str, Picture] = OrderedDict()
        self._lock = threading.Lock()

    def keep(self, picture: Picture) -> Picture:
        """Keep a picture; if the same bytes are already kept, return that copy."""
        with self._lock:
            known = self._kept.pop(picture.sha256, picture)
            # The same bytes under a new name keep their pixels but show the new name.
            kept = known if known.name == picture.name else picture
            self._kept[picture.sha256] = kept
            while len(self._kept) > self._max_count or (self._bytes() > self._max_bytes and len(self._kept) > 1):
                self._kept.popitem(last=False)
            return kept

    def _bytes(self) -> int:
        return sum(int(p.rgb.nbytes) for p in self._kept.values())

    def get(self, sha256: str) -> Picture:
        """Return a kept picture.

        Raises:
            VizError: it was dropped to make room.
        """
        with self._lock:
            picture = self._kept.get(sha256)
            if picture is None:
                raise VizError("This picture is no longer kept here; drop it on the page again.")
            self._kept.move_to_end(sha256)
            return picture


def trace_of(shown: Shown, engine: Engine, pictures: Pictures) -> Trace:
    """The trace that a visitor looks at; computed again if the engine has dropped it."""
    return engine.trace(pictures.get(shown.sha256), shown.model, shown.geometry)
