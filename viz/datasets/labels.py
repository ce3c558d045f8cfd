"""Which of the 1000 ImageNet classes a data set's label is: by WordNet id, or by the exact name."""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Sequence
from functools import cache
from importlib.resources import files

WNID = re.compile(r"n\d{8}")
IMAGENET = 1000


@cache
def _table() -> tuple[dict[str, int], dict[str, int], dict[str, int], tuple[str, ...]]:
    """Index by WordNet id, by name, by name in lower case (names of one class only); and the names."""
    rows = list(csv.DictReader(io.StringIO(files("viz").joinpath("zoo/imagenet1k.csv").read_text("utf-8"))))
    names = tuple(r["name"] for r in rows)
    return {r["synset"]: i for i, r in enumerate(rows)}, _once(names), _once([n.casefold() for n in names]), names


def _once(names: Sequence[str]) -> dict[str, int]:
    counts = Counter(names)
    return {name: i for i, name in enumerate(names) if counts[name] == 1}


def class_of(label: str) -> int | None:
    """ImageNet index of a WordNet id or name; None where the label is neither, or names two classes (crane).

    Names are compared as words: underscores are spaces, and case tells only where two classes need it. A homonym is
    not seen: whoever labels a building site's crane 'crane' gets None, a drum's stick 'drumstick' gets the class.
    """
    synsets, exact, folded, _ = _table()
    if label in synsets:
        return synsets[label]
    text = " ".join(label.replace("_", " ").split())
    # The Cardigan is a dog, the cardigan is worn: the exact case first.
    return exact.get(text, folded.get(text.casefold()))


def name_of(class_index: int) -> str:
    """ImageNet name of an index 0..999."""
    return _table()[3][class_index]
