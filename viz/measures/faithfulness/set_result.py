"""The controls over data sets as a result: means with bootstrap intervals, numbers rounded to 6 digits."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from viz.measures import codec
from viz.measures.codec import Number, Record
from viz.measures.faithfulness.results import DIGITS
from viz.measures.faithfulness.words import WORDS, Words
from viz.measures.intervals import DRAWS, LEVEL, interval
from viz.measures.jobs.rows import Row
from viz.run.engine import versions

KEY = ("control", "source", "variant", "measure")
Key = tuple[str, ...]


@dataclass(frozen=True)
class Summary(Record):
    """Mean of one measure over pictures with its 95 % bootstrap interval.

    `n` pictures' values are in it; `missing` are those without a number (a map that orders nothing, say); NaN where
    there is none at all.
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

    def rounded(self) -> Summary:
        """As a result holds it."""
        return replace(self, **{name: round(getattr(self, name), DIGITS) for name in ("mean", "low", "high")})


@dataclass(frozen=True)
class Requested(Record):
    """What was asked for: `model` is name, sha256, geometry, number format; `data` name, split, fingerprint."""

    kind: str
    versions: dict[str, str]
    device: str
    model: tuple[str, str | None, str, str]
    data: tuple[str, str | None, str]
    asked: dict[str, Any]


@dataclass(frozen=True)
class SetResult(Record):
    """The controls of one model over a data set.

    `table` of means; `samples`, of how many they were chosen (None: all there are), and those that were `left_out` by
    name; `failed_count`, and the first that `failed` (id, reason); `picture_bytes`: digest of all pictures that were
    read.
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
class Bootstrap(Record):
    """What the intervals are."""

    level: float
    draws: int
    words: str


@dataclass(frozen=True)
class Result(Record):
    """The controls of several models; `words` says of each control what it shows and what it does not."""

    kind: Literal["faithfulness"]
    versions: dict[str, str]
    bootstrap: Bootstrap
    words: dict[str, Words]
    models: tuple[SetResult, ...]
    version: Literal[1] = 1


def result_of(found: Sequence[SetResult], controls: Iterable[str]) -> Result:
    """The results of all models, with the words of their controls."""
    words = {name: WORDS[name] for name in controls}
    drawn = Bootstrap(LEVEL, DRAWS, "pictures are drawn again")
    return Result("faithfulness", versions(), drawn, words, tuple(found))


def from_bytes(data: bytes) -> Result:
    """The result from its file.

    Raises:
        VizError: not the result of the controls.
    """
    return codec.from_bytes(Result, data, "the result of faithfulness controls")


class Means:
    """Mean and interval of every measure over rows of ``i``, a place, and ``values``, see `FaithfulnessTask`.

    Eight bytes a number are kept. See `viz.measures.jobs.gather`.

    Args:
        groups: the picture of each place; pictures are drawn again.
    """

    def __init__(self, groups: Sequence[str]) -> None:
        self.groups = groups
        self._values: dict[Key, NDArray[np.float64]] = {}
        self._counts: dict[Key, int] = {}
        # Where each measure stands first: place of the row, and in it.
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
        """In the order in which the first picture names them."""
        out = []
        for key in sorted(self._first, key=lambda k: self._first[k]):
            made = interval(self._values[key], self.groups)
            control, source, variant, measure = key
            ends, missing = (made.value, made.low, made.high), self._counts[key] - made.n
            out.append(Summary(control, source, variant, measure, *ends, made.n, missing))
        return tuple(out)


def summarise(rows: Iterable[Mapping[str, Any]], *, group: str = "item") -> list[Summary]:
    """Mean and interval of every measure, in the order of first appearance.

    Args:
        rows: as `viz.measures.faithfulness.report.measure` gives them; a value of None or NaN counts as missing.
        group: which entry names the picture: pictures are drawn again, not rows.
    """
    every = list(rows)
    means = Means([str(r[group]) for r in every])
    for i, r in enumerate(every):
        means.update({"i": i, "values": [[*(str(r[k]) for k in KEY), r["value"]]]})
    return list(means.compute())
