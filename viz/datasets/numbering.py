"""What the numbers (or colours) in a VOC folder's ``SegmentationClass`` mean: the folder's own list, or Pascal VOC's.

``labelmap.txt`` (CVAT: ``name:r,g,b:parts:actions``) gives colours; ``class_names.txt`` (labelme) and lists of one name
a line give numbers, the first line being background, 0, or ``__ignore__``, -1. Without a list the numbers are Pascal
VOC's only where all labels of the data set are: another project's classes are numbered otherwise.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from viz.datasets.core import DatasetError
from viz.datasets.files import lines, shown

CLASSES = (
    *("aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow"),
    *("diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor"),
)
VOID = 255
_VOID_COLOUR = 0xE0E0C0
_COLOURS = "labelmap.txt"
_LISTS = ("class_names.txt", "labels.txt", "classes.txt", "label_names.txt")
_BACKGROUND = frozenset({"_background_", "__background__", "background", "bg"})
_IGNORED = frozenset({"__ignore__", "ignore", "ignored", "void", "unlabelled", "unlabeled"})


@dataclass(frozen=True)
class Numbering:
    """Class numbers of masks.

    Attributes:
        numbers: (label, number). ignored: numbers that are ignored.
        colours: (colour as 0xRRGGBB, number) for files that hold colours.
        by_colour: the list gives colours, so that those of a palette count, not its numbers.
    """

    numbers: tuple[tuple[str, int], ...]
    ignored: tuple[int, ...]
    colours: tuple[tuple[int, int], ...]
    by_colour: bool = False

    def of(self, label: str) -> int | None:
        """The number of a label; None where it has none."""
        return dict(self.numbers).get(label)


def numbering(base: Path, labels: Iterable[str]) -> Numbering | str:
    """The numbering of a folder's masks, or why there is none (the rest of a sentence, without the full stop).

    Args:
        base: the folder that holds ``SegmentationClass``. labels: of all objects of the data set.
    """
    there = [name for name in (_COLOURS, *_LISTS) if (base / name).is_file()]
    if not there:
        own = sorted(set(labels) - set(CLASSES))
        if own:
            return (
                f"the label {shown(own[0])} is not Pascal VOC's and no list says what the masks' numbers mean: add"
                " class_names.txt"
            )
        return Numbering(_numbered(CLASSES, 1), (VOID,), _colours((*range(len(CLASSES) + 1), VOID)))
    found: dict[str, Numbering] = {}
    for name in there:
        try:
            read = _of_colours(base / name) if name == _COLOURS else _of_lines(lines(base / name), name)
        except DatasetError as error:
            return f"its list cannot be read: {str(error).rstrip('.')}"
        if isinstance(read, str):
            return read
        found[name] = read
    if len({n.numbers for n in found.values()}) > 1:
        return f"{' and '.join(there)} give different numbers"
    return found[there[0]]


def _of_lines(names: list[str], file: str) -> Numbering | str:
    if names and names[0].casefold() == "__ignore__":
        names = names[1:]  # its number is -1, which an 8-bit file holds as 255
    if not names or names[0].casefold() not in _BACKGROUND:
        return f"{file} does not begin with the background, so its numbers may count from 0 or from 1"
    if len(set(names)) != len(names) or len(names) > VOID:
        return f"{file} names a class twice, or too many classes"
    ignored = (*(i for i, name in enumerate(names) if name.casefold() in _IGNORED), VOID)
    return Numbering(_numbered(names[1:], 1), ignored, _colours((*range(len(names)), VOID)))


def _of_colours(path: Path) -> Numbering | str:
    numbers: list[tuple[str, int]] = []
    colours: dict[int, int] = {}
    ignored = [VOID]
    for line in lines(path):
        if line.startswith("#"):
            continue
        name, _, rest = line.partition(":")
        try:
            values = [int(v) for v in rest.partition(":")[0].split(",")]
        except ValueError:
            values = []
        if len(values) != 3 or not all(0 <= v <= 255 for v in values) or not name:
            return f"{path.name} has the line {shown(line)!r}, which is not a name with a colour"
        code = (values[0] << 16) | (values[1] << 8) | values[2]
        if code in colours or name in dict(numbers):
            return f"{path.name} gives a name or a colour twice"
        number = 0 if name.casefold() in _BACKGROUND else len(numbers) + 1
        colours[code] = number
        if number:
            numbers.append((name, number))
        if name.casefold() in _IGNORED:
            ignored.append(number)
    if len(numbers) >= VOID:
        return f"{path.name} names too many classes"
    colours.setdefault(0, 0)
    colours.setdefault(_VOID_COLOUR, VOID)
    return Numbering(tuple(numbers), tuple(ignored), tuple(colours.items()), by_colour=True)


def _numbered(names: Iterable[str], first: int) -> tuple[tuple[str, int], ...]:
    return tuple((name, i) for i, name in enumerate(names, start=first))


def _colours(numbers: Iterable[int]) -> tuple[tuple[int, int], ...]:
    """Pascal VOC's colours, which labelme writes too: each bit of a number goes to one channel, the high bits first."""
    found = []
    for number in numbers:
        code = 0
        for level in range(3):
            for channel in range(3):
                if number >> (3 * level + channel) & 1:
                    code |= 1 << (8 * (2 - channel) + 7 - level)
        found.append((code, number))
    return tuple(found)
