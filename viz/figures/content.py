"""Contents of the panels of a figure: maps, vectors, boxes, scales and titles. Pure data; nothing is drawn here."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from string import ascii_lowercase
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from viz.core.boxes import Box, boxes
from viz.core.derived import mean_over, one_of
from viz.core.finite import notes_on
from viz.core.heatmap import Heatmap, Scale, finite_range, scale_for, symmetric
from viz.core.methods import AttributionOptions
from viz.core.words import derived_words, method_words
from viz.core.words import words as map_words
from viz.errors import FigureError
from viz.families.stages import module_words
from viz.figures.attributions import used_options
from viz.figures.spec import FigureSpec, Panel
from viz.figures.text import drawable, missing
from viz.geometry import Interpolation

if TYPE_CHECKING:
    from viz.core.attribution import Attribution
    from viz.core.record import Record
    from viz.core.trace import Trace


@dataclass(frozen=True, eq=False)
class Content:
    """The content of one panel.

    Attributes:
        trace: source of the values; panels of one picture may have different ones.
        panel: with step, probe and class made definite. letter: ``a``, ``b``, ...
        title: drawn above the panel; may be empty.
        words: description for a caption: quantity, class and step, whatever the title is.
        heatmaps: one for a map; one per step for boxes; else none.
        values: float32 (C,) of a channel panel.
        quantity: what is measured, in words; panels of one quantity may share a scale. unit, neutral, bounds: of it.
        scale: how values become colours or heights. source: of the scale's range, in words.
        palette, opacity, interpolation: as drawn.
        boxes: (step, box) pairs of a boxes panel. threshold: of those boxes.
    """

    trace: Trace = field(repr=False)
    panel: Panel
    letter: str
    title: str = ""
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
    def marks(self) -> tuple[float, ...]:
        """The ends of the scale, and the neutral value where it lies between them."""
        if self.scale is None:
            return ()
        ends = (self.scale.low, self.scale.high)
        return (*ends, self.neutral) if self.neutral is not None and ends[0] < self.neutral < ends[1] else ends

    @property
    def raw_range(self) -> tuple[float, float]:
        """Smallest and largest value shown."""
        return finite_range([h.native for h in self.heatmaps] or [np.zeros(1) if self.values is None else self.values])


def letter_of(index: int) -> str:
    """a .. z, then aa, ab, ..."""
    return ascii_lowercase[index] if index < 26 else letter_of(index // 26 - 1) + ascii_lowercase[index % 26]


def contents(trace: Trace, spec: FigureSpec) -> tuple[Content, ...]:
    """The contents of the panels, in order.

    Raises:
        ModelError, ProbeError, FigureError: a step, class, channel or probe that the trace does not have.
    """
    panels = [_definite(trace, panel, spec.attribution) for panel in spec.panels]
    return _scaled(trace, spec, [_content(trace, spec, panel, letter_of(i)) for i, panel in enumerate(panels)])


def _definite(trace: Trace, panel: Panel, options: AttributionOptions) -> Panel:
    """The panel with a definite map, see `Trace.definite`; a map of a vector becomes ``channels``."""
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
        raise FigureError(f"{record.name} has one value per channel and no cells, so it has no boxes.")
    if record.values.ndim == 3 and spec.channel is None:
        raise FigureError(
            f"{record.name} has {record.values.shape[0]} maps. Choose one, as in {asked.head}#0:{record.step}, "
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
    record = None if panel.probe is None else trace.record(panel.probe, panel.spec.step)
    made = Content(
        trace,
        panel,
        letter,
        opacity=spec.opacity if panel.opacity is None else panel.opacity,
        interpolation=panel.interpolation or spec.interpolation,
        palette=panel.palette or spec.palette,
        threshold=spec.threshold if panel.threshold is None else panel.threshold,
    )
    if panel.kind == "picture":
        return _titled(made, "picture", "picture")
    steps = trace.steps_of(panel.spec) if panel.all_steps else [panel.spec.step]
    if panel.kind == "channels" and record is not None:
        made = replace(made, values=record.values, unit=record.unit, neutral=record.neutral, bounds=record.bounds)
    else:
        options = used_options(panel.spec, spec.attribution)
        maps = tuple(trace.heatmap(panel.spec, step, options=options) for step in steps)
        made = replace(made, heatmaps=maps, unit=maps[0].unit, neutral=maps[0].neutral, bounds=maps[0].bounds)
    quantity, text = _described(made, record)
    if panel.kind == "boxes":
        # The threshold applies to smoothly interpolated values, whatever is drawn: boxes of bare cells jump by cells.
        found = [(s, b) for s, m in zip(steps, maps, strict=True) for b in boxes(m, made.threshold, spec.components)]
        made = replace(made, boxes=tuple(found))
        text += ", boxes" if spec.components == "all" or panel.all_steps else ", box"
    title = f"steps {steps[0]}\u2013{steps[-1]}: {text}" if len(steps) > 1 else _at_step(trace, steps[0], text)
    words = title
    if made.shows == "cam":
        words = f"{title} of the class map" if panel.kind == "boxes" else f"class map, {title}"
    elif made.is_map and record is not None and panel.spec.channel is not None:
        words = _at_step(trace, record.step, f"{one_of(record, panel.spec.channel)} ({_of(record, panel)})")
    return _titled(replace(made, quantity=quantity), title, words)


def _titled(made: Content, title: str, words: str) -> Content:
    """The content with its words for a caption and its title: the user's own, if any."""
    own = made.panel.title
    if own is None:
        return replace(made, words=words, title=drawable(title))
    if odd := missing(own):
        # With the code point: the reader's font may lack the character, too.
        raise FigureError(
            f"The title of panel ({made.letter}) has the character {odd!r} (U+{ord(odd):04X}), which the fonts lack."
        )
    return replace(made, words=words, title=own)


def _described(made: Content, record: Record | None) -> tuple[str, str]:
    """The quantity of a map, a vector or boxes, and the title without its step."""
    trace, panel, spec, boxed = made.trace, made.panel, made.panel.spec, made.panel.kind == "boxes"
    subject = trace.output.subject(panel.class_index)
    if made.shows == "cam":
        probability = trace.output.number_of(spec.step, panel.class_index or 0)
        return "class map", subject if boxed else f"{subject} {percent(probability)}"
    if made.shows == "attribution":
        method = method_words(spec)
        return method, f"{method}, {trace.output.question(spec.step, panel.class_index, spec.region)}"
    if made.shows == "output":
        quantity = made.unit if boxed or panel.class_index is not None else subject
        return quantity, subject if boxed or quantity == subject else f"{subject}, {quantity}"
    if record is None:
        return map_words(spec), map_words(spec)
    if boxed:
        return _of(record, panel), _of(record, panel)
    # Groups and taps share one quantity; each channel of the features has its own.
    alike = not made.is_map or spec.channel is None or mean_over(record) != "channels"
    quantity = _of(record, panel) if alike else f"channel {spec.channel} ({_of(record, panel)})"
    return quantity, _probe_title(trace, record, panel)


def _at_step(trace: Trace, step: int, text: str) -> str:
    return text if trace.steps == 1 else f"step\u00a0{step}: {text}"


def _of(record: Record, panel: Panel) -> str:
    """A captured value, or the map derived from it, without its channel."""
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
    return text


def _short(path: str, paths: set[str]) -> str:
    """The parts of a module's path by which it differs from the others."""
    split = [p.split(".") for p in paths]
    if len({len(s) for s in split}) > 1:
        return path
    return ".".join(part for i, part in enumerate(path.split(".")) if len({s[i] for s in split}) > 1)


def _words(label: str) -> str:
    # The probe's label for the map that a module reads and gates means nothing to a reader.
    return "searchlight input" if label == "bottom" else label.replace("_", " ")


def _scaled(trace: Trace, spec: FigureSpec, made: Sequence[Content]) -> tuple[Content, ...]:
    own = [(content, _scale(trace, spec, content)) for content in made]
    out = []
    for content, scale in own:
        if scale is None:
            out.append(content)
            continue
        mates = [(content, scale)]
        if spec.shared_scale and spec.scale != "fixed":
            mates = [(c, s) for c, s in own if s is not None and _measures_alike(c, content)]
        scale = Scale(scale.mode, min(s.low for _, s in mates), max(s.high for _, s in mates))
        out.append(coloured(content, scale, _source(trace, [c for c, _ in mates], scale)))
    return tuple(out)


def coloured(content: Content, scale: Scale, source: str, *, one_neutral: bool = True) -> Content:
    """The content with its scale and palette; a diverging palette is symmetric around a map's neutral value.

    Args:
        source: of the scale's range, in words.
        one_neutral: False where the maps that share the scale have different neutral values.
    """
    palette, neutral = content.palette, content.neutral if one_neutral else None
    if palette == "auto":
        palette = "diverging" if content.is_map and neutral is not None and content.shows != "cam" else "inferno"
    if palette == "diverging" and neutral is None:
        palette = "inferno"
    if palette == "diverging" and neutral is not None and content.is_map:
        scale = symmetric(scale, neutral)
        source += f", made symmetric around {neutral:g}"
    return replace(content, scale=scale, source=source, palette=palette)


def _source(trace: Trace, mates: Sequence[Content], scale: Scale) -> str:
    """Source of the range of panels that share a scale: the same words for all of them."""
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
    probes = dict.fromkeys(c.panel.probe for c in mates if c.panel.probe is not None)
    modules = [p.rpartition(".")[0] or "the network" for p in probes]
    for what, names in (("classes", [trace.labels[i] for i in classes]), ("modules", modules)):
        if len(names) > 3:
            source += f", {len(names)} {what} mixed"
        elif len(names) > 1:
            source += f", {what} mixed: {', '.join(names[:-1])} and {names[-1]}"
    return source


def _measures_alike(a: Content, b: Content) -> bool:
    """Whether panels share a scale: one quantity in one unit, maps apart from channel vectors."""
    return (a.panel.kind, a.quantity, a.unit) == (b.panel.kind, b.quantity, b.unit)


def group_key(content: Content) -> tuple[str, str, str, str, str]:
    """Panels with the same key can share one colour bar: one quantity, one scale, one palette."""
    low, high = (content.scale.low, content.scale.high) if content.scale else (0.0, 0.0)
    return (content.quantity, content.unit, content.palette, repr(low), repr(high))


def _scale(trace: Trace, spec: FigureSpec, content: Content) -> Scale | None:
    """The scale of a map or a vector on its own, before sharing; None for other panels."""
    panel = content.panel
    if content.values is not None:
        over_steps = spec.scale in ("steps", "fixed")
        steps = trace.steps_of(panel.spec) if over_steps else [panel.spec.step]
        low, high = finite_range([trace.record(panel.probe or "", step).values for step in steps])
        if spec.scale == "raw":
            low = content.bounds[0] if np.isfinite(content.bounds[0]) else low
            high = content.bounds[1] if np.isfinite(content.bounds[1]) else high
        # A fixed range is meant for colours; bars outside of it would vanish, so their axis keeps its own.
        return Scale("steps" if spec.scale == "fixed" else spec.scale, low, high)
    if not content.is_map:
        return None
    if content.shows == "attribution":
        # Other steps need not have been computed: the range is that of the panels.
        return scale_for(content.heatmaps[0], "image" if spec.scale == "steps" else spec.scale, fixed=spec.fixed)
    together = [trace.heatmap(panel.spec, step) for step in trace.steps_of(panel.spec)]
    return scale_for(content.heatmaps[0], spec.scale, together=together, fixed=spec.fixed)


class FigureData:
    """What a figure shows; `viz.figures.build.Figure` draws and saves it.

    Attributes:
        trace: of the picture that is drawn. spec: the figure, with every panel made definite. contents: of its panels.
    """

    trace: Trace
    spec: FigureSpec
    contents: tuple[Content, ...]

    @cached_property
    def lost(self) -> tuple[str, ...]:
        """Which panels contain non-finite values, in sentences."""
        named: list[tuple[str, NDArray[np.float32]]] = []
        for c in self.contents:
            named += [(f"Panel ({c.letter}), {h.title}", h.native) for h in c.heatmaps]
            named += [] if c.values is None else [(f"Panel ({c.letter}), {c.words}", c.values)]
        return notes_on(named, self.trace.precision)

    @property
    def attributions(self) -> list[tuple[Content, Attribution]]:
        """The panels that show an attribution, with it."""
        asked = [(c, c.panel.spec) for c in self.contents if c.shows == "attribution"]
        options = self.spec.attribution
        found = [(c, self.trace.attribution_of(m, options=used_options(m, options))) for c, m in asked]
        return [(c, a) for c, a in found if a is not None]
