"""What is made of a run's rows: `update` takes in a row, `compute` answers.

The rows of all processes come from one journal, in any order: it must not change the answer. Memory does not grow with
what a row holds.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from hashlib import sha256
from typing import Any, Protocol

import numpy as np

from viz.datasets import Sample
from viz.measures.jobs.rows import Row

MOST_FAILED = 100


class Gathered(Protocol):
    """What takes in rows."""

    def update(self, row: Row) -> None:
        """Take in one row."""

    def compute(self) -> Any:
        """What all rows together say."""


def gather(rows: Iterable[Row], *into: Gathered) -> None:
    """Give every row to each of them, in one pass."""
    for row in rows:
        for one in into:
            one.update(row)


class Read:
    """Which samples of a data set were read: by place why the others `failed`, and the first bytes of the sha256 of
    each picture (0 where it was not read)."""

    def __init__(self, count: int) -> None:
        self.failed: dict[int, str] = {}
        self.pictures = np.zeros(count, np.uint64)

    def update(self, row: Row) -> None:
        if "failed" in row:
            self.failed[int(row["i"])] = str(row["failed"])
        elif "h" in row:
            self.pictures[int(row["i"])] = int(row["h"], 16)

    def compute(self) -> str:
        """sha256 of the pictures' own digests, in order: the same pictures give the same."""
        return sha256(self.pictures.astype("<u8").tobytes()).hexdigest()

    def listed(self, samples: Sequence[Sample]) -> list[tuple[str, str]]:
        """(id, reason) of the first samples that failed."""
        return [(samples[i].id, self.failed[i]) for i in sorted(self.failed)[:MOST_FAILED]]
