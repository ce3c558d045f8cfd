"""Layout ``tiny-imagenet``: Tiny ImageNet (CS231n): 200 classes, 64 x 64 pictures, one box each.

``train/WNID/images/NAME.JPEG`` with ``train/WNID/WNID_boxes.txt`` (name, x0, y0, x1, y1), ``val/images/NAME.JPEG`` with
``val/val_annotations.txt`` (name, WordNet id, x0, y0, x1, y1); also ``val/WNID/images`` or ``val/WNID``, as some users
sort them. ``test`` has no ground truth. Box corners are used as stored and are both pixels of the box, as in ILSVRC.
"""

from __future__ import annotations

from pathlib import Path

from viz.datasets.builder import Builder, choose_split
from viz.datasets.core import Dataset, DatasetError, shown
from viz.datasets.files import keyed_lines
from viz.datasets.labels import WNID, readable
from viz.datasets.paths import files_below
from viz.picture_files import is_hidden

NAME = "tiny-imagenet"
LOOKS_FOR = "train/WNID/WNID_boxes.txt or val/val_annotations.txt, as Tiny ImageNet"
_VAL = "val_annotations.txt"
_Lines = dict[str, list[list[str]]]


def find(root: Path) -> list[str]:
    """Splits with ground truth; the name is empty where the folder itself is one."""
    if not root.is_dir():
        return []
    if _is_split(root):
        return [""]
    return [s for s in ("train", "val") if (root / s).is_dir() and _is_split(root / s)]


def read(root: Path, split: str | None) -> Dataset:
    """The data set of one split; a folder that is itself a split has none."""
    splits = tuple(s for s in find(root) if s)
    split = choose_split(split, splits, needed=bool(splits))
    builder = Builder(root, "inclusive")
    folder = builder.root / (split or "")
    whole = _listed(folder / _VAL, with_class=True) if (folder / _VAL).is_file() else None
    per_class: dict[str, _Lines] = {"": {}}
    for path in files_below(folder, on_skip=builder.skip_folder):
        folder_wnid = next((p for p in reversed(path.relative_to(folder).parts[:-1]) if WNID.fullmatch(p)), "")
        if whole is None and folder_wnid not in per_class:
            boxes = folder / folder_wnid / f"{folder_wnid}_boxes.txt"
            per_class[folder_wnid] = _listed(boxes, with_class=False) if boxes.is_file() else {}
        cells = (per_class[folder_wnid] if whole is None else whole).get(path.name, [])
        wnid = cells[0][0] if whole is not None and cells else folder_wnid
        name = builder.relative(path)
        if not wnid:
            builder.problem(name, "class unknown", "not in any list; skipped")
        elif folder_wnid and wnid != folder_wnid:
            what = f"in the folder {folder_wnid}, but its class in the list is {shown(wnid)}; skipped"
            builder.problem(name, "class differs", what)
        else:
            usable = builder.boxes(name, [line[-4:] for line in cells], None)
            builder.add(path, wnid, boxes=usable, name=readable(wnid))
    return builder.build(NAME, split, splits)


def _is_split(folder: Path) -> bool:
    if (folder / _VAL).is_file():
        return True
    first = next((p for p in folder.iterdir() if WNID.fullmatch(p.name)), None)
    return first is not None and (first / f"{first.name}_boxes.txt").is_file()


def _listed(path: Path, *, with_class: bool) -> _Lines:
    """The lines of a list by file name. A picture with two classes is an error."""
    found: _Lines = {}
    for name, cells in keyed_lines(path, (4 + with_class,), None):
        if is_hidden(name):
            raise DatasetError(f"{shown(path.name)} lists {shown(name)}, which is not a picture.")
        found.setdefault(name, []).append(cells)
        if with_class and cells[0] != found[name][0][0]:
            raise DatasetError(f"{shown(path.name)} gives {shown(name)} two classes.")
    return found
