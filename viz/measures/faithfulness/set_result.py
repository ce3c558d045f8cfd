"""The controls over data sets as a result: means with bootstrap intervals, rounded to 6 digits."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from viz.measures import codec
from viz.measures.codec import DIGITS, Number, Record
from viz.measures.faithfulness.control import COLUMNS
from viz.measures.faithfulness.words import WORDS, Words
from viz.measures.intervals import DRAWS, LEVEL, Bootstrap, interval
from viz.measures.jobs.rows import Row
from viz.run.engine import versions

KEY = COLUMNS[:-1]
Key = tuple[str, ...]


@dataclass(frozen=True)
class Summary(Record):
    """Mean of one measure over `n` pictures with its 95 % bootstrap interval; missing numbers are NaN.

    `missing` counts further pictures without a number, such as those whose map does not rank pixels.
    """

    control: str
    source: str
    variant: str
    measure: str
    mean: Number
    low: Number
    high: Number
    n: int
    missing: int


@dataclass(frozen=True)
class Requested(Record):
    """The request: `model` is name, sha256, geometry, number format; `data` is name, split, fingerprint."""

    kind: str
    versions: dict[str, str]
    device: str
    model: tuple[str, str | None, str, str]
    data: tuple[str, str | None, str]
    asked: dict[str, Any]


@dataclass(frozen=True)
class SetResult(Record):
    """The controls of one model over a data set.

    Attributes:
        samples: their number. chosen_of: number of samples before a subset was chosen; None for the whole set.
        left_out: samples excluded by name. picture_bytes: digest of all pictures that were read.
        failed: id, reason; the first 100. table: the means.
    """

    model: str
    sha256: str | None
    request: Requested
    step: int
    samples: int
    chosen_of: int | None
    left_out: tuple[str, ...] | None = field(default=None, kw_only=True)
    picture_bytes: str
    failed_count: int
    failed: tuple[tuple[str, str], ...]
    table: tuple[Summary, ...]


@dataclass(frozen=True)
class Result(Record):
    """The controls of several models; `words` says what each control shows and what it does not."""

    kind: Literal["faithfulness"]
    versions: dict[str, str]
    bootstrap: Bootstrap
    words: dict[str, Words]
    models: tuple[SetResult, ...]
    version: Literal[1] = 1


def result_of(found: Sequence[SetResult], controls: Iterable[str]) -> Result:
    """The results of all models, with the words of their controls."""
    words = {name: WORDS[name] for name in controls}
    return Result("faithfulness", versions(), Bootstrap(LEVEL, DRAWS, "pictures are drawn again"), words, tuple(found))


def from_bytes(data: bytes) -> Result:
    """The result from its file.

    Raises:
        VizError: not a result of faithfulness controls.
    """
    return codec.from_bytes(Result, data, "the result of faithfulness controls")


class Means:
    """Accumulates the mean of every measure from rows of ``i``, a position, and ``values``, see `FaithfulnessTask`.

    It keeps eight bytes per number.

    Args:
        groups: the picture of each position; pictures are resampled. digits: means are rounded to; None for none.
    """

    def __init__(self, groups: Sequence[str], digits: int | None = DIGITS) -> None:
        self.groups, self.digits = groups, digits
        self._values: dict[Key, NDArray[np.float64]] = {}
        self._counts: dict[Key, int] = {}
        # Where each measure occurs first: position of the row, and within it.
        self._first: dict[Key, tuple[int, int]] = {}

    def update(self, row: Row) -> None:
        place = int(row["i"])
        for position, (*names, value) in enumerate(row.get("values", ())):
            key = tuple(names)
            if key not in self._values:
                self._values[key] = np.full(len(self.groups), np.nan)
            self._values[key][place] = math.nan if value is None else float(value)
            self._counts[key] = self._counts.get(key, 0) + 1
            self._first[key] = min(self._first.get(key, (place, position)), (place, position))

    def compute(self) -> tuple[Summary, ...]:
        """In the order of the first picture."""
        out = []
        for key in sorted(self._first, key=lambda k: self._first[k]):
            made = interval(self._values[key], self.groups)
            made = made if self.digits is None else made.rounded(self.digits)
            control, source, variant, measure = key
            ends, missing = (made.value, made.low, made.high), self._counts[key] - made.n
            out.append(Summary(control, source, variant, measure, *ends, made.n, missing))
        return tuple(out)


def summarise(rows: Iterable[Mapping[str, Any]], *, group: str = "item") -> list[Summary]:
    """Mean and interval of every measure, in order of first appearance, not rounded.

    Args:
        rows: of `viz.measures.faithfulness.report.measure`; a value of None or NaN counts as missing.
        group: entry that names the picture; pictures are resampled, not rows.
    """
    every = list(rows)
    means = Means([str(r[group]) for r in every], digits=None)
    for i, r in enumerate(every):
        means.update({"i": i, "values": [[*(str(r[k]) for k in KEY), r["value"]]]})
    return list(means.compute())
