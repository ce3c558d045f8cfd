"""Means with bootstrap intervals: pictures are drawn again, not the views made of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
DRAWS = 1000
LEVEL = 0.95


@dataclass(frozen=True)
class Interval:
    """A mean with its percentile bootstrap interval (95 %) over `n` values; NaN and 0 where there is none.

    Of a single picture there is a value, but no interval.
    """

    value: float
    low: float
    high: float
    n: int

    def to_dict(self, digits: int = 4) -> dict[str, Any]:
        """Plain values, rounded; what is no number is None."""
        return {k: _plain(v, digits) for k, v in asdict(self).items()}


def _plain(value: float, digits: int) -> float | int | None:
    if isinstance(value, int):
        return value
    return round(value, digits) if np.isfinite(value) else None


def interval(
    values: ArrayLike,
    groups: Sequence[int] | Sequence[str] | Sequence[Sequence[int]] | None = None,
    *,
    draws: int = DRAWS,
    seed: int = 0,
) -> Interval:
    """Mean and 95 % percentile bootstrap interval (Efron and Tibshirani, 1993).

    Args:
        values: (N,) one a view. Values that are not finite are left out of mean and count.
        groups: for each view the picture it comes from, or all the pictures it is made of: pictures are drawn again,
            and a view weighs the product of its pictures' counts. None takes each view as a picture of its own.
        draws: how many bootstrap samples. seed: of the generator, so that the same values give the same interval.
    """
    x = np.asarray(values, dtype=np.float64)
    good = np.isfinite(x)
    if not good.any():
        return Interval(float("nan"), float("nan"), float("nan"), 0)
    members: list[tuple[int | str, ...]] = [
        (i,) if groups is None else _members(groups[i]) for i in np.flatnonzero(good).tolist()
    ]
    x = x[good]
    known = {p: k for k, p in enumerate(sorted({p for m in members for p in m}, key=lambda p: (isinstance(p, str), p)))}
    if len(known) < 2:  # one picture says nothing of others
        return Interval(float(x.mean()), float("nan"), float("nan"), len(x))
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
    """Mean of each draw, where every view has one picture."""
    sums, views = np.bincount(places, x, pictures), np.bincount(places, minlength=pictures).astype(np.float64)
    counts = _counts(pictures, draws, seed)
    # A few draws at a time: as floats, all of them would not fit for a large set.
    parts = [counts[i : i + 50].astype(np.float64) for i in range(0, draws, 50)]
    return np.concatenate([(part @ sums) / (part @ views) for part in parts])


def _means_of_products(
    x: Floats, members: Sequence[tuple[int | str, ...]], known: Mapping[int | str, int], draws: int, seed: int
) -> Floats:
    """Mean of each draw, where a view weighs the product of its pictures' counts; draws without a view are left out."""
    # The last place stands for "no further picture" and always counts once.
    places = np.full((len(members), max(len(m) for m in members)), len(known))
    for i, m in enumerate(members):
        places[i, : len(m)] = [known[p] for p in m]
    weights = [np.append(row, 1).astype(np.int64)[places].prod(axis=1) for row in _counts(len(known), draws, seed)]
    return np.array([(x * w).sum() / w.sum() for w in weights if w.sum()])


def _members(group: int | str | Sequence[int]) -> tuple[int | str, ...]:
    return (group,) if isinstance(group, int | str | np.integer) else tuple(group)
