"""The pictures in a folder by name, listed once, for when a name is not exactly the file's."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from viz.picture_files import is_hidden, is_picture_name

_SAME = {".tiff": ".tif"} | dict.fromkeys((".jpeg", ".jpe", ".jfif", ".jif", ".jfi"), ".jpg")


@dataclass
class Listing:
    """Picture files of folders, each folder read once."""

    _folders: dict[Path, dict[str, list[Path]]] = field(default_factory=dict, repr=False)

    def of_stem(self, folder: Path, stem: str) -> list[Path]:
        """Pictures of a folder with this name before the ending, whatever the ending and its case."""
        return [p for p in self._of(folder).get(stem.casefold(), []) if p.stem == stem]

    def near(self, path: Path) -> list[Path]:
        """Pictures in the path's folder whose name differs from it in case only, or as jpg, jpeg and jfif do."""
        same = [p for p in self._of(path.parent).get(path.stem.casefold(), []) if _ending(p) == _ending(path)]
        return [p for p in same if p.stem == path.stem] or same

    def _of(self, folder: Path) -> dict[str, list[Path]]:
        if folder not in self._folders:
            found: dict[str, list[Path]] = {}
            try:
                children = sorted(folder.iterdir())
            except OSError:
                children = []
            for child in children:
                if is_picture_name(child.name) and not is_hidden(child.name):
                    found.setdefault(child.stem.casefold(), []).append(child)
            self._folders[folder] = found
        return self._folders[folder]


def _ending(path: Path) -> str:
    suffix = path.suffix.casefold()
    return _SAME.get(suffix, suffix)
