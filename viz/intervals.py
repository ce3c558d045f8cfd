"""Means with bootstrap intervals: pictures are drawn again, not the views made of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

DRAWS = 1000
LEVEL = 0.95


@dataclass(frozen=True)
class Interval:
    """A mean with its percentile bootstrap interval (95 %) over `n` values; NaN and 0 where there is none."""

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
    widest = max(len(m) for m in members)
    # The last place stands for "no further picture" and always counts once.
    places = np.full((len(members), widest), len(known))
    for i, m in enumerate(members):
        places[i, : len(m)] = [known[p] for p in m]
    rng = np.random.default_rng(seed)
    means = []
    share = np.full(len(known), 1 / len(known))
    for _ in range(draws):
        counts = np.append(rng.multinomial(len(known), share), 1)
        weight = counts[places].prod(axis=1)
        total = weight.sum()
        if total:
            means.append(float((x * weight).sum() / total))
    low, high = np.quantile(means, ((1 - LEVEL) / 2, (1 + LEVEL) / 2))
    return Interval(float(x.mean()), float(low), float(high), len(x))


def _members(group: int | str | Sequence[int]) -> tuple[int | str, ...]:
    return (group,) if isinstance(group, int | str | np.integer) else tuple(group)
