"""Which XML file belongs to which picture, where names repeat: in class folders, and in several splits."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path, PurePosixPath

from viz.datasets.files import shown
from viz.datasets.labels import WNID

SPLITS = ("train", "val", "test")


class Notes:
    """Annotation files by name, for the pictures of one split.

    A picture's annotation has its name without the ending. Of several, the class folder (a WordNet id) decides, then
    the split's folder; one in another class's folder is never a picture's.
    """

    def __init__(
        self,
        root: Path,
        folder: Path,
        split: str | None,
        found: Iterable[Path],
        pictures: Iterable[Path],
    ) -> None:
        """Args: root: the data set's folder. folder: of the split's pictures. split: its name. found: the XML files.
        pictures: of the split."""
        self._root, self._folder, self._split = root, folder, split
        self._others = frozenset(SPLITS) - {split}
        self._by_stem: dict[str, list[Path]] = {}
        for path in found:
            self._by_stem.setdefault(path.stem, []).append(path)
        self._stems = Counter((p.stem, _class(p)) for p in pictures)
        self._alike = Counter(stem for stem, _ in self._stems.elements())

    @property
    def found(self) -> bool:
        """Whether there is any annotation."""
        return bool(self._by_stem)

    def of(self, picture: Path) -> Path | str | None:
        """The picture's annotation, why it is unclear (the rest of a sentence), or None where it has none."""
        place = _class(picture)
        fitting = [p for p in self._by_stem.get(picture.stem, []) if not self._is_foreign(p, place)]
        fitting = _best(fitting, lambda p: bool(place) and _class(p) == place)
        # A split's own come before those that lie elsewhere; without a split all count.
        fitting = _best(fitting, self._is_own)
        if not fitting:
            return None
        if len(fitting) > 1:
            return f"may belong to {len(fitting)} annotations of its name"
        if self._stems[picture.stem, place] > 1:
            return f"shares its annotation {shown(fitting[0].name)} with a picture of the same name"
        if self._alike[picture.stem] > 1 and not _class(fitting[0]):
            return f"shares its annotation {shown(fitting[0].name)} with pictures of the same name in other folders"
        return fitting[0]

    def is_other(self, picture: Path, said: str) -> bool:
        """Whether the name in an annotation is that of another picture of the split than its own."""
        stem = PurePosixPath(said).stem if Path(said).suffix.lower() in (".jpeg", ".jpg", ".png") else said
        return bool(said) and stem != picture.stem and self._alike[stem] > 0

    def _is_foreign(self, path: Path, place: str) -> bool:
        """Whether an annotation lies in the folder of another class or split."""
        if place and _class(path) not in ("", place):
            return True
        return self._split is not None and not self._is_own(path) and bool(self._others & set(self._parts(path)))

    def _parts(self, path: Path) -> tuple[str, ...]:
        return path.relative_to(self._root).parts[:-1]

    def _is_own(self, path: Path) -> bool:
        return path.is_relative_to(self._folder) or (self._split is not None and self._split in self._parts(path))


def _best(paths: list[Path], wanted: Callable[[Path], bool]) -> list[Path]:
    """Those that are wanted; all where none is."""
    return [p for p in paths if wanted(p)] or paths


def _class(path: Path) -> str:
    """The WordNet id of the folder that a file lies in; empty where that is none."""
    return path.parent.name if WNID.fullmatch(path.parent.name) else ""
