"""Layout ``folders``: a folder of pictures beside a folder of masks with the same names.

The folders are told by their names (images, img, pictures, photos; masks, gt, ground truth, labels, annotations), a
mask by having the picture's relative name, whatever its ending, or that with a word for mask (``NAME_mask.png``,
``NAME_segmentation.png``, ``NAME.jpg.png``, see `viz.datasets.pairs`). With a ``classes.txt`` beside the folders masks
hold class numbers, and each class of a mask is a sample. Without it a subfolder's name is the class, and a mask says
itself what is object: white on black, or every class but 0, where 255 beside class numbers is void and ignored; a mask
that may mean several things is refused (`viz.datasets.mask_files`).
"""

from __future__ import annotations

import re
from pathlib import Path

from viz.datasets.builder import Builder, chosen
from viz.datasets.core import Dataset, DatasetError
from viz.datasets.files import DEPTH, files_below, shown
from viz.datasets.index_masks import add_classes, class_names
from viz.datasets.masks import FileMask
from viz.datasets.pairs import paired
from viz.picture_files import is_hidden, is_picture_name, skipped, walk

NAME = "folders"
LOOKS_FOR = "a folder of pictures (images) beside a folder of masks (masks)"
_PICTURES = re.compile(r"(?:^|[^a-z])(?:images?|imgs?|pictures?|photos?|jpegimages)$")
_MASKS = re.compile(r"(?:^|[^a-z])(?:masks?|gts?|ground[ _-]?truths?|labels?|annotations?)$")


def fits(root: Path) -> bool:
    """Whether there is one folder of each kind."""
    return _pair(root) is not None


def read(root: Path, split: str | None) -> Dataset:
    """The data set; subfolders that both folders name train, val or test are its splits.

    Raises:
        DatasetError: no such folders or split.
    """
    pair = _pair(root)
    if pair is None:
        raise DatasetError(f"This is no data set of the layout {NAME}: it needs {LOOKS_FOR}.")
    builder = Builder(root)
    pictures, masks = (builder.inside.root / p.name for p in pair)
    splits = tuple(s for s in ("train", "val", "test") if (pictures / s).is_dir() and (masks / s).is_dir())
    chosen(split, splits)
    names = class_names(builder.inside.root / "classes.txt")
    below = {p.relative_to(masks).as_posix(): p for p in files_below(masks, told=builder.left_out)}
    found = {p.relative_to(pictures).as_posix(): p for p in files_below(pictures, told=builder.left_out)}
    _tell_others(builder, pictures)
    pairs = paired(found, below)
    for relative, path in found.items():
        parts = relative.split("/")
        first = parts[0] if parts[0] in splits and len(parts) > 1 else ""
        if split is not None and first != split:
            continue
        name = builder.relative(path)
        mask = below[pairs.mask[relative]] if relative in pairs.mask else None
        if relative in pairs.unclear:
            builder.problem(name, "mask unclear", f"{shown(name)} {shown(pairs.unclear[relative])}; none is used.")
        elif mask is None:
            builder.problem(name, "no mask", f"{shown(name)} has no mask of the same name.")
        classes = parts[1 if first else 0 : -1]
        if names is not None and mask is not None:
            add_classes(builder, path, mask, names, None)
        else:
            builder.add(path, classes[-1] if classes else "", mask=FileMask((mask,)) if mask is not None else None)
    for left in pairs.alone:
        name = builder.relative(below[left])
        builder.problem(name, "no picture", f"{shown(name)} is a mask without a picture of the same name.")
    return builder.build(NAME, split, splits)


def _tell_others(builder: Builder, pictures: Path) -> None:
    """A picture with an ending that is not read, such as .heic, must not be missed in silence."""
    if others := [p for p in walk(pictures, DEPTH) if not is_picture_name(p.name)]:
        builder.problem(builder.relative(pictures), "files skipped", f"In {shown(pictures.name)}: {skipped(others)}.")


def _pair(root: Path) -> tuple[Path, Path] | None:
    if not root.is_dir():
        return None
    folders = sorted(p for p in root.iterdir() if p.is_dir() and not is_hidden(p.name))
    pictures = [p for p in folders if _PICTURES.search(p.name.casefold())]
    masks = [p for p in folders if _MASKS.search(p.name.casefold())]
    return (pictures[0], masks[0]) if len(pictures) == 1 and len(masks) == 1 else None
