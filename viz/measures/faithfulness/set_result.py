"""The result of the controls of one model over a data set: means with bootstrap intervals."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from viz.measures.faithfulness.dataset import Summary
from viz.measures.faithfulness.results import Row, plain
from viz.measures.intervals import interval


@dataclass(frozen=True)
class SetResult:
    """The controls of one model over a data set.

    `table` of means; `samples`, of how many they were chosen (None: all there are), and those that were `left_out` by
    name; `failed_count`, and the first that `failed` (id, reason); `request`: what was asked for; `picture_bytes`:
    digest of all pictures that were read.
    """

    model: str
    sha256: str
    request: dict[str, Any]
    step: int
    samples: int
    chosen_of: int | None
    left_out: tuple[str, ...]
    picture_bytes: str
    failed_count: int
    failed: tuple[tuple[str, str], ...]
    table: tuple[Summary, ...]

    def to_json(self) -> dict[str, Any]:
        """Plain values; what is no number is None."""
        found: dict[str, Any] = plain(self)
        return found


def table_of(rows: Iterable[Row], groups: Sequence[str]) -> Iterator[Summary]:
    """Mean and interval of every measure: eight bytes a number are kept, whatever order the rows come in."""
    columns: dict[tuple[str, ...], NDArray[np.float64]] = {}
    there: dict[tuple[str, ...], NDArray[np.bool_]] = {}
    first: dict[tuple[str, ...], tuple[int, int]] = {}
    for r in rows:
        place = int(r["i"])
        for position, (*key, value) in enumerate(r.get("values", ())):
            name = tuple(key)
            if name not in columns:
                columns[name] = np.full(len(groups), np.nan)
                there[name] = np.zeros(len(groups), np.bool_)
                first[name] = (place, position)
            columns[name][place] = math.nan if value is None else float(value)
            there[name][place] = True
            first[name] = min(first[name], (place, position))
    for name in sorted(columns, key=lambda n: first[n]):
        made = interval(columns[name], groups)
        control, source, variant, measure_ = name
        missing = int(there[name].sum()) - made.n
        yield Summary(control, source, variant, measure_, made.value, made.low, made.high, made.n, missing)
