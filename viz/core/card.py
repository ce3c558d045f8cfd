"""What is known of a model, and its classes by number or name."""

from __future__ import annotations

import operator
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
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
