"""Tasks over the samples of data sets: their rows are sealed, and say what they were made from."""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import cached_property, lru_cache
from typing import Any

from viz.measures.jobs.rows import MADE_FROM, Check, Row, is_sealed, request_key, sealed

# What names a row: numbers of model, data set and sample, or fewer of them from the end.
Place = tuple[int, ...]


class SetTask(ABC):
    """What such tasks have in common, see `viz.measures.jobs.runner.Task`.

    Attributes:
        NAMES: entries of a row that name it, in the order of a `Place`.
    """

    NAMES: tuple[str, ...] = ("i",)

    def __init__(self) -> None:
        # Each file is read once, not once for each model.
        self._now = lru_cache(maxsize=None)(self.made_from)

    @abstractmethod
    def request(self) -> dict[str, Any]:
        """Plain values that decide the rows."""

    @abstractmethod
    def chunks(self) -> int:
        """How many there are, numbered from 0."""

    @abstractmethod
    def places(self, chunk: int) -> list[Place]:
        """Of the chunk's rows, in order."""

    @abstractmethod
    def measured(self, chunk: int) -> list[Row]:
        """The chunk's rows in any order, not sealed."""

    @abstractmethod
    def made_from(self, sample: Place) -> str:
        """Digest of what a row would be made from today, whatever the model."""

    @abstractmethod
    def picture(self, place: Place) -> str:
        """Which picture a row is of: several rows may be of one."""

    def shared(self) -> Row:
        """Entries that all rows have in common today."""
        return {}

    @cached_property
    def key(self) -> str:
        """Of the request; rows are sealed with it."""
        return request_key(self.request())

    def size(self, chunk: int) -> int:
        """How many pictures the chunk has, for the progress bar."""
        return len(self.places(chunk))

    def run(self, chunk: int) -> list[Row]:
        """The rows of one chunk."""
        rows = sorted(self.measured(chunk), key=lambda row: int(row["i"]))
        heads = [dict(zip(self.NAMES, place, strict=True)) for place in self.places(chunk)]
        return [sealed(head | row, self.key) for head, row in zip(heads, rows, strict=True)]

    def check(self, chunk: int, rows: list[Row]) -> Check:
        """Whether rows of an earlier run are what this task wrote there, and from the files that are there now."""
        places = self.places(chunk) if 0 <= chunk < self.chunks() else []
        found = [tuple(row.get(name) for name in self.NAMES) for row in rows]
        if not places or found != places or not all(is_sealed(row, self.key) for row in rows):
            return Check(whole=False)
        changed = {p for p, row in zip(places, rows, strict=True) if row.get(MADE_FROM) != self._now(p[-2:])}
        shared = self.shared()
        return Check(
            changed=frozenset(map(self.picture, changed)),
            shared=any(row.get(name) != value for row in rows for name, value in shared.items()),
        )
