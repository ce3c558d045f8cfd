"""Layout ``voc``: Pascal VOC (Everingham et al., IJCV 2010; the development kit's VOC2012 document).

``Annotations/ID.xml``, ``JPEGImages/ID.jpg`` (or another picture of that name, such as ``.png``; where there are
several, the XML's ``filename`` decides), ``ImageSets/Main/SPLIT.txt`` (also ``Segmentation/SPLIT``) and
``SegmentationClass/ID.png`` with class numbers (`viz.datasets.numbering`) and 255 for borders and objects that are not
scored. Also ``annotations`` beside ``images``. One sample per (picture, class). Coordinates in the files are 1-based
with inclusive far edges; here they are zero-based with exclusive far edges: x0 = xmin - 1, x1 = xmax. Objects marked
``difficult`` are skipped, as in the challenge's own scores, and reported.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from viz.datasets.annotation_xml import XmlObject, read_annotation
from viz.datasets.boxes import is_share
from viz.datasets.builder import Builder, choose_split
from viz.datasets.core import Box, Dataset, DatasetError, shown
from viz.datasets.files import lines
from viz.datasets.masks import ClassCheck, FileMask
from viz.datasets.numbering import Numbering, numbering
from viz.datasets.paths import files_below
from viz.picture_files import is_hidden, is_picture_name

NAME = "voc"
LOOKS_FOR = "Annotations/*.xml beside JPEGImages/ or images/, as Pascal VOC"
_WORDS = {"diningtable": "dining table", "pottedplant": "potted plant", "tvmonitor": "tv monitor"}
_ALL = "all"
_NOTES = ("annotations", "annotation", "xml", "xmls")
_PICTURES = ("jpegimages", "images", "image", "imgs")
_MASKS = ("SegmentationClass", "SegmentationClassPNG")


@dataclass(frozen=True)
class _Note:
    """The annotation of a picture; `stem` is its name without the extension."""

    path: Path
    stem: str
    size: tuple[int, int] | None
    objects: tuple[XmlObject, ...]


def fits(root: Path) -> bool:
    """Whether the folder, or the only year below it, has VOC's folders."""
    return bool(_years(root))


def read(root: Path, split: str | None) -> Dataset:
    """The data set of one split; without split lists the only one is ``all``."""
    base, *inner = _years(root)[0]
    lists = _splits(base)
    split = str(choose_split(split, tuple(lists), needed=True))
    builder = Builder(base)
    xml, pictures = (builder.root / name for name in inner)
    notes = (_note(builder, xml, pictures, stem) for stem in _stems(builder, xml, lists[split]))
    found = [note for note in notes if note is not None]
    numbers: Numbering | str
    try:
        numbers = numbering(builder.root, {thing.label for note in found for thing in note.objects})
    except DatasetError as error:
        numbers = str(error)
    for note in found:
        _add(builder, note, numbers)
    return builder.build(NAME, split, tuple(lists))


def _years(root: Path) -> list[tuple[Path, str, str]]:
    """The folder of a data set, `root` or the only year in it, and the names of its folders of XML and pictures."""
    bases = (root, *sorted(root.glob("VOC20??")), *sorted(root.glob("VOCdevkit/VOC20??")))
    found = [folders for base in bases if (folders := _folders(base)) is not None]
    if len(found) > 1 and found[0][0] != root:
        years = ", ".join(base.name for base, _, _ in found)
        raise DatasetError(f"This folder has several data sets; open one of: {years}.")
    return found


def _folders(base: Path) -> tuple[Path, str, str] | None:
    """VOC's own folders; or, under other names, one with XML beside one with pictures."""
    if (base / "Annotations").is_dir() and (base / "JPEGImages").is_dir():
        return base, "Annotations", "JPEGImages"
    inner = [p for p in sorted(base.iterdir()) if p.is_dir()] if base.is_dir() else []
    notes = [p for p in inner if p.name.casefold() in _NOTES and any(p.glob("[!.]*.xml"))]
    pictures = [p for p in inner if p.name.casefold() in _PICTURES]
    return (base, notes[0].name, pictures[0].name) if len(notes) == 1 == len(pictures) else None


def _splits(base: Path) -> dict[str, Path | None]:
    """Lists of picture names. The lists of a single class, which have a second column, are not splits."""
    found: dict[str, Path | None] = {}
    for folder in ("Main", "Segmentation"):
        for path in sorted((base / "ImageSets" / folder).glob("*.txt")):
            if not path.is_file() or is_hidden(path.name):
                continue
            with path.open("rb") as file:
                first = file.readline(1000).split()
            if len(first) == 1:
                found[path.stem if folder == "Main" else f"{folder}/{path.stem}"] = path
    return found or {_ALL: None}


def _stems(builder: Builder, xml: Path, split_list: Path | None) -> list[str]:
    """Names of the annotations, without the extension."""
    if split_list is None:
        below = files_below(xml, (".xml",), on_skip=builder.skip_folder)
        return [p.relative_to(xml).with_suffix("").as_posix() for p in below]
    # Some lists have the file names of the pictures.
    return [
        line[: line.rindex(".")] if is_picture_name(line) and not (xml / f"{line}.xml").is_file() else line
        for line in lines(split_list)
    ]


def _note(builder: Builder, xml: Path, pictures: Path, stem: str) -> _Note | None:
    """An annotation and its picture; None and a problem where either is refused or unclear."""
    default = builder.path(stem, f"{stem}.jpg", pictures)
    file = None if default is None else builder.path(stem, f"{stem}.xml", xml)
    if default is None or file is None:
        return None
    try:
        annotation = read_annotation(file)
    except DatasetError as error:
        builder.problem(stem, "annotation unreadable", str(error))
        return None
    path = _picture(builder, stem, default, annotation.filename)
    if path is None:
        return None
    size = builder.size(builder.relative(path), annotation.width, annotation.height)
    return _Note(path, stem, size, annotation.objects)


def _picture(builder: Builder, stem: str, default: Path, filename: str) -> Path | None:
    """The picture of an annotation: that of the same name.

    The XML's `filename` decides between several extensions, or where there is no picture of that name. Where it names
    another existing picture, the annotation is skipped.
    """
    same = builder.listing.of_stem(default.parent, PurePosixPath(stem).name)
    alike = builder.listing.of_stem(default.parent, PurePosixPath(filename).stem) if filename else []
    named = next((p for p in alike if p.name == filename), None)
    if named is not None and (named in same or not same):
        return named
    if named is not None:
        why = f"its filename is that of another picture, {shown(filename)}"
    elif len(same) > 1:
        why = f"it may belong to {shown(' or '.join(p.name for p in same))}"
    else:
        return same[0] if same else default
    builder.problem(stem, "picture unclear", f"the annotation is ambiguous: {why}; skipped")
    return None


def _add(builder: Builder, note: _Note, numbers: Numbering | str) -> None:
    name = builder.relative(note.path)
    by_class: dict[str, list[Box | None]] = {}
    for thing in note.objects:
        if thing.difficult:
            builder.problem(f"{name}#{thing.label}", "difficult", "an object is marked difficult; skipped")
        else:
            by_class.setdefault(thing.label, []).append(_zero_based(thing.box))
    if not note.objects:
        builder.problem(name, "no object", "has no object")
    files = (builder.root / folder / f"{note.stem}.png" for folder in _MASKS)
    mask = next((path for path in files if path.is_file()), None)
    if mask is not None and by_class and isinstance(numbers, str):
        builder.problem(name, "mask left out", f"mask skipped. {numbers}")
    for label, raw in by_class.items():
        boxes = builder.boxes(name, raw, note.size)
        source = None
        if mask is not None and isinstance(numbers, Numbering):
            source = _mask(builder, note, label, mask, numbers)
        builder.add(note.path, label, size=note.size, boxes=boxes, mask=source, name=_WORDS.get(label, ""))


def _mask(builder: Builder, note: _Note, label: str, mask: Path, numbers: Numbering) -> FileMask | None:
    """The mask of a class, with a check that the objects of the annotation agree with it."""
    value = numbers.numbers.get(label)
    if value is None:
        what = f"mask skipped, because the list of classes lacks {shown(label)}"
        builder.problem(f"{builder.relative(note.path)}#{label}", "mask left out", what)
        return None
    corners = (_zero_based(thing.box) for thing in note.objects if thing.label == label)
    boxes = tuple(box for box in corners if box is not None)
    known = {numbers.numbers.get(thing.label, 0) for thing in note.objects}
    expected = tuple(sorted({0, *known, *numbers.ignored}))
    check = ClassCheck(label, boxes, expected, numbers.colours, numbers.by_colour)
    return FileMask((mask,), (value,), numbers.ignored, check=check)


def _zero_based(box: Box | None) -> Box | None:
    """VOC's corners as zero-based ones with exclusive far edges; fractions of the picture's size are left unchanged."""
    if box is None or is_share(box):
        return box
    return (box[0] - 1, box[1] - 1, box[2], box[3])
