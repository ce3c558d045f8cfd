"""Which mask belongs to which picture, by name: the same, or with one of the endings that say "mask"."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

_WORD = r"(?:segmentation[ _-]?mask|segmentation|mask|seg|ground[ _-]?truth|gt|labels?|matte|annotation)s?"
_AFTER = re.compile(rf"(?P<name>.+?)[ ._-]{_WORD}(?:[ ._-]?\d{{1,3}})?", re.IGNORECASE)
_BEFORE = re.compile(rf"{_WORD}[ ._-](?P<name>.+)", re.IGNORECASE)


@dataclass(frozen=True)
class Pairs:
    """Masks by picture.

    Attributes:
        mask: of each picture that has one. unclear: pictures whose mask is unclear, and why (the rest of a sentence).
        alone: masks without a picture.
    """

    mask: dict[str, str]
    unclear: dict[str, str]
    alone: tuple[str, ...]


def paired(pictures: Iterable[str], masks: Iterable[str]) -> Pairs:
    """Pair relative paths (slashes, with ending): by the same name without ending; by the picture's whole name
    (``NAME.jpg.png``); by ``NAME_mask``, ``NAME_segmentation``, ``mask_NAME`` and the like. The surest way that finds a
    picture counts; a picture with two masks, or a mask with two pictures, is unclear."""
    by_stem: dict[str, list[str]] = {}
    whole = set()
    for picture in pictures:
        by_stem.setdefault(_stem(picture), []).append(picture)
        whole.add(picture)
    claims: dict[str, dict[int, list[str]]] = {}
    alone = []
    unclear: dict[str, str] = {}
    for mask in masks:
        owners, rank = _owners(_stem(mask), whole, by_stem)
        if len(owners) > 1:
            for owner in owners:
                unclear[owner] = f"shares its mask {mask} with a picture of the same name"
        elif owners:
            claims.setdefault(owners[0], {}).setdefault(rank, []).append(mask)
        else:
            alone.append(mask)
    found: dict[str, str] = {}
    for picture, ranked in claims.items():
        first, *others = ranked[min(ranked)]
        if others:
            unclear[picture] = f"has {1 + len(others)} masks, {first} and {others[0]}"
        elif picture not in unclear:
            found[picture] = first
        alone += [m for rank, there in ranked.items() if rank != min(ranked) for m in there]
    return Pairs(found, unclear, tuple(alone))


def _owners(stem: str, whole: set[str], by_stem: dict[str, list[str]]) -> tuple[list[str], int]:
    """Pictures that a mask's name may mean, and how sure that is (0 the surest)."""
    if stem in by_stem:
        return by_stem[stem], 0
    if stem in whole:
        return [stem], 1
    folder, _, name = stem.rpartition("/")
    for rank, pattern in enumerate((_AFTER, _BEFORE), start=2):
        match = pattern.fullmatch(name)
        inner = "" if match is None else f"{folder}/{match['name']}".removeprefix("/")
        if inner in by_stem:
            return by_stem[inner], rank
        if inner in whole:
            return [inner], rank
    return [], 0


def _stem(path: str) -> str:
    folder, slash, name = path.rpartition("/")
    return f"{folder}{slash}{name[: name.rindex('.')] if '.' in name[1:] else name}"
