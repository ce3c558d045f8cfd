"""The ImageNet classes of a data set's labels: by WordNet id, or by the exact name if it is unambiguous."""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cache
from importlib.resources import files

from viz.datasets.core import DatasetClass, Problems, shown
from viz.datasets.homonyms import imagenet_meaning

WNID = re.compile(r"n\d{8}")
IMAGENET = 1000


@cache
def _table() -> tuple[dict[str, int], dict[str, int], dict[str, int], tuple[str, ...]]:
    """Index by WordNet id, by name, and by name in lower case (unique names only); and the names."""
    rows = list(csv.DictReader(io.StringIO(files("viz.models").joinpath("imagenet1k.csv").read_text("utf-8"))))
    names = tuple(r["name"] for r in rows)
    return {r["synset"]: i for i, r in enumerate(rows)}, _unique(names), _unique([n.casefold() for n in names]), names


def _unique(names: Sequence[str]) -> dict[str, int]:
    counts = Counter(names)
    return {name: i for i, name in enumerate(names) if counts[name] == 1}


def class_of(label: str, superclass: str = "") -> int | None:
    """ImageNet index of a WordNet id or name; None for any other or ambiguous label.

    Underscores count as spaces, and case matters only where it distinguishes two classes. A name of two classes (crane)
    and a homonym (`viz.datasets.homonyms`) give None, see `unclear`.

    Args:
        superclass: the data set's own superclass of the label, which may resolve a homonym.
    """
    return _look_up(label, superclass)[0]


def unclear(label: str, superclass: str = "") -> str:
    """Why a label that is an ImageNet name is ambiguous, as the rest of a sentence; otherwise empty."""
    return _look_up(label, superclass)[1]


@cache
def _look_up(label: str, superclass: str) -> tuple[int | None, str]:
    """The values of `class_of` and `unclear`."""
    synsets, exact, folded, names = _table()
    text = " ".join(label.replace("_", " ").split())
    # The Cardigan is a dog, the cardigan is a garment: the exact case has priority.
    index = synsets.get(label, exact.get(text, folded.get(text.casefold())))
    meaning = imagenet_meaning(text, superclass)
    if index is not None and meaning is not None:
        return None, f"may not mean ImageNet's class of that name ({index}, {meaning})"
    if index is None:
        same = [str(i) for i, name in enumerate(names) if name.casefold() == text.casefold()]
        if len(same) > 1:
            return None, f"is the name of the ImageNet classes {' and '.join(same)}"
    return index, ""


def name_of(class_index: int) -> str:
    """ImageNet name of an index 0..999."""
    return _table()[3][class_index]


def readable(wnid: str) -> str:
    """ImageNet name of a WordNet id; empty for an unknown one."""
    index = class_of(wnid)
    return "" if index is None else name_of(index)


class Labels:
    """The labels of a data set while it is read. A sample's own ``class_index`` overrides its label."""

    def __init__(self, problems: Problems) -> None:
        self._problems = problems
        # By label, in order and without duplicates: the name, class index and superclass of its samples.
        self._seen: dict[str, dict[tuple[str, int | None, str], None]] = {}
        self._indices: dict[str, int | None] = {}

    def see(self, label: str, name: str, class_index: int | None, superclass: str) -> None:
        """Record the label of one sample, its readable name, its class index and its superclass, if any."""
        self._seen.setdefault(label, {})[name, class_index, superclass] = None

    def finish(self) -> tuple[DatasetClass, ...]:
        """The classes, in the order of their labels' first appearance; ambiguous ones are reported."""
        return tuple(self._class(label) for label in self._seen)

    def index_of(self, label: str) -> int | None:
        """ImageNet index of the samples of a label that give none themselves; call it after `finish`."""
        return self._indices[label]

    def _class(self, label: str) -> DatasetClass:
        seen = self._seen[label]
        names = list(dict.fromkeys(name for name, _, _ in seen if name))
        given = list(dict.fromkeys(class_index for _, class_index, _ in seen))
        superclasses = {superclass for _, _, superclass in seen if superclass}
        superclass = superclasses.pop() if len(superclasses) == 1 else ""
        by_label = class_of(label, superclass)
        # A WordNet id is more specific than a name.
        candidates = [] if WNID.fullmatch(label) else names
        by_name = (class_of(name, superclass) for name in candidates)
        found = {by_label} if by_label is not None else {i for i in by_name if i is not None}
        index = next(iter(found)) if len(found) == 1 else None
        self._indices[label] = index
        if None in given:
            self._report_ambiguous(label, candidates, superclass, found)
        self._report_given(label, given, index)
        indices = {index if i is None else i for i in given}
        return DatasetClass(label, names[0] if names else label, indices.pop() if len(indices) == 1 else None)

    def _report_ambiguous(self, label: str, names: Iterable[str], superclass: str, found: set[int]) -> None:
        why = ""
        if len(found) > 1:
            why = f"its names are those of several ImageNet classes ({_listed(found)})"
        elif not found:
            reasons = ((word, unclear(word, superclass)) for word in (label, *names))
            why = next((f"{shown(word)!r} {reason}" for word, reason in reasons if reason), "")
        if why:
            what = f"{why}; it gets no class. Give class_index or a WordNet id"
            self._problems.add(shown(label), "class ambiguous", what)

    def _report_given(self, label: str, given: list[int | None], index: int | None) -> None:
        own = [i for i in given if i is not None]
        others = [i for i in own if index is not None and i != index]
        if others:
            what = f"ImageNet class {index} by its label, but class_index is {_listed(others)}; class_index is used"
            self._problems.add(shown(label), "label and class_index differ", what)
        elif len(given) > 1:
            missing = " or none" if None in given else ""
            what = f"the label has the class_index {_listed(own)}{missing}; each sample keeps its own"
            self._problems.add(shown(label), "label of several classes", what)


def _listed(indices: Iterable[int]) -> str:
    """The first eight numbers in order, and how many more there are."""
    ordered = sorted(indices)
    return ", ".join(map(str, ordered[:8])) + (f" and {len(ordered) - 8} more" if len(ordered) > 8 else "")
