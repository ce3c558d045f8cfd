"""Accumulators of the scores in an evaluation's rows: counts at every threshold, and samples at the chosen ones.

Rows come in any order, which does not change the result. Memory never grows with the number of thresholds times
pictures.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from viz.measures.intervals import Interval, ends
from viz.measures.jobs.rows import Row
from viz.measures.localization.options import Key
from viz.measures.localization.protocol import DELTAS, Thresholds, pxap
from viz.measures.localization.results import VERSIONS
from viz.measures.localization.scores import SIDES, unpack_bits, unpack_counts, unpack_shares

MIDDLE = DELTAS.index(50)
# Draws of PxAP's bootstrap: each has a histogram of its own.
PXAP_DRAWS = 200


def entries(row: Row, data: int) -> Iterator[tuple[Key, Mapping[str, Any]]]:
    """The scores of a row, if it belongs to that data set."""
    if row["d"] == data:
        for source, entry in row.get("s", {}).items():
            yield (-1 if source.startswith("centre_") else int(row["m"]), source), entry


def picture_weights(group: str) -> NDArray[np.float64]:
    """Poisson(1) weights (draws,) of a picture: a bootstrap that needs one picture at a time.

    Source: Hanley and MacGibbon 2006; Chamandy et al. 2012. The seed is the picture's name, so order does not matter.
    """
    return np.random.default_rng(crc32(group.encode("utf-8", "replace"))).poisson(1.0, PXAP_DRAWS).astype(np.float64)


@dataclass
class Tally:
    """Counts of one map of one model on one data set.

    `right` int64 (splits, folds, 2 versions, deltas, L); `n` (splits, folds) samples with boxes; `pixels` (2, bins) and
    `drawn` (draws, 2, bins) its bootstrap; `masks` samples with a mask.
    """

    right: NDArray[np.int64]
    n: NDArray[np.int64]
    pixels: NDArray[np.float64]
    drawn: NDArray[np.float64]
    masks: int = 0

    def add(self, entry: Mapping[str, Any], folds: NDArray[np.int64], group: str) -> None:
        """Count one entry; `folds` (splits,) are those of its picture `group`."""
        shape, splits = self.right.shape[3:], np.arange(len(folds))
        if "b1" in entry:
            self.n[splits, folds] += 1
            for version, name in enumerate(("b1", "b2")):
                self.right[splits, folds, version] += unpack_bits(entry[name], shape)
        if "px" in entry:
            self.masks += 1
            pixels = unpack_counts(entry["px"], (2, self.pixels.shape[1]))
            self.pixels += pixels
            self.drawn += picture_weights(group)[:, None, None] * pixels

    def pxap(self) -> Interval | None:
        """PxAP in percent with its bootstrap interval; None without masks."""
        if not self.masks:
            return None
        value = pxap(self.pixels)
        drawn = np.array([pxap(h) for h in self.drawn])
        drawn = drawn[np.isfinite(drawn)]
        if not np.isfinite(value) or not len(drawn):
            return Interval(math.nan, math.nan, math.nan, self.masks)
        low, high = ends(drawn)
        return Interval(value, low, high, self.masks).rounded(2)


@dataclass
class Tallies:
    """A `Tally` for each model and map.

    Attributes:
        data: number of the data set. folds: (splits, samples), numbered from 0. groups: pictures of the samples.
    """

    data: int
    folds: NDArray[np.int64]
    groups: Sequence[str]
    thresholds: Thresholds
    found: dict[Key, Tally] = field(default_factory=dict)

    def empty(self, source: str) -> Tally:
        """An empty tally."""
        sizes, bins = (len(self.folds), int(self.folds.max()) + 1), len(self.thresholds.values) + 2
        levels = len(SIDES) if source == "centre_box" else len(self.thresholds.levels)
        right = np.zeros((*sizes, len(VERSIONS), len(DELTAS), levels), np.int64)
        return Tally(right, np.zeros(sizes, np.int64), np.zeros((2, bins)), np.zeros((PXAP_DRAWS, 2, bins)))

    def update(self, row: Row) -> None:
        for key, entry in entries(row, self.data):
            if key not in self.found:
                self.found[key] = self.empty(key[1])
            place = int(row["i"])
            self.found[key].add(entry, self.folds[:, place], self.groups[place])


@dataclass
class Outcome:
    """The samples at the chosen thresholds; a few bytes per sample.

    `right` (N, versions, deltas): share of the splits in which the sample is right, 0 to 1; `iou` (N,) in the first
    split; both NaN where a sample has no box. `rank` (N,) of its class, -1 where it has none. `hits` (splits,): number
    of samples that are right in each split (v1 at 50 %), NaN where a split chose no threshold.
    """

    iou: NDArray[np.float64]
    right: NDArray[np.float64]
    rank: NDArray[np.int64]
    hits: NDArray[np.float64]

    @property
    def places(self) -> NDArray[np.int64]:
        """The samples with a box."""
        return np.flatnonzero(np.isfinite(self.iou))


class Outcomes:
    """The reported data set's samples at the chosen levels.

    Args:
        folds: (splits, samples). chosen: int64 (splits, versions, deltas, folds), the level of each; -1 in a split
            that cannot choose. step_of: 0-based step whose answer top-1 localization uses.
    """

    def __init__(
        self, folds: NDArray[np.int64], chosen: Mapping[Key, NDArray[np.int64]], step_of: Mapping[Key, int]
    ) -> None:
        self.folds, self.chosen, self.step_of = folds, chosen, step_of
        splits, n = folds.shape
        self.found = {
            key: Outcome(
                np.full(n, np.nan),
                np.full((n, len(VERSIONS), len(DELTAS)), np.nan),
                np.full(n, -1, np.int64),
                np.zeros(splits),
            )
            for key in chosen
        }

    def update(self, row: Row) -> None:
        for key, entry in entries(row, 0):
            if "b1" not in entry or key not in self.chosen:
                continue
            place, out = int(row["i"]), self.found[key]
            levels = self.chosen[key][np.arange(len(self.folds)), :, :, self.folds[:, place]]
            ious = unpack_shares(entry["iou"])
            bits = np.stack([unpack_bits(entry[name], (len(DELTAS), len(ious))) for name in ("b1", "b2")])
            # (splits, versions, deltas)
            right = np.take_along_axis(bits[None], levels.clip(min=0)[..., None], axis=3)[..., 0].astype(np.float64)
            right[levels < 0] = np.nan
            out.iou[place] = ious[levels[0, 0, MIDDLE]]
            out.right[place] = np.nanmean(right, axis=0)
            out.hits += right[:, 0, MIDDLE]
            if "rank" in row:
                out.rank[place] = row["rank"][self.step_of[key]]
