"""What every layout needs while it reads an index: paths checked, boxes cleaned, problems counted, samples numbered."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from viz.datasets.core import Box, Dataset, DatasetClass, DatasetError, FarEdge, MaskSource, Problems, Sample
from viz.datasets.files import Inside, inside, shown
from viz.datasets.labels import WNID, class_of
from viz.datasets.mask_files import MAX_PIXELS


@dataclass(frozen=True)
class _Row:
    group: str
    path: Path
    size: tuple[int, int] | None
    label: str
    class_index: int | None
    boxes: tuple[Box, ...]
    mask: MaskSource | None


@dataclass
class Builder:
    """A data set in the making.

    Attributes:
        root: the data set's folder. far_edge: of its boxes.
        inside: checks paths. problems: found so far.
    """

    root: Path
    far_edge: FarEdge = "exclusive"
    problems: Problems = field(default_factory=Problems)
    inside: Inside = field(init=False)
    _rows: dict[tuple[str, str], _Row] = field(default_factory=dict, init=False)
    _names: dict[str, tuple[str, int | None]] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        self.inside = inside(self.root)

    @property
    def filled(self) -> bool:
        """Whether there is a sample."""
        return bool(self._rows)

    def problem(self, identity: str, kind: str, message: str) -> None:
        """Note something that is left out or changed."""
        self.problems.add(shown(identity), kind, message)

    def path(self, identity: str, relative: str, base: Path | None = None) -> Path | None:
        """The file of a relative path, or None and a problem where it leaves the folder."""
        try:
            return self.inside(relative, base)
        except DatasetError as error:
            self.problem(identity, "path refused", str(error))
            return None

    def relative(self, path: Path) -> str:
        """A path below the root, with slashes."""
        return path.relative_to(self.inside.root).as_posix()

    def size(self, identity: str, width: Any, height: Any) -> tuple[int, int] | None:
        """(height, width), or None: not given (no problem), or not a size (a problem)."""
        if width in (None, "", 0, "0") and height in (None, "", 0, "0"):
            return None
        try:
            w, h = whole(width), whole(height)
        except ValueError:
            w = h = 0
        if w < 1 or h < 1 or w * h > MAX_PIXELS:
            self.problem(identity, "size refused", f"{shown(identity)} has a size that no picture has; it is not used.")
            return None
        return (h, w)

    def boxes(self, identity: str, raw: Iterable[Sequence[Any]], size: tuple[int, int] | None) -> tuple[Box, ...]:
        """Boxes that can be used, clipped to the picture where its size is known; the rest become problems."""
        found: list[Box] = []
        for values in raw:
            box = self._box(identity, values, size)
            if box is not None:
                found.append(box)
        return tuple(found)

    def _box(self, identity: str, values: Sequence[Any], size: tuple[int, int] | None) -> Box | None:
        name = shown(identity)
        try:
            x0, y0, x1, y1 = (number(v) for v in values)
        except (ValueError, TypeError):
            self.problem(identity, "box unreadable", f"A box of {name} is not four finite numbers; it is left out.")
            return None
        if x1 < x0 or y1 < y0 or (self.far_edge == "exclusive" and (x1 == x0 or y1 == y0)):
            self.problem(identity, "box reversed or empty", f"A box of {name} ends before it begins; it is left out.")
            return None
        # An inclusive far edge may name the last pixel or, as some files do, the one after it.
        w, h = (math.inf, math.inf) if size is None else (float(size[1]), float(size[0]))
        if x0 >= w or y0 >= h or x1 < 0 or y1 < 0 or (self.far_edge == "exclusive" and (x1 <= 0 or y1 <= 0)):
            self.problem(identity, "box outside", f"A box of {name} lies outside its picture; it is left out.")
            return None
        clipped = (max(x0, 0.0), max(y0, 0.0), min(x1, w), min(y1, h))
        if clipped != (x0, y0, x1, y1):
            self.problem(identity, "box clipped", f"A box of {name} reaches outside its picture and was clipped.")
        return clipped

    def known_as(self, label: str, name: str = "", class_index: int | None = None) -> int | None:
        """Note a label's readable name; its ImageNet index, from the index itself, the label or the name."""
        if label not in self._names:
            index = class_index if class_index is not None else class_of(label)
            if index is None and name and not WNID.fullmatch(label):  # a WordNet id says more than a name
                index = class_of(name)
            self._names[label] = (name or label, index)
        return self._names[label][1]

    def add(
        self,
        path: Path,
        label: str,
        *,
        size: tuple[int, int] | None = None,
        boxes: tuple[Box, ...] = (),
        mask: MaskSource | None = None,
        class_index: int | None = None,
        name: str = "",
    ) -> None:
        """Add one (picture, class); a second one of the same is a problem and left out."""
        group = self.relative(path)
        if (group, label) in self._rows:
            message = f"{shown(group)} is listed twice with the same class; the first counts."
            self.problem(group, "listed twice", message)
            return
        index = self.known_as(label, name, class_index)
        self._rows[group, label] = _Row(group, path, size, label, index, boxes, mask)

    def build(
        self,
        layout: str,
        split: str | None,
        splits: Sequence[str],
        *,
        name: str = "",
        extra: Mapping[str, str] | None = None,
    ) -> Dataset:
        """The finished data set.

        Args:
            extra: further labels of the data set with their names, which may have no sample.

        Raises:
            DatasetError: it has no sample.
        """
        if not self._rows:
            why = f"; first problem: {self.problems.kept[0].message}" if self.problems.kept else "."
            raise DatasetError(f"No picture can be used in this data set ({layout}){why}")
        for label, text in (extra or {}).items():
            self.known_as(label, text)
        many = Counter(row.group for row in self._rows.values())
        samples = tuple(
            Sample(
                i,
                row.group if many[row.group] == 1 else f"{row.group}#{row.label}",
                row.path,
                row.size,
                row.label,
                row.class_index,
                row.boxes,
                row.mask,
                row.group,
                self.inside.root,
            )
            for i, row in enumerate(self._rows.values())
        )
        classes = tuple(DatasetClass(label, text, index) for label, (text, index) in self._names.items())
        return Dataset(
            name or self.inside.root.name,
            layout,
            split,
            tuple(splits),
            self.inside.root,
            samples,
            tuple(self.problems.kept),
            classes,
            self.far_edge,
            tuple(self.problems.counts.items()),
        )


def number(value: Any) -> float:
    """A finite number from text or a number.

    Raises:
        ValueError: it is none.
    """
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValueError("not a number")
    try:
        found = float(value)
    except OverflowError:
        raise ValueError("not a finite number") from None
    if not math.isfinite(found) or abs(found) > 1e9:
        raise ValueError("not a finite number")
    return found


def whole(value: Any) -> int:
    """A whole number from text or a number.

    Raises:
        ValueError: it is none.
    """
    found = number(value)
    if found != int(found):
        raise ValueError("not a whole number")
    return int(found)


def chosen(split: str | None, splits: Sequence[str], *, needed: bool = False) -> str | None:
    """The split to read: the one asked for, or the only one there is, or None for all of them.

    Args:
        needed: whether the layout has no "all".

    Raises:
        DatasetError: there is no such split, or one has to be named.
    """
    there = ", ".join(splits) if splits else "none"
    if split is not None and split not in splits:
        raise DatasetError(f"This data set has no split {shown(split)!r}; it has: {there}.")
    if split is None and needed:
        if len(splits) == 1:
            return splits[0]
        raise DatasetError(f"Name a split of this data set; it has: {there}.")
    return split
