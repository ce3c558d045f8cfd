"""Ground-truth masks of a sample, from picture files, polygons or run lengths.

A mask source is small and frozen; `load` makes the pixels as uint8 (h, w): 1 object, 0 background, 255 ignored. Object
overrides ignored, as in wsolevaluation (clovaai/wsolevaluation@0c476cd, ``get_mask``). A mask may contain no object:
see `has_object`. For files without class numbers see `viz.datasets.mask_files`.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from viz.datasets.mask_files import (
    HALF,
    IGNORED,
    MAX_PIXELS,
    Mask,
    UnclearMaskError,
    Values,
    check_size,
    read_grey,
    read_object,
    read_values,
)


@dataclass(frozen=True)
class ClassCheck:
    """Tests whether the class numbers in a file agree with an annotation; those of another class list do not.

    Attributes:
        label: the class. boxes: of all its objects (corners, exclusive far edges).
        numbers: class numbers of the picture's objects, of background and of ignored pixels.
        colours: (colour as 0xRRGGBB, number) for files that store colours.
        by_colour: files with a palette are read by their colours, not their numbers.
    """

    label: str
    boxes: tuple[tuple[float, float, float, float], ...]
    numbers: tuple[int, ...]
    colours: tuple[tuple[int, int], ...]
    by_colour: bool

    def verify(self, values: Values, wanted: tuple[int, ...]) -> None:
        """Check the class numbers (h, w) of a file; `wanted` are those of the class.

        Raises:
            UnclearMaskError: most of the class's pixels lie outside its boxes; or a box contains none of them while
                the file has numbers of no object in the picture, as those of another class list, or of instances.
        """
        found = np.isin(values, wanted)
        covered = np.zeros_like(found)
        empty = False
        for x0, y0, x1, y1 in self.boxes:
            part = (slice(int(max(y0, 0)), int(np.ceil(y1))), slice(int(max(x0, 0)), int(np.ceil(x1))))
            covered[part] = True
            empty = empty or not found[part].any()
        count, inside = int(found.sum()), int((found & covered).sum())
        number = ", ".join(map(str, wanted))
        if self.boxes and 2 * inside < count:
            raise UnclearMaskError(
                f"has {count - inside} of its {count} pixels of class {number} outside the boxes of {self.label}, so"
                " its numbers may be those of another class list"
            )
        others = [str(v) for v in np.unique(values).tolist() if v not in self.numbers]
        if empty and others:
            raise UnclearMaskError(
                f"has no class {number} in a box of {self.label} but has {', '.join(others[:8])}, which no object of"
                " the picture has, so its numbers may be those of another class list or of instances"
            )


@dataclass(frozen=True)
class FileMask:
    """A mask in picture files.

    Attributes:
        paths: files; their object pixels are combined.
        values: the class numbers of the object (files with a palette store indices); None where the files have no list
            of classes and are read by the rules of `viz.datasets.mask_files`.
        ignored: class numbers that are ignored.
        ignore_path: a file whose object pixels are ignored.
        shares: the files' greys are fractions of 255, such as votes: at least half is object.
        check: compares class numbers with the annotation.
    """

    paths: tuple[Path, ...]
    values: tuple[int, ...] | None = None
    ignored: tuple[int, ...] = ()
    ignore_path: Path | None = None
    shares: bool = False
    check: ClassCheck | None = None

    def load(self) -> Mask:
        """The mask; errors as in `viz.datasets.mask_files`, and for files that contradict `check` or differ in size."""
        layers = [self._layer(path) for path in self.files]
        if not self.paths or len({layer.shape for layer in layers}) != 1:
            raise ValueError("the mask's files differ in size")
        ignored = np.zeros(layers[0].shape, dtype=np.bool_)
        if self.ignore_path is not None:
            ignored |= layers.pop() == 1
        found = np.zeros_like(ignored)
        for layer in layers:
            found |= layer == 1
            ignored |= layer == IGNORED
        return _combined(found, ignored)

    def _layer(self, path: Path) -> Mask:
        try:
            return self._read(path)
        except UnclearMaskError as error:
            error.path = path
            raise

    def _read(self, path: Path) -> Mask:
        if self.shares:
            return (read_grey(path) >= HALF).astype(np.uint8)
        if self.values is None or path == self.ignore_path:
            return read_object(path)
        if self.check is None:
            values = read_values(path)
        else:
            values = read_values(path, self.check.colours, palette=self.check.by_colour)
            self.check.verify(values, self.values)
        return _combined(np.isin(values, self.values), np.isin(values, self.ignored))

    @property
    def files(self) -> tuple[Path, ...]:
        """All files that the mask is read from."""
        return self.paths if self.ignore_path is None else (*self.paths, self.ignore_path)

    def key(self, root: Path) -> str:
        """Text for the fingerprint; it contains no path outside the data set."""
        names = [p.relative_to(root).as_posix() if p.is_relative_to(root) else p.name for p in self.files]
        return f"files {names} {self.values} {self.ignored} {self.ignore_path is not None}"


@dataclass(frozen=True)
class Region:
    """A part of a picture: a polygon (float32 x, y pairs) or run lengths (uint32, down the columns, background first).

    Stored as bytes, because a list of Python numbers takes ten times the memory.
    """

    data: bytes
    runs: bool = False

    def fill(self, size: tuple[int, int]) -> NDArray[np.bool_]:
        """The region as bool (h, w), or ValueError: the runs do not cover the picture."""
        if not self.runs:
            return fill_polygon(np.frombuffer(self.data, dtype=np.float32).reshape(-1, 2), size)
        counts = np.frombuffer(self.data, dtype=np.uint32).astype(np.int64)
        values = np.repeat(np.arange(len(counts)) % 2 == 1, counts)
        return values.reshape(size[1], size[0]).T


@dataclass(frozen=True)
class RegionMask:
    """A mask of regions, as in COCO's files.

    Attributes:
        size: (height, width). found: regions of the object. ignored: regions that are not scored (crowds).
    """

    size: tuple[int, int]
    found: tuple[Region, ...]
    ignored: tuple[Region, ...] = ()

    def load(self) -> Mask:
        """The mask, or ValueError: run lengths that do not cover the picture, or too large a picture."""
        check_size(*self.size)
        found, ignored = np.zeros((2, *self.size), dtype=np.bool_)
        for region in self.found:
            found |= region.fill(self.size)
        for region in self.ignored:
            ignored |= region.fill(self.size)
        return _combined(found, ignored)

    @property
    def files(self) -> tuple[Path, ...]:
        """Empty: the regions are part of the index."""
        return ()

    def key(self, root: Path) -> str:
        """Text for the fingerprint."""
        del root
        digest = hashlib.sha256(repr((self.size, self.found, self.ignored)).encode())
        return f"regions {digest.hexdigest()}"


MaskSource = FileMask | RegionMask


def has_object(mask: NDArray[np.uint8]) -> bool:
    """Whether a mask (h, w) has an object pixel; ``mask.any()`` counts ignored pixels, too."""
    return bool((mask == 1).any())


def fill_polygon(points: NDArray[np.float32], size: tuple[int, int]) -> NDArray[np.bool_]:
    """bool (h, w): pixels whose centre lies inside a polygon (n, 2) of x, y; even-odd rule where it crosses itself."""
    h, w = size
    crossings = np.zeros((h, w + 1), dtype=np.int32)
    corners = points.astype(np.float64)
    for (xa, ya), (xb, yb) in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        if ya == yb:
            continue
        # Rows whose centre lies in [lower, upper), so that each corner is counted once.
        first, last = (max(0, min(h, int(np.ceil(y - 0.5)))) for y in sorted((ya, yb)))
        rows = np.arange(first, last)
        x = xa + (rows + 0.5 - ya) * (xb - xa) / (yb - ya)
        columns = np.clip(np.ceil(x - 0.5), 0, w).astype(np.int64)
        crossings[rows, columns] += 1
    return np.cumsum(crossings, axis=1)[:, :w] % 2 == 1


def regions_of(segmentation: object, size: tuple[int, int]) -> tuple[Region, ...]:
    """Regions of a COCO ``segmentation``: a list of polygons, or run lengths as numbers or in COCO's compressed form.

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
    """Run lengths of COCO's compressed text (cocodataset/cocoapi, ``maskApi.c``: 5 bits per character; from the fourth
    run on, the difference to the run before the last).

    Raises:
        ValueError: an invalid character, or an incomplete run.
    """
    runs: list[int] = []
    value = shift = 0
    for character in text:
        bits = ord(character) - 48
        if not 0 <= bits < 64 or shift > 40:
            raise ValueError("not compressed run lengths")
        value |= (bits & 31) << shift
        shift += 5
        if bits & 32:
            continue
        if bits & 16:
            value -= 1 << shift
        runs.append(value + runs[-2] if len(runs) > 2 else value)
        value = shift = 0
    if shift:
        raise ValueError("compressed run lengths are cut off")
    return runs


def _polygon(points: object) -> Region:
    if not isinstance(points, list) or len(points) < 6 or len(points) % 2:
        raise ValueError("a polygon has at least three corners of two numbers")
    values = np.asarray(points, dtype=np.float32)
    if values.ndim != 1 or not np.isfinite(values).all() or np.abs(values).max() > 1e6:
        raise ValueError("a polygon's corners are finite numbers")
    return Region(values.tobytes())


def _combined(found: NDArray[np.bool_], ignored: NDArray[np.bool_]) -> Mask:
    mask = found.astype(np.uint8)
    mask[ignored & ~found] = IGNORED
    return mask
