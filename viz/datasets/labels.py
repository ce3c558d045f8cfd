"""Which of the 1000 ImageNet classes a data set's label is: by WordNet id, or by the exact name where it is clear."""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Sequence
from functools import cache
from importlib.resources import files

from viz.datasets.homonyms import other_meaning

WNID = re.compile(r"n\d{8}")
IMAGENET = 1000


@cache
def _table() -> tuple[dict[str, int], dict[str, int], dict[str, int], tuple[str, ...]]:
    """Index by WordNet id, by name, by name in lower case (names of one class only); and the names."""
    rows = list(csv.DictReader(io.StringIO(files("viz.models").joinpath("imagenet1k.csv").read_text("utf-8"))))
    names = tuple(r["name"] for r in rows)
    return {r["synset"]: i for i, r in enumerate(rows)}, _once(names), _once([n.casefold() for n in names]), names


def _once(names: Sequence[str]) -> dict[str, int]:
    counts = Counter(names)
    return {name: i for i, name in enumerate(names) if counts[name] == 1}


def class_of(label: str, kind: str = "") -> int | None:
    """ImageNet index of a WordNet id or name; None where the label is neither, or may mean something else.

    Names are compared as words: underscores are spaces, and case tells only where two classes need it. A name of two
    classes (crane) and a homonym (`viz.datasets.homonyms`) give None, see `unclear`.

    Args:
        kind: the data set's own wider class of the label, which may tell a homonym's meaning.
    """
    text = _words(label)
    return None if other_meaning(text, kind) else _by_name(label, text)


def unclear(label: str, kind: str = "") -> str:
    """Why a label that is a name of ImageNet's has no class, as the rest of a sentence; empty where it is no such."""
    text = _words(label)
    meaning = other_meaning(text, kind)
    index = _by_name(label, text)
    if meaning is not None and index is not None:
        return f"may not be what ImageNet calls so ({index}, {meaning})"
    same = [i for i, name in enumerate(_table()[3]) if name.casefold() == text.casefold()] if index is None else []
    return f"is the name of the ImageNet classes {' and '.join(map(str, same))}" if len(same) > 1 else ""


def _words(label: str) -> str:
    return " ".join(label.replace("_", " ").split())


def _by_name(label: str, text: str) -> int | None:
    synsets, exact, folded, _ = _table()
    if label in synsets:
        return synsets[label]
    # The Cardigan is a dog, the cardigan is worn: the exact case first.
    return exact.get(text, folded.get(text.casefold()))


def name_of(class_index: int) -> str:
    """ImageNet name of an index 0..999."""
    return _table()[3][class_index]
