"""Where the ground-truth pixels of a sample come from: picture files, polygons or run lengths.

A mask source is small and frozen; the pixels are made when `load` is called. uint8 (h, w): 1 object, 0 background,
255 ignored. Ignored never covers object, as in wsolevaluation (clovaai/wsolevaluation@0c476cd, ``get_mask``). A mask
may hold no object at all: ask `has_object`. How files without class numbers are read: `viz.datasets.mask_files`.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from viz.datasets.mask_checks import ClassCheck
from viz.datasets.mask_files import (
    HALF,
    IGNORED,
    MAX_PIXELS,
    Mask,
    check_size,
    read_coloured,
    read_grey,
    read_object,
    read_values,
)


@dataclass(frozen=True)
class FileMask:
    """Masks in picture files.

    Attributes:
        paths: files whose object pixels are united.
        values: the class numbers that are the object (files with a palette hold its indices); None where the files
            have no list of classes and are read by the rules of `viz.datasets.mask_files`.
        ignored: class numbers that are ignored.
        ignore_path: a file whose object pixels are ignored.
        shares: the files' greys are shares of 255, such as votes: at least half is object.
        check: what else is known of files with class numbers; one that contradicts it is refused.
    """

    paths: tuple[Path, ...]
    values: tuple[int, ...] | None = None
    ignored: tuple[int, ...] = ()
    ignore_path: Path | None = None
    shares: bool = False
    check: ClassCheck | None = None

    def load(self) -> Mask:
        """The mask.

        Raises:
            UnclearMaskError: a file's values have no one meaning, or contradict `check`.
            ValueError, OSError: a file is missing, damaged, too large, or the files differ in size.
        """
        layers = [self._layer(path) for path in self.paths]
        extra = None if self.ignore_path is None else read_object(self.ignore_path) == 1
        if not layers or len({x.shape for x in (*layers, *([] if extra is None else [extra]))}) != 1:
            raise ValueError("the mask's files differ in size")
        found = np.zeros(layers[0].shape, dtype=np.bool_)
        ignored = np.zeros_like(found)
        for layer in layers:
            found |= layer == 1
            ignored |= layer == IGNORED
        return _together(found, ignored if extra is None else ignored | extra)

    def _layer(self, path: Path) -> Mask:
        if self.shares:
            return (read_grey(path) >= HALF).astype(np.uint8)
        if self.values is None:
            return read_object(path)
        if self.check is None:
            values = read_values(path)
        else:
            values = read_coloured(path, self.check.colours, palette=self.check.by_colour)
            self.check.of(values, self.values, path)
        return _together(np.isin(values, self.values), np.isin(values, self.ignored))

    @property
    def files(self) -> tuple[Path, ...]:
        """All files that the mask is read from."""
        return self.paths if self.ignore_path is None else (*self.paths, self.ignore_path)

    def key(self, root: Path) -> str:
        """A name for the fingerprint; holds no path outside the data set."""
        names = [_relative(p, root) for p in self.files]
        return f"files {names} {self.values} {self.ignored} {self.ignore_path is not None}"


@dataclass(frozen=True)
class Region:
    """A part of a picture: a polygon (float32 x, y pairs) or run lengths (uint32, down the columns, background first).

    Kept as bytes: a list of Python numbers would take ten times the memory.
    """

    data: bytes
    runs: bool = False

    def fill(self, size: tuple[int, int]) -> NDArray[np.bool_]:
        """bool (h, w); pixels whose centre lies inside a polygon belong to it.

        Raises:
            ValueError: the runs do not cover the picture.
        """
        if not self.runs:
            return fill_polygon(np.frombuffer(self.data, dtype=np.float32).reshape(-1, 2), size)
        counts = np.frombuffer(self.data, dtype=np.uint32).astype(np.int64)
        if int(counts.sum()) != size[0] * size[1]:
            raise ValueError("the run lengths do not cover the picture")
        values = np.repeat(np.arange(len(counts)) % 2 == 1, counts)
        return values.reshape(size[1], size[0]).T


@dataclass(frozen=True)
class RegionMask:
    """A mask made of regions, as in COCO's files.

    Attributes:
        size: (height, width). found: regions of the object. ignored: regions that are not judged (crowds).
    """

    size: tuple[int, int]
    found: tuple[Region, ...]
    ignored: tuple[Region, ...] = ()

    def load(self) -> Mask:
        """The mask.

        Raises:
            ValueError: run lengths that do not cover the picture, or a picture too large.
        """
        check_size(*self.size)
        masks = []
        for regions in (self.found, self.ignored):
            mask = np.zeros(self.size, dtype=np.bool_)
            for region in regions:
                mask |= region.fill(self.size)
            masks.append(mask)
        return _together(*masks)

    @property
    def files(self) -> tuple[Path, ...]:
        """None: the regions stand in the index."""
        return ()

    def key(self, root: Path) -> str:
        """A name for the fingerprint."""
        del root
        digest = hashlib.sha256(repr((self.size, self.found, self.ignored)).encode())
        return f"regions {digest.hexdigest()}"


MaskSource = FileMask | RegionMask


def has_object(mask: NDArray[np.uint8]) -> bool:
    """Whether a mask (h, w) holds any pixel of the object; ``mask.any()`` would count what is ignored, too."""
    return bool((mask == 1).any())


def fill_polygon(points: NDArray[np.float32], size: tuple[int, int]) -> NDArray[np.bool_]:
    """bool (h, w) of the pixels whose centre lies inside a polygon (n, 2) of x, y; even-odd where it crosses itself."""
    h, w = size
    crossings = np.zeros((h, w + 1), dtype=np.int32)
    corners = points.astype(np.float64)
    for (xa, ya), (xb, yb) in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        if ya == yb:
            continue
        # Rows whose centre lies in [lower, upper): each corner is counted once.
        first, last = (max(0, min(h, int(np.ceil(y - 0.5)))) for y in sorted((ya, yb)))
        rows = np.arange(first, last)
        x = xa + (rows + 0.5 - ya) * (xb - xa) / (yb - ya)
        columns = np.clip(np.ceil(x - 0.5), 0, w).astype(np.int64)
        crossings[rows, columns] += 1
    return np.cumsum(crossings, axis=1)[:, :w] % 2 == 1


def regions_of(segmentation: object, size: tuple[int, int]) -> tuple[Region, ...]:
    """Regions of a COCO ``segmentation``: a list of polygons, or run lengths as numbers or as COCO's packed text.

    Raises:
        ValueError: anything else, numbers that are not finite, or runs that do not cover the picture.
    """
    if isinstance(segmentation, list):
        return tuple(_polygon(p) for p in segmentation)
    if not isinstance(segmentation, dict):
        raise ValueError("a segmentation is a list of polygons or run lengths")
    counts = segmentation.get("counts")
    runs = unpacked(counts) if isinstance(counts, str) else counts
    if segmentation.get("size") != list(size) or not isinstance(runs, list):
        raise ValueError("run lengths of another size")
    if not all(type(n) is int and 0 <= n <= MAX_PIXELS for n in runs) or sum(runs) != size[0] * size[1]:
        raise ValueError("the run lengths do not cover the picture")
    return (Region(np.asarray(runs, dtype=np.uint32).tobytes(), runs=True),)


def unpacked(text: str) -> list[int]:
    """Run lengths of COCO's packed text (cocodataset/cocoapi, ``maskApi.c``: 5 bits a character, from the third run on
    the difference to the run before the last).

    Raises:
        ValueError: a character that is not of this code, or a run cut off.
    """
    runs: list[int] = []
    value = shift = 0
    for character in text:
        bits = ord(character) - 48
        if not 0 <= bits < 64 or shift > 40:
            raise ValueError("not packed run lengths")
        value |= (bits & 31) << shift
        shift += 5
        if bits & 32:
            continue
        if bits & 16:
            value -= 1 << shift
        runs.append(value + runs[-2] if len(runs) > 2 else value)
        value = shift = 0
    if shift:
        raise ValueError("packed run lengths are cut off")
    return runs


def _polygon(points: object) -> Region:
    if not isinstance(points, list) or len(points) < 6 or len(points) % 2:
        raise ValueError("a polygon has at least three corners of two numbers")
    values = np.asarray(points, dtype=np.float32)
    if values.ndim != 1 or not np.isfinite(values).all() or np.abs(values).max() > 1e6:
        raise ValueError("a polygon's corners are finite numbers")
    return Region(values.tobytes())


def _together(found: NDArray[np.bool_], ignored: NDArray[np.bool_]) -> Mask:
    mask = found.astype(np.uint8)
    mask[ignored & ~found] = IGNORED
    return mask


def _relative(path: Path, root: Path) -> str:
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else path.name
