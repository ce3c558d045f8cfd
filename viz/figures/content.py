"""From a spec and a trace to what each panel holds: maps, vectors, boxes, their scales and their titles. Pure data."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from string import ascii_lowercase
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from viz.core.boxes import Box, boxes
from viz.core.derived import mean_over, one_of
from viz.core.heatmap import Heatmap, Scale, finite_range, scale_for, symmetric
from viz.core.methods import AttributionOptions
from viz.core.words import derived_words, method_words
from viz.core.words import words as map_words
from viz.errors import FigureError
from viz.families.stages import module_words
from viz.figures.attributions import attribution_of, used_options
from viz.figures.spec import FigureSpec, Panel
from viz.figures.text import drawable, missing
from viz.geometry import Interpolation

if TYPE_CHECKING:
    from viz.core.attribution import Attribution
    from viz.core.record import Record
    from viz.core.trace import Trace


@dataclass(frozen=True, eq=False)
class Content:
    """What one panel holds.

    Attributes:
        panel: with step, probe and class made definite. letter: ``a``, ``b``, ... title: may be empty.
        words: what is shown, for a caption: quantity, class and step, whatever the title is.
        heatmaps: of a map one; of boxes one a step; else none.
        values: float32 (C,) of a channel panel.
        quantity: what is measured, in words; panels of one quantity may share a scale. unit, neutral, bounds: of it.
        scale: how values become colours or heights. source: where that range comes from, in words.
        palette, opacity, interpolation: as drawn.
        boxes: (step, box) pairs of a boxes panel.
        threshold: of those boxes.
    """

    panel: Panel
    letter: str
    title: str
    words: str = ""
    heatmaps: tuple[Heatmap, ...] = ()
    values: NDArray[np.float32] | None = None
    quantity: str = ""
    unit: str = ""
    neutral: float | None = None
    bounds: tuple[float, float] = (-np.inf, np.inf)
    scale: Scale | None = None
    source: str = ""
    palette: str = ""
    opacity: float = 1.0
    interpolation: Interpolation = "cells"
    boxes: tuple[tuple[int, Box], ...] = ()
    threshold: float = 0.5

    @property
    def is_map(self) -> bool:
        """Whether the panel is a map over the photo."""
        return self.panel.kind == "map"

    @property
    def shows(self) -> str:
        """Kind of the map: ``cam``, ``tap``, ...; empty for the picture."""
        return "" if self.panel.map is None else self.panel.map.kind

    @property
    def raw_range(self) -> tuple[float, float]:
        """Smallest and largest value shown."""
        return finite_range([h.native for h in self.heatmaps] or [np.zeros(1) if self.values is None else self.values])


def letter_of(index: int) -> str:
    """a .. z, then aa, ab, ..."""
    return ascii_lowercase[index] if index < 26 else letter_of(index // 26 - 1) + ascii_lowercase[index % 26]


def contents(trace: Trace, spec: FigureSpec) -> tuple[Content, ...]:
    """What the panels hold, in order.

    Raises:
        ModelError, ProbeError, FigureError: a step, class, channel or probe that the trace does not have.
    """
    made = [
        _content(trace, spec, definite(trace, p, spec.attribution), letter_of(i)) for i, p in enumerate(spec.panels)
    ]
    return _scaled(trace, spec, made)


def definite(trace: Trace, panel: Panel, options: AttributionOptions | None = None) -> Panel:
    """The panel with everything said of its map, see `Trace.definite`; a map of a vector becomes ``channels``.

    Args:
        options: those of the attribution panels; None takes the newest of the trace.
    """
    if panel.map is None:
        return panel
    asked = panel.map.at(-1) if panel.all_steps else panel.map
    spec = trace.definite(asked, options=used_options(asked, options))
    if spec.kind not in ("tap", "derived"):
        return replace(panel, map=spec)
    record = trace.record(spec.probe or "", spec.step)
    if spec.kind == "derived":
        return replace(panel, kind="map" if panel.kind == "channels" else panel.kind, map=spec.with_probe(record.name))
    if record.tap.is_vector and panel.kind == "boxes":
        raise FigureError(f"{record.name} has one value a channel and no cells, so it has no boxes.")
    if record.values.ndim == 3 and spec.channel is None:
        raise FigureError(
            f"{record.name} has {record.values.shape[0]} maps; choose one, as in {asked.head}#0:{record.step}, "
            f"or their mean, mean({asked.head}):{record.step}."
        )
    kind = panel.kind if panel.kind == "boxes" else "channels" if record.tap.is_vector else "map"
    return replace(panel, kind=kind, map=spec)


def percent(probability: float) -> str:
    """A probability for a title: whole percent, one decimal near the ends, never a rounded 0 or 100."""
    p = 100 * probability
    if not math.isfinite(p):
        return "no number"
    if p < 0.1:
        return "<0.1\u00a0%"
    if p > 99.9:
        return ">99.9\u00a0%"
    return f"{p:.1f}\u00a0%" if p < 1 or p > 99 else f"{p:.0f}\u00a0%"


def _content(trace: Trace, spec: FigureSpec, panel: Panel, letter: str) -> Content:
    made = Content(
        panel,
        letter,
        "",
        opacity=spec.opacity if panel.opacity is None else panel.opacity,
        interpolation=panel.interpolation or spec.interpolation,
        palette=panel.palette or spec.palette,
        threshold=spec.threshold if panel.threshold is None else panel.threshold,
    )
    if panel.kind == "picture":
        title = words = "picture"
    elif panel.kind == "boxes":
        made, title = _boxes(trace, spec, made)
        words = f"{title} of the class map" if made.shows == "cam" else title
    elif panel.kind == "channels":
        record = trace.record(panel.probe or "", panel.spec.step)
        made = replace(made, values=record.values, unit=record.unit, neutral=record.neutral, bounds=record.bounds)
        made = replace(made, quantity=_words(record.label))
        title = words = _probe_title(trace, record, panel)
    else:
        heat = heatmap_of(trace, panel, options=spec.attribution)
        made = replace(made, heatmaps=(heat,), unit=heat.unit, neutral=heat.neutral, bounds=heat.bounds)
        if made.shows == "cam":
            made, title = replace(made, quantity="class map"), _class_title(trace, panel)
            words = f"class map, {title}"
        elif made.shows == "attribution":
            made = replace(made, quantity=method_words(panel.spec))
            label = trace.head.labels[panel.class_index or 0]
            title = words = _at_step(trace, panel.spec.step, f"{made.quantity}, {label}")
        elif panel.probe is None:
            made = replace(made, quantity=map_words(panel.spec))
            title = words = _at_step(trace, panel.spec.step, made.quantity)
        else:
            record = trace.record(panel.probe, panel.spec.step)
            made = replace(made, quantity=_quantity(record, panel))
            title = words = _probe_title(trace, record, panel)
            if panel.spec.channel is not None:
                words = _at_step(trace, record.step, f"{one_of(record, panel.spec.channel)} ({_of(record, panel)})")
    if panel.title is None:
        return replace(made, words=words, title=drawable(title))
    if odd := missing(panel.title):
        # Named by its number as well: the reader's own font may lack it too.
        raise FigureError(
            f"The title of panel ({letter}) has the character {odd!r} (U+{ord(odd):04X}), which the fonts lack."
        )
    return replace(made, words=words, title=panel.title)


def heatmap_of(
    trace: Trace, panel: Panel, step: int | None = None, *, options: AttributionOptions | None = None
) -> Heatmap:
    """The map of a definite panel, at its own step or another."""
    return trace.heatmap(panel.spec, step, options=used_options(panel.spec, options))


def _boxes(trace: Trace, spec: FigureSpec, made: Content) -> tuple[Content, str]:
    panel = made.panel
    steps = trace.steps_of(panel.spec) if panel.all_steps else [panel.spec.step]
    # Values are interpolated smoothly before the threshold, whatever is drawn: boxes of bare cells would jump by cells.
    maps = tuple(heatmap_of(trace, panel, s, options=spec.attribution) for s in steps)
    found = tuple((s, b) for s, m in zip(steps, maps, strict=True) for b in boxes(m, made.threshold, spec.components))
    made = replace(made, heatmaps=maps, boxes=found, unit=maps[0].unit, bounds=maps[0].bounds, neutral=maps[0].neutral)
    label = trace.head.labels[panel.class_index or 0]
    if made.shows == "attribution":
        quantity = method_words(panel.spec)
        what = f"{quantity}, {label}, box"
    elif made.shows == "cam":
        what, quantity = f"{label}, box", "class map"
    else:
        record = None if panel.probe is None else trace.record(panel.probe, panel.spec.step)
        quantity = map_words(panel.spec) if record is None else _of(record, panel)
        what = f"{quantity}, box"
    plural = what + "es" if spec.components == "all" or panel.all_steps else what
    title = f"steps {steps[0]}\u2013{steps[-1]}: {plural}" if len(steps) > 1 else _at_step(trace, steps[0], plural)
    return replace(made, quantity=quantity), title


def _class_title(trace: Trace, panel: Panel) -> str:
    index = panel.class_index or 0
    text = f"{trace.head.labels[index]} {percent(float(trace.probabilities[panel.spec.step - 1, index]))}"
    return _at_step(trace, panel.spec.step, text)


def _at_step(trace: Trace, step: int, text: str) -> str:
    return text if trace.steps == 1 else f"step\u00a0{step}: {text}"


def _of(record: Record, panel: Panel) -> str:
    """A captured value, or what follows from it, without its channel."""
    return derived_words(record.label, panel.spec.name) if panel.spec.kind == "derived" else _words(record.label)


def _probe_title(trace: Trace, record: Record, panel: Panel) -> str:
    channel = panel.spec.channel
    if panel.spec.kind == "derived":
        text = derived_words(record.label, panel.spec.name, channel)
    else:
        text = _words(record.label) if channel is None else one_of(record, channel)
    paths = {r.path for r in trace.records if r.label == record.label}
    if len(paths) > 1 and panel.spec.name != "total":
        text += f" ({module_words(trace, record.path) or _short(record.path, paths)})"
    return _at_step(trace, record.step, text)


def _short(path: str, paths: set[str]) -> str:
    """The parts of a module's path by which it differs from the others."""
    split = [p.split(".") for p in paths]
    if len({len(s) for s in split}) > 1:
        return path
    return ".".join(part for i, part in enumerate(path.split(".")) if len({s[i] for s in split}) > 1)


def _words(label: str) -> str:
    # The code's own word for the map that a module reads and gates says nothing to a reader.
    return "searchlight input" if label == "bottom" else label.replace("_", " ")


def _quantity(record: Record, panel: Panel) -> str:
    # Groups and taps hold one quantity; channels of features are each their own.
    alike = panel.spec.channel is None or mean_over(record) != "channels"
    return _of(record, panel) if alike else f"channel {panel.spec.channel} ({_of(record, panel)})"


def _scaled(trace: Trace, spec: FigureSpec, made: Sequence[Content]) -> tuple[Content, ...]:
    own = [_scale(trace, spec, c) for c in made]
    out = []
    for content, scale in zip(made, own, strict=True):
        if scale is None:
            out.append(content)
            continue
        mates = [(content, scale)]
        if spec.shared_scale and spec.scale != "fixed":
            mates = [(c, s) for c, s in zip(made, own, strict=True) if s is not None and _key(c) == _key(content)]
        scale = Scale(scale.mode, min(s.low for _, s in mates), max(s.high for _, s in mates))
        source = _source(trace, [c for c, _ in mates], scale)
        palette = content.palette
        if palette == "auto":
            signed = content.is_map and content.neutral is not None and content.shows != "cam"
            palette = "diverging" if signed else "inferno"
        if palette == "diverging" and content.neutral is None:
            palette = "inferno"
        elif palette == "diverging" and content.neutral is not None and content.is_map:
            scale = symmetric(scale, content.neutral)
            source += f", made symmetric around {content.neutral:g}"
        out.append(replace(content, scale=scale, source=source, palette=palette))
    return tuple(out)


def _source(trace: Trace, mates: Sequence[Content], scale: Scale) -> str:
    """Where the one range of panels that share a scale comes from: the same words for all of them."""
    if scale.mode == "fixed":
        return "fixed range"
    bounds = [b for c in mates for b in c.bounds]
    if scale.mode == "raw" and np.isfinite(bounds).all():
        return "range of the operation"
    if scale.mode == "steps":
        source = "range over all steps"
    else:
        source = "range over the panels" if len(mates) > 1 else "its own range"
        if scale.mode == "raw":
            source += ", as the operation has no bound"
            source += " on one side" if np.isfinite(bounds).any() else ""
    classes = list(dict.fromkeys(c.panel.class_index for c in mates if c.panel.class_index is not None))
    probes = list(dict.fromkeys(c.panel.probe for c in mates if c.panel.probe is not None))
    for what, names in (("classes", [trace.head.labels[i] for i in classes]), ("modules", _modules(probes))):
        if len(names) > 3:
            source += f", {len(names)} {what} mixed"
        elif len(names) > 1:
            source += f", {what} mixed: {', '.join(names[:-1])} and {names[-1]}"
    return source


def _modules(probes: Sequence[str]) -> list[str]:
    return [p.rpartition(".")[0] or "the network" for p in probes]


def _key(content: Content) -> tuple[str, str, str]:
    """Panels with the same key share a scale: one quantity in one unit, maps apart from channel vectors."""
    return ("map" if content.is_map else content.panel.kind, content.quantity, content.unit)


def group_key(content: Content) -> tuple[str, str, str, str, str]:
    """Panels with the same key can share one colour bar: one quantity, one scale, one palette."""
    low, high = (content.scale.low, content.scale.high) if content.scale else (0.0, 0.0)
    return (content.quantity, content.unit, content.palette, repr(low), repr(high))


def _scale(trace: Trace, spec: FigureSpec, content: Content) -> Scale | None:
    if content.values is not None:
        low, high = finite_range(_together(trace, spec, content.panel))
        if spec.scale == "raw":
            low = content.bounds[0] if np.isfinite(content.bounds[0]) else low
            high = content.bounds[1] if np.isfinite(content.bounds[1]) else high
        if spec.scale == "fixed" and spec.fixed is not None:
            # The two numbers are meant for colours; bars outside of them would vanish, so their axis keeps its range.
            return Scale("steps", low, high)
        return Scale(spec.scale, low, high)
    if not content.is_map:
        return None
    if content.shows == "attribution":
        # Other steps need not have been computed: the range is that of the panels.
        return scale_for(content.heatmaps[0], "image" if spec.scale == "steps" else spec.scale, fixed=spec.fixed)
    together = [heatmap_of(trace, content.panel, s) for s in trace.steps_of(content.panel.spec)]
    return scale_for(content.heatmaps[0], spec.scale, together=together, fixed=spec.fixed)


def _together(trace: Trace, spec: FigureSpec, panel: Panel) -> list[NDArray[np.float32]]:
    if spec.scale in ("steps", "fixed"):
        return [trace.record(panel.probe or "", s).values for s in trace.steps_of(panel.spec)]
    return [trace.record(panel.probe or "", panel.spec.step).values]


def shown(trace: Trace, spec: FigureSpec, made: Sequence[Content]) -> list[tuple[Content, Attribution]]:
    """The panels that show an attribution, with it."""
    found = [(c, attribution_of(trace, spec, c.panel)) for c in made]
    return [(c, a) for c, a in found if a is not None]


class Shows(Protocol):
    """What words and records ask of a figure."""

    trace: Trace
    spec: FigureSpec
    contents: tuple[Content, ...]

    @property
    def lost(self) -> tuple[str, ...]:
        """Which panels hold values that are not finite, in sentences."""
        ...
