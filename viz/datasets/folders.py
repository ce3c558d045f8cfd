"""Layout ``folders``: a folder of pictures beside a folder of masks with the same names.

The folders are recognized by their names (images, img, pictures, photos; masks, gt, ground truth, labels,
annotations). A mask has the picture's relative name with any extension, or with a word for mask (``NAME_mask.png``,
``NAME_segmentation.png``, ``NAME.jpg.png``). With a ``classes.txt`` beside the folders, masks contain class numbers,
and each class in a mask is a sample. Without it, a subfolder's name is the class, and the mask's own values decide what
is object; ambiguous masks are refused (`viz.datasets.mask_files`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from viz.datasets.builder import Builder, choose_split
from viz.datasets.core import Dataset, shown
from viz.datasets.files import lines_if_any
from viz.datasets.masks import FileMask
from viz.datasets.paths import DEPTH, files_below
from viz.picture_files import is_hidden, is_picture_name, skipped, walk

NAME = "folders"
LOOKS_FOR = "a folder of pictures (images) beside a folder of masks (masks)"
_WORD = r"(?:segmentation[ _-]?mask|segmentation|mask|seg|ground[ _-]?truth|gt|labels?|matte|annotation)s?"
_SUFFIX = re.compile(rf"(?P<name>.+?)[ ._-]{_WORD}(?:[ ._-]?\d{{1,3}})?", re.IGNORECASE)
_PREFIX = re.compile(rf"{_WORD}[ ._-](?P<name>.+)", re.IGNORECASE)
_PICTURES = re.compile(r"(?:^|[^a-z])(?:images?|imgs?|pictures?|photos?|jpegimages)$")
_MASKS = re.compile(r"(?:^|[^a-z])(?:masks?|gts?|ground[ _-]?truths?|labels?|annotations?)$")


def find(root: Path) -> bool:
    """Whether there is one folder of each kind."""
    return root.is_dir() and all(len(_folders(root, pattern)) == 1 for pattern in (_PICTURES, _MASKS))


def read(root: Path, split: str | None) -> Dataset:
    """The whole data set, or one split: a subfolder train, val or test of both folders."""
    builder = Builder(root)
    pictures, masks = (builder.root / _folders(root, pattern)[0] for pattern in (_PICTURES, _MASKS))
    splits = tuple(s for s in ("train", "val", "test") if (pictures / s).is_dir() and (masks / s).is_dir())
    choose_split(split, splits)
    names = lines_if_any(builder.root / "classes.txt")
    mask_files = {p.relative_to(masks).as_posix(): p for p in files_below(masks, on_skip=builder.skip_folder)}
    found = {p.relative_to(pictures).as_posix(): p for p in files_below(pictures, on_skip=builder.skip_folder)}
    # A picture with an extension that is not read, such as .heic, must not be skipped silently.
    if others := [p for p in walk(pictures, DEPTH) if not is_picture_name(p.name)]:
        builder.problem(builder.relative(pictures), "files skipped", skipped(others))
    pairs = paired(found, mask_files)
    for relative, path in found.items():
        *folders, _ = relative.split("/")
        first = folders.pop(0) if folders and folders[0] in splits else ""
        if split is not None and first != split:
            continue
        name = builder.relative(path)
        mask = mask_files[pairs.mask[relative]] if relative in pairs.mask else None
        if relative in pairs.unclear:
            builder.problem(name, "mask unclear", f"{shown(pairs.unclear[relative])}; no mask is used")
        elif mask is None:
            builder.problem(name, "no mask", "no mask of the same name")
        if names is not None and mask is not None:
            builder.add_classes(path, mask, names, None)
        else:
            builder.add(path, folders[-1] if folders else "", mask=FileMask((mask,)) if mask is not None else None)
    for left in pairs.alone:
        builder.problem(builder.relative(mask_files[left]), "no picture", "no picture with the name of this mask")
    return builder.build(NAME, split, splits)


def _folders(root: Path, pattern: re.Pattern[str]) -> list[str]:
    """Names of the subfolders that match a pattern, sorted."""
    names = sorted(p.name for p in root.iterdir() if p.is_dir() and not is_hidden(p.name))
    return [name for name in names if pattern.search(name.casefold())]


@dataclass(frozen=True)
class Pairs:
    """Masks by picture.

    Attributes:
        mask: of each picture that has one. unclear: pictures whose mask is ambiguous, and why.
        alone: masks without a picture.
    """

    mask: dict[str, str]
    unclear: dict[str, str]
    alone: tuple[str, ...]


def paired(pictures: Iterable[str], masks: Iterable[str]) -> Pairs:
    """Match relative paths (with slashes and extension).

    In order of priority: the same name except for the extension; the picture's whole name (``NAME.jpg.png``);
    ``NAME_mask``, ``NAME_segmentation`` and the like; ``mask_NAME`` and the like. A picture with two masks, or a mask
    with two pictures, is unclear.
    """
    by_stem: dict[str, list[str]] = {}
    for picture in pictures:
        by_stem.setdefault(_stem(picture), []).append(picture)
    names = {picture for same in by_stem.values() for picture in same}
    candidates: dict[str, dict[int, list[str]]] = {}
    alone = []
    unclear: dict[str, str] = {}
    for mask in masks:
        owners, rank = _owners(_stem(mask), names, by_stem)
        if len(owners) > 1:
            unclear |= dict.fromkeys(owners, f"shares its mask {mask} with a picture of the same name")
        elif owners:
            candidates.setdefault(owners[0], {}).setdefault(rank, []).append(mask)
        else:
            alone.append(mask)
    found: dict[str, str] = {}
    for picture, ranked in candidates.items():
        first, *others = ranked.pop(min(ranked))
        if others:
            unclear[picture] = f"has {1 + len(others)} masks, {first} and {others[0]}"
        elif picture not in unclear:
            found[picture] = first
        alone += [mask for same_rank in ranked.values() for mask in same_rank]
    return Pairs(found, unclear, tuple(alone))


def _owners(stem: str, names: set[str], by_stem: dict[str, list[str]]) -> tuple[list[str], int]:
    """Pictures that a mask's name may refer to, and the rank of the match (0 is the best)."""
    if stem in by_stem:
        return by_stem[stem], 0
    if stem in names:
        return [stem], 1
    folder, _, name = stem.rpartition("/")
    for rank, pattern in enumerate((_SUFFIX, _PREFIX), start=2):
        match = pattern.fullmatch(name)
        inner = "" if match is None else f"{folder}/{match['name']}".removeprefix("/")
        if inner in by_stem:
            return by_stem[inner], rank
        if inner in names:
            return [inner], rank
    return [], 0


def _stem(path: str) -> str:
    folder, slash, name = path.rpartition("/")
    return f"{folder}{slash}{name[: name.rindex('.')] if '.' in name[1:] else name}"
