"""Means with bootstrap intervals. Pictures are resampled, not the views made of them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from viz.measures.codec import Number, Record, plain

Floats = NDArray[np.float64]
DRAWS = 1000
LEVEL = 0.95


@dataclass(frozen=True)
class Interval(Record):
    """A mean over `n` values with its percentile bootstrap interval (95 %).

    A missing number is NaN: a single picture has a value, but no interval.
    """

    value: Number
    low: Number
    high: Number
    n: int

    def rounded(self, digits: int) -> Self:
        """The same with rounded numbers."""
        made = {k: round(v, digits) if math.isfinite(v) else math.nan for k, v in vars(self).items() if k != "n"}
        return replace(self, n=self.n, **made)

    def to_dict(self, digits: int = 4) -> dict[str, Any]:
        """Plain rounded values; a missing number is None."""
        found: dict[str, Any] = plain(self, digits)
        return found


@dataclass(frozen=True)
class Bootstrap(Record):
    """How a result's intervals are made; PxAP has its own number of draws."""

    level: float
    draws: int
    pxap_draws: int | None = field(default=None, kw_only=True)
    words: str


def interval(
    values: ArrayLike,
    groups: Sequence[int] | Sequence[str] | Sequence[Sequence[int]] | None = None,
    *,
    draws: int = DRAWS,
    seed: int = 0,
) -> Interval:
    """Mean and 95 % percentile bootstrap interval (Efron and Tibshirani, 1993).

    Args:
        values: (N,) one per view. Non-finite values are left out of mean and count.
        groups: for each view its picture, or all pictures it is made of: a view weighs the product of its pictures'
            counts. None takes each view as a picture of its own.
        draws: number of bootstrap samples. seed: of the generator; equal values give equal intervals.
    """
    x = np.asarray(values, dtype=np.float64)
    good = np.isfinite(x)
    if not good.any():
        return Interval(math.nan, math.nan, math.nan, 0)
    members: list[tuple[int | str, ...]] = [
        (i,) if groups is None else _members(groups[i]) for i in np.flatnonzero(good).tolist()
    ]
    x = x[good]
    known = {p: k for k, p in enumerate(sorted({p for m in members for p in m}, key=lambda p: (isinstance(p, str), p)))}
    if len(known) < 2:  # one picture cannot be resampled
        return Interval(float(x.mean()), math.nan, math.nan, len(x))
    if all(len(m) == 1 for m in members):
        means = _means(x, np.array([known[m[0]] for m in members]), len(known), draws, seed)
    else:
        means = _means_of_products(x, members, known, draws, seed)
    return Interval(float(x.mean()), *ends(means), len(x))


def ends(drawn: Floats) -> tuple[float, float]:
    """The percentiles between which `LEVEL` of the bootstrap's draws lie."""
    low, high = np.quantile(drawn, ((1 - LEVEL) / 2, (1 + LEVEL) / 2))
    return float(low), float(high)


@lru_cache(maxsize=4)
def _counts(pictures: int, draws: int, seed: int) -> NDArray[np.uint8]:
    """How often each picture is drawn, (draws, pictures): the same for every measure over the same pictures."""
    rng = np.random.default_rng(seed)
    share = np.full(pictures, 1 / pictures)
    drawn = np.empty((draws, pictures), np.uint8)
    for row in drawn:
        row[:] = np.minimum(rng.multinomial(pictures, share), 255)
    drawn.setflags(write=False)
    return drawn


def _means(x: Floats, places: NDArray[np.int64], pictures: int, draws: int, seed: int) -> Floats:
    """Mean of each draw, for views of one picture each."""
    sums, views = np.bincount(places, x, pictures), np.bincount(places, minlength=pictures).astype(np.float64)
    counts = _counts(pictures, draws, seed)
    # A few draws at a time: all of them as floats would not fit in memory for a large set.
    parts = [counts[i : i + 50].astype(np.float64) for i in range(0, draws, 50)]
    return np.concatenate([(part @ sums) / (part @ views) for part in parts])


def _means_of_products(
    x: Floats, members: Sequence[tuple[int | str, ...]], known: Mapping[int | str, int], draws: int, seed: int
) -> Floats:
    """Mean of each draw, for views of several pictures; draws without any view are left out."""
    # The last place stands for "no further picture" and always counts once.
    places = np.full((len(members), max(len(m) for m in members)), len(known))
    for i, m in enumerate(members):
        places[i, : len(m)] = [known[p] for p in m]
    weights = [np.append(row, 1).astype(np.int64)[places].prod(axis=1) for row in _counts(len(known), draws, seed)]
    return np.array([(x * w).sum() / w.sum() for w in weights if w.sum()])


def _members(group: int | str | Sequence[int]) -> tuple[int | str, ...]:
    return (group,) if isinstance(group, int | str | np.integer) else tuple(group)
