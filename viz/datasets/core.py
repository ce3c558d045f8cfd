"""A data set for localization: samples with ground truth, and the problems found in its index.

Sizes are (height, width). Boxes are (x0, y0, x1, y1) in pixels of the stored picture, zero-based where the source's
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
from viz.datasets.masks import MaskSource
from viz.errors import VizError
from viz.picture import Picture, open_picture

Box = tuple[float, float, float, float]
FarEdge = Literal["exclusive", "inclusive"]
MOST_PROBLEMS = 100
# Kind of problem of a sample that was excluded by name.
LEFT_OUT = "left out"


class DatasetError(VizError):
    """A data set, or the ground truth of one sample, that cannot be read."""


def shown(text: str) -> str:
    """A name or value in printable characters, at most 80, for use in a one-line message."""
    flat = "".join(c if c.isprintable() else "?" for c in text)
    return flat if len(flat) <= 80 else f"{flat[:60]}...{flat[-15:]}"


@dataclass(frozen=True)
class Sample:
    """One localization task: the objects of one class in one picture.

    Attributes:
        index: position in the data set's fixed order.
        id: stable and unique: the picture's relative path, followed by ``#label`` where a picture has several classes
            (and by ``#class_index`` where one label has several).
        path: of the picture. It may be missing or damaged, which is counted when it is opened.
        size: (height, width) as the index gives it; None where it gives none.
        label: the data set's own class name; empty where there is none.
        class_index: 0..999 among the ImageNet classes; None for any other label.
        boxes: of all objects of the class. mask: where its pixels are read from, see `viz.datasets.masks`.
        group: the picture: samples of one group are not independent, so a bootstrap draws groups.
        root: the data set's folder, which contains every path in the index (links may lead elsewhere).
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
    """An entry of the index that was skipped or changed.

    Attributes:
        id: sample, picture or line. kind: short name to count by (e.g. ``box clipped``). message: one sentence.
    """

    id: str
    kind: str
    message: str


@dataclass
class Problems:
    """The problems found so far. All are counted, but only the first `MOST_PROBLEMS` of each kind are kept.

    Attributes:
        kept: in the order in which they were found. counts: exact, by kind.
    """

    kept: list[Problem] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)

    def add(self, identity: str, kind: str, what: str) -> None:
        """Count a problem of the entry `identity`; the message is ``IDENTITY: WHAT.``"""
        self.counts[kind] += 1
        if self.counts[kind] <= MOST_PROBLEMS:
            self.kept.append(Problem(identity, kind, f"{identity}: {what.removesuffix('.')}."))


@dataclass(frozen=True)
class DatasetClass:
    """A label of the data set, its readable name and its ImageNet index; None where it has none, or several."""

    label: str
    name: str
    class_index: int | None


@dataclass(frozen=True)
class Dataset:
    """An index that was read. Pictures and masks are opened one at a time, on request, and never kept.

    Attributes:
        name: of the data set, usually its folder's. layout: how it was read. split: None for the whole data set.
        splits: all splits. root: its folder.
        samples: in the order of the data set's own list (sorted by file name where it has none).
        problems: entries that were skipped or changed, at most `MOST_PROBLEMS` of each kind.
        classes: in the order of their labels' first appearance.
        far_edge: meaning of x1 and y1 of the boxes.
        problem_counts: (kind, exact number) of all problems. Nothing is skipped without being counted here.
        whole: number of samples before a subset was taken; None for all of them.
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
        """sha256 over ids, labels, classes, boxes, sizes and mask locations: equal for equal indexes."""
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
        return self._only([bool(s.boxes) for s in self.samples], "no box", "no bounding box")

    def with_masks(self) -> Dataset:
        """The samples that have a mask; the others become problems. Samples keep their index."""
        return self._only([s.mask is not None for s in self.samples], "no mask", "no mask")

    def with_classes(self) -> Dataset:
        """The samples whose label is an ImageNet class; the others become problems. Samples keep their index."""
        keep = [s.class_index is not None for s in self.samples]
        return self._only(keep, "not an ImageNet class", "the label is not an ImageNet class")

    def without(self, names: Sequence[str]) -> Dataset:
        """The data set without the samples of these ids or pictures; they become problems. Samples keep their index.

        Raises:
            DatasetError: a name that no sample has.
        """
        known = {name for s in self.samples for name in (s.id, s.group)}
        unknown = [name for name in names if name not in known]
        if unknown:
            raise DatasetError(
                f"Unknown sample {unknown[0]!r} to leave out of the data set {self.name}. Give its relative path."
            )
        keep = [s.id not in names and s.group not in names for s in self.samples]
        return self._only(keep, LEFT_OUT, "left out on request")

    def _only(self, keep: Sequence[bool], kind: str, why: str) -> Dataset:
        problems = Problems(list(self.problems), Counter(dict(self.problem_counts)))
        kept = []
        for sample, wanted in zip(self.samples, keep, strict=True):
            if wanted:
                kept.append(sample)
            else:
                problems.add(sample.id, kind, why)
        counts = tuple(problems.counts.items())
        return replace(self, samples=tuple(kept), problems=tuple(problems.kept), problem_counts=counts)


def annotation(sample: Sample) -> list[Any]:
    """The index entry of a sample as plain values: id, label, class, size, boxes, and where its mask is read from.

    The contents of mask files are not part of it.
    """
    mask = None if sample.mask is None else sample.mask.key(sample.root)
    return [sample.id, sample.label, sample.class_index, sample.size, sample.boxes, mask]


def open_sample(sample: Sample) -> Picture:
    """The sample's picture as its file stores it, so that its boxes and masks fit.

    Orientation tags (EXIF, TIFF or XMP) do not apply to a data set's boxes, and the reference's own reader ignores
    them, too. The picture is turned only where the index gives the turned size and the stored size differs. Everything
    else is decoded as by `open_picture`.

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
        " not fit it."
    )


def load_mask(sample: Sample) -> np.ndarray[tuple[int, int], np.dtype[np.uint8]]:
    """The sample's ground truth as uint8 (h, w): 1 object, 0 background, 255 ignored.

    It may contain no object at all, see `has_object`.

    Raises:
        DatasetError: no mask, or its file is missing, damaged, ambiguous, or of another size than the picture.
    """
    if sample.mask is None:
        raise DatasetError(f"{sample.id} has no mask.")
    try:
        mask = sample.mask.load()
    except UnclearMaskError as error:
        inside = error.path.is_relative_to(sample.root)
        name = error.path.relative_to(sample.root).as_posix() if inside else error.path.name
        raise DatasetError(f"The mask of {sample.id} is ambiguous: {name} {error.why}.") from None
    except FileNotFoundError:
        raise DatasetError(f"The mask of {sample.id} does not exist.") from None
    except (ValueError, OSError, SyntaxError, MemoryError, Image.DecompressionBombError) as error:
        raise DatasetError(f"The mask of {sample.id} cannot be read ({type(error).__name__}).") from None
    if sample.size is not None and mask.shape != sample.size:
        raise DatasetError(f"The mask of {sample.id} is {_size(mask.shape)} but its picture is {_size(sample.size)}.")
    return mask


def _size(size: Sequence[int]) -> str:
    return f"{size[1]} x {size[0]}"
