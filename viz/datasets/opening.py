"""Opening a data set: which layout it has, and reading it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from viz.datasets import coco, csv_index, cub, folders, ilsvrc, tiny_imagenet, voc, wsol
from viz.datasets.core import Dataset, DatasetError
from viz.datasets.files import shown


@dataclass(frozen=True)
class Layout:
    """A way in which a data set lies on the disk.

    Attributes:
        name: what `open_dataset` takes. looks_for: in words, for the error. fits: whether a path looks like it.
        read: (path, split) to the data set.
    """

    name: str
    looks_for: str
    fits: Callable[[Path], bool]
    read: Callable[[Path, str | None], Dataset]


_MODULES = (csv_index, wsol, coco, voc, cub, tiny_imagenet, ilsvrc, folders)
# In the order in which they are looked for: the surer signs first.
LAYOUTS: tuple[Layout, ...] = tuple(Layout(m.NAME, m.LOOKS_FOR, m.fits, m.read) for m in _MODULES)


def open_dataset(path: str | Path, split: str | None = None, *, layout: str = "auto") -> Dataset:
    """Read the index of a data set; no picture is opened.

    A picture that is missing or damaged stays a sample: that shows, and is counted, when it is opened. What the index
    says and cannot be used is in `Dataset.problems`.

    Args:
        path: the data set's folder, or its index file (``.csv``, ``.tsv``, ``.json``).
        split: one of the data set's splits; None takes all of an index that holds several in one list, and the only
            one elsewhere.
        layout: ``auto``, or the name of one of `LAYOUTS`.

    Raises:
        DatasetError: no such path, layout or split, or an index that cannot be read.
    """
    root = Path(path)
    try:
        # Links stay as they are named: what counts is what lies beside an index, not beside the target of its link.
        root = root.resolve() if ".." in root.parts else root.absolute()
        there = root.exists()
    except (OSError, ValueError, RuntimeError):
        there = False
    if not there:
        raise DatasetError(f"There is no data set at {shown(root.name or str(root))}.")
    try:
        return _fitting(root, layout).read(root, split)
    except OSError as error:
        raise DatasetError(f"A file or folder of this data set cannot be read ({type(error).__name__}).") from None


def _fitting(root: Path, layout: str) -> Layout:
    known = {item.name: item for item in LAYOUTS}
    if layout != "auto":
        if layout not in known:
            raise DatasetError(f"There is no layout {shown(layout)!r}; use auto or {', '.join(known)}.")
        if not known[layout].fits(root):
            raise DatasetError(f"This is no data set of the layout {layout}: it needs {known[layout].looks_for}.")
        return known[layout]
    for item in LAYOUTS:
        if item.fits(root):
            return item
    looked = "; ".join(f"{item.looks_for} ({item.name})" for item in LAYOUTS)
    raise DatasetError(f"No data set was found at {shown(root.name or '.')}; looked for: {looked}.")
