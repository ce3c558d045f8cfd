"""Class numbers (or colours) of the masks in a VOC folder's ``SegmentationClass``.

``labelmap.txt`` (CVAT: ``name:r,g,b:parts:actions``) gives colours. ``class_names.txt`` (labelme) and other lists with
one name per line give numbers; the first line is the background, 0, or ``__ignore__``, -1. Without a list the numbers
are Pascal VOC's, but only if all labels of the data set are, too, because other projects number their own classes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from viz.datasets.core import DatasetError, shown
from viz.datasets.files import lines
from viz.datasets.mask_files import VOID_COLOUR

CLASSES = (
    *("aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow"),
    *("diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor"),
)
VOID = 255
_COLOURS = "labelmap.txt"
_COLOUR_LINE = re.compile(r"([^:]+):\s*(\d+)\s*,\s*(\d+)\s*,\s*(\d+)\s*(?::.*)?")
_LISTS = ("class_names.txt", "labels.txt", "classes.txt", "label_names.txt")
_BACKGROUND = frozenset({"_background_", "__background__", "background", "bg"})
_IGNORED = frozenset({"__ignore__", "ignore", "ignored", "void", "unlabelled", "unlabeled"})


@dataclass(frozen=True)
class Numbering:
    """Class numbers of masks.

    Attributes:
        numbers: by label. ignored: numbers that are ignored.
        colours: (colour as 0xRRGGBB, number) for files that store colours.
        by_colour: the list gives colours, so files with a palette are read by their colours, not their numbers.
    """

    numbers: dict[str, int]
    ignored: tuple[int, ...]
    colours: tuple[tuple[int, int], ...]
    by_colour: bool = False


def numbering(base: Path, labels: Iterable[str]) -> Numbering:
    """The numbering of a folder's masks.

    Args:
        base: the folder that contains ``SegmentationClass``. labels: of all objects of the data set.

    Raises:
        DatasetError: the numbering is unknown or ambiguous, or a list cannot be read.
    """
    present = [name for name in (_COLOURS, *_LISTS) if (base / name).is_file()]
    if not present:
        own = sorted(set(labels) - set(CLASSES))
        if own:
            raise DatasetError(
                f"The label {shown(own[0])} is not Pascal VOC's, and no list gives the class numbers; add"
                " class_names.txt."
            )
        return _in_order(("background", *CLASSES))
    found = [_from_colours(base / name) if name == _COLOURS else _from_names(base / name) for name in present]
    if any(other.numbers != found[0].numbers for other in found):
        raise DatasetError(f"{' and '.join(present)} give different numbers.")
    return found[0]


def _from_names(path: Path) -> Numbering:
    names = lines(path)
    if names and names[0].casefold() == "__ignore__":
        names = names[1:]  # its number is -1, which an 8-bit file stores as 255
    if not names or names[0].casefold() not in _BACKGROUND:
        raise DatasetError(f"{path.name} does not begin with the background, so classes may count from 0 or 1.")
    if len(set(names)) != len(names) or len(names) > VOID:
        raise DatasetError(f"{path.name} has a duplicate class, or too many classes.")
    return _in_order(names)


def _from_colours(path: Path) -> Numbering:
    numbers: dict[str, int] = {}
    colours: dict[int, int] = {}
    for line in lines(path):
        if line.startswith("#"):
            continue
        match = _COLOUR_LINE.fullmatch(line)
        if match is None or any(int(v) > 255 for v in match.group(2, 3, 4)):
            raise DatasetError(f"{path.name} has the line {shown(line)!r}, which is not a name with a colour.")
        name = match[1]
        r, g, b = (int(v) for v in match.group(2, 3, 4))
        code = (r << 16) | (g << 8) | b
        if code in colours or name in numbers:
            raise DatasetError(f"{path.name} has a duplicate name or colour.")
        colours[code] = 0 if name.casefold() in _BACKGROUND else len(numbers) + 1
        if colours[code]:
            numbers[name] = colours[code]
    if len(numbers) >= VOID:
        raise DatasetError(f"{path.name} has too many classes.")
    colours = {0: 0, VOID_COLOUR: VOID} | colours
    return Numbering(numbers, (VOID, *_ignored(numbers)), tuple(colours.items()), by_colour=True)


def _in_order(names: Sequence[str]) -> Numbering:
    """Background, 0, and names with the numbers 1, 2, ... and Pascal VOC's colours."""
    numbers = {name: i for i, name in enumerate(names) if i > 0}
    colours = tuple((_voc_colour(i), i) for i in (*range(len(names)), VOID))
    return Numbering(numbers, (*_ignored(numbers), VOID), colours)


def _ignored(numbers: dict[str, int]) -> list[int]:
    return [number for name, number in numbers.items() if name.casefold() in _IGNORED]


def _voc_colour(number: int) -> int:
    """Pascal VOC's colour (0xRRGGBB), as in labelme: each bit of a number goes to one channel, high bits first."""
    code = 0
    for bit in range(9):
        level, channel = divmod(bit, 3)
        if number >> bit & 1:
            code |= 1 << (8 * (2 - channel) + 7 - level)
    return code
