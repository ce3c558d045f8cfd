"""Which map a column of a comparison shows, in one word: ``class_map@giant panda``, ``spatial_gate``, ``mean(bottom)``.

The same words as the panels of a figure, without a step: the columns of a comparison step together.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Literal

from viz.errors import ProbeError, VizError
from viz.maps import Heatmap
from viz.parts import part_words, split_name
from viz.trace import Trace
from viz.zoo.cards import class_number

MAX_TEXT = 200
_FORM = re.compile(r"(?P<name>[A-Za-z_][\w.]*(\([\w.]+\))?)(#(?P<channel>\d{1,6}))?(@(?P<cls>[^@]+))?")
_NO_MAPS = ("picture", "boxes")


@dataclass(frozen=True)
class MapChoice:
    """One map.

    Attributes:
        kind: ``class_map``, ``feature`` (one channel of the class features) or ``probe``.
        probe: label or full name, or a derived map ``PART(PROBE)``, see `viz.parts`.
        class_index, class_label: the class; neither takes that of the comparison.
        channel: of a feature, or of a probe with channels and cells.
    """

    kind: Literal["class_map", "feature", "probe"]
    probe: str | None = None
    class_index: int | None = None
    class_label: str | None = None
    channel: int | None = None

    @property
    def text(self) -> str:
        """The shorthand, so that `parse_map` gives it again."""
        cls = self.class_label if self.class_index is None else self.class_index
        channel = "" if self.channel is None else f"#{self.channel}"
        return (self.probe or self.kind) + channel + ("" if cls is None else f"@{cls}")


def parse_map(text: str | MapChoice) -> MapChoice:
    """A map from its shorthand ``NAME[#CHANNEL][@CLASS]``.

    Raises:
        VizError: not of that form.
    """
    if isinstance(text, MapChoice):
        return text
    given: object = text
    if not isinstance(given, str):
        raise VizError(f"A map is named by a text, not by a {type(given).__name__}.")
    if re.search(r":(-?\d+|last|all)", text):
        raise VizError(f"The models of a comparison step together; name the map {text[:60]!r} without a step.")
    found = _FORM.fullmatch(text.strip()) if len(text) <= MAX_TEXT else None
    if found is None or found["name"] in _NO_MAPS:
        raise VizError(
            f"{text[:60]!r} is no map to compare; write for example class_map, class_map@giant panda, spatial_gate, "
            "PROBE#CHANNEL, mean(PROBE) or feature#17."
        )
    name, cls = found["name"], (found["cls"] or "").strip() or None
    channel = None if found["channel"] is None else int(found["channel"])
    if cls is not None and name != "class_map":
        raise VizError(f"Only class maps take a class, not {name!r}.")
    if name == "class_map":
        if channel is not None:
            raise VizError("A class map has no channels to choose from.")
        index = int(cls[:9]) if cls is not None and cls.isascii() and cls.isdigit() else None
        return MapChoice("class_map", class_index=index, class_label=cls if index is None else None)
    if name == "feature":
        if channel is None:
            raise VizError("A feature needs its channel, as in feature#17.")
        return MapChoice("feature", channel=channel)
    split_name(name)
    return MapChoice("probe", name, channel=channel)


def definite(trace: Trace, choice: MapChoice, label: str) -> tuple[MapChoice, str]:
    """The choice with a class number or a full probe name, and what it measures in words.

    Args:
        label: class of a class map that names none.

    Raises:
        VizError and its kinds: what the trace does not have, with the model's name before the sentence.
    """
    try:
        if choice.kind == "class_map":
            wanted = choice.class_index if choice.class_index is not None else choice.class_label
            index = class_number(trace.head.labels, label if wanted is None else wanted)
            return replace(choice, class_index=index, class_label=None), "class map"
        if choice.kind == "feature":
            trace.feature_map(choice.channel or 0)
            return choice, f"feature {choice.channel}"
        base, part = split_name(choice.probe or "")
        record = trace.record(base)
        heat = trace.heatmap(record.name, record.step, part=part, channel=choice.channel)
    except VizError as error:
        raise type(error)(f"{trace.card.name}: {error}") from None
    # A total belongs to all modules and is named by its label.
    return replace(choice, probe=heat.name), part_words(record.label, part, choice.channel)


def map_at(trace: Trace, choice: MapChoice, step: int) -> Heatmap | None:
    """The map of a definite choice at a step, or None where it has no value there."""
    if choice.kind == "class_map":
        return trace.class_map(step, choice.class_index)
    if choice.kind == "feature":
        return trace.feature_map(choice.channel or 0, step)
    base, part = split_name(choice.probe or "")
    name = trace.record(base).name
    if not any(r.name == name and r.step == step for r in trace.records):
        return None
    try:
        return trace.heatmap(name, step, part=part, channel=choice.channel)
    except ProbeError:
        if part is None:
            raise
        return None  # a value that the derived map needs does not exist at this step
