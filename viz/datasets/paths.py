"""Files and folders of a data set: paths that stay inside it, and pictures found by name.

Links on the disk were made by the owner of the data and are followed, wherever they lead. The text of an index is not
trusted that far: a path in it may not leave the data set's folder.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Callable
from pathlib import Path

from viz.datasets.core import DatasetError, shown
from viz.picture_files import PICTURE_ENDINGS, is_hidden, is_picture_name, walk

DEPTH = 4  # of folders in a data set
_SAME_SUFFIX = {".tiff": ".tif"} | dict.fromkeys((".jpeg", ".jpe", ".jfif", ".jif", ".jfi"), ".jpg")
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_DRIVE = re.compile(r"[A-Za-z]:")


class Inside:
    """Resolves the paths in an index, inside one folder.

    Attributes:
        root: the folder with links resolved. given: the same folder as it was named.
    """

    def __init__(self, folder: Path) -> None:
        self.root = Path(os.path.realpath(folder))
        self.given = Path(os.path.abspath(folder))  # noqa: PTH100 - links stay

    def __call__(self, relative: str, base: Path | None = None, bound: Path | None = None) -> Path:
        """The file of a relative path, which may be missing; ``..`` is resolved as text, before any link.

        Args:
            base: the folder inside `root` that it is relative to; `root` itself by default.
            bound: the folder inside `root` that it may not leave; `base` by default.

        Raises:
            DatasetError: empty, a URL, outside the folder, or a link to itself.
        """
        name, text = shown(relative), relative.replace("\\", "/")
        if not text or "\0" in text:
            raise DatasetError(f"The path {name!r} is empty.")
        if _URL.match(text):
            raise DatasetError(f"The path {name!r} is a URL; nothing is downloaded.")
        path = Path(os.path.normpath((base or self.root) / text))
        if text.startswith("/") or _DRIVE.match(text):
            path = Path(os.path.normpath(text))
            if path.is_relative_to(self.given):
                path = self.root / path.relative_to(self.given)
            elif not path.is_relative_to(self.root):
                raise DatasetError(f"The path {name!r} is absolute and leaves the data set's folder; make it relative.")
        bound = bound or base or self.root
        if path == bound or not path.is_relative_to(bound):
            folder = "the data set's folder" if bound == self.root else f"the folder {shown(bound.name)}"
            why = f"is {folder} itself" if path == bound else f"leaves {folder} by '..'"
            raise DatasetError(f"The path {name!r} {why}.")
        try:
            os.stat(path)  # noqa: PTH116 - the error's number is needed, and pathlib hides it
        except (OSError, ValueError) as error:
            if not isinstance(error, OSError) or error.errno == errno.ENAMETOOLONG:
                raise DatasetError(f"The path {name!r} is invalid.") from None
            if error.errno == errno.ELOOP:
                raise DatasetError(f"The path {name!r} is a link to itself.") from None
        return path


class Listing:
    """Finds pictures whose names are not exactly as given; each folder is listed once."""

    def __init__(self) -> None:
        self._folders: dict[Path, dict[str, list[Path]]] = {}

    def of_stem(self, folder: Path, stem: str) -> list[Path]:
        """Pictures of a folder with this name before the extension, whatever the extension and its case."""
        return [p for p in self._alike(folder, stem) if p.stem == stem]

    def near(self, path: Path) -> list[Path]:
        """Pictures in the path's folder whose names differ in case only, or in the spelling of the extension."""
        same = [p for p in self._alike(path.parent, path.stem) if _suffix(p) == _suffix(path)]
        return [p for p in same if p.stem == path.stem] or same

    def _alike(self, folder: Path, stem: str) -> list[Path]:
        if folder not in self._folders:
            found = self._folders.setdefault(folder, {})
            try:
                children = sorted(folder.iterdir())
            except OSError:
                children = []
            for child in children:
                if is_picture_name(child.name) and not is_hidden(child.name):
                    found.setdefault(child.stem.casefold(), []).append(child)
        return self._folders[folder].get(stem.casefold(), [])


def _suffix(path: Path) -> str:
    suffix = path.suffix.casefold()
    return _SAME_SUFFIX.get(suffix, suffix)


def files_below(
    folder: Path,
    suffixes: tuple[str, ...] = PICTURE_ENDINGS,
    depth: int = DEPTH,
    on_skip: Callable[[Path, str], None] | None = None,
) -> list[Path]:
    """Files with these suffixes (any case) in a folder and its subfolders, sorted by relative path.

    Links to folders are followed, except to a parent. Hidden files and folders are skipped.

    Args:
        on_skip: called with every folder that is not searched, and why.
    """
    found = [path for path in walk(folder, depth, on_skip) if path.name.lower().endswith(suffixes)]
    return sorted(found, key=lambda p: p.relative_to(folder).as_posix())
