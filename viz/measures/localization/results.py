"""The result of an evaluation: the same bytes however many processes made them. Timing and host stand in the log.

Shares are in percent and rounded; None stands for a number that does not exist.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, TypeVar, get_args

from pydantic import Field

from viz.measures import codec
from viz.measures.codec import Record, to_bytes
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
class Value(Record):
    """A mean over `n` samples with its bootstrap interval; of one picture there is no interval."""

    value: float | None
    low: float | None
    high: float | None
    n: int


@dataclass(frozen=True)
class Data(Record):
    """The reported data set.

    Attributes:
        fingerprint: of its index. picture_bytes: digest of all pictures that were read.
        chosen_of: samples there were before some were chosen by a hash of their names; None: all are here.
        index_problems: how many of each kind. problems: id, kind, message; the first 100 of each kind.
        failed: id, reason; the first 100. boxes_cut: samples with a box beyond the picture's edge.
        empty_masks: masks without an object, not used. without_class: samples whose label is no class of the network.
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
    """Where thresholds come from, in `words` too; numbers are the mean over `splits` into `folds`. The last four are
    of the split for tuning; None stands where there is none."""

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
    """How maps were made and scored: number of `thresholds`, and of the different `levels` of a map among them."""

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
class Bootstrap(Record):
    """What the intervals are."""

    level: float
    draws: int
    pxap_draws: int
    words: str


@dataclass(frozen=True)
class StepTop(Record):
    """How often the network's best class, or one of its best five, is right at a step."""

    step: int
    top1: Value
    top5: Value


@dataclass(frozen=True)
class Network(Record):
    """A model; `union`, of several steps: right at any of them, without and with the filter of steps."""

    name: str
    sha256: str | None
    family: str | None
    steps: int
    classification: tuple[StepTop, ...]
    union: Annotated[dict[Literal["unfiltered", "filtered"], Top[Value]], Field(min_length=2)] | None


@dataclass(frozen=True)
class Most(Record):
    """The reference's numbers, at the threshold that is best on these very pictures: optimistic."""

    v1: PerDelta[float]
    v2: PerDelta[float]
    v2_mean: float


@dataclass(frozen=True)
class Reported(Record):
    """At thresholds from elsewhere, see `Tuned`."""

    v1: PerDelta[Value]
    v2: PerDelta[Value]
    v2_mean: Value


@dataclass(frozen=True)
class Curve(Record):
    """Percent right at each of the `thresholds`."""

    thresholds: tuple[float, ...]
    v1: PerDelta[tuple[float, ...]]
    v2: PerDelta[tuple[float, ...]]


@dataclass(frozen=True)
class Boxes(Record):
    """What the boxes of a map are worth.

    Attributes:
        thresholds: one a fold, of the first split: shares of a map's largest value; of the centred box, its sides.
        gt_known: v1 at 50 %. gt_known_splits: its lowest and highest value of single splits into folds.
        top1_loc, top5_loc: GT-known and the class is right; None for baselines.
        difference: GT-known minus that of the first model's first class map on the same pictures, in points.
    """

    max: Most
    reported: Reported
    thresholds: Annotated[dict[Version, PerDelta[tuple[float, ...]]], Field(min_length=2)]
    gt_known: Value
    gt_known_splits: Annotated[dict[Literal["low", "high"], float], Field(min_length=2)] | None
    top1_loc: Value | None
    top5_loc: Value | None
    curve: Curve
    difference: Value | None


@dataclass(frozen=True)
class Case(Record):
    """A sample and its IoU of v1 at 50 %, in steps of 1/255."""

    id: str
    index: int
    iou: float


@dataclass(frozen=True)
class Row(Record):
    """One map of one model; baselines have neither model nor step. `n` samples have boxes, `n_masks` masks."""

    model: str | None
    source: str
    step: int | None
    kind: str
    title: str
    n: int
    n_masks: int
    boxes: Boxes | None
    pxap: Value | None
    cases: Annotated[dict[Literal["best", "worst"], tuple[Case, ...]], Field(min_length=2)]

    @property
    def counted(self) -> int:
        """Samples behind the row: those with boxes, or with masks where none has a box."""
        return self.n or self.n_masks

    def value(self, key: str) -> Value | None:
        """A number by its name: ``v1_30``, ``v2_mean``, ``gt_known``, ``pxap``, ...; None where there is none."""
        if key == "pxap" or self.boxes is None:
            found = self.pxap if key == "pxap" else None
        elif key == "v2_mean":
            found = self.boxes.reported.v2_mean
        elif key[:3] in ("v1_", "v2_"):
            found = getattr(self.boxes.reported, key[:2])[key[3:]]
        else:
            found = getattr(self.boxes, key)
        return None if found is None or found.value is None else found


@dataclass(frozen=True)
class Lost(Record):
    """How many samples had a map that is not finite; without `source`, an answer."""

    model: str
    source: str | None
    samples: int


@dataclass(frozen=True)
class Result(Record):
    """An evaluation; of its `rows` the baselines come first. `notes`: what a reader must know."""

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
