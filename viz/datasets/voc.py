"""Layout ``voc``: Pascal VOC (Everingham et al., IJCV 2010; the development kit's VOC2012 document).

``Annotations/ID.xml``, ``JPEGImages/ID.jpg`` (or another picture of that name, ``.png``, ``.JPG``: where several have
it, the XML's ``filename`` says which), ``ImageSets/Main/SPLIT.txt`` (also ``Segmentation/SPLIT``) and
``SegmentationClass/ID.png``, whose values are class numbers by the folder's own list, or by Pascal VOC's where all
labels are (`viz.datasets.numbering`), 255 being the border and the objects that are not judged. So also ``annotations``
beside ``images``. One sample a (picture, class). Coordinates in the files count pixels from 1 with inclusive far edges;
here they become zero-based with exclusive far edges: x0 = xmin - 1, x1 = xmax. Objects marked ``difficult`` are kept
out, as the challenge keeps them out of its scores, and are problems.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from xml.etree.ElementTree import Element

from viz.datasets.box_checks import is_share
from viz.datasets.builder import Builder, chosen, number
from viz.datasets.core import Box, Dataset, DatasetError
from viz.datasets.files import files_below, lines, read_xml, shown
from viz.datasets.mask_checks import ClassCheck
from viz.datasets.masks import FileMask
from viz.datasets.numbering import CLASSES, Numbering, numbering
from viz.picture_files import is_hidden, is_picture_name

NAME = "voc"
LOOKS_FOR = "Annotations/*.xml beside JPEGImages/ or images/, as Pascal VOC"
_WORDS = {"diningtable": "dining table", "pottedplant": "potted plant", "tvmonitor": "tv monitor"}
_ALL = "all"
_NOTES = ("annotations", "annotation", "xml", "xmls")
_PICTURES = ("jpegimages", "images", "image", "imgs")
_MASKS = ("SegmentationClass", "SegmentationClassPNG")


@dataclass(frozen=True)
class _Folders:
    base: Path
    notes: str
    pictures: str


@dataclass(frozen=True)
class _Thing:
    label: str
    difficult: bool
    corners: list[object]


@dataclass(frozen=True)
class _Note:
    path: Path
    stem: str
    size: tuple[int, int] | None
    things: tuple[_Thing, ...]


def fits(root: Path) -> bool:
    """Whether the folder, or the only year below it, has VOC's folders."""
    return _year(root) is not None


def read(root: Path, split: str | None) -> Dataset:
    """The data set of one split; without split lists there is one, ``all``.

    Raises:
        DatasetError: no such split, or it cannot be read.
    """
    folders = _year(root)
    if folders is None:
        raise DatasetError(f"This is no data set of the layout {NAME}: it needs {LOOKS_FOR}.")
    lists = _splits(folders.base)
    chosen_split = chosen(split, tuple(lists), needed=True)
    where = lists[str(chosen_split)]
    builder = Builder(folders.base)
    notes = [_note(builder, folders, stem) for stem in _stems(builder, folders, where)]
    found = [note for note in notes if note is not None]
    numbers = numbering(builder.inside.root, {thing.label for note in found for thing in note.things})
    for note in found:
        _add(builder, note, numbers)
    return builder.build(NAME, chosen_split, tuple(lists))


def _year(root: Path) -> _Folders | None:
    if not root.is_dir():
        return None
    bases = (root, *sorted(root.glob("VOC20??")), *sorted(root.glob("VOCdevkit/VOC20??")))
    found = [folders for base in bases if (folders := _folders(base)) is not None]
    if len(found) > 1 and found[0].base != root:
        years = ", ".join(f.base.name for f in found)
        raise DatasetError(f"This folder holds several data sets; open one of: {years}.")
    return found[0] if found else None


def _folders(base: Path) -> _Folders | None:
    """VOC's own folders; or, as others name them, one with XML beside one of pictures."""
    if (base / "Annotations").is_dir() and (base / "JPEGImages").is_dir():
        return _Folders(base, "Annotations", "JPEGImages")
    inner = [p for p in sorted(base.iterdir()) if p.is_dir()] if base.is_dir() else []
    notes = [p for p in inner if p.name.casefold() in _NOTES and any(p.glob("[!.]*.xml"))]
    pictures = [p for p in inner if p.name.casefold() in _PICTURES]
    return _Folders(base, notes[0].name, pictures[0].name) if len(notes) == 1 == len(pictures) else None


def _splits(base: Path) -> dict[str, Path | None]:
    """Lists of picture names; those of a single class have a second column."""
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


def _stems(builder: Builder, folders: _Folders, where: Path | None) -> list[str]:
    """Names of the annotations, without ending."""
    if where is None:
        notes = builder.inside.root / folders.notes
        below = files_below(notes, (".xml",), told=builder.left_out)
        return [p.relative_to(notes).with_suffix("").as_posix() for p in below]
    listed = lines(where)
    # Some lists name the pictures' files.
    return [
        line[: line.rindex(".")]
        if is_picture_name(line) and not (folders.base / folders.notes / f"{line}.xml").is_file()
        else line
        for line in listed
    ]


def _note(builder: Builder, folders: _Folders, stem: str) -> _Note | None:
    """An annotation and its picture; None and a problem where either is refused or unclear."""
    root = builder.inside.root
    default = builder.path(stem, f"{stem}.jpg", root / folders.pictures)
    file = None if default is None else builder.path(stem, f"{stem}.xml", root / folders.notes)
    if default is None or file is None:
        return None
    try:
        annotation = read_xml(file)
    except DatasetError as error:
        builder.problem(stem, "annotation unreadable", str(error))
        return None
    path = _picture(builder, stem, default, annotation.findtext("filename") or "")
    if path is None:
        return None
    size = builder.size(builder.relative(path), annotation.findtext("size/width"), annotation.findtext("size/height"))
    things = tuple(
        _Thing(
            (thing.findtext("name") or "").strip(),
            (thing.findtext("difficult") or "0").strip().casefold() in ("1", "true"),
            corners(thing.find("bndbox")),
        )
        for thing in annotation.findall("object")
    )
    return _Note(path, stem, size, things)


def _picture(builder: Builder, stem: str, default: Path, filename: str) -> Path | None:
    """The picture of an annotation: that of its name. The XML's word counts where it names one of several endings, or
    where there is none of that name; where it names another picture that is there, the annotation is left out."""
    folder = default.parent
    same = builder.listing.of_stem(folder, PurePosixPath(stem).name)
    said = filename.strip().replace("\\", "/").rsplit("/", 1)[-1]
    named = [p for p in builder.listing.of_stem(folder, PurePosixPath(said).stem) if p.name == said] if said else []
    if named and (named[0] in same or not same):
        return named[0]
    if named:
        why = f"names the picture {shown(said)}, which is there, too"
    elif len(same) > 1:
        why = f"may belong to {shown(' or '.join(p.name for p in same))}"
    else:
        return same[0] if same else default
    builder.problem(stem, "picture unclear", f"The annotation {shown(stem)}.xml {why}; it is left out.")
    return None


def _add(builder: Builder, note: _Note, numbers: Numbering | str) -> None:
    name = builder.relative(note.path)
    by_class: dict[str, list[list[object]]] = {}
    for thing in note.things:
        if thing.difficult:
            message = f"An object of {shown(name)} is marked difficult and left out."
            builder.problem(f"{name}#{thing.label}", "difficult", message)
        else:
            by_class.setdefault(thing.label, []).append(thing.corners)
    if not note.things:
        builder.problem(name, "no object", f"{shown(name)} has no object.")
    mask = _mask_file(builder, note.stem)
    if mask is not None and by_class and isinstance(numbers, str):
        builder.problem(name, "mask left out", f"The mask of {shown(name)} is left out: {numbers}.")
    for label, raw in by_class.items():
        boxes = builder.boxes(name, raw, note.size)
        source = None
        if mask is not None and isinstance(numbers, Numbering):
            source = _mask(builder, note, label, mask, numbers)
        builder.add(note.path, label, size=note.size, boxes=boxes, mask=source, name=_WORDS.get(label, ""))


def _mask_file(builder: Builder, stem: str) -> Path | None:
    for folder in _MASKS:
        path = builder.inside.root / folder / f"{stem}.png"
        if path.is_file():
            return path
    return None


def _mask(builder: Builder, note: _Note, label: str, mask: Path, numbers: Numbering) -> FileMask | None:
    value = numbers.of(label)
    if value is None:
        name = builder.relative(note.path)
        message = f"The mask of {shown(name)} is not used for {shown(label)}: the list of classes does not name it."
        builder.problem(f"{name}#{label}", "mask left out", message)
        return None
    boxes: list[Box] = []
    for thing in note.things:
        if thing.label == label and len(thing.corners) == 4:
            try:
                x0, y0, x1, y1 = (number(v) for v in thing.corners)
            except ValueError:
                continue
            boxes.append((x0, y0, x1, y1))
    known = {numbers.of(thing.label) for thing in note.things}
    expected = (0, *sorted({n for n in known if n is not None} | set(numbers.ignored)))
    check = ClassCheck(label, tuple(boxes), expected, numbers.colours, numbers.by_colour)
    return FileMask((mask,), (value,), numbers.ignored, check=check)


def corners(box: Element | None) -> list[object]:
    """VOC's 1-based inclusive corners as zero-based ones with exclusive far edges; as they are where no number, or
    where they are shares of the picture."""
    if box is None:
        return []
    raw: list[object] = [box.findtext(k) for k in ("xmin", "ymin", "xmax", "ymax")]
    try:
        x0, y0, x1, y1 = (number(v) for v in raw)
    except ValueError:
        return raw
    return raw if is_share(x0, y0, x1, y1) else [x0 - 1, y0 - 1, x1, y1]


__all__ = ["CLASSES", "LOOKS_FOR", "NAME", "corners", "fits", "read"]
