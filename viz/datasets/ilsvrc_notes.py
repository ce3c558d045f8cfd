"""Matches XML files to pictures where names repeat: in class folders, and in several splits."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path, PurePosixPath

from viz.datasets.core import shown
from viz.datasets.labels import WNID

SPLITS = ("train", "val", "test")


class Notes:
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
        place = _class(picture)
        files = [p for p in self._by_stem.get(picture.stem, []) if not self._is_foreign(p, place)]
        files = _preferred(files, lambda p: bool(place) and _class(p) == place)
        files = _preferred(files, self._is_own)
        if not files:
            return None, ""
        name = shown(files[0].name)
        if len(files) > 1:
            return None, f"{len(files)} annotations have its name"
        if self._stems[picture.stem, place] > 1:
            return None, f"its annotation {name} may belong to another picture of the same name"
        if self._alike[picture.stem] > 1 and not _class(files[0]):
            return None, f"its annotation {name} may belong to pictures of the same name in other folders"
        return files[0], ""

    def is_other(self, picture: Path, filename: str) -> bool:
        """Whether the filename in an annotation is that of another picture of the split."""
        stem = PurePosixPath(filename).stem if Path(filename).suffix.lower() in (".jpeg", ".jpg", ".png") else filename
        return bool(filename) and stem != picture.stem and self._alike[stem] > 0

    def _is_foreign(self, path: Path, place: str) -> bool:
        """Whether an annotation is in the folder of another class or split."""
        if place and _class(path) not in ("", place):
            return True
        others = set(SPLITS) - {self._split}
        return self._split is not None and not self._is_own(path) and not others.isdisjoint(self._parts(path))

    def _is_own(self, path: Path) -> bool:
        return path.is_relative_to(self._folder) or self._split in self._parts(path)

    def _parts(self, path: Path) -> tuple[str, ...]:
        return path.relative_to(self._root).parts[:-1]


def _preferred(paths: list[Path], wanted: Callable[[Path], bool]) -> list[Path]:
    """The paths that are wanted; all if there are none."""
    return [p for p in paths if wanted(p)] or paths


def _class(path: Path) -> str:
    """The WordNet id that is the name of a file's folder; empty where it is not one."""
    return path.parent.name if WNID.fullmatch(path.parent.name) else ""
