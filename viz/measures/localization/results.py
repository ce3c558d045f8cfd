"""The result of an evaluation: the same bytes however many processes made it. Timing and host are in the log.

Shares are in percent and rounded; a missing number is null in the file.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, TypeVar, get_args

from pydantic import Field

from viz.measures import codec
from viz.measures.codec import Record, to_bytes
from viz.measures.intervals import Bootstrap, Interval
from viz.measures.localization.tuning import Tuning

__all__ = ["Result", "from_bytes", "to_bytes"]

T = TypeVar("T")
# v1 takes the box of the largest contour, v2 the boxes of all contours.
Version = Literal["v1", "v2"]
VERSIONS: tuple[Version, ...] = get_args(Version)
# IoU bounds in percent.
Delta = Literal["30", "50", "70"]
NAMES: tuple[Delta, ...] = get_args(Delta)
PerDelta = Annotated[dict[Delta, T], Field(min_length=3)]
Top = Annotated[dict[Literal["top1", "top5"], T], Field(min_length=2)]


@dataclass(frozen=True)
class Data(Record):
    """The reported data set.

    Attributes:
        fingerprint: of its index. picture_bytes: digest of all pictures that were read.
        chosen_of: number of samples before a subset was chosen by a hash of their names; None for the whole set.
        index_problems: count of each kind. problems: id, kind, message; the first 100 of each kind.
        failed: id, reason; the first 100. boxes_cut: samples with a box beyond the edge of the picture.
        empty_masks: masks without an object, which are ignored.
        without_class: samples whose label is not a class of the network.
    """

    name: str
    layout: str
    split: str | None
    fingerprint: str
    samples: int
    chosen_of: int | None
    pictures: int
    far_edge: str
    picture_bytes: str
    index_problems: dict[str, int]
    problems: tuple[Annotated[dict[Literal["id", "kind", "message"], str], Field(min_length=3)], ...]
    failed_count: int
    failed: tuple[Annotated[dict[Literal["id", "reason"], str], Field(min_length=2)], ...]
    boxes_cut: int
    empty_masks: int
    without_class: int
    without_boxes: int
    with_masks: int


@dataclass(frozen=True)
class Tuned(Record):
    """How thresholds were chosen. `folds` and `splits` (random splits into folds) belong to cross-validation, the last
    four fields to a split for tuning; they are None otherwise."""

    mode: Tuning
    words: str
    folds: int | None
    splits: int | None
    split: str | None
    fingerprint: str | None
    samples: int | None
    failed_count: int | None


@dataclass(frozen=True)
class Protocol(Record):
    """How maps were made and scored. `levels` counts the distinct masks of the `thresholds`."""

    size: int
    geometry: str
    interval: float
    thresholds: int
    levels: int
    deltas: tuple[int, ...]
    classes: Literal["label", "predicted"]
    precision: str
    mixed_precision: str | None
    batch: int
    threads: int
    device: str
    attribution: dict[str, Any]
    words: tuple[str, ...]


@dataclass(frozen=True)
class StepTop(Record):
    """Top-1 and top-5 accuracy at a step."""

    step: int
    top1: Interval
    top5: Interval


@dataclass(frozen=True)
class Network(Record):
    """A model. `union` counts a sample as right if any step is right, with and without the step filter; None for models
    of one step."""

    name: str
    sha256: str | None
    family: str | None
    steps: int
    classification: tuple[StepTop, ...]
    union: Annotated[dict[Literal["unfiltered", "filtered"], Top[Interval]], Field(min_length=2)] | None


@dataclass(frozen=True)
class Most(Record):
    """The reference's numbers, at the best threshold for these very pictures: optimistic."""

    v1: PerDelta[float]
    v2: PerDelta[float]
    v2_mean: float


@dataclass(frozen=True)
class Reported(Record):
    """Numbers at the thresholds of `Tuned`."""

    v1: PerDelta[Interval]
    v2: PerDelta[Interval]
    v2_mean: Interval


@dataclass(frozen=True)
class Curve(Record):
    """Box accuracy in percent at each of the `thresholds`."""

    thresholds: tuple[float, ...]
    v1: PerDelta[tuple[float, ...]]
    v2: PerDelta[tuple[float, ...]]


@dataclass(frozen=True)
class Boxes(Record):
    """Box accuracy of a map.

    Attributes:
        thresholds: one per fold of the first split, as shares of a map's largest value; sides of the centred box.
        gt_known: v1 at 50 %. gt_known_splits: its lowest and highest value over the splits into folds.
        top1_loc, top5_loc: GT-known and the class is right; None for baselines.
        difference: GT-known minus that of the first model's first class map on the same pictures, in points.
    """

    max: Most
    reported: Reported
    thresholds: Annotated[dict[Version, PerDelta[tuple[float, ...]]], Field(min_length=2)]
    gt_known: Interval
    gt_known_splits: Annotated[dict[Literal["low", "high"], float], Field(min_length=2)] | None
    top1_loc: Interval | None
    top5_loc: Interval | None
    curve: Curve
    difference: Interval | None


@dataclass(frozen=True)
class Case(Record):
    """A sample and its IoU (v1 at 50 %), in steps of 1/255."""

    id: str
    index: int
    iou: float


@dataclass(frozen=True)
class Row(Record):
    """One map of one model; baselines have no model and no step. `n` samples have boxes, `n_masks` masks."""

    model: str | None
    source: str
    step: int | None
    kind: str
    title: str
    n: int
    n_masks: int
    boxes: Boxes | None
    pxap: Interval | None
    cases: Annotated[dict[Literal["best", "worst"], tuple[Case, ...]], Field(min_length=2)]

    @property
    def counted(self) -> int:
        """Number of samples with boxes, or with masks where none has a box."""
        return self.n or self.n_masks

    def value(self, key: str) -> Interval | None:
        """A number by its name (``v1_30``, ``v2_mean``, ``gt_known``, ``pxap``, ...); None where it is missing."""
        found: Interval | None = None
        if key == "pxap":
            found = self.pxap
        elif self.boxes is not None and key[:3] in ("v1_", "v2_"):
            reported = self.boxes.reported
            found = reported.v2_mean if key == "v2_mean" else getattr(reported, key[:2])[key[3:]]
        elif self.boxes is not None:
            found = getattr(self.boxes, key)
        return found if found and math.isfinite(found.value) else None


@dataclass(frozen=True)
class Lost(Record):
    """Number of samples with a non-finite map, or a non-finite answer where `source` is None."""

    model: str
    source: str | None
    samples: int


@dataclass(frozen=True)
class Result(Record):
    """An evaluation. Of its `rows` the baselines come first; `notes` qualify the numbers."""

    kind: Literal["evaluation"]
    versions: dict[str, str]
    data: Data
    tuning: Tuned
    protocol: Protocol
    bootstrap: Bootstrap
    models: tuple[Network, ...]
    rows: tuple[Row, ...]
    not_finite: tuple[Lost, ...] = field(default=(), kw_only=True)
    notes: tuple[str, ...]
    version: Literal[1] = field(default=1, kw_only=True)


def from_bytes(data: bytes) -> Result:
    """The inverse of `to_bytes`.

    Raises:
        VizError: not the result of an evaluation.
    """
    return codec.from_bytes(Result, data, "the result of an evaluation")
