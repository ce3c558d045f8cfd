"""Model cards, and the lookup of classes and steps."""

from __future__ import annotations

import operator
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from viz.errors import ModelError
from viz.geometry import Mode, Preprocessing

Origin = Literal["bundled", "published", "own"]


@dataclass(frozen=True)
class ModelCard:
    """The description of a model.

    Attributes:
        name: the name that users type.
        title: one line for a list.
        family: attention family, or None for a plain network.
        network, arguments: builder in the catalogue, and its arguments.
        preprocessing: the model's own evaluation preprocessing. geometry: default way to fit a picture.
        origin: ``bundled`` (in checkpoints/), ``published`` (a file of the user), or ``own`` (a card in the user's
            models folder).
        file: checkpoint file name, or None if a package contains the weights.
        sha256: of that file, or of the package's file.
        output: type of its output, a file of `viz.core.outputs`. quantity, unit: of dense values.
        labels: class names; default ImageNet's for 1000 classes, else numbers.
        task: what the attention was trained to do, in words.
        steps: computation steps.
        source, licence: of the weights.
        deviations: points where code and paper differ, and which of them is followed.
        notes: caveats for the reader.
        figures: measured figures, as written by the card command.
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
    output: str = "class_scores"
    labels: tuple[str, ...] = ()
    quantity: str = ""
    unit: str = ""
    task: str = ""
    steps: int = 1
    source: str = ""
    licence: str = ""
    deviations: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    figures: tuple[Mapping[str, Any], ...] = ()

    def as_json(self) -> dict[str, Any]:
        """The fields as plain values."""
        return asdict(self)


def class_number(labels: Sequence[str], wanted: int | str) -> int:
    """The index of a class in `labels`, from its number or its name.

    Case matters only if labels differ by nothing else. Whole words of a name are enough if only one class has them.

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
        # Shortened first, because Python refuses to parse thousands of digits.
        return class_number(labels, int(text[:9]))
    # Whole words: "cat" matches "tiger cat", not "catamaran".
    inside = re.compile(rf"(?<!\w){re.escape(text)}(?!\w)")
    found = [i for i, name in enumerate(names) if text and inside.search(name)]
    if not found:
        raise ModelError(f"This network has no class {wanted[:60]!r}; give a class name or number.")
    if len(found) > 1:
        some = ", ".join(f"{labels[i]} ({i})" for i in found[:5]) + (", ..." if len(found) > 5 else "")
        raise ModelError(f"Several classes match {wanted[:60]!r}: {some}; give the whole name or the number.")
    return found[0]


def step_number(step: int, steps: int, whose: str) -> int:
    """The 1-based step for a step from 1 to `steps`, or from -1 (the last); `whose` names what has the steps.

    Raises:
        ModelError: no such step.
    """
    number = step if step > 0 else steps + 1 + step
    if step == 0 or not 1 <= number <= steps:
        raise ModelError(f"{whose} has steps 1 to {steps}; there is no step {step}.")
    return number
