"""Layout ``voc``: Pascal VOC (Everingham et al., IJCV 2010; the development kit's VOC2012 document).

``Annotations/ID.xml``, ``JPEGImages/ID.jpg`` (or another picture of that name, such as ``.png``; where there are
several, the XML's ``filename`` decides), ``ImageSets/Main/SPLIT.txt`` (also ``Segmentation/SPLIT``) and
``SegmentationClass/ID.png`` with class numbers and 255 for borders and objects that are not scored. Also
``annotations`` beside ``images``. One sample per (picture, class). Coordinates in the files are 1-based with inclusive
far edges; here they are zero-based with exclusive far edges: x0 = xmin - 1, x1 = xmax. Objects marked ``difficult`` are
skipped, as in the challenge's own scores, and reported.

Class numbers come from a list in the folder. ``labelmap.txt`` (CVAT: ``name:r,g,b:parts:actions``) gives colours;
``class_names.txt`` (labelme) and other lists with one name per line give numbers, and the first line is the background,
0, or ``__ignore__``, -1. Without a list the numbers are Pascal VOC's, but only if all labels of the data set are, too,
because other projects number their own classes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from viz.datasets.annotation_xml import XmlObject, read_annotation
from viz.datasets.boxes import is_share
from viz.datasets.builder import Builder, choose_split
from viz.datasets.core import Box, Dataset, DatasetError, shown
from viz.datasets.files import lines
from viz.datasets.mask_files import VOID_COLOUR
from viz.datasets.masks import ClassCheck, FileMask
from viz.datasets.paths import files_below
from viz.picture_files import is_hidden, is_picture_name

NAME = "voc"
LOOKS_FOR = "Annotations/*.xml beside JPEGImages/ or images/, as Pascal VOC"
_WORDS = {"diningtable": "dining table", "pottedplant": "potted plant", "tvmonitor": "tv monitor"}
_ALL = "all"
_XML_FOLDERS = ("annotations", "annotation", "xml", "xmls")
_PICTURE_FOLDERS = ("jpegimages", "images", "image", "imgs")
_MASK_FOLDERS = ("SegmentationClass", "SegmentationClassPNG")
_CLASSES = (
    *("aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow"),
    *("diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor"),
)
_VOID = 255
_COLOUR_LIST = "labelmap.txt"
_COLOUR_LINE = re.compile(r"([^:]+):\s*(\d+)\s*,\s*(\d+)\s*,\s*(\d+)\s*(?::.*)?")
_NAME_LISTS = ("class_names.txt", "labels.txt", "classes.txt", "label_names.txt")
_BACKGROUND = frozenset({"_background_", "__background__", "background", "bg"})
_IGNORED = frozenset({"__ignore__", "ignore", "ignored", "void", "unlabelled", "unlabeled"})


@dataclass(frozen=True)
class _Numbering:
    """Class numbers of masks.

    Attributes:
        by_label: class numbers. ignored: class numbers that are ignored.
        colours: (colour as 0xRRGGBB, number) for files that store colours.
        by_colour: the list gives colours, so files with a palette are read by their colours, not their numbers.
    """

    by_label: dict[str, int]
    ignored: tuple[int, ...]
    colours: tuple[tuple[int, int], ...]
    by_colour: bool = False


@dataclass(frozen=True)
class _Annotation:
    """The annotation of a picture; `stem` is its name without the extension."""

    path: Path
    stem: str
    size: tuple[int, int] | None
    objects: tuple[XmlObject, ...]


def find(root: Path) -> list[tuple[Path, str, str]]:
    """The folder of a data set, `root` or the only year in it, and the names of its folders of XML and pictures."""
    bases = (root, *sorted(root.glob("VOC20??")), *sorted(root.glob("VOCdevkit/VOC20??")))
    found = [folders for base in bases if (folders := _folders(base)) is not None]
    if len(found) > 1 and found[0][0] != root:
        years = ", ".join(base.name for base, _, _ in found)
        raise DatasetError(f"This folder has several data sets; open one of: {years}.")
    return found


def read(root: Path, split: str | None) -> Dataset:
    """The data set of one split; without split lists the only one is ``all``."""
    base, *inner = find(root)[0]
    lists = _splits(base)
    split = str(choose_split(split, tuple(lists), needed=True))
    builder = Builder(base)
    xml, pictures = (builder.root / name for name in inner)
    annotations = (_annotation(builder, xml, pictures, stem) for stem in _stems(builder, xml, lists[split]))
    found = [annotation for annotation in annotations if annotation is not None]
    numbers: _Numbering | str
    try:
        numbers = _numbering(builder.root, {obj.label for annotation in found for obj in annotation.objects})
    except DatasetError as error:
        numbers = str(error)
    for annotation in found:
        _add(builder, annotation, numbers)
    return builder.build(NAME, split, tuple(lists))


def _folders(base: Path) -> tuple[Path, str, str] | None:
    """VOC's own folders; or, under other names, one with XML beside one with pictures."""
    if (base / "Annotations").is_dir() and (base / "JPEGImages").is_dir():
        return base, "Annotations", "JPEGImages"
    inner = [p for p in sorted(base.iterdir()) if p.is_dir()] if base.is_dir() else []
    xml = [p for p in inner if p.name.casefold() in _XML_FOLDERS and any(p.glob("[!.]*.xml"))]
    pictures = [p for p in inner if p.name.casefold() in _PICTURE_FOLDERS]
    return (base, xml[0].name, pictures[0].name) if len(xml) == 1 == len(pictures) else None


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


def _annotation(builder: Builder, xml: Path, pictures: Path, stem: str) -> _Annotation | None:
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
    size = builder.size(builder.relative(path), *annotation.size)
    return _Annotation(path, stem, size, annotation.objects)


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


def _add(builder: Builder, annotation: _Annotation, numbers: _Numbering | str) -> None:
    name = builder.relative(annotation.path)
    by_class: dict[str, list[Box | None]] = {}
    for obj in annotation.objects:
        if obj.difficult:
            builder.problem(f"{name}#{obj.label}", "difficult", "an object is marked difficult; skipped")
        else:
            by_class.setdefault(obj.label, []).append(_zero_based(obj.box))
    if not annotation.objects:
        builder.problem(name, "no object", "no object")
    files = (builder.root / folder / f"{annotation.stem}.png" for folder in _MASK_FOLDERS)
    mask = next((path for path in files if path.is_file()), None)
    if mask is not None and by_class and isinstance(numbers, str):
        builder.problem(name, "mask left out", f"mask skipped. {numbers}")
    for label, raw in by_class.items():
        boxes = builder.boxes(name, raw, annotation.size)
        source = None
        if mask is not None and isinstance(numbers, _Numbering):
            source = _mask(builder, annotation, label, mask, numbers)
        builder.add(annotation.path, label, size=annotation.size, boxes=boxes, mask=source, name=_WORDS.get(label, ""))


def _mask(builder: Builder, annotation: _Annotation, label: str, mask: Path, numbers: _Numbering) -> FileMask | None:
    """The mask of a class, with a check that the objects of the annotation agree with it."""
    value = numbers.by_label.get(label)
    if value is None:
        what = f"mask skipped, because the list of classes lacks {shown(label)}"
        builder.problem(f"{builder.relative(annotation.path)}#{label}", "mask left out", what)
        return None
    corners = (_zero_based(obj.box) for obj in annotation.objects if obj.label == label)
    boxes = tuple(box for box in corners if box is not None)
    known = {numbers.by_label.get(obj.label, 0) for obj in annotation.objects}
    expected = tuple(sorted({0, *known, *numbers.ignored}))
    check = ClassCheck(label, boxes, expected, numbers.colours, numbers.by_colour)
    return FileMask((mask,), (value,), numbers.ignored, check=check)


def _zero_based(box: Box | None) -> Box | None:
    """VOC's corners as zero-based ones with exclusive far edges; fractions of the picture's size are left unchanged."""
    if box is None or is_share(box):
        return box
    return (box[0] - 1, box[1] - 1, box[2], box[3])


def _numbering(base: Path, labels: Iterable[str]) -> _Numbering:
    """The numbering of a folder's masks.

    Args:
        base: the folder that contains ``SegmentationClass``. labels: of all objects of the data set.

    Raises:
        DatasetError: the numbering is unknown or ambiguous, or a list cannot be read.
    """
    present = [name for name in (_COLOUR_LIST, *_NAME_LISTS) if (base / name).is_file()]
    if not present:
        own = sorted(set(labels) - set(_CLASSES))
        if own:
            raise DatasetError(
                f"The label {shown(own[0])} is not Pascal VOC's, and no list gives the class numbers; add"
                " class_names.txt."
            )
        return _in_order(("background", *_CLASSES))
    found = [_from_colours(base / name) if name == _COLOUR_LIST else _from_names(base / name) for name in present]
    if any(other.by_label != found[0].by_label for other in found):
        raise DatasetError(f"{' and '.join(present)} give different numbers.")
    return found[0]


def _from_names(path: Path) -> _Numbering:
    names = lines(path)
    if names and names[0].casefold() == "__ignore__":
        names = names[1:]  # its number is -1, which an 8-bit file stores as 255
    if not names or names[0].casefold() not in _BACKGROUND:
        raise DatasetError(f"{path.name} does not begin with the background, so classes may count from 0 or 1.")
    if len(set(names)) != len(names) or len(names) > _VOID:
        raise DatasetError(f"{path.name} has a duplicate class, or too many classes.")
    return _in_order(names)


def _from_colours(path: Path) -> _Numbering:
    numbers: dict[str, int] = {}
    colours: dict[int, int] = {}
    for line in lines(path):
        if line.startswith("#"):
            continue
        match = _COLOUR_LINE.fullmatch(line)
        if match is None or any(int(v) > 255 for v in match.group(2, 3, 4)):
            raise DatasetError(f"{path.name} has the line {shown(line)!r}, which is not a name with a colour.")
        name = match[1]
        r, g, b = (int(v) for v in match.group(2, 3, 4))
        code = (r << 16) | (g << 8) | b
        if code in colours or name in numbers:
            raise DatasetError(f"{path.name} has a duplicate name or colour.")
        colours[code] = 0 if name.casefold() in _BACKGROUND else len(numbers) + 1
        if colours[code]:
            numbers[name] = colours[code]
    if len(numbers) >= _VOID:
        raise DatasetError(f"{path.name} has too many classes.")
    colours = {0: 0, VOID_COLOUR: _VOID} | colours
    return _Numbering(numbers, (_VOID, *_ignored(numbers)), tuple(colours.items()), by_colour=True)


def _in_order(names: Sequence[str]) -> _Numbering:
    """Background, 0, and names with the numbers 1, 2, ... and Pascal VOC's colours."""
    numbers = {name: i for i, name in enumerate(names) if i > 0}
    colours = tuple((_voc_colour(i), i) for i in (*range(len(names)), _VOID))
    return _Numbering(numbers, (*_ignored(numbers), _VOID), colours)


def _ignored(numbers: dict[str, int]) -> list[int]:
    return [number for name, number in numbers.items() if name.casefold() in _IGNORED]


def _voc_colour(number: int) -> int:
    """Pascal VOC's colour (0xRRGGBB), as in labelme: each bit of a number goes to one channel, high bits first."""
    code = 0
    for bit in range(9):
        level, channel = divmod(bit, 3)
        if number >> bit & 1:
            code |= 1 << (8 * (2 - channel) + 7 - level)
    return code
