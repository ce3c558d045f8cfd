"""Layout ``wsol``: the lists of wsolevaluation (Choe et al., CVPR 2020; clovaai/wsolevaluation@b5c1e8a).

``metadata/DATASET/SPLIT/`` with ``image_ids.txt``, ``class_labels.txt`` (id,number), ``image_sizes.txt``
(id,width,height) and ``localization.txt``: ``id,x0,y0,x1,y1``, several lines per picture, or ``id,mask,ignored`` with
paths. Pictures and masks are in ``dataset/DATASET/``, ``data/DATASET/``, ``DATASET/`` or beside ``metadata``. A split
is named ``DATASET/SPLIT``, or ``SPLIT`` where there is only one data set. Box corners are used as stored; both are
pixels of the box, as in that protocol. Class numbers are ImageNet's only for the data set ILSVRC.
"""

from __future__ import annotations

from pathlib import Path

from viz.datasets.boxes import whole
from viz.datasets.builder import Builder, choose_split
from viz.datasets.core import Dataset
from viz.datasets.files import keyed_lines, keyed_table, lines
from viz.datasets.masks import FileMask

NAME = "wsol"
LOOKS_FOR = "metadata/DATASET/SPLIT/image_ids.txt, as wsolevaluation"


def find(root: Path) -> dict[str, Path]:
    """Folders of lists by split."""
    pattern = "*/image_ids.txt" if root.parent.name == "metadata" else "*/*/image_ids.txt"
    below = root if "metadata" in (root.name, root.parent.name) else root / "metadata"
    folders = [p.parent for p in sorted(below.glob(pattern))]
    alone = len({f.parent for f in folders}) == 1
    return {f.name if alone else f"{f.parent.name}/{f.name}": f for f in folders}


def read(root: Path, split: str | None) -> Dataset:
    """The data set of one split."""
    splits = find(root)
    split = str(choose_split(split, tuple(splits), needed=True))
    folder = splits[split]
    dataset = folder.parent.name
    builder = Builder(_root(root), "inclusive")
    candidates = [builder.root / inner / dataset for inner in ("dataset", "data", "")]
    base = next((folder for folder in candidates if folder.is_dir()), builder.root)
    labels = {key: label for key, (label,) in keyed_table(folder / "class_labels.txt", (1,), ",").items()}
    sizes = keyed_table(folder / "image_sizes.txt", (2,), ",") if (folder / "image_sizes.txt").is_file() else {}
    boxes: dict[str, list[list[str]]] = {}
    masks: dict[str, list[list[str]]] = {}
    if (folder / "localization.txt").is_file():
        for key, cells in keyed_lines(folder / "localization.txt", (2, 4), ","):
            (boxes if len(cells) == 4 else masks).setdefault(key, []).append(cells)
    pictures = lines(folder / "image_ids.txt")
    for key in sorted({*labels, *sizes, *boxes, *masks} - set(pictures)):
        builder.problem(key, "picture unknown", "in a list but not in image_ids.txt; skipped")
    for key in pictures:
        path = builder.picture(key, key, base)
        if path is None:
            continue
        size = builder.size(key, *sizes.get(key, ("", "")))
        builder.add(
            path,
            labels.get(key, ""),
            size=size,
            boxes=builder.boxes(key, boxes.get(key, []), size),
            mask=_mask(builder, key, masks.get(key, []), base),
            class_index=_class_index(builder, key, labels.get(key, ""), dataset),
        )
    return builder.build(NAME, split, tuple(splits), name=dataset)


def _root(root: Path) -> Path:
    """The folder that contains ``metadata``; `root` may be that, ``metadata``, or a data set in it."""
    if root.name == "metadata":
        return root.parent
    return root.parent.parent if root.parent.name == "metadata" else root


def _mask(builder: Builder, key: str, entries: list[list[str]], base: Path) -> FileMask | None:
    paths: list[Path] = []
    ignored: list[Path] = []
    for mask, ignore in entries:
        for name, found in ((mask, paths), (ignore, ignored)):
            path = builder.path(key, name, base) if name else None
            if path is not None:
                found.append(path)
    return FileMask(tuple(paths), ignore_path=ignored[0] if ignored else None) if paths else None


def _class_index(builder: Builder, key: str, label: str, dataset: str) -> int | None:
    try:
        index = whole(label)
    except ValueError:
        builder.problem(key, "class unknown", "no class number")
        return None
    return index if dataset == "ILSVRC" and 0 <= index < 1000 else None
