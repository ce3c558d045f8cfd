"""Layout ``ilsvrc``: ILSVRC-2012 (Russakovsky et al., IJCV 2015), in its usual forms on the disk.

Pictures in folders named by WordNet id (``val/n01440764/NAME.JPEG``), or flat as ``ILSVRC2012_val_00000001.JPEG``.
Boxes in one XML file per picture, anywhere below the folder, with the picture's name (and class folder, where several
have that name); an object's name is its WordNet id. Also the development kit, ``Data/CLS-LOC/SPLIT`` beside
``Annotations/CLS-LOC/SPLIT``, in the folder itself or in ``ILSVRC``; or Kaggle's ``LOC_SPLIT_solution.csv``
(``ImageId,PredictionString`` with groups ``wnid x0 y0 x1 y1``) beside ``ILSVRC/Data/CLS-LOC/SPLIT``. Box corners are
used as stored, as in wsolevaluation, and are both pixels of the box. One sample per (picture, WordNet id).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from viz.datasets.annotation_xml import XmlAnnotation, read_annotation
from viz.datasets.builder import Builder, choose_split
from viz.datasets.core import Dataset, DatasetError, shown
from viz.datasets.ilsvrc_notes import SPLITS, Notes
from viz.datasets.labels import WNID, readable
from viz.datasets.paths import files_below
from viz.datasets.tables import Table

NAME = "ilsvrc"
LOOKS_FOR = "ILSVRC2012_val_*.JPEG, folders named by WordNet id, Data/CLS-LOC, or LOC_val_solution.csv"
_KAGGLE = Path("ILSVRC/Data/CLS-LOC")
_KIT = (_KAGGLE, Path("Data/CLS-LOC"), Path("CLS-LOC"))
_DEPTH = 6  # Kaggle's: ILSVRC/Data/CLS-LOC/train/n01440764


def fits(root: Path) -> bool:
    """Whether the folder looks like ILSVRC."""
    return root.is_dir() and bool(_solutions(root) or _folders(root))


def read(root: Path, split: str | None) -> Dataset:
    """The data set of one split; a folder that is itself a split has none."""
    solutions = _solutions(root)
    if solutions:
        return _from_solution(root, str(choose_split(split, tuple(solutions), needed=True)), solutions)
    folders = _folders(root)
    splits = tuple(k for k in folders if k)
    split = choose_split(split, splits, needed=bool(splits))
    return _from_pictures(root, folders[split or ""], split, splits)


def _solutions(root: Path) -> dict[str, Path]:
    paths = {s: root / f"LOC_{s}_solution.csv" for s in SPLITS}
    return {s: p for s, p in paths.items() if p.is_file()}


def _folders(root: Path) -> dict[str, Path]:
    """Folders of pictures by split; the key is empty where the root itself is one."""
    for base in (root, *(root / inner for inner in _KIT)):
        if base.is_dir() and _has_pictures(base):
            return {"": base}
        found = {s: base / s for s in SPLITS if (base / s).is_dir() and _has_pictures(base / s)}
        if found:
            return found
    return {}


def _has_pictures(folder: Path) -> bool:
    return any(
        (child.name.startswith("ILSVRC2012_val_") and child.suffix.lower() in (".jpeg", ".jpg"))
        or (WNID.fullmatch(child.name) and child.is_dir())
        for child in folder.iterdir()
    )


def _from_pictures(root: Path, folder: Path, split: str | None, splits: tuple[str, ...]) -> Dataset:
    builder = Builder(root, "inclusive")
    folder = builder.root / folder.relative_to(root)
    pictures = files_below(folder, on_skip=builder.skip_folder)
    notes = Notes(builder.root, folder, split, _xml_files(builder), pictures)
    for path in pictures:
        name = builder.relative(path)
        parent = path.parent.name if WNID.fullmatch(path.parent.name) else ""
        size = None
        boxes: dict[str, list[Any]] = {parent: []} if parent else {}
        annotation = _annotation(builder, path, notes)
        if annotation is not None:
            size = builder.size(name, annotation.width, annotation.height)
            found: dict[str, list[Any]] = {}
            for thing in annotation.objects:
                found.setdefault(thing.label, []).append(thing.box)
            if parent and found and parent not in found:
                what = f"the picture is in the folder {parent} but its annotation has {shown(next(iter(found)))}"
                builder.problem(name, "class differs", what)
            boxes |= found
        if not boxes:
            builder.problem(name, "class unknown", "has no readable annotation; skipped")
        _add(builder, path, name, boxes, size)
    elsewhere = "" if notes.found else _elsewhere(builder.root)
    if elsewhere:
        if builder.empty:
            raise DatasetError(elsewhere)
        builder.problem(builder.root.name, "annotations elsewhere", elsewhere)
    return builder.build(NAME, split, splits)


def _add(
    builder: Builder, path: Path, identity: str, boxes: Mapping[str, list[Any]], size: tuple[int, int] | None = None
) -> None:
    """Add a sample for each WordNet id of a picture."""
    for wnid, raw in boxes.items():
        usable = builder.boxes(identity, raw, size)
        builder.add(path, wnid, size=size, boxes=usable, name=readable(wnid))


def _elsewhere(root: Path) -> str:
    """Where the annotations are, if the folder has none; empty where no parent folder has annotations."""
    for steps, parent in enumerate(list(root.parents)[: len(_KAGGLE.parts) + 1], start=1):
        if (parent / "Annotations").is_dir() and _folders(parent):
            up = "/".join([".."] * steps)
            return (
                f"The folder {shown(root.name)} has no annotations; they are in {up}/Annotations. Open the folder"
                f" {shown(parent.name)} ({up}), which has both."
            )
    return ""


def _xml_files(builder: Builder) -> list[Path]:
    root = builder.root
    # Searched first, because the rest may be a million pictures.
    places = [p for p in (root / "Annotations", root / "ILSVRC" / "Annotations") if p.is_dir()]
    found = [file for p in places for file in files_below(p, (".xml",), _DEPTH, builder.skip_folder)]
    return found or files_below(root, (".xml",), _DEPTH)


def _annotation(builder: Builder, path: Path, notes: Notes) -> XmlAnnotation | None:
    """The annotation of a picture; None where there is none, and with a problem where it is unclear or unreadable."""
    name = builder.relative(path)
    file, unclear = notes.of(path)
    if unclear:
        builder.problem(name, "annotation unclear", f"{unclear}; skipped")
    if file is None:
        return None
    try:
        annotation = read_annotation(file)
    except DatasetError as error:
        builder.problem(builder.relative(file), "annotation unreadable", str(error))
        return None
    if notes.is_other(path, annotation.filename):
        what = f"its annotation is for another picture, {shown(annotation.filename)}; skipped"
        builder.problem(name, "annotation unclear", what)
        return None
    return annotation


def _from_solution(root: Path, split: str, solutions: dict[str, Path]) -> Dataset:
    builder = Builder(root, "inclusive")
    base = builder.root
    folder = next((f for f in (base / _KAGGLE / split, base / split) if f.is_dir()), base)
    table = Table(solutions[split])
    if not {"ImageId", "PredictionString"} <= set(table.columns):
        raise DatasetError(f"{solutions[split].name} has no columns ImageId and PredictionString.")
    for line, row in table:
        image = row["ImageId"]
        wnid_of_name = image.split("_")[0]
        relative = f"{wnid_of_name}/{image}.JPEG" if WNID.fullmatch(wnid_of_name) else f"{image}.JPEG"
        path = builder.path(f"line {line}", relative, folder)
        if path is None:
            continue
        parts = row["PredictionString"].split()
        if not parts or len(parts) % 5:
            what = "PredictionString is not a list of groups of a WordNet id and four numbers; skipped"
            builder.problem(image, "annotation unreadable", what)
            continue
        boxes: dict[str, list[Any]] = {}
        for i in range(0, len(parts), 5):
            boxes.setdefault(parts[i], []).append(parts[i + 1 : i + 5])
        _add(builder, path, image, boxes)
    return builder.build(NAME, split, tuple(solutions))
