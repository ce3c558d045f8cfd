"""Choice of thresholds: on another split, on the other folds, or (the reference's optimistic number) on the same
pictures.

A threshold is one number for a whole set of pictures, never one per picture: the best threshold of each picture
inflates the accuracy (clovaai/wsolevaluation issue 36 gives 85 % instead of 76 %).

Which pictures share a fold is chance, worth about a point on 250 pictures: cross-validated numbers are the mean over
many splits into folds.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Tuning = Literal["cross-validated", "split", "same"]
Counts = NDArray[np.int64]
# Splits into folds that a cross-validated number is averaged over.
SPLITS = 20


def folds_of(groups: Sequence[str], count: int, split: int = 0) -> NDArray[np.int64]:
    """The fold 0 .. count - 1 of each sample. Samples of one picture share a fold; folds have almost equal size.

    The order is that of the sha256 of the split's number and the group, so it depends on the pictures' names alone.
    """
    salt = f"{split}\n" if split else ""
    different = sorted(set(groups), key=lambda g: sha256(f"{salt}{g}".encode("utf-8", "replace")).digest())
    fold = {group: i % count for i, group in enumerate(different)}
    return np.array([fold[g] for g in groups], dtype=np.int64)


def best_level(counts: Counts) -> int:
    """The level with the most right pictures, from `counts` (L,); of a tie the middle one, which varies least."""
    best = np.flatnonzero(counts == counts.max())
    return int(best[len(best) // 2])


def levels_for(counts: Counts, tuning: Tuning, other: Counts | None = None) -> NDArray[np.int64]:
    """The level at which each fold is reported.

    Args:
        counts: (folds, L) right pictures of each fold at each level. other: (L,) of the tuning split, for ``split``.
    """
    folds = len(counts)
    if tuning == "split" and other is not None:
        return np.full(folds, best_level(other))
    total = counts.sum(axis=0)
    if tuning == "same" or folds == 1:
        return np.full(folds, best_level(total))
    return np.array([best_level(total - counts[f]) for f in range(folds)])
