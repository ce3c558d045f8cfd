"""The ImageNet classes of a data set's labels: by WordNet id, or by the exact name if it is unambiguous."""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
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


@dataclass
class _Label:
    # Dictionaries as ordered sets.
    names: dict[str, None] = field(default_factory=dict)
    superclasses: dict[str, None] = field(default_factory=dict)
    given: dict[int | None, None] = field(default_factory=dict)
    index: int | None = None


@dataclass
class Labels:
    """The labels of a data set while it is read. A sample's own ``class_index`` overrides its label."""

    problems: Problems
    _labels: dict[str, _Label] = field(default_factory=dict)

    def see(self, label: str, name: str, class_index: int | None, superclass: str) -> None:
        """Record the label of one sample, its readable name, its class index and its superclass, if any."""
        entry = self._labels.setdefault(label, _Label())
        if name:
            entry.names[name] = None
        if superclass:
            entry.superclasses[superclass] = None
        entry.given[class_index] = None

    def finish(self) -> tuple[DatasetClass, ...]:
        """The classes, in the order of their labels' first appearance; ambiguous ones are reported."""
        return tuple(self._class(label, entry) for label, entry in self._labels.items())

    def index_of(self, label: str) -> int | None:
        """ImageNet index of the samples of a label that give none themselves; call it after `finish`."""
        return self._labels[label].index

    def _class(self, label: str, entry: _Label) -> DatasetClass:
        text = next(iter(entry.names), label)
        superclass = next(iter(entry.superclasses), "") if len(entry.superclasses) == 1 else ""
        by_label = class_of(label, superclass)
        # A WordNet id is more specific than a name.
        named = {} if WNID.fullmatch(label) else {name: class_of(name, superclass) for name in entry.names}
        found = {i for i in named.values() if i is not None} if by_label is None else {by_label}
        entry.index = next(iter(found)) if len(found) == 1 else None
        if None in entry.given:
            self._report_ambiguous(label, named, superclass, found)
        given = [i for i in entry.given if i is not None]
        self._report_given(label, given, entry)
        indices = {*given, *({entry.index} if None in entry.given else ())}
        return DatasetClass(label, text, next(iter(indices)) if len(indices) == 1 else None)

    def _report_ambiguous(self, label: str, names: Iterable[str], superclass: str, found: set[int]) -> None:
        why = ""
        if len(found) > 1:
            why = f"its names are those of several ImageNet classes ({_listed(found)})"
        elif not found:
            reasons = ((word, unclear(word, superclass)) for word in (label, *names))
            why = next((f"{shown(word)!r} {reason}" for word, reason in reasons if reason), "")
        if why:
            what = f"{why}; it gets no class. Give class_index or a WordNet id"
            self.problems.add(shown(label), "class ambiguous", what)

    def _report_given(self, label: str, given: list[int], entry: _Label) -> None:
        others = [i for i in given if entry.index is not None and i != entry.index]
        if others:
            what = (
                f"ImageNet class {entry.index} by its label, but class_index is {_listed(others)}; class_index is used"
            )
            self.problems.add(shown(label), "label and class_index differ", what)
        elif len(entry.given) > 1:
            missing = " or none" if None in entry.given else ""
            what = f"the label has the class_index {_listed(given)}{missing}; each sample keeps its own"
            self.problems.add(shown(label), "label of several classes", what)


def _listed(indices: Iterable[int]) -> str:
    """The first eight numbers in order, and how many more there are."""
    ordered = sorted(indices)
    return ", ".join(map(str, ordered[:8])) + (f" and {len(ordered) - 8} more" if len(ordered) > 8 else "")
