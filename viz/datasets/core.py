"""What a data set for localization is: samples with ground truth, and everything in its index that cannot be used.

Sizes are (height, width). Boxes are (x0, y0, x1, y1) in pixels of the picture as stored, zero-based where the source's
convention is known; `Dataset.far_edge` says whether x1, y1 lie just outside the object or are its last pixel.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
from PIL import Image

from viz.datasets.mask_files import UnclearMaskError
from viz.datasets.masks import FileMask, MaskSource, RegionMask, has_object
from viz.errors import VizError
from viz.picture import Picture, open_picture

Box = tuple[float, float, float, float]
FarEdge = Literal["exclusive", "inclusive"]
MOST_PROBLEMS = 100
# Kind of problem of a sample that was left out by name.
LEFT_OUT = "left out"


class DatasetError(VizError):
    """A data set, or the ground truth of one sample, that cannot be read."""


@dataclass(frozen=True)
class Sample:
    """One question to a map: where is an object of this class in this picture?

    Attributes:
        index: position in the data set's fixed order.
        id: stable and unique: the picture's relative path, followed by ``#label`` where a picture has several classes
            (and by ``#class_index`` where one label has several).
        path: of the picture. It may be missing or damaged: that shows when it is opened, and is counted then.
        size: (height, width) as the index gives it; None where only the picture knows.
        label: the data set's own name of the class; empty where it has none.
        class_index: 0..999 among the ImageNet classes; None where the label is not among them.
        boxes: of every object of the class. mask: where its pixels are, see `viz.datasets.masks`.
        group: the picture: samples of one group are not independent, a bootstrap draws groups.
        root: the data set's folder; what its index names lies below it (a link on the disk may lead on from there).
    """

    index: int
    id: str
    path: Path
    size: tuple[int, int] | None
    label: str
    class_index: int | None
    boxes: tuple[Box, ...]
    mask: MaskSource | None
    group: str
    root: Path


@dataclass(frozen=True)
class Problem:
    """Something in the index that was left out or changed.

    Attributes:
        id: sample, picture or line. kind: short name to count by (e.g. ``box clipped``). message: one sentence.
    """

    id: str
    kind: str
    message: str


@dataclass
class Problems:
    """Problems while they are gathered: all are counted, the first `MOST_PROBLEMS` of a kind kept.

    An index of a million pictures may have a million of them.

    Attributes:
        kept: in the order in which they were found. counts: of each kind, exact.
    """

    kept: list[Problem] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)

    def add(self, identity: str, kind: str, message: str) -> None:
        """Count a problem; keep it while there are few of its kind."""
        self.counts[kind] += 1
        if self.counts[kind] <= MOST_PROBLEMS:
            self.kept.append(Problem(identity, kind, message))


@dataclass(frozen=True)
class DatasetClass:
    """A label of the data set, its readable name and its ImageNet index; None where it has none, or several."""

    label: str
    name: str
    class_index: int | None


@dataclass(frozen=True)
class Dataset:
    """An opened index. Pictures and masks are read one at a time, when asked for, and never kept.

    Attributes:
        name: of the data set, usually its folder. layout: how it was read. split: None for all there is.
        splits: those that could be asked for. root: its folder.
        samples: in a fixed order, that of the data set's own list (of file names, sorted, where it has none).
        problems: what cannot be used or was changed; of each kind at most the first `MOST_PROBLEMS`.
        classes: in the order of their labels' first appearance.
        far_edge: what x1 and y1 of the boxes mean.
        problem_counts: (kind, exact number) of all problems, kept or not. Nothing is left out that is not counted here.
        whole: how many samples there were before some were chosen; None where all are here.
    """

    name: str
    layout: str
    split: str | None
    splits: tuple[str, ...]
    root: Path
    samples: tuple[Sample, ...]
    problems: tuple[Problem, ...]
    classes: tuple[DatasetClass, ...]
    far_edge: FarEdge
    problem_counts: tuple[tuple[str, int], ...]
    whole: int | None = None

    def __len__(self) -> int:
        return len(self.samples)

    def __iter__(self) -> Iterator[Sample]:
        return iter(self.samples)

    def __getitem__(self, index: int) -> Sample:
        return self.samples[index]

    @cached_property
    def fingerprint(self) -> str:
        """sha256 over ids, labels, classes, boxes, sizes and masks' places: the same index gives the same value."""
        digest = hashlib.sha256(f"{self.layout}\n{self.far_edge}\n".encode())
        for s in self.samples:
            digest.update(json.dumps(annotation(s)).encode() + b"\n")
        return digest.hexdigest()

    @property
    def counts(self) -> dict[str, int]:
        """Exact number of problems of each kind."""
        return dict(sorted(self.problem_counts))

    @property
    def pictures(self) -> int:
        """Number of different pictures."""
        return len({s.group for s in self.samples})

    def with_boxes(self) -> Dataset:
        """The samples that have a box; the others become problems. Samples keep their index."""
        return self._only([bool(s.boxes) for s in self.samples], "no box", "has no box")

    def with_masks(self) -> Dataset:
        """The samples that have a mask; the others become problems. Samples keep their index."""
        return self._only([s.mask is not None for s in self.samples], "no mask", "has no mask")

    def with_classes(self) -> Dataset:
        """The samples whose label is an ImageNet class; the others become problems. Samples keep their index."""
        keep = [s.class_index is not None for s in self.samples]
        return self._only(keep, "not an ImageNet class", "has a label that is not an ImageNet class")

    def without(self, names: Sequence[str]) -> Dataset:
        """The data set without the samples of these ids or pictures; they become problems. Samples keep their index.

        Raises:
            DatasetError: a name that no sample has.
        """
        known = {name for s in self.samples for name in (s.id, s.group)}
        unknown = [name for name in names if name not in known]
        if unknown:
            raise DatasetError(
                f"The data set {self.name} has no sample {unknown[0]!r} to leave out; give its path in the data set."
            )
        keep = [s.id not in names and s.group not in names for s in self.samples]
        return self._only(keep, LEFT_OUT, "was left out on request")

    def _only(self, keep: Sequence[bool], kind: str, why: str) -> Dataset:
        problems = Problems(list(self.problems), Counter(dict(self.problem_counts)))
        for sample, kept in zip(self.samples, keep, strict=True):
            if not kept:
                problems.add(sample.id, kind, f"{sample.id} {why}.")
        left = tuple(s for s, k in zip(self.samples, keep, strict=True) if k)
        return replace(self, samples=left, problems=tuple(problems.kept), problem_counts=tuple(problems.counts.items()))


def annotation(sample: Sample) -> list[Any]:
    """What the index says of a sample, as plain values: id, label, class, size, boxes, and where its mask comes from.

    What a mask's files hold is not part of it.
    """
    mask = None if sample.mask is None else sample.mask.key(sample.root)
    return [sample.id, sample.label, sample.class_index, sample.size, sample.boxes, mask]


def open_sample(sample: Sample) -> Picture:
    """The sample's picture, in the pixels that its boxes and masks are given in: as the file stores them.

    An orientation tag (EXIF, TIFF or XMP) turns a picture for a person, but not the boxes of a data set; the
    reference's own reader does not turn it either. Only where the index gives the turned size, and the stored one is
    another, the picture is turned. In everything else its pixels are those of `open_picture`.

    Raises:
        PictureError: missing, damaged or too large.
        DatasetError: the picture's size is not that of the index.
    """
    picture = open_picture(sample.path, upright=False)
    if sample.size is None or picture.size == sample.size:
        notes = tuple(f"{n}, as its boxes are not" if n.startswith("not turned") else n for n in picture.notes)
        return replace(picture, notes=notes)
    if picture.size == sample.size[::-1]:
        turned = open_picture(sample.path)
        if turned.size == sample.size:
            return turned
    raise DatasetError(
        f"The picture of {sample.id} is {_size(picture.size)} but the index says {_size(sample.size)}; its boxes do"
        " not belong to it."
    )


def load_mask(sample: Sample) -> np.ndarray[tuple[int, int], np.dtype[np.uint8]]:
    """The sample's ground truth as uint8 (h, w): 1 object, 0 background, 255 ignored.

    It may hold no object at all, see `has_object`.

    Raises:
        DatasetError: the sample has no mask, or its file is missing, damaged, of another size than the picture, or has
            values without one meaning.
    """
    if sample.mask is None:
        raise DatasetError(f"{sample.id} has no mask.")
    try:
        mask = sample.mask.load()
    except UnclearMaskError as error:
        inside = error.path.is_relative_to(sample.root)
        name = error.path.relative_to(sample.root).as_posix() if inside else error.path.name
        raise DatasetError(f"The mask of {sample.id} is unclear: {name} {error.why}.") from None
    except (ValueError, OSError, SyntaxError, MemoryError, Image.DecompressionBombError) as error:
        reason = (
            "does not exist" if isinstance(error, FileNotFoundError) else f"cannot be read ({type(error).__name__})"
        )
        raise DatasetError(f"The mask of {sample.id} {reason}.") from None
    if sample.size is not None and mask.shape != sample.size:
        raise DatasetError(f"The mask of {sample.id} is {_size(mask.shape)} but its picture is {_size(sample.size)}.")
    return mask


def _size(size: Sequence[int]) -> str:
    return f"{size[1]} x {size[0]}"


__all__ = [
    "LEFT_OUT",
    "MOST_PROBLEMS",
    "Box",
    "Dataset",
    "DatasetClass",
    "DatasetError",
    "FarEdge",
    "FileMask",
    "MaskSource",
    "Problem",
    "Problems",
    "RegionMask",
    "Sample",
    "annotation",
    "has_object",
    "load_mask",
    "open_sample",
]
