"""From rows to counts, streaming: nothing that is kept grows with the number of thresholds times pictures."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from viz.measures.intervals import ends
from viz.measures.jobs.kept import Row
from viz.measures.localization.packing import unpack_bits, unpack_counts, unpack_shares
from viz.measures.localization.protocol import DELTAS, pxap

VERSIONS = ("v1", "v2")
MIDDLE = DELTAS.index(50)
# Draws of PxAP's bootstrap: each holds a histogram of its own.
PXAP_DRAWS = 200
Key = tuple[int, str]


@dataclass
class Tally:
    """Counts of one model and source on one data set.

    `right` int64 (splits, folds, 2 versions, deltas, L); `n` (splits, folds) samples with boxes; `pixels` (2, bins) and
    `drawn` (draws, 2, bins) its bootstrap; `masks` samples with a mask.
    """

    right: NDArray[np.int64]
    n: NDArray[np.int64]
    pixels: NDArray[np.float64]
    drawn: NDArray[np.float64]
    masks: int = 0

    def add(
        self, entry: Mapping[str, Any], folds: NDArray[np.int64], weights: Callable[[], NDArray[np.float64]]
    ) -> None:
        """Count one entry: `folds` (splits,) of its picture; `weights` () gives its (draws,) bootstrap weights."""
        shape, splits = self.right.shape[3:], np.arange(len(folds))
        if "b1" in entry:
            self.n[splits, folds] += 1
            for version, name in enumerate(("b1", "b2")):
                self.right[splits, folds, version] += unpack_bits(entry[name], shape)
        if "px" in entry:
            self.masks += 1
            pixels = unpack_counts(entry["px"], (2, self.pixels.shape[1]))
            self.pixels += pixels
            self.drawn += weights()[:, None, None] * pixels


@dataclass(frozen=True)
class Shape:
    """Sizes that all tallies share: levels of a sweep by source, bins of a histogram, folds and splits into them."""

    levels: Callable[[str], int]
    bins: int
    folds: int
    splits: int = 1

    def empty(self, source: str) -> Tally:
        """A tally of nothing."""
        sizes = (self.splits, self.folds)
        right = np.zeros((*sizes, len(VERSIONS), len(DELTAS), self.levels(source)), np.int64)
        return Tally(right, np.zeros(sizes, np.int64), np.zeros((2, self.bins)), np.zeros((PXAP_DRAWS, 2, self.bins)))


def picture_weights(group: str) -> NDArray[np.float64]:
    """Poisson(1) weights (draws,) of a picture: a bootstrap that needs one picture at a time.

    Source: Hanley and MacGibbon 2006; Chamandy et al. 2012. The seed is the picture's name, so order plays no part.
    """
    return np.random.default_rng(crc32(group.encode("utf-8", "replace"))).poisson(1.0, PXAP_DRAWS).astype(np.float64)


def tally(
    rows: Iterable[Row], data: int, folds: NDArray[np.int64], groups: Sequence[str], shape: Shape
) -> dict[Key, Tally]:
    """Counts by (model, source) of one data set; `folds` (splits, samples).

    Floors belong to model 0 and are filed under model -1.
    """
    found: dict[Key, Tally] = {}
    for row, source, entry in entries(rows, data):
        key = key_of(row, source)
        if key not in found:
            found[key] = shape.empty(source)
        place = int(row["i"])
        found[key].add(entry, folds[:, place], lambda group=groups[place]: picture_weights(group))  # type: ignore[misc]
    return found


def key_of(row: Row, source: str) -> Key:
    """Where an entry is filed."""
    return (-1 if source.startswith("centre_") else int(row["m"]), source)


def entries(rows: Iterable[Row], data: int) -> Iterator[tuple[Row, str, Mapping[str, Any]]]:
    """Every entry of a data set with its row and source."""
    for row in rows:
        if row["d"] == data:
            for source, entry in row.get("s", {}).items():
                yield row, source, entry


@dataclass
class Outcomes:
    """What each sample gives at the thresholds that were chosen, in order of `place`; at most some bytes a sample.

    `right` (versions, deltas): share of the splits in which the sample is right, 0 to 1; `iou` of the first split;
    `hits` (splits,): samples that are right in each split (v1 at 50 %), NaN where a split chose no threshold.
    """

    place: list[int] = field(default_factory=list)
    rank: list[int] = field(default_factory=list)
    iou: list[float] = field(default_factory=list)
    right: list[NDArray[np.float64]] = field(default_factory=list)
    hits: NDArray[np.float64] | None = None


def outcomes(
    rows: Iterable[Row],
    folds: NDArray[np.int64],
    chosen: Mapping[Key, NDArray[np.int64]],
    step_of: Mapping[Key, int],
) -> dict[Key, Outcomes]:
    """The reported data set's samples at the chosen levels.

    Args:
        folds: (splits, samples). chosen: int64 (splits, versions, deltas, folds), the level of each; -1 in a split
            that cannot choose.
        step_of: 0-based step whose answer top-1 localization asks for.
    """
    found: dict[Key, Outcomes] = {key: Outcomes() for key in chosen}
    for row, source, entry in entries(rows, 0):
        key = key_of(row, source)
        if "b1" not in entry or key not in chosen:
            continue
        place = int(row["i"])
        levels = chosen[key][np.arange(len(folds)), :, :, folds[:, place]]
        ious = unpack_shares(entry["iou"])
        bits = np.stack([unpack_bits(entry[name], (len(DELTAS), len(ious))) for name in ("b1", "b2")])
        # (splits, versions, deltas)
        right = np.take_along_axis(bits[None], levels.clip(min=0)[..., None], axis=3)[..., 0].astype(np.float64)
        right[levels < 0] = np.nan
        out = found[key]
        out.place.append(place)
        out.iou.append(float(ious[levels[0, 0, MIDDLE]]))
        out.right.append(np.nanmean(right, axis=0))
        out.hits = right[:, 0, MIDDLE] + (0 if out.hits is None else out.hits)
        ranks = row.get("rank")
        out.rank.append(int(ranks[step_of[key]]) if ranks is not None else -1)
    for out in found.values():
        _sort(out)
    return found


def _sort(out: Outcomes) -> None:
    """By place: the order of the journal depends on who wrote it."""
    order = np.argsort(out.place, kind="stable").tolist()
    for values in (out.place, out.rank, out.iou, out.right):
        values[:] = [values[k] for k in order]  # type: ignore[index, assignment, operator]


def pxap_interval(found: Tally) -> dict[str, float | int | None] | None:
    """PxAP in percent with its bootstrap interval, or None without masks."""
    if not found.masks:
        return None
    value = pxap(found.pixels)
    drawn = np.array([pxap(h) for h in found.drawn])
    drawn = drawn[np.isfinite(drawn)]
    if not np.isfinite(value) or not len(drawn):
        return {"value": None, "low": None, "high": None, "n": found.masks}
    low, high = ends(drawn)
    return {"value": round(value, 2), "low": round(low, 2), "high": round(high, 2), "n": found.masks}
