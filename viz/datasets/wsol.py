"""Layout ``wsol``: the lists of wsolevaluation (Choe et al., CVPR 2020; clovaai/wsolevaluation@b5c1e8a).

``metadata/DATASET/SPLIT/`` with ``image_ids.txt``, ``class_labels.txt`` (id,number), ``image_sizes.txt``
(id,width,height) and ``localization.txt``: ``id,x0,y0,x1,y1``, several lines a picture, or ``id,mask,ignored`` with
paths. Pictures and masks lie in ``dataset/DATASET/``, ``data/DATASET/``, ``DATASET/`` or beside ``metadata``. A split
is named ``DATASET/SPLIT``, or ``SPLIT`` where there is one data set only. Box corners are kept as they stand: that
protocol counts both as pixels of the box. Class numbers are ImageNet's for the data set ILSVRC only.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from viz.datasets.builder import Builder, chosen, whole
from viz.datasets.core import Dataset, DatasetError
from viz.datasets.files import lines, shown
from viz.datasets.masks import FileMask

NAME = "wsol"
LOOKS_FOR = "metadata/DATASET/SPLIT/image_ids.txt, as wsolevaluation"


def fits(root: Path) -> bool:
    """Whether there is metadata."""
    return bool(_splits(root))


def read(root: Path, split: str | None) -> Dataset:
    """The data set of one split.

    Raises:
        DatasetError: no such split, or a list is missing or cannot be read.
    """
    splits = _splits(root)
    chosen_split = str(chosen(split, tuple(splits), needed=True))
    folder = splits[chosen_split]
    dataset = folder.parent.name
    builder = Builder(_root(root), "inclusive")
    base = _pictures(builder.inside.root, dataset)
    labels = {key: rest[0] for key, rest in _once(folder / "class_labels.txt", 1).items()}
    sizes = _once(folder / "image_sizes.txt", 2) if (folder / "image_sizes.txt").is_file() else {}
    boxes: dict[str, list[list[str]]] = {}
    masks: dict[str, list[list[str]]] = {}
    if (folder / "localization.txt").is_file():
        for key, rest in _entries(folder / "localization.txt", (2, 4)):
            (boxes if len(rest) == 4 else masks).setdefault(key, []).append(rest)
    wanted = lines(folder / "image_ids.txt")
    for key in sorted({*labels, *sizes, *boxes, *masks} - set(wanted)):
        builder.problem(key, "picture unknown", f"{shown(key)} is in a list but not in image_ids.txt; it is left out.")
    for key in wanted:
        path = builder.picture(key, key, base)
        if path is None:
            continue
        width, height = sizes.get(key, ["", ""])
        size = builder.size(key, width, height)
        builder.add(
            path,
            labels.get(key, ""),
            size=size,
            boxes=builder.boxes(key, boxes.get(key, []), size),
            mask=_mask(builder, key, masks.get(key, []), base),
            class_index=_class_index(builder, key, labels.get(key, ""), dataset),
        )
    return builder.build(NAME, chosen_split, tuple(splits), name=dataset)


def _root(root: Path) -> Path:
    """The folder that holds ``metadata``, which itself, or a data set in it, may have been given."""
    if root.name == "metadata":
        return root.parent
    return root.parent.parent if root.parent.name == "metadata" else root


def _splits(root: Path) -> dict[str, Path]:
    pattern = "*/image_ids.txt" if root.parent.name == "metadata" else "*/*/image_ids.txt"
    below = root if "metadata" in (root.name, root.parent.name) else root / "metadata"
    folders = [p.parent for p in sorted(below.glob(pattern))]
    alone = len({f.parent for f in folders}) == 1
    return {f.name if alone else f"{f.parent.name}/{f.name}": f for f in folders}


def _pictures(root: Path, dataset: str) -> Path:
    for candidate in (root / "dataset" / dataset, root / "data" / dataset, root / dataset):
        if candidate.is_dir():
            return candidate
    return root


def _entries(path: Path, counts: tuple[int, ...]) -> Iterator[tuple[str, list[str]]]:
    """Key and cells of each line, which has one of these numbers of cells after the key."""
    for line in lines(path):
        key, *rest = line.split(",")
        if len(rest) not in counts:
            raise DatasetError(f"{shown(path.name)} has the line {shown(line)!r}, which has not the parts it should.")
        yield key, rest


def _once(path: Path, count: int) -> dict[str, list[str]]:
    """Cells by key, of a list that has one line a picture.

    Raises:
        DatasetError: as `_entries`, or a picture has two different lines.
    """
    found: dict[str, list[str]] = {}
    for key, rest in _entries(path, (count,)):
        if found.setdefault(key, rest) != rest:
            raise DatasetError(f"{shown(path.name)} has {shown(key)} twice, with different values.")
    return found


def _mask(builder: Builder, key: str, entries: list[list[str]], base: Path) -> FileMask | None:
    paths, ignored = [], []
    for mask, ignore in entries:
        found = [builder.path(key, name, base) if name else None for name in (mask, ignore)]
        paths += [p for p in found[:1] if p is not None]
        ignored += [p for p in found[1:] if p is not None]
    return FileMask(tuple(paths), ignore_path=ignored[0] if ignored else None) if paths else None


def _class_index(builder: Builder, key: str, label: str, dataset: str) -> int | None:
    try:
        index = whole(label)
    except ValueError:
        builder.problem(key, "class unknown", f"{shown(key)} has no class number.")
        return None
    return index if dataset == "ILSVRC" and 0 <= index < 1000 else None
