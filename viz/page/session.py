"""What the page remembers between two events: opened pictures, bounded, by their sha256."""

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
    """What one visitor is looking at: a few words, so that a session holds no picture and no tensor."""

    sha256: str
    model: str
    geometry: Mode | None


class Turns:
    """Which of a visitor's requests to show something is the newest. Safe to share between threads.

    While a file is uploaded the page may ask several times, and these requests arrive and run side by side, in any
    order: the answer to the newest counts, whichever is ready last.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._newest: dict[str, int] = {}

    def begin(self, session: str | None, turn: int) -> Callable[[], bool]:
        """A request begins, which the visitor's browser counts as its `turn`-th; gives what tells whether no later one
        has begun."""
        key = session or ""
        with self._lock:
            self._newest[key] = max(turn, self._newest.get(key, 0))
        return lambda: self._newest.get(key) == turn

    def leave(self, session: str | None) -> None:
        """The visitor is gone."""
        with self._lock:
            self._newest.pop(session or "", None)


class Pictures:
    """The newest opened pictures of all visitors. Safe to share between threads.

    Args:
        max_count, max_bytes: the oldest go first; the newest always stays.
    """

    def __init__(self, max_count: int = 48, max_bytes: int = 384 * 2**20) -> None:
        self._max_count, self._max_bytes = max_count, max_bytes
        self._kept: OrderedDict[str, Picture] = OrderedDict()
        self._lock = threading.Lock()

    def keep(self, picture: Picture) -> Picture:
        """Remember a picture; the same bytes again give the one already kept."""
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
        """A remembered picture.

        Raises:
            VizError: it has been dropped to make room.
        """
        with self._lock:
            picture = self._kept.get(sha256)
            if picture is None:
                raise VizError("This picture is no longer kept here; drop it on the page again.")
            self._kept.move_to_end(sha256)
            return picture


def trace_of(shown: Shown, engine: Engine, pictures: Pictures) -> Trace:
    """The trace that a visitor looks at; from the cache unless it was dropped."""
    return engine.trace(pictures.get(shown.sha256), shown.model, shown.geometry)
