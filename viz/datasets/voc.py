"""Layout ``voc``: Pascal VOC (Everingham et al., IJCV 2010; the development kit's VOC2012 document).

``Annotations/ID.xml``, ``JPEGImages/ID.jpg``, ``ImageSets/Main/SPLIT.txt`` (also ``Segmentation/SPLIT``) and
``SegmentationClass/ID.png``, whose values are the 20 classes in alphabetical order from 1, 255 being the border and the
objects that are not judged. One sample a (picture, class). Coordinates in the files count pixels from 1 with inclusive
far edges; here they become zero-based with exclusive far edges: x0 = xmin - 1, x1 = xmax. Objects marked ``difficult``
are kept out, as the challenge keeps them out of its scores, and are problems.
"""

from __future__ import annotations

from pathlib import Path
from xml.etree.ElementTree import Element

from viz.datasets.builder import Builder, chosen, number
from viz.datasets.core import Dataset, DatasetError
from viz.datasets.files import lines, read_xml, shown
from viz.datasets.masks import FileMask

NAME = "voc"
LOOKS_FOR = "Annotations/*.xml beside JPEGImages/, as Pascal VOC"
CLASSES = (
    *("aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow"),
    *("diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor"),
)
_WORDS = {"diningtable": "dining table", "pottedplant": "potted plant", "tvmonitor": "tv monitor"}
_ALL = "all"


def fits(root: Path) -> bool:
    """Whether the folder, or the only year below it, has VOC's folders."""
    return _year(root) is not None


def read(root: Path, split: str | None) -> Dataset:
    """The data set of one split; without split lists there is one, ``all``.

    Raises:
        DatasetError: no such split, or it cannot be read.
    """
    base = _year(root)
    if base is None:
        raise DatasetError(f"This is no data set of the layout {NAME}: it needs {LOOKS_FOR}.")
    lists = _splits(base)
    chosen_split = chosen(split, tuple(lists), needed=True)
    where = lists[str(chosen_split)]
    stems = sorted(p.stem for p in (base / "Annotations").glob("*.xml")) if where is None else lines(where)
    builder = Builder(base)
    masks = base / "SegmentationClass"
    for stem in stems:
        path = builder.path(stem, f"JPEGImages/{stem}.jpg")
        notes = None if path is None else builder.path(stem, f"Annotations/{stem}.xml")
        if path is None or notes is None:
            continue
        mask = builder.path(stem, f"SegmentationClass/{stem}.png") if masks.is_dir() else None
        try:
            annotation = read_xml(notes)
        except DatasetError as error:
            builder.problem(stem, "annotation unreadable", str(error))
            continue
        _add(builder, path, annotation, mask)
    return builder.build(NAME, chosen_split, tuple(lists))


def _year(root: Path) -> Path | None:
    found = [
        base
        for base in (root, *sorted(root.glob("VOC20??")), *sorted(root.glob("VOCdevkit/VOC20??")))
        if (base / "Annotations").is_dir() and (base / "JPEGImages").is_dir()
    ]
    if len(found) > 1 and found[0] != root:
        years = ", ".join(p.name for p in found)
        raise DatasetError(f"This folder holds several data sets; open one of: {years}.")
    return found[0] if found else None


def _splits(base: Path) -> dict[str, Path | None]:
    """Lists of picture names; those of a single class have a second column."""
    found: dict[str, Path | None] = {}
    for folder in ("Main", "Segmentation"):
        for path in sorted((base / "ImageSets" / folder).glob("*.txt")):
            if not path.is_file():
                continue
            with path.open("rb") as file:
                first = file.readline(1000).split()
            if len(first) == 1:
                found[path.stem if folder == "Main" else f"{folder}/{path.stem}"] = path
    return found or {_ALL: None}


def _add(builder: Builder, path: Path, annotation: Element, mask: Path | None) -> None:
    name = builder.relative(path)
    size = builder.size(name, annotation.findtext("size/width"), annotation.findtext("size/height"))
    by_class: dict[str, list[list[object]]] = {}
    difficult = 0
    for thing in annotation.findall("object"):
        label = (thing.findtext("name") or "").strip()
        if (thing.findtext("difficult") or "0").strip() == "1":
            difficult += 1
            message = f"An object of {shown(name)} is marked difficult and left out."
            builder.problem(f"{name}#{label}", "difficult", message)
            continue
        by_class.setdefault(label, []).append(corners(thing.find("bndbox")))
    if not by_class and not difficult:
        builder.problem(name, "no object", f"{shown(name)} has no object.")
    there = mask is not None and mask.is_file()
    for label, raw in by_class.items():
        source = None
        if there and mask is not None and label in CLASSES:
            source = FileMask((mask,), (CLASSES.index(label) + 1,), (255,))
        builder.add(
            path, label, size=size, boxes=builder.boxes(name, raw, size), mask=source, name=_WORDS.get(label, "")
        )


def corners(box: Element | None) -> list[object]:
    """VOC's 1-based inclusive corners as zero-based ones with exclusive far edges; as they are where no number."""
    if box is None:
        return []
    raw: list[object] = [box.findtext(k) for k in ("xmin", "ymin", "xmax", "ymax")]
    try:
        x0, y0, x1, y1 = (number(v) for v in raw)
    except ValueError:
        return raw
    return [x0 - 1, y0 - 1, x1, y1]
