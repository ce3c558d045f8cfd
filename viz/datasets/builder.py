"""What every layout needs while it reads an index: paths checked, boxes cleaned, problems counted, samples numbered."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from viz.datasets.box_checks import SHARES, Extent
from viz.datasets.core import Box, Dataset, DatasetError, FarEdge, MaskSource, Problems, Sample
from viz.datasets.files import Inside, inside, shown
from viz.datasets.listing import Listing
from viz.datasets.mask_files import MAX_PIXELS
from viz.datasets.naming import Naming


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
        inside: checks paths. problems: found so far. listing: the pictures in its folders.
    """

    root: Path
    far_edge: FarEdge = "exclusive"
    problems: Problems = field(default_factory=Problems)
    inside: Inside = field(init=False)
    listing: Listing = field(default_factory=Listing, init=False)
    _rows: dict[tuple[str, str, int | None], _Row] = field(default_factory=dict, init=False)
    _extent: Extent = field(default_factory=Extent, init=False)
    _naming: Naming = field(init=False)

    def __post_init__(self) -> None:
        self.inside = inside(self.root)
        self._naming = Naming(self.problems)

    @property
    def filled(self) -> bool:
        """Whether there is a sample."""
        return bool(self._rows)

    def problem(self, identity: str, kind: str, message: str) -> None:
        """Note something that is left out or changed."""
        self.problems.add(shown(identity), kind, message)

    def path(self, identity: str, relative: str, base: Path | None = None, bound: Path | None = None) -> Path | None:
        """The file of a relative path, or None and a problem where it leaves the folder; see `Inside`."""
        try:
            return self.inside(relative, base, bound)
        except DatasetError as error:
            self.problem(identity, "path refused", str(error))
            return None

    def picture(self, identity: str, relative: str, base: Path | None = None, bound: Path | None = None) -> Path | None:
        """As `path`; where the file is not there under this name, the one whose name differs in case or in how an
        ending is written (jpg, jpeg), and a problem."""
        path = self.path(identity, relative, base, bound)
        if path is None or path.exists():
            return path
        near = self.listing.near(path)
        if len(near) != 1:
            return path
        message = f"{shown(relative)} is not there; {shown(near[0].name)}, which is, is taken for it."
        self.problem(identity, "name differs", message)
        return near[0]

    def left_out(self, folder: Path, why: str) -> None:
        """Note a folder that was not searched."""
        name = self.relative(folder)
        self.problem(name, "folder left out", f"The folder {shown(name)} {why}; it is left out.")

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
        if not self._extent.see((x0, y0, x1, y1), size):
            message = f"A box of {name} lies within one pixel, as boxes in shares of a picture do; it is left out."
            self.problem(identity, SHARES, message)
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
        kind: str = "",
    ) -> None:
        """Add one (picture, class); a second one of the same is a problem and left out.

        Args:
            class_index: as the index itself gives it; it counts for this sample, whatever the label.
            name: readable name of the label. kind: the data set's own wider class of it.
        """
        group = self.relative(path)
        if (group, label, class_index) in self._rows:
            message = f"{shown(group)} is listed twice with the same class; the first counts."
            self.problem(group, "listed twice", message)
            return
        self._naming.see(label, name, class_index, kind)
        self._rows[group, label, class_index] = _Row(group, path, size, label, class_index, boxes, mask)

    def build(
        self,
        layout: str,
        split: str | None,
        splits: Sequence[str],
        *,
        name: str = "",
    ) -> Dataset:
        """The finished data set.

        Raises:
            DatasetError: it has no sample, or nothing but boxes in shares of the picture.
        """
        if not self._rows:
            why = f"; first problem: {self.problems.kept[0].message}" if self.problems.kept else "."
            raise DatasetError(f"No picture can be used in this data set ({layout}){why}")
        rows = tuple(self._rows.values())
        if self._extent.shares and self._extent.shares == self._extent.boxes and not any(r.mask for r in rows):
            raise DatasetError(
                "Every box of this data set lies within one pixel: the boxes are shares of the picture, it seems; give"
                " them in pixels."
            )
        name = name or self.inside.root.name
        self._extent.tell(shown(name), self.problems)
        classes = self._naming.finish()
        many = Counter(row.group for row in rows)
        alike = Counter((row.group, row.label) for row in rows)
        samples = tuple(
            Sample(
                i,
                _identity(row, many[row.group], alike[row.group, row.label]),
                row.path,
                row.size,
                row.label,
                self._naming.index_of(row.label) if row.class_index is None else row.class_index,
                row.boxes,
                row.mask,
                row.group,
                self.inside.root,
            )
            for i, row in enumerate(rows)
        )
        return Dataset(
            name,
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


def _identity(row: _Row, many: int, alike: int) -> str:
    """The picture; its label where it has several; the class number where one label has several."""
    if many == 1:
        return row.group
    return f"{row.group}#{row.label}" if alike == 1 else f"{row.group}#{row.label}#{row.class_index}"


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
