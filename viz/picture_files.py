"""The picture files of a folder: the list of file extensions, and the walk through subfolders."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# Of all formats that `viz.open_picture` reads, except .pfm, which mostly contains depth.
PICTURE_ENDINGS = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".jif", ".jfi", ".mpo", ".png", ".apng", ".webp", ".gif", ".bmp", ".dib"),
    *(".tif", ".tiff", ".ppm", ".pgm", ".pbm", ".pnm", ".avif", ".avifs"),
)
# Files that an earlier run may have written.
_WRITTEN = (".json", ".npz", ".tex", ".csv", ".pdf", ".svg")
# Trash, thumbnails and settings of operating systems and network drives.
_SYSTEM_FILES = (
    *(
        "__macosx",
        "thumbs.db",
        "ehthumbs.db",
        "desktop.ini",
        "icon\r",
        "@eadir",
        "@recycle",
        "#recycle",
        "$recycle.bin",
    ),
    *("system volume information", "lost+found"),
)
_MOST_NAMED = 8


def is_picture_name(name: str) -> bool:
    """Whether a file name has the extension of a picture, in upper or lower case."""
    return name.lower().endswith(PICTURE_ENDINGS)


def is_hidden(name: str) -> bool:
    """Whether a file or folder is hidden or a system file: ``.name``, ``._name`` (macOS), ``Thumbs.db``."""
    return name.startswith(".") or name.casefold() in _SYSTEM_FILES


def walk(folder: Path, depth: int | None = None, report: Callable[[Path, str], None] | None = None) -> Iterator[Path]:
    """The files in a folder and its subfolders, in no particular order, without hidden ones.

    Links to folders are followed, except those to a folder that contains them.

    Args:
        depth: subfolders deeper than this are skipped; None for no limit.
        report: called with each skipped folder and the reason.
    """

    def unreadable(error: OSError) -> None:
        if report is not None:
            report(Path(error.filename), "cannot be read")

    above = {folder: frozenset({os.path.realpath(folder)})}
    for base, folders, names in os.walk(folder, onerror=unreadable, followlinks=True):
        here = Path(base)
        chain = above.pop(here)
        kept = []
        for name in sorted(n for n in folders if not is_hidden(n)):
            child = here / name
            real = os.path.realpath(child)
            why = ""
            if any(Path(held).is_relative_to(real) for held in chain):
                why = "is a link to a folder that contains it"
            elif depth is not None and len(here.relative_to(folder).parts) >= depth:
                why = f"is more than {depth} folders deep"
            if not why:
                kept.append(name)
                above[child] = chain | {real}
            elif report is not None:
                report(child, why)
        folders[:] = kept
        yield from (here / name for name in names if not is_hidden(name))


@dataclass(frozen=True)
class FolderPictures:
    """The contents of a folder.

    Attributes:
        pictures: sorted by path. others: files with other extensions.
        notes: sentences on what else was skipped, and why.
    """

    pictures: tuple[Path, ...]
    others: tuple[Path, ...]
    notes: tuple[str, ...]


def pictures_below(folder: Path, out: Path | None = None) -> FolderPictures:
    """The pictures in a folder and its subfolders, without the figures of an earlier run.

    Args:
        out: output folder; results of an earlier run in it do not count as other files.
    """
    notes: list[str] = []
    files = sorted(walk(folder, report=lambda path, why: notes.append(f"The folder {path} {why}; it is skipped.")))
    pictures, others, own, lost = [], [], [], []
    for path in files:
        if not is_picture_name(path.name):
            if not (path.suffix.lower() in _WRITTEN and _lies_in(path, out)):
                others.append(path)
        elif not path.is_file():
            lost.append(path.name)
        elif is_own_figure(path):
            own.append(path.name)
        else:
            pictures.append(path)
    if own:
        notes.append(f"{_count(own, 'figure')} of an earlier run skipped: {_listed(own)}.")
    if lost:
        notes.append(f"Skipped broken links and other names without a file: {_listed(lost)}.")
    return FolderPictures(tuple(pictures), tuple(others), tuple(notes))


def skipped(others: Iterable[Path]) -> str:
    """The files that were skipped because of their extensions, in words."""
    found = list(others)
    endings = sorted({path.suffix.lower() or "none" for path in found})
    return f"{_count(found, 'file')} skipped because of the file extension: {_listed(endings)}"


def is_own_figure(path: Path) -> bool:
    """Whether a PNG is a figure of Searchlight: the record beside it has this width, and another picture."""
    if path.suffix.lower() != ".png":
        return False
    record = _record(path.with_suffix(".json"))
    try:
        width = float(record["width_inches"]) * float(record["figure"]["dpi"])
        with path.open("rb") as file:
            head = file.read(24)
            fits = head.startswith(b"\x89PNG\r\n\x1a\n") and abs(int.from_bytes(head[16:20], "big") - width) <= 1
            file.seek(0)
            # The record may belong to another figure, of which this file is the picture.
            return fits and hashlib.file_digest(file, "sha256").hexdigest() != record["picture"]["sha256"]
    except (OSError, KeyError, TypeError, ValueError):
        return False


def _record(path: Path) -> dict[str, Any]:
    """The record of a figure; empty if there is none."""
    try:
        with path.open("rb") as file:
            data = json.loads(file.read(2**24))
    except (OSError, ValueError, RecursionError):
        return {}
    versions = ("record_version", "comparison_figure_version")
    return data if isinstance(data, dict) and any(v in data for v in versions) else {}


def _lies_in(path: Path, folder: Path | None) -> bool:
    return folder is not None and Path(os.path.realpath(path)).is_relative_to(os.path.realpath(folder))


def _count(found: list[Any], noun: str) -> str:
    return f"{len(found)} {noun}{'' if len(found) == 1 else 's'}"


def _listed(names: list[str]) -> str:
    shown = ["".join(c if c.isprintable() else "?" for c in name) for name in names[:_MOST_NAMED]]
    return ", ".join([*shown, *(["..."] if len(names) > _MOST_NAMED else [])])
