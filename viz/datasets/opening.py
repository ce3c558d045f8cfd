"""Opens a data set: finds its layout and reads it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from viz.datasets import coco, csv_index, cub, folders, ilsvrc, tiny_imagenet, voc, wsol
from viz.datasets.core import Dataset, DatasetError, shown


@dataclass(frozen=True)
class Layout:
    """One arrangement of a data set's files on the disk.

    Attributes:
        name: as given to `open_dataset`. looks_for: its characteristic files, for error messages.
        find: what a path has of this layout; empty or False if nothing.
        read: the data set at a path with this layout, of one split or, where the layout allows it, the whole. It raises
            `DatasetError` for an unknown split and for an index that cannot be read.
    """

    name: str
    looks_for: str
    find: Callable[[Path], object]
    read: Callable[[Path, str | None], Dataset]


_MODULES = (csv_index, wsol, coco, voc, cub, tiny_imagenet, ilsvrc, folders)
# In the order in which they are tried: the most specific first.
LAYOUTS: tuple[Layout, ...] = tuple(Layout(m.NAME, m.LOOKS_FOR, m.find, m.read) for m in _MODULES)


def open_dataset(path: str | Path, split: str | None = None, *, layout: str = "auto") -> Dataset:
    """Read the index of a data set; no picture is opened.

    A missing or damaged picture remains a sample; it is reported and counted when it is opened. `Dataset.problems` has
    the entries of the index that cannot be used.

    Args:
        path: the data set's folder, or its index file (``.csv``, ``.tsv``, ``.json``).
        split: one of the data set's splits. None takes the whole data set where one list has all splits, and otherwise
            the only split.
        layout: ``auto``, or the name of one of `LAYOUTS`.

    Raises:
        DatasetError: no data set at this path, an unknown layout or split, or an index that cannot be read.
    """
    root = Path(path)
    try:
        # Links are not resolved, because what matters is what lies beside the link, not beside its target.
        root = root.resolve() if ".." in root.parts else root.absolute()
        exists = root.exists()
    except (OSError, ValueError, RuntimeError):
        exists = False
    if not exists:
        raise DatasetError(f"No data set at {shown(root.name or str(root))}: the path does not exist.")
    try:
        return _layout_of(root, layout).read(root, split)
    except OSError as error:
        raise DatasetError(f"A file or folder of this data set cannot be read ({type(error).__name__}).") from None


def _layout_of(root: Path, name: str) -> Layout:
    known = {item.name: item for item in LAYOUTS}
    if name != "auto":
        if name not in known:
            raise DatasetError(f"Unknown layout {shown(name)!r}. Choose one of: auto, {', '.join(known)}.")
        if not known[name].find(root):
            raise DatasetError(f"This data set does not have the layout {name}, which needs {known[name].looks_for}.")
        return known[name]
    for item in LAYOUTS:
        if item.find(root):
            return item
    needed = "; ".join(f"{item.looks_for} ({item.name})" for item in LAYOUTS)
    raise DatasetError(f"No data set found at {shown(root.name or '.')}. A data set has one of: {needed}.")
