"""Annotations in Pascal VOC's XML form, which ILSVRC uses, too: one file per picture, with its size and objects."""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

from viz.datasets.boxes import four_numbers
from viz.datasets.core import Box, DatasetError, shown
from viz.datasets.files import read_bytes

MAX_XML = 2**20
MAX_DEPTH = 16


@dataclass(frozen=True)
class XmlObject:
    """An annotated object. `box` has the corners as written in the file; None unless they are four numbers."""

    label: str
    box: Box | None
    difficult: bool


@dataclass(frozen=True)
class XmlAnnotation:
    """The content of a file: the picture's name without its folder, its width and height as text, and the objects."""

    filename: str
    size: tuple[str | None, str | None]
    objects: tuple[XmlObject, ...]


def read_annotation(path: Path) -> XmlAnnotation:
    """The annotation in an XML file; errors as `read_xml`."""
    root = read_xml(path)
    filename = (root.findtext("filename") or "").strip().replace("\\", "/").rsplit("/", 1)[-1]
    objects = tuple(
        XmlObject(
            (obj.findtext("name") or "").strip(),
            four_numbers(obj.findtext(f"bndbox/{k}") for k in ("xmin", "ymin", "xmax", "ymax")),
            (obj.findtext("difficult") or "0").strip().casefold() in ("1", "true"),
        )
        for obj in root.findall("object")
    )
    return XmlAnnotation(filename, (root.findtext("size/width"), root.findtext("size/height")), objects)


def read_xml(path: Path) -> ElementTree.Element:
    """The root of a small XML file, its tags without namespaces.

    Document types and entities are refused, so nothing can expand or be fetched.

    Raises:
        DatasetError: as `read_bytes`; an unknown encoding; not XML; a document type; or nested too deeply.
    """
    text = _decoded(read_bytes(path, MAX_XML), shown(path.name))
    # Searched after decoding, because a file in another encoding could hide these words in its bytes.
    if "<!doctype" in text.lower() or "<!entity" in text.lower() or "\0" in text:
        raise DatasetError(f"{shown(path.name)} declares a document type or entities, which are not allowed.")
    try:
        root = ElementTree.fromstring(text.strip())
    except (ElementTree.ParseError, ValueError):
        raise DatasetError(f"{shown(path.name)} is not well-formed XML.") from None
    level = [root]
    for _ in range(MAX_DEPTH):
        level = [child for element in level for child in element]
    if level:
        raise DatasetError(f"{shown(path.name)} is nested too deeply.")
    for element in root.iter():
        element.tag = element.tag.rpartition("}")[2]
    return root


_DECLARED = re.compile(rb"""<\?xml[^>]{0,200}?encoding\s*=\s*["']([A-Za-z0-9._:-]{1,40})["']""")
# First bytes that identify an encoding: byte order marks, and UTF-16 without one.
_STARTS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
    (b"<\0?\0", "utf-16-le"),
    (b"\0<\0?", "utf-16-be"),
)
# Text encodings only; Python's codecs include compressors and escapes, too.
_ENCODINGS = re.compile(
    r"utf-8|ascii|gb\w*|hz|big5\w*|iso8859-\d+|cp\d+|koi8-\w|mac-\w+|shift_jis\w*|euc_\w+|johab|tis-620|iso2022_\w+"
)
# The later standards contain the earlier ones, and files that declare those use characters of these.
_WIDER = {"gb2312": "gb18030", "gbk": "gb18030", "iso8859-1": "cp1252", "shift_jis": "cp932", "euc_kr": "cp949"}


def _decoded(data: bytes, name: str) -> str:
    """The text of an XML file: by its first bytes, else as it declares, else UTF-8."""
    encoding, why = _encoding_of(data, name)
    for candidate in (_WIDER.get(encoding, encoding), encoding):
        try:
            return data.decode(candidate).removeprefix("\ufeff")
        except UnicodeDecodeError:
            continue
    raise DatasetError(f"{name} is not {encoding.upper()} text, {why}; save it as UTF-8.")


def _encoding_of(data: bytes, name: str) -> tuple[str, str]:
    """The encoding of an XML file, and the reason for it."""
    for start, encoding in _STARTS:
        if data.startswith(start):
            return encoding, "as its first bytes say"
    found = _DECLARED.match(data.lstrip())
    if found is None:
        return "utf-8", "and declares no encoding"
    declared = found[1].decode("ascii")
    if declared.lower().replace("_", "-").startswith("utf-16"):
        # .NET writes "UTF-16" into such a text even when it saves it as UTF-8.
        return "utf-8", "though it declares UTF-16"
    try:
        known = codecs.lookup(declared).name
    except LookupError:
        known = ""
    if not _ENCODINGS.fullmatch(known):
        raise DatasetError(f"{name} declares the unknown encoding {shown(declared)!r}; save it as UTF-8.")
    return known, "as it declares"
