"""Matches masks to pictures by name: the same name, or one with a prefix or suffix that means "mask"."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

_WORD = r"(?:segmentation[ _-]?mask|segmentation|mask|seg|ground[ _-]?truth|gt|labels?|matte|annotation)s?"
_SUFFIX = re.compile(rf"(?P<name>.+?)[ ._-]{_WORD}(?:[ ._-]?\d{{1,3}})?", re.IGNORECASE)
_PREFIX = re.compile(rf"{_WORD}[ ._-](?P<name>.+)", re.IGNORECASE)


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
