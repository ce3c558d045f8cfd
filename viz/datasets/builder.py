"""What all layouts share: paths and boxes are checked, problems counted, and samples numbered."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from viz.datasets.boxes import BoxReader, whole
from viz.datasets.core import Box, Dataset, DatasetError, FarEdge, Problems, Sample, shown
from viz.datasets.labels import Labels
from viz.datasets.mask_files import IGNORED, MAX_PIXELS, UnclearMaskError, read_values
from viz.datasets.masks import FileMask, MaskSource
from viz.datasets.paths import Inside, Listing

Size = tuple[int, int]
_IGNORED_NAMES = frozenset({"void", "ignore", "ignored", "unlabelled", "unlabeled", "unknown"})


class Builder:
    """Collects the samples and problems of a data set while its index is read.

    Attributes:
        root: the data set's folder, with links resolved. inside: checks paths. listing: the pictures in its folders.
    """

    def __init__(self, folder: Path, far_edge: FarEdge = "exclusive") -> None:
        self.inside = Inside(folder)
        self.root = self.inside.root
        self.listing = Listing()
        self._problems = Problems()
        self._boxes = BoxReader(self._problems, far_edge)
        self._labels = Labels(self._problems)
        self._samples: dict[tuple[str, str, int | None], Sample] = {}

    @property
    def empty(self) -> bool:
        """Whether there is no sample yet."""
        return not self._samples

    def problem(self, identity: str, kind: str, what: str) -> None:
        """Report an entry that is skipped or changed; the message is ``IDENTITY: WHAT.``"""
        self._problems.add(shown(identity), kind, what)

    def path(self, identity: str, relative: str, base: Path | None = None, bound: Path | None = None) -> Path | None:
        """The file of a relative path, or None and a problem if `Inside` refuses the path."""
        try:
            return self.inside(relative, base, bound)
        except DatasetError as error:
            self.problem(identity, "path refused", str(error))
            return None

    def picture(self, identity: str, relative: str, base: Path | None = None, bound: Path | None = None) -> Path | None:
        """As `path`. A missing file is replaced, with a problem, by the only one whose name differs in case or in the
        spelling of its extension (jpg, jpeg)."""
        path = self.path(identity, relative, base, bound)
        if path is None or path.exists():
            return path
        near = self.listing.near(path)
        if len(near) != 1:
            return path
        self.problem(identity, "name differs", f"{shown(relative)} is missing; using {shown(near[0].name)} instead")
        return near[0]

    def skip_folder(self, folder: Path, why: str) -> None:
        """Report a folder that is not searched."""
        self.problem(self.relative(folder), "folder left out", f"the folder {why}; skipped")

    def relative(self, path: Path) -> str:
        """A path below the root, with slashes."""
        return path.relative_to(self.root).as_posix()

    def size(self, identity: str, width: Any, height: Any) -> Size | None:
        """(height, width), or None: not given (no problem), or not a valid size (a problem)."""
        if width in (None, "", 0, "0") and height in (None, "", 0, "0"):
            return None
        try:
            w, h = whole(width), whole(height)
        except ValueError:
            w = h = 0
        if w < 1 or h < 1 or w * h > MAX_PIXELS:
            self.problem(identity, "size refused", "invalid picture size; ignored")
            return None
        return (h, w)

    def boxes(self, identity: str, raw: Iterable[Sequence[Any] | None], size: Size | None) -> tuple[Box, ...]:
        """The usable boxes, clipped to the picture where its size is known; the others become problems."""
        found = (self._boxes.read(shown(identity), values, size) for values in raw)
        return tuple(box for box in found if box is not None)

    def add(
        self,
        path: Path,
        label: str,
        *,
        size: Size | None = None,
        boxes: tuple[Box, ...] = (),
        mask: MaskSource | None = None,
        class_index: int | None = None,
        name: str = "",
        superclass: str = "",
    ) -> None:
        """Add one (picture, class); a duplicate is skipped and reported.

        Args:
            class_index: as given by the index for this sample; it overrides the label.
            name: readable name of the label. superclass: the data set's own, of the label.
        """
        group = self.relative(path)
        key = (group, label, class_index)
        if key in self._samples:
            self.problem(group, "listed twice", "listed twice with the same class; the first entry is used")
            return
        self._labels.see(label, name, class_index, superclass)
        # `build` fills in the index and the id, which depend on the other samples.
        self._samples[key] = Sample(-1, "", path, size, label, class_index, boxes, mask, group, self.root)

    def add_classes(self, picture: Path, mask: Path, names: Sequence[str], size: Size | None) -> None:
        """Add a sample for each class in a mask of class numbers; `names` begins with that of number 0."""
        name = self.relative(picture)
        try:
            values = read_values(mask)
        except UnclearMaskError as error:
            self.problem(name, "mask unreadable", f"mask skipped: it {error.why}")
            return
        except (ValueError, OSError, SyntaxError, MemoryError, Image.DecompressionBombError):
            self.problem(name, "mask unreadable", "mask skipped: it is missing or cannot be read")
            return
        ignored = [i for i, text in enumerate(names) if text.casefold() in _IGNORED_NAMES]
        if len(names) <= IGNORED:
            ignored.append(IGNORED)
        present = np.unique(values).tolist()
        if IGNORED in ignored and IGNORED in present and not set(present) - {0, IGNORED}:
            what = "mask skipped: it has only 0 and 255, and 255 may be void or object. Save it with class numbers"
            self.problem(name, "mask unreadable", what)
            return
        unknown = [v for v in present if v >= len(names) and v not in ignored]
        if unknown:
            what = f"its mask has the values {shown(str(unknown))}, which are not in the list of classes; ignored"
            self.problem(name, "class unknown", what)
        ignored += unknown
        height, width = values.shape
        for value in present:
            if value not in ignored:
                source = FileMask((mask,), (value,), tuple(ignored))
                self.add(picture, names[value], size=size or (height, width), mask=source)

    def build(self, layout: str, split: str | None, splits: Sequence[str], *, name: str = "") -> Dataset:
        """The finished data set.

        Raises:
            DatasetError: it has no sample, or only boxes in fractions of the picture's size.
        """
        problems, found = self._problems, self._samples.values()
        if not found:
            first = f" First problem: {problems.kept[0].message}" if problems.kept else ""
            raise DatasetError(f"This data set has no usable picture (layout {layout}).{first}")
        name = name or self.root.name
        self._boxes.finish(name, has_masks=any(s.mask for s in found))
        classes = self._labels.finish()
        per_group = Counter(s.group for s in found)
        per_label = Counter((s.group, s.label) for s in found)
        samples = []
        for index, sample in enumerate(found):
            identity = sample.group
            if per_group[sample.group] > 1:
                identity += f"#{sample.label}"
            if per_label[sample.group, sample.label] > 1:
                identity += f"#{sample.class_index}"
            class_index = self._labels.index_of(sample.label) if sample.class_index is None else sample.class_index
            samples.append(replace(sample, index=index, id=identity, class_index=class_index))
        kept, counts = tuple(problems.kept), tuple(problems.counts.items())
        far_edge = self._boxes.far_edge
        return Dataset(name, layout, split, tuple(splits), self.root, tuple(samples), kept, classes, far_edge, counts)


def choose_split(split: str | None, splits: Sequence[str], *, needed: bool = False) -> str | None:
    """The requested split, or the only one, or None for the whole data set.

    Args:
        needed: the layout has no way to read all splits at once.

    Raises:
        DatasetError: an unknown split, or none given where one is needed.
    """
    listed = ", ".join(splits) if splits else "none"
    if split is not None and split not in splits:
        raise DatasetError(f"Unknown split {shown(split)!r}. This data set has: {listed}.")
    if split is None and needed:
        if len(splits) == 1:
            return splits[0]
        raise DatasetError(f"Specify a split. This data set has: {listed}.")
    return split
