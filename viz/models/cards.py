"""Model cards: what the catalogue says of a model. Bundled cards are the JSON files in ``checkpoints/``."""

from __future__ import annotations

import csv
import io
import json
import operator
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

from viz.errors import ModelError
from viz.geometry import Mode, Preprocessing

Origin = Literal["bundled", "published"]


@dataclass(frozen=True)
class ModelCard:
    """What is known of one model.

    Attributes:
        name: the name that a person types.
        title: one line for a list.
        family: attention family, or None for a plain network.
        network: builder in the catalogue.
        arguments: its arguments.
        preprocessing: the model's own evaluation preprocessing. geometry: default way to fit a picture.
        origin: ``bundled`` (in checkpoints/) or ``published`` (a file that the user brought).
        file: checkpoint file name, or None when a package carries the weights.
        sha256: of that file (of the package's file when `file` is None).
        task: what the attention was trained to do, in words.
        steps: computation steps.
        source, licence: of the weights.
        deviations: points where code and paper differ and which is followed.
        notes: what a reader must know before trusting a picture.
        figures: measured figures as written by the card command.
    """

    name: str
    title: str
    family: str | None
    network: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    preprocessing: Preprocessing = field(default_factory=Preprocessing)
    geometry: Mode = "center_crop"
    origin: Origin = "bundled"
    file: str | None = None
    sha256: str = ""
    task: str = ""
    steps: int = 1
    source: str = ""
    licence: str = ""
    deviations: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    figures: tuple[Mapping[str, Any], ...] = ()

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def card_from_json(text: str) -> ModelCard:
    """A card from its JSON file; keys that a card does not have are left out.

    Raises:
        ModelError: a key is missing or of a wrong type.
    """
    try:
        data = json.loads(text)
        known = {k: v for k, v in data.items() if k in ModelCard.__dataclass_fields__}
        raw = known.pop("preprocessing", {})
        allowed = {k: v for k, v in raw.items() if k in Preprocessing.__dataclass_fields__}
        values: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in allowed.items()}
        for key in ("deviations", "notes", "figures"):
            known[key] = tuple(known.get(key, ()))
        return ModelCard(preprocessing=Preprocessing(**values), **known)
    except (ValueError, TypeError, AttributeError, KeyError) as error:
        raise ModelError(f"A model card cannot be read ({type(error).__name__}); install Searchlight again.") from None


@cache
def imagenet_labels() -> tuple[str, ...]:
    """The 1000 ImageNet class names in the usual order (0 = tench); the two double names carry their synset."""
    rows = list(csv.DictReader(io.StringIO(files("viz.models").joinpath("imagenet1k.csv").read_text())))
    names = Counter(r["name"] for r in rows)
    return tuple(r["name"] if names[r["name"]] == 1 else f"{r['name']} ({r['synset']})" for r in rows)


def labels_for(classes: int) -> tuple[str, ...]:
    """Class names of a classifier with that many outputs: ImageNet's for 1000, numbers otherwise."""
    return imagenet_labels() if classes == 1000 else tuple(f"class {i}" for i in range(classes))


def class_number(labels: Sequence[str], wanted: int | str) -> int:
    """The index of a class among `labels`, from its number or its name.

    A name counts in any case; where classes differ by their case alone, in its own. A part of a name will do when it
    consists of whole words and only one class has it.

    Raises:
        ModelError: no such class, or several.
    """
    if not isinstance(wanted, str):
        try:
            index = -1 if isinstance(wanted, bool) else operator.index(wanted)
        except TypeError:
            index = -1
        if not 0 <= index < len(labels):
            raise ModelError(f"This network has classes 0 to {len(labels) - 1}, not {str(wanted)[:60]}.")
        return index
    text = " ".join(wanted.casefold().split())
    # Labels can differ by their case alone (the Cardigan is a dog, the cardigan is worn).
    if labels.count(wanted) == 1:
        return labels.index(wanted)
    names = [label.casefold() for label in labels]
    if text in names and names.count(text) == 1:
        return names.index(text)
    if text.isascii() and text.isdigit():
        # Cut before it is read: Python refuses to read thousands of digits.
        return class_number(labels, int(text[:9]))
    # Words stand whole: "cat" is in "tiger cat", not in "catamaran".
    inside = re.compile(rf"(?<!\w){re.escape(text)}(?!\w)")
    found = [i for i, name in enumerate(names) if text and inside.search(name)]
    if not found:
        raise ModelError(f"This network has no class {wanted[:60]!r}; give its name or its number.")
    if len(found) > 1:
        some = ", ".join(f"{labels[i]} ({i})" for i in found[:5]) + (", ..." if len(found) > 5 else "")
        raise ModelError(f"Several classes fit {wanted[:60]!r}: {some}; give the whole name or the number.")
    return found[0]


def read_cards(folder: Path) -> dict[str, ModelCard]:
    """All cards of a folder, by name, in a fixed order (plain networks first)."""
    cards = [card_from_json(path.read_text()) for path in sorted(folder.glob("*.json"))]
    return {card.name: card for card in sorted(cards, key=lambda c: (c.family is not None, c.name))}
