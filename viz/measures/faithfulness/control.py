"""The result of one control of one picture: a table of numbers, and plain values."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any

from viz.measures.codec import plain
from viz.measures.jobs.rows import Row

COLUMNS = ("control", "source", "variant", "measure", "value")


class Control(ABC):
    """A result of one control.

    Attributes:
        control: its name. source: the tested map, empty where the control reads none.
    """

    control: str
    source: str

    @abstractmethod
    def numbers(self) -> Iterator[tuple[str, str, float]]:
        """Variant, measure and value of every number."""

    def rows(self) -> list[Row]:
        """One row per number: control, source, variant, measure, value."""
        head = (self.control, self.source)
        return [dict(zip(COLUMNS, (*head, v, m, float(x)), strict=True)) for v, m, x in self.numbers()]

    def to_json(self) -> dict[str, Any]:
        """Plain values; a missing number is None."""
        found: dict[str, Any] = plain(self)
        return found
