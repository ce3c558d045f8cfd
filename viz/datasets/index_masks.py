"""Masks of class numbers with a list of names: one sample for each class in a mask."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from viz.datasets.builder import Builder
from viz.datasets.core import shown
from viz.datasets.files import lines
from viz.datasets.mask_files import IGNORED, UnclearMaskError, read_values
from viz.datasets.masks import FileMask

_IGNORED_NAMES = frozenset({"void", "ignore", "ignored", "unlabelled", "unlabeled", "unknown"})


def class_names(path: Path) -> tuple[str, ...] | None:
    """The names in a ``classes.txt``, the first one being that of pixel value 0; None without the file.

    Raises:
        DatasetError: the file cannot be read.
    """
    return tuple(lines(path)) if path.is_file() else None


def add_classes(
    builder: Builder, picture: Path, mask: Path, names: tuple[str, ...], size: tuple[int, int] | None
) -> None:
    """Add a sample for each class in a mask, which is read once for this and not kept."""
    name = builder.relative(picture)
    try:
        values = read_values(mask)
    except UnclearMaskError as error:
        builder.problem(name, "mask unreadable", f"mask skipped: it {error.why}")
        return
    except (ValueError, OSError, SyntaxError, MemoryError, Image.DecompressionBombError):
        builder.problem(name, "mask unreadable", "mask skipped: it is missing or cannot be read")
        return
    ignored = [i for i, text in enumerate(names) if text.casefold() in _IGNORED_NAMES]
    if len(names) <= IGNORED:
        ignored.append(IGNORED)
    present = np.unique(values).tolist()
    if IGNORED in ignored and IGNORED in present and not set(present) - {0, IGNORED}:
        what = "mask skipped: it has only 0 and 255, and 255 may be void or object. Save it with class numbers"
        builder.problem(name, "mask unreadable", what)
        return
    unknown = [v for v in present if v >= len(names) and v not in ignored]
    if unknown:
        what = f"its mask has the values {shown(str(unknown))}, which are not in the list of classes; ignored"
        builder.problem(name, "class unknown", what)
    ignored += unknown
    height, width = values.shape
    for value in present:
        if value not in ignored:
            source = FileMask((mask,), (value,), tuple(ignored))
            builder.add(picture, names[value], size=size or (height, width), mask=source)
