"""The labels of a data set while it is read: their readable names, and which ImageNet class each of them is."""

from __future__ import annotations

from dataclasses import dataclass, field

from viz.datasets.core import DatasetClass, Problems
from viz.datasets.files import shown
from viz.datasets.labels import WNID, class_of, unclear


@dataclass
class _Label:
    names: dict[str, None] = field(default_factory=dict)
    kinds: dict[str, None] = field(default_factory=dict)
    given: dict[int | None, None] = field(default_factory=dict)
    sure: int | None = None


@dataclass
class Naming:
    """Labels as they are met. A sample's own ``class_index`` is the truth; only where it has none the label is asked.

    Attributes:
        problems: where labels that can mean two things are told.
    """

    problems: Problems
    _labels: dict[str, _Label] = field(default_factory=dict)

    def see(self, label: str, name: str = "", class_index: int | None = None, kind: str = "") -> None:
        """Note what one sample says of its label; all samples are seen before `finish`."""
        entry = self._labels.setdefault(label, _Label())
        if name:
            entry.names[name] = None
        if kind:
            entry.kinds[kind] = None
        entry.given[class_index] = None

    def finish(self) -> tuple[DatasetClass, ...]:
        """The classes, in the order of their labels' first appearance; what is unclear becomes a problem."""
        return tuple(self._class(label, entry) for label, entry in self._labels.items())

    def index_of(self, label: str) -> int | None:
        """ImageNet index of a label's samples that give none themselves; after `finish`."""
        return self._labels[label].sure

    def _class(self, label: str, entry: _Label) -> DatasetClass:
        text = next(iter(entry.names), label)
        kind = next(iter(entry.kinds), "") if len(entry.kinds) == 1 else ""
        by_label = class_of(label, kind)
        # A WordNet id says more than a name.
        named = {} if WNID.fullmatch(label) else {name: class_of(name, kind) for name in entry.names}
        found = {i for i in named.values() if i is not None} if by_label is None else {by_label}
        entry.sure = next(iter(found)) if len(found) == 1 else None
        if None in entry.given:
            self._tell_unclear(label, list(named), kind, found, entry.sure)
        given = [i for i in entry.given if i is not None]
        self._tell_given(label, text, given, entry)
        indices = {*given, *({entry.sure} if None in entry.given else ())}
        return DatasetClass(label, text, next(iter(indices)) if len(indices) == 1 else None)

    def _tell_unclear(self, label: str, names: list[str], kind: str, found: set[int], sure: int | None) -> None:
        if len(found) > 1:
            message = (
                f"The label {shown(label)!r} has names of several ImageNet classes ({_listed(found)}); none is used."
            )
            self.problems.add(shown(label), "class ambiguous", message)
        elif sure is None:
            for word in (label, *names):
                why = unclear(word, kind)
                if why:
                    message = f"The label {shown(word)!r} {why}; it is used as none. Give class_index or a WordNet id."
                    self.problems.add(shown(label), "class ambiguous", message)
                    return

    def _tell_given(self, label: str, text: str, given: list[int], entry: _Label) -> None:
        others = [i for i in given if entry.sure is not None and i != entry.sure]
        if others:
            message = (
                f"The label {shown(label)!r} is ImageNet's class {entry.sure}, but class_index says {_listed(others)};"
                " class_index counts."
            )
            self.problems.add(shown(label), "label and class_index differ", message)
        elif len(entry.given) > 1:
            also = " or none" if None in entry.given else ""
            message = (
                f"The label {shown(label)!r} has the class_index {_listed(given)}{also}; each sample's own counts."
            )
            self.problems.add(shown(label), "label of several classes", message)


def _listed(indices: set[int] | list[int]) -> str:
    ordered = sorted(indices)
    return ", ".join(map(str, ordered[:8])) + (f" and {len(ordered) - 8} more" if len(ordered) > 8 else "")
