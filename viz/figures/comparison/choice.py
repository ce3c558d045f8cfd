"""Which map a column of a comparison shows, in one word: ``class_map@giant panda``, ``spatial_gate``, ``mean(bottom)``.

Or an attribution: ``gradcam``, ``occlusion@giant panda``, ``gradcam(spatial_gate)``, see `viz.attribution`.
The same words as the panels of a figure, without a step: the columns of a comparison step together.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Literal

from viz.attribution.methods import DEFAULT_OPTIONS, AttributionOptions, is_method, parse_method
from viz.core.derived import part_words, split_name
from viz.core.heatmap import Heatmap
from viz.core.trace import Trace
from viz.errors import ProbeError, VizError
from viz.models.cards import class_number

MAX_TEXT = 200
_FORM = re.compile(r"(?P<name>[A-Za-z_][\w.]*(\([\w.]+\))?)(#(?P<channel>\d{1,6}))?(@(?P<cls>[^@]+))?")
_NO_MAPS = ("picture", "boxes")


@dataclass(frozen=True)
class MapChoice:
    """One map.

    Attributes:
        kind: ``class_map``, ``feature`` (one channel of the class features), ``probe`` or ``attribution``.
        probe: label or full name, or a derived map ``PART(PROBE)``, see `viz.core.derived`.
        method: of an attribution.
        class_index, class_label: the class; neither takes that of the comparison.
        channel: of a feature, or of a probe with channels and cells.
    """

    kind: Literal["class_map", "feature", "probe", "attribution"]
    probe: str | None = None
    class_index: int | None = None
    class_label: str | None = None
    channel: int | None = None
    method: str | None = None

    @property
    def takes_class(self) -> bool:
        """Whether it is the map of one class."""
        return self.kind in ("class_map", "attribution")

    @property
    def text(self) -> str:
        """The shorthand, so that `parse_map` gives it again."""
        cls = self.class_label if self.class_index is None else self.class_index
        channel = "" if self.channel is None else f"#{self.channel}"
        return (self.method or self.probe or self.kind) + channel + ("" if cls is None else f"@{cls}")


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
            "PROBE#CHANNEL, mean(PROBE), feature#17 or gradcam."
        )
    name, cls = found["name"], (found["cls"] or "").strip() or None
    channel = None if found["channel"] is None else int(found["channel"])
    if cls is not None and name != "class_map" and not is_method(name):
        raise VizError(f"Only class maps and attributions take a class, not {name!r}.")
    if name == "class_map" or is_method(name):
        if channel is not None:
            what = "A class map" if name == "class_map" else "An attribution"
            raise VizError(f"{what} has no channels to choose from.")
        index = int(cls[:9]) if cls is not None and cls.isascii() and cls.isdigit() else None
        label = cls if index is None else None
        if name == "class_map":
            return MapChoice("class_map", class_index=index, class_label=label)
        return MapChoice("attribution", class_index=index, class_label=label, method=parse_method(name).text)
    if name == "feature":
        if channel is None:
            raise VizError("A feature needs its channel, as in feature#17.")
        return MapChoice("feature", channel=channel)
    split_name(name)
    return MapChoice("probe", name, channel=channel)


def class_of(trace: Trace, choice: MapChoice, label: str) -> int:
    """Number of the class of a choice that takes one; `label` where it names none.

    Raises:
        ModelError: no such class.
    """
    wanted = choice.class_index if choice.class_index is not None else choice.class_label
    return class_number(trace.head.labels, label if wanted is None else wanted)


def definite(
    trace: Trace, choice: MapChoice, label: str, options: AttributionOptions = DEFAULT_OPTIONS
) -> tuple[MapChoice, str]:
    """The choice with a class number or a full probe name, and what it measures in words.

    Args:
        label: class of a class map or an attribution that names none. options: of attributions.

    Raises:
        VizError and its kinds: what the trace does not have, with the model's name before the sentence.
    """
    try:
        if choice.takes_class:
            index = class_of(trace, choice, label)
            choice = replace(choice, class_index=index, class_label=None)
            if choice.method is None:
                return choice, "class map"
            method = parse_method(choice.method)
            for step in range(trace.steps, 0, -1):
                found = trace.attribution_of(choice.method, step, index, options=options.used(method))
                if found is not None:
                    return replace(choice, method=found.method), found.words
            trace.attribution(choice.method, -1, index, options=options.used(method))
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


def map_at(trace: Trace, choice: MapChoice, step: int, options: AttributionOptions = DEFAULT_OPTIONS) -> Heatmap | None:
    """The map of a definite choice at a step, or None where it has no value there."""
    if choice.method is not None:
        used = options.used(parse_method(choice.method))
        if trace.attribution_of(choice.method, step, choice.class_index, options=used) is None:
            return None
        return trace.attribution(choice.method, step, choice.class_index, options=used)
    if choice.kind == "class_map":
        return trace.class_map(step, choice.class_index)
    if choice.kind == "feature":
        return trace.feature_map(choice.channel or 0, step)
    base, part = split_name(choice.probe or "")
    name = trace.record(base).name
    has_value = any(r.name == name and r.step == step for r in trace.records)
    try:
        return trace.heatmap(name, step, part=part, channel=choice.channel) if has_value else None
    except ProbeError:
        if part is None:
            raise
        return None  # a value that the derived map needs does not exist at this step
