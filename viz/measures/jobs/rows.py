"""Rows of long runs: what identifies a request, and whether finished rows can be kept.

A row is kept while its seal is intact and its inputs have the digest that it was made from. A later run reads the files
again and compares digests, not times or sizes: copying tools keep both although the contents changed, and a silently
wrong number costs more than reading the files once.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import file_digest, sha256
from pathlib import Path
from typing import Any

import numpy as np

from viz.datasets import Dataset, Sample
from viz.datasets.core import annotation

Row = dict[str, Any]
SEAL, MADE_FROM = "seal", "of"
# Part of every request: rows of another format are not read.
ROWS_FORM = 2
MOST_FAILED = 100
_DIGITS = 32
# What an entry of a request decides, for the error that refuses another request.
_WORDS = {
    "versions": "versions of Searchlight or its libraries",
    "device": "device",
    "model": "model or checkpoint file",
    "models": "models or checkpoint files",
    "data": "pictures in the data set",
}


@dataclass(frozen=True)
class Stale:
    """Why finished rows cannot be kept; false where they can.

    Attributes:
        damaged: number of lines that are not what was written. changed: pictures whose files changed since.
        shared: whether a value that all rows depend on has changed.
        outdated: whether all rows come from a version that stored no digests.
    """

    damaged: int = 0
    changed: frozenset[str] = frozenset()
    shared: bool = False
    outdated: bool = False

    def __bool__(self) -> bool:
        return self != Stale()

    def __add__(self, other: Stale) -> Stale:
        damaged, changed = self.damaged + other.damaged, self.changed | other.changed
        return Stale(damaged, changed, self.shared or other.shared, self.outdated or other.outdated)

    def words(self) -> list[str]:
        """What is measured again and why, in sentences."""
        found, count = [], len(self.changed)
        if self.outdated:
            found.append("Finished rows of an earlier version hold no digests of their files; all are measured again.")
        if self.damaged:
            lines = "1 line" if self.damaged == 1 else f"{self.damaged} lines"
            found.append(f"{lines} of finished rows cannot be used (damaged or altered); that part is measured again.")
        if count == 1:
            found.append("1 picture, its mask or its annotation changed since the last run: it is measured again.")
        elif count:
            found.append(
                f"{count} pictures, their masks or annotations changed since the last run: they are measured again."
            )
        if self.shared:
            found.append("All rows depend on values from all pictures (mean gates), so all are measured again.")
        return found


Checker = Callable[[int, list[Row]], Stale]


def request_key(request: Row) -> str:
    """A short name of a request: equal for equal requests only."""
    return sha256(json.dumps(request, sort_keys=True, ensure_ascii=True).encode()).hexdigest()[:16]


def without_digests(old: Any, request: Row) -> bool:
    """Whether a folder's request is the same one, from a version whose rows held no digests of their files."""
    if not isinstance(old, dict) or "rows" in old or "rows" not in request:
        return False
    return _differing(old, request) <= {"data", "rows"}


def _differing(old: Row, request: Row) -> set[str]:
    """Entries in which two requests differ."""
    texts = [{k: json.dumps(v, sort_keys=True) for k, v in one.items()} for one in (old, request)]
    return {k for k in {*old, *request} if texts[0].get(k) != texts[1].get(k)}


def differences(old: Any, request: Row) -> str:
    """How a folder's request differs, in words."""
    names = sorted(_differing(old, request)) if isinstance(old, dict) else []
    return " and ".join(dict.fromkeys(_WORDS.get(name, "options") for name in names)) or "options"


def digest(values: Sequence[Any]) -> str:
    """The first 128 bits of the sha256 of plain values, as hexadecimal digits."""
    return sha256(json.dumps(values, ensure_ascii=True).encode()).hexdigest()[:_DIGITS]


def sealed(row: Row, key: str) -> Row:
    """The row with a digest over its contents and the request's key."""
    body = json.dumps([key, row], sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return {**row, SEAL: sha256(body.encode()).hexdigest()[:_DIGITS]}


def is_sealed(row: Row, key: str) -> bool:
    """Whether the row is unchanged since it was sealed, for that request."""
    try:
        return sealed({k: v for k, v in row.items() if k != SEAL}, key)[SEAL] == row.get(SEAL)
    except (ValueError, RecursionError):  # a number that is not finite was never sealed
        return False


def digest_of_file(path: Path) -> str:
    """sha256 of a file's bytes; empty where it cannot be read."""
    try:
        if not path.is_file():
            return ""
        with path.open("rb") as file:
            return file_digest(file, "sha256").hexdigest()
    except (OSError, ValueError):
        return ""


def made_from(sample: Sample, picture: str | None = None) -> str:
    """Digest of everything a sample's score depends on: the bytes of its picture and mask files, and its annotation.

    Call it before the mask is read: if a file is replaced in between, no later run keeps the row.

    Args:
        picture: sha256 of the picture's bytes as they were read; None reads the file.
    """
    masks = () if sample.mask is None else sample.mask.files
    picture = digest_of_file(sample.path) if picture is None else picture
    return digest([picture, [digest_of_file(m) for m in masks], annotation(sample)])


def names_of(data: Dataset) -> str:
    """Digest of the samples that a data set lists, in order; `made_from` covers their contents."""
    return digest([data.layout, data.far_edge, [s.id for s in data]])


class Read:
    """Accumulates which samples were read: why others `failed`, by position, and the start of each picture's sha256 (0
    where it was not read)."""

    def __init__(self, samples: Sequence[Sample]) -> None:
        self.samples = samples
        self.failed: dict[int, str] = {}
        self.pictures = np.zeros(len(samples), np.uint64)

    def update(self, row: Row) -> None:
        if "failed" in row:
            self.failed[int(row["i"])] = str(row["failed"])
        elif "h" in row:
            self.pictures[int(row["i"])] = int(row["h"], 16)

    def digest(self) -> str:
        """sha256 of the pictures' own digests, in order: equal for equal pictures."""
        return sha256(self.pictures.astype("<u8").tobytes()).hexdigest()

    def listed(self) -> list[tuple[str, str]]:
        """(id, reason) of the first samples that failed."""
        return [(self.samples[i].id, self.failed[i]) for i in sorted(self.failed)[:MOST_FAILED]]
