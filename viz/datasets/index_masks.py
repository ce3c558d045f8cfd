"""Masks whose pixel values are class numbers: one sample for each class that a mask holds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from viz.datasets.builder import Builder
from viz.datasets.files import lines, shown
from viz.datasets.mask_files import IGNORED, UnclearMaskError, read_values
from viz.datasets.masks import FileMask

_IGNORED_NAMES = frozenset({"void", "ignore", "ignored", "unlabelled", "unlabeled", "unknown"})


def class_names(path: Path) -> tuple[str, ...] | None:
    """The names in a ``classes.txt``, the first being that of pixel value 0; None without the file.

    Raises:
        DatasetError: the file cannot be read.
    """
    return tuple(lines(path)) if path.is_file() else None


def add_classes(
    builder: Builder, picture: Path, mask: Path, names: tuple[str, ...], size: tuple[int, int] | None
) -> None:
    """Add a sample for each class of a mask; the mask is read to see which classes it holds, and let go."""
    name = shown(builder.relative(picture))
    try:
        values = read_values(mask)
    except UnclearMaskError as error:
        builder.problem(name, "mask unreadable", f"The mask of {name} {error.why}; its classes are unknown.")
        return
    except (ValueError, OSError, SyntaxError, MemoryError, Image.DecompressionBombError):
        message = f"The mask of {name} is missing or cannot be read; its classes are unknown."
        builder.problem(name, "mask unreadable", message)
        return
    ignored = tuple(i for i, text in enumerate(names) if text.casefold() in _IGNORED_NAMES)
    if len(names) <= IGNORED:
        ignored = (*ignored, IGNORED)
    present = [int(v) for v in np.unique(values)]
    if IGNORED in present and not set(present) - {0, IGNORED} and IGNORED in ignored:
        message = (
            f"The mask of {name} holds only 0 and 255: 255 may be void, or white for an object; it is left out. Save it"
            " with class numbers."
        )
        builder.problem(name, "mask unreadable", message)
        return
    unknown = [v for v in present if v >= len(names) and v not in ignored]
    if unknown:
        message = f"The mask of {name} holds the values {shown(str(unknown))}, which are no class; they are ignored."
        builder.problem(name, "class unknown", message)
        ignored = (*ignored, *unknown)
    for value in present:
        if value not in ignored:
            builder.add(picture, names[value], size=size or _size(values), mask=FileMask((mask,), (value,), ignored))


def _size(values: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]) -> tuple[int, int]:
    return (int(values.shape[0]), int(values.shape[1]))
