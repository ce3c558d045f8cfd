"""Rows of long runs: what names a request, and what makes a finished row fit to be kept.

A row is kept while its seal fits (it says what it said) and the digest of what it was made from is still the same. A
later run reads the files again and compares digests, not times or sizes: copying tools keep both although the contents
changed, and a wrong number in silence costs more than reading the files once.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from hashlib import file_digest, sha256
from pathlib import Path
from typing import Any

from viz.datasets import Dataset, Sample
from viz.datasets.core import annotation

Row = dict[str, Any]
SEAL, MADE_FROM = "seal", "of"
# Part of every request: rows of another form are not read.
ROWS_FORM = 2
_DIGITS = 32
# What a request's entry decides, for the sentence that refuses another request.
_WORDS = {
    "versions": "versions of Searchlight or its libraries",
    "device": "device",
    "model": "model or checkpoint file",
    "models": "models or checkpoint files",
    "data": "pictures in the data set",
}


@dataclass(frozen=True)
class Check:
    """What the rows of a finished chunk are worth today.

    Attributes:
        whole: they are what the task wrote there. changed: pictures that are not what they were made from.
        shared: something that all rows are made with has changed.
    """

    whole: bool = True
    changed: frozenset[str] = frozenset()
    shared: bool = False

    @property
    def good(self) -> bool:
        """Whether they can be kept."""
        return self.whole and not self.changed and not self.shared


Checker = Callable[[int, list[Row]], Check]


@dataclass
class Forgotten:
    """What was taken away from a journal, beside failed rows.

    Attributes:
        damaged: lines. changed: pictures. shared: see `Check`. outdated: all rows, of a version without digests.
    """

    damaged: int = 0
    changed: set[str] = field(default_factory=set)
    shared: bool = False
    outdated: bool = False

    def words(self) -> list[str]:
        """Sentences for the user; none where nothing was taken away."""
        said = []
        if self.outdated:
            said.append("Finished rows of an earlier version hold no digests of their files; all are measured again.")
        if self.damaged:
            what = "1 line" if self.damaged == 1 else f"{self.damaged} lines"
            said.append(f"{what} of finished rows cannot be used (damaged or altered); that part is measured again.")
        if len(self.changed) == 1:
            said.append("1 picture, its mask or its annotation changed since the last run: it is measured again.")
        elif self.changed:
            count = len(self.changed)
            said.append(
                f"{count} pictures, their masks or annotations changed since the last run: they are measured again."
            )
        if self.shared:
            said.append("All rows share values made of all pictures (mean gates), so all are measured again.")
        return said


def request_key(request: dict[str, Any]) -> str:
    """A short name of what was asked for: the same for the same request only."""
    return sha256(json.dumps(request, sort_keys=True, ensure_ascii=True).encode()).hexdigest()[:16]


def without_digests(old: Any, request: Row) -> bool:
    """Whether a folder's request is the same one, of a version whose rows held no digests of their files."""
    if not isinstance(old, dict) or "rows" in old or "rows" not in request:
        return False
    return _differing(old, request) <= {"data", "rows"}


def _differing(old: Row, request: Row) -> set[str]:
    """Entries in which two requests differ."""
    texts = [{k: json.dumps(v, sort_keys=True) for k, v in one.items()} for one in (old, request)]
    return {k for k in {*old, *request} if texts[0].get(k) != texts[1].get(k)}


def differences(old: Any, request: Row) -> str:
    """In which way a folder's request is another one, in words."""
    names = sorted(_differing(old, request)) if isinstance(old, dict) else []
    return " and ".join(dict.fromkeys(_WORDS.get(name, "options") for name in names)) or "options"


def digest(values: Sequence[Any]) -> str:
    """The first 128 bits of the sha256 of plain values, as hexadecimal digits."""
    return sha256(json.dumps(values, ensure_ascii=True).encode()).hexdigest()[:_DIGITS]


def sealed(row: Row, key: str) -> Row:
    """The row with a digest over all that it says and over the request's key."""
    return {**row, SEAL: _seal(row, key)}


def is_sealed(row: Row, key: str) -> bool:
    """Whether the row says what it said when it was sealed, for that request."""
    try:
        return row.get(SEAL) == _seal({k: v for k, v in row.items() if k != SEAL}, key)
    except (ValueError, RecursionError):  # a number that is not finite was never sealed
        return False


def _seal(row: Row, key: str) -> str:
    body = json.dumps([key, row], sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return sha256(body.encode()).hexdigest()[:_DIGITS]


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
    """Digest of all that a sample's score depends on: its picture's bytes, those of its mask's files, its annotation.

    Call it before the mask is read: a file that is replaced in between then makes a row that no later run keeps.

    Args:
        picture: sha256 of the picture's bytes as they were read; None reads the file.
    """
    masks = () if sample.mask is None else sample.mask.files
    bytes_of_picture = digest_of_file(sample.path) if picture is None else picture
    return digest([bytes_of_picture, [digest_of_file(m) for m in masks], annotation(sample)])


def names_of(data: Dataset) -> str:
    """Digest of which samples a data set lists, in order; what each of them holds is in `made_from`."""
    return digest([data.layout, data.far_edge, [s.id for s in data]])
