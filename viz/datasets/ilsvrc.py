"""Layout ``ilsvrc``: ILSVRC-2012 (Russakovsky et al., IJCV 2015), in the forms in which it lies on people's disks.

Pictures in folders named by WordNet id (``val/n01440764/NAME.JPEG``), or flat as ``ILSVRC2012_val_00000001.JPEG``;
boxes in one XML a picture, anywhere below the folder, with the picture's name (and class folder, where several have the
name), the class being the WordNet id that is each object's name. So also the development kit, ``Data/CLS-LOC/SPLIT``
beside ``Annotations/CLS-LOC/SPLIT``, in the folder itself or in ``ILSVRC``. Or Kaggle's ``LOC_SPLIT_solution.csv``
(``ImageId,PredictionString`` of groups ``wnid x0 y0 x1 y1``) beside ``ILSVRC/Data/CLS-LOC/SPLIT``. Box corners are kept
as they stand, as wsolevaluation keeps them, and both count as pixels of the box. One sample a (picture, WordNet id).
"""

from __future__ import annotations

from pathlib import Path
from xml.etree.ElementTree import Element

from viz.datasets.builder import Builder, chosen
from viz.datasets.core import Dataset, DatasetError
from viz.datasets.files import files_below, read_xml, shown
from viz.datasets.ilsvrc_notes import SPLITS, Notes
from viz.datasets.labels import WNID, class_of, name_of
from viz.datasets.tables import read_rows

NAME = "ilsvrc"
LOOKS_FOR = "ILSVRC2012_val_*.JPEG, folders named by WordNet id, Data/CLS-LOC, or LOC_val_solution.csv"
_KAGGLE = Path("ILSVRC/Data/CLS-LOC")
_KIT = (_KAGGLE, Path("Data/CLS-LOC"), Path("CLS-LOC"))
_DEPTH = 6  # Kaggle's own: ILSVRC/Data/CLS-LOC/train/n01440764


def fits(root: Path) -> bool:
    """Whether the folder looks like ILSVRC."""
    return root.is_dir() and (bool(_solutions(root)) or bool(_folders(root)))


def read(root: Path, split: str | None) -> Dataset:
    """The data set of one split; a folder that is itself a split has none.

    Raises:
        DatasetError: no such split, or it cannot be read.
    """
    solutions = _solutions(root)
    if solutions:
        chosen_split = chosen(split, tuple(solutions), needed=True)
        return _from_solution(root, str(chosen_split), solutions)
    folders = _folders(root)
    named = tuple(k for k in folders if k)
    chosen_split = chosen(split, named, needed=bool(named))
    return _from_pictures(root, folders[chosen_split or ""], chosen_split, named)


def _solutions(root: Path) -> dict[str, Path]:
    paths = {s: root / f"LOC_{s}_solution.csv" for s in SPLITS}
    return {s: p for s, p in paths.items() if p.is_file()}


def _folders(root: Path) -> dict[str, Path]:
    """Folders of pictures by split; the key is empty where the root itself holds them."""
    for base in (root, *(root / inner for inner in _KIT)):
        if base.is_dir() and _holds_pictures(base):
            return {"": base}
        found = {s: base / s for s in SPLITS if (base / s).is_dir() and _holds_pictures(base / s)}
        if found:
            return found
    return {}


def _holds_pictures(folder: Path) -> bool:
    for child in folder.iterdir():
        if child.name.startswith("ILSVRC2012_val_") and child.suffix.lower() in (".jpeg", ".jpg"):
            return True
        if WNID.fullmatch(child.name) and child.is_dir():
            return True
    return False


def _from_pictures(root: Path, folder: Path, split: str | None, splits: tuple[str, ...]) -> Dataset:
    builder = Builder(root, "inclusive")
    folder = builder.inside.root / folder.relative_to(root)
    pictures = files_below(folder, told=builder.left_out)
    notes = _annotations(builder, folder, split, pictures)
    elsewhere = "" if notes.found else _elsewhere(builder.inside.root)
    for path in pictures:
        name = builder.relative(path)
        parent = path.parent.name if WNID.fullmatch(path.parent.name) else ""
        size = None
        boxes: dict[str, list[list[object]]] = {parent: []} if parent else {}
        annotation = _read(builder, path, notes)
        if annotation is not None:
            size = builder.size(name, annotation.findtext("size/width"), annotation.findtext("size/height"))
            objects = _objects(annotation)
            if parent and objects and parent not in objects:
                message = (
                    f"{shown(name)} lies in the folder {parent}, but its annotation shows {shown(next(iter(objects)))}."
                )
                builder.problem(name, "class differs", message)
            boxes |= objects
        if not boxes:
            builder.problem(name, "class unknown", f"{shown(name)} has no annotation that can be read; it is left out.")
        for wnid, raw in boxes.items():
            index = class_of(wnid)
            builder.add(
                path,
                wnid,
                size=size,
                boxes=builder.boxes(name, raw, size),
                name="" if index is None else name_of(index),
            )
    if elsewhere:
        if not builder.filled:
            raise DatasetError(elsewhere)
        builder.problem(builder.inside.root.name, "annotations elsewhere", elsewhere)
    return builder.build(NAME, split, splits)


def _elsewhere(root: Path) -> str:
    """Where to look instead of a folder without any annotation; empty where no parent has annotations."""
    for steps, parent in enumerate(list(root.parents)[: len(_KAGGLE.parts) + 1], start=1):
        if (parent / "Annotations").is_dir() and _folders(parent):
            up = "/".join([".."] * steps)
            return (
                f"The folder {shown(root.name)} holds no annotations; they lie in {up}/Annotations: name the folder"
                f" {shown(parent.name)} ({up}), which holds both."
            )
    return ""


def _annotations(builder: Builder, folder: Path, split: str | None, pictures: list[Path]) -> Notes:
    """The XML files of a split."""
    root = builder.inside.root
    places = (root / "Annotations", root / "ILSVRC" / "Annotations")  # first, as elsewhere may be a million pictures
    found = [f for p in places if p.is_dir() for f in files_below(p, (".xml",), _DEPTH, builder.left_out)]
    found = found or files_below(root, (".xml",), _DEPTH)
    return Notes(root, folder, split, found, pictures)


def _read(builder: Builder, path: Path, notes: Notes) -> Element | None:
    """The annotation of a picture; None where it has none, and with a problem where it is unclear or unreadable."""
    found = notes.of(path)
    if not found:
        return None
    name = builder.relative(path)
    if isinstance(found, str):
        builder.problem(name, "annotation unclear", f"{shown(name)} {found}; none is used.")
        return None
    try:
        annotation = read_xml(found)
    except DatasetError as error:
        builder.problem(builder.relative(found), "annotation unreadable", str(error))
        return None
    said = (annotation.findtext("filename") or "").strip().replace("\\", "/").rsplit("/", 1)[-1]
    if notes.is_other(path, said):
        message = (
            f"The annotation of {shown(name)} names the picture {shown(said)}, which is there, too; it is not used."
        )
        builder.problem(name, "annotation unclear", message)
        return None
    return annotation


def _objects(annotation: Element) -> dict[str, list[list[object]]]:
    found: dict[str, list[list[object]]] = {}
    for thing in annotation.findall("object"):
        box = thing.find("bndbox")
        corners = [] if box is None else [box.findtext(k) for k in ("xmin", "ymin", "xmax", "ymax")]
        found.setdefault((thing.findtext("name") or "").strip(), []).append(list(corners))
    return found


def _from_solution(root: Path, split: str, solutions: dict[str, Path]) -> Dataset:
    builder = Builder(root, "inclusive")
    base = builder.inside.root
    folder = next((f for f in (base / _KAGGLE / split, base / split) if f.is_dir()), base)
    columns, rows = read_rows(solutions[split])
    if not {"ImageId", "PredictionString"} <= set(columns):
        raise DatasetError(f"{solutions[split].name} has no columns ImageId and PredictionString.")
    for line, row in rows:
        image = row["ImageId"]
        wnid_of_name = image.split("_")[0]
        relative = f"{wnid_of_name}/{image}.JPEG" if WNID.fullmatch(wnid_of_name) else f"{image}.JPEG"
        path = builder.path(f"line {line}", relative, folder)
        if path is None:
            continue
        parts = row["PredictionString"].split()
        if not parts or len(parts) % 5:
            message = f"{shown(image)} has a PredictionString that is not groups of a WordNet id and four numbers."
            builder.problem(image, "annotation unreadable", message)
            continue
        boxes: dict[str, list[list[object]]] = {}
        for i in range(0, len(parts), 5):
            boxes.setdefault(parts[i], []).append(list(parts[i + 1 : i + 5]))
        for wnid, raw in boxes.items():
            index = class_of(wnid)
            name = "" if index is None else name_of(index)
            builder.add(path, wnid, boxes=builder.boxes(image, raw, None), name=name)
    return builder.build(NAME, split, tuple(solutions))
