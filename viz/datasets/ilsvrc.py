"""Layout ``ilsvrc``: ILSVRC-2012 (Russakovsky et al., IJCV 2015), in its usual forms on the disk.

Pictures in folders named by WordNet id (``val/n01440764/NAME.JPEG``), or flat as ``ILSVRC2012_val_00000001.JPEG``.
Boxes in one XML file per picture, anywhere below the folder, with the picture's name (and class folder, where several
have that name); an object's name is its WordNet id. Also the development kit, ``Data/CLS-LOC/SPLIT`` beside
``Annotations/CLS-LOC/SPLIT``, in the folder itself or in ``ILSVRC``; or Kaggle's ``LOC_SPLIT_solution.csv``
(``ImageId,PredictionString`` with groups ``wnid x0 y0 x1 y1``) beside ``ILSVRC/Data/CLS-LOC/SPLIT``. Box corners are
used as stored, as in wsolevaluation, and are both pixels of the box. One sample per (picture, WordNet id).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from viz.datasets.annotation_xml import XmlAnnotation, read_annotation
from viz.datasets.builder import Builder, choose_split
from viz.datasets.core import Dataset, DatasetError, shown
from viz.datasets.files import Table
from viz.datasets.labels import WNID, readable
from viz.datasets.paths import files_below

NAME = "ilsvrc"
LOOKS_FOR = "ILSVRC2012_val_*.JPEG, folders named by WordNet id, Data/CLS-LOC, or LOC_val_solution.csv"
SPLITS = ("train", "val", "test")
_KAGGLE = Path("ILSVRC/Data/CLS-LOC")
_KIT = (_KAGGLE, Path("Data/CLS-LOC"), Path("CLS-LOC"))
_DEPTH = 6  # Kaggle's: ILSVRC/Data/CLS-LOC/train/n01440764


def find(root: Path) -> bool:
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
    xml_files = _XmlFiles(builder.root, folder, split, _find_xml(builder), pictures)
    for path in pictures:
        name = builder.relative(path)
        parent = _class(path)
        size = None
        boxes: dict[str, list[Any]] = {parent: []} if parent else {}
        annotation = _annotation(builder, path, xml_files)
        if annotation is not None:
            size = builder.size(name, *annotation.size)
            found: dict[str, list[Any]] = {}
            for obj in annotation.objects:
                found.setdefault(obj.label, []).append(obj.box)
            if parent and found and parent not in found:
                what = f"in the folder {parent}, but its annotation has {shown(next(iter(found)))}"
                builder.problem(name, "class differs", what)
            boxes |= found
        if not boxes:
            builder.problem(name, "class unknown", "no readable annotation; skipped")
        _add(builder, path, name, boxes, size)
    elsewhere = "" if xml_files.found else _elsewhere(builder.root)
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


def _find_xml(builder: Builder) -> list[Path]:
    root = builder.root
    # Searched first, because the rest may be a million pictures.
    places = [p for p in (root / "Annotations", root / "ILSVRC" / "Annotations") if p.is_dir()]
    found = [file for p in places for file in files_below(p, (".xml",), _DEPTH, builder.skip_folder)]
    return found or files_below(root, (".xml",), _DEPTH)


class _XmlFiles:
    """Annotation files by name, for the pictures of one split.

    A picture's annotation has its name, except for the extension. Of several, that in the same class folder (a WordNet
    id) is used, then that in the split's folder. One in another class's folder never matches.
    """

    def __init__(
        self, root: Path, folder: Path, split: str | None, files: Iterable[Path], pictures: Iterable[Path]
    ) -> None:
        """Args: root: the data set's folder. folder: of the split's pictures. files: XML. pictures: of the split."""
        self._root, self._folder, self._split = root, folder, split
        self._by_stem: dict[str, list[Path]] = {}
        for path in files:
            self._by_stem.setdefault(path.stem, []).append(path)
        self._stems = Counter((p.stem, _class(p)) for p in pictures)
        self._alike = Counter(stem for stem, _ in self._stems.elements())

    @property
    def found(self) -> bool:
        """Whether there is any annotation."""
        return bool(self._by_stem)

    def of(self, picture: Path) -> tuple[Path | None, str]:
        """The picture's annotation, or None and why it is unclear; the text is empty where there is none."""
        wnid = _class(picture)
        files = [p for p in self._by_stem.get(picture.stem, []) if not self._is_foreign(p, wnid)]
        if not files:
            return None, ""
        ranks = [(wnid != "" and _class(p) == wnid, self._is_own(p)) for p in files]
        files = [p for p, rank in zip(files, ranks, strict=True) if rank == max(ranks)]
        name = shown(files[0].name)
        if len(files) > 1:
            return None, f"{len(files)} annotations have its name"
        if self._stems[picture.stem, wnid] > 1:
            return None, f"its annotation {name} may belong to another picture of the same name"
        if self._alike[picture.stem] > 1 and not _class(files[0]):
            return None, f"its annotation {name} may belong to pictures of the same name in other folders"
        return files[0], ""

    def is_other(self, picture: Path, filename: str) -> bool:
        """Whether the filename in an annotation is that of another picture of the split."""
        stem = PurePosixPath(filename).stem if Path(filename).suffix.lower() in (".jpeg", ".jpg", ".png") else filename
        return bool(filename) and stem != picture.stem and self._alike[stem] > 0

    def _is_foreign(self, path: Path, wnid: str) -> bool:
        """Whether an annotation is in the folder of another class or split."""
        if wnid and _class(path) not in ("", wnid):
            return True
        others = set(SPLITS) - {self._split}
        return self._split is not None and not self._is_own(path) and not others.isdisjoint(self._parts(path))

    def _is_own(self, path: Path) -> bool:
        return path.is_relative_to(self._folder) or self._split in self._parts(path)

    def _parts(self, path: Path) -> tuple[str, ...]:
        return path.relative_to(self._root).parts[:-1]


def _class(path: Path) -> str:
    """The WordNet id that is the name of a file's folder; empty where it is not one."""
    return path.parent.name if WNID.fullmatch(path.parent.name) else ""


def _annotation(builder: Builder, path: Path, xml_files: _XmlFiles) -> XmlAnnotation | None:
    """The annotation of a picture; None where there is none, and with a problem where it is unclear or unreadable."""
    name = builder.relative(path)
    file, unclear = xml_files.of(path)
    if unclear:
        builder.problem(name, "annotation unclear", f"{unclear}; skipped")
    if file is None:
        return None
    try:
        annotation = read_annotation(file)
    except DatasetError as error:
        builder.problem(builder.relative(file), "annotation unreadable", str(error))
        return None
    if xml_files.is_other(path, annotation.filename):
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
