"""What makes a finished row fit to be kept: a seal over what it says, and a digest of what it was made from.

A later run reads the files again and compares digests, not times or sizes: copying tools keep both although the
contents changed, and a wrong number in silence costs more than reading the files once.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from hashlib import file_digest, sha256
from pathlib import Path
from typing import Any

from viz.datasets import Dataset, Sample
from viz.datasets.core import annotation
from viz.measures.jobs.kept import Row

SEAL, MADE_FROM = "seal", "of"
# Part of every request: rows of another form are not read.
ROWS_FORM = 2
_DIGITS = 32


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
