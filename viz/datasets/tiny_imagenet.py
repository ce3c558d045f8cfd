"""Layout ``tiny-imagenet``: Tiny ImageNet (CS231n): 200 classes, 64 x 64 pictures, one box each.

``train/WNID/images/NAME.JPEG`` with ``train/WNID/WNID_boxes.txt`` (name, x0, y0, x1, y1), ``val/images/NAME.JPEG`` with
``val/val_annotations.txt`` (name, WordNet id, x0, y0, x1, y1); also ``val/WNID/images`` or ``val/WNID``, where people
sort them. ``test`` has no truth. Box corners are kept as they stand, and both count as pixels of the box, as in ILSVRC.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from viz.datasets.builder import Builder, chosen
from viz.datasets.core import Dataset, DatasetError
from viz.datasets.files import files_below, lines, shown
from viz.datasets.labels import WNID, class_of, name_of
from viz.picture_files import is_hidden

NAME = "tiny-imagenet"
LOOKS_FOR = "train/WNID/WNID_boxes.txt or val/val_annotations.txt, as Tiny ImageNet"
_VAL = "val_annotations.txt"


@dataclass
class _Truth:
    wnids: dict[str, str] = field(default_factory=dict)
    boxes: dict[str, list[list[object]]] = field(default_factory=dict)


def fits(root: Path) -> bool:
    """Whether the folder, or a split of it, holds Tiny ImageNet's lists."""
    return bool(_splits(root))


def read(root: Path, split: str | None) -> Dataset:
    """The data set of one split; a folder that is itself a split has none.

    Raises:
        DatasetError: no such split, or a list cannot be read.
    """
    named = tuple(s for s in _splits(root) if s)
    chosen_split = chosen(split, named, needed=bool(named))
    builder = Builder(root, "inclusive")
    folder = builder.inside.root / (chosen_split or "")
    truths: dict[str, _Truth] = {}
    if (folder / _VAL).is_file():
        truths[""] = _listed(folder / _VAL, with_class=True)
    for path in files_below(folder, told=builder.left_out):
        place = next((p for p in reversed(path.relative_to(folder).parts[:-1]) if WNID.fullmatch(p)), "")
        if place and "" not in truths and place not in truths:
            boxes = folder / place / f"{place}_boxes.txt"
            truths[place] = _listed(boxes, with_class=False) if boxes.is_file() else _Truth()
        _add(builder, path, place, truths.get("", truths.get(place, _Truth())))
    return builder.build(NAME, chosen_split, named)


def _splits(root: Path) -> list[str]:
    """Splits that have truth; the empty name where the folder itself is one."""
    if not root.is_dir():
        return []
    if _is_split(root):
        return [""]
    return [s for s in ("train", "val") if (root / s).is_dir() and _is_split(root / s)]


def _is_split(folder: Path) -> bool:
    if (folder / _VAL).is_file():
        return True
    first = next((p for p in folder.iterdir() if WNID.fullmatch(p.name)), None)
    return first is not None and (first / f"{first.name}_boxes.txt").is_file()


def _listed(path: Path, *, with_class: bool) -> _Truth:
    """The lines of a list, by file name.

    Raises:
        DatasetError: a line has another number of cells.
    """
    found = _Truth()
    for line in lines(path):
        name, *rest = line.split()
        if len(rest) != 4 + with_class or is_hidden(name):
            raise DatasetError(f"{shown(path.name)} has the line {shown(line)!r}, which has not the parts it should.")
        if with_class and found.wnids.setdefault(name, rest[0]) != rest[0]:
            raise DatasetError(f"{shown(path.name)} gives {shown(name)} two classes.")
        found.boxes.setdefault(name, []).append(list(rest[-4:]))
    return found


def _add(builder: Builder, path: Path, place: str, truth: _Truth) -> None:
    name = builder.relative(path)
    wnid = truth.wnids.get(path.name, place)
    if not wnid:
        builder.problem(name, "class unknown", f"{shown(name)} is in no list; it is left out.")
        return
    if place and wnid != place:
        message = f"{shown(name)} lies in the folder {place}, but its list says {shown(wnid)}; it is left out."
        builder.problem(name, "class differs", message)
        return
    index = class_of(wnid)
    boxes = builder.boxes(name, truth.boxes.get(path.name, []), None)
    builder.add(path, wnid, boxes=boxes, name="" if index is None else name_of(index))
