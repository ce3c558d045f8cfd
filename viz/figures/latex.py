"""The LaTeX snippet of a figure: a caption with all that a reviewer needs to trust it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from viz.core.boxes import Components
from viz.core.card import ModelCard
from viz.figures.attributions import sentences as attribution_sentences
from viz.figures.content import Content, FigureData
from viz.figures.latex_names import include
from viz.figures.presets import preset
from viz.figures.spec import FigureSpec
from viz.figures.text import numbers
from viz.geometry import Geometry
from viz.latex_text import escaped
from viz.picture import Picture

_INTERPOLATION = {
    "cells": "native cells without interpolation",
    "bilinear": "bilinear interpolation of the values",
    "bicubic": "bicubic interpolation of the values",
}
_FITS = {
    "center_crop": "a central crop",
    "squash": "the whole picture, squeezed to the input",
    "letterbox": "the whole picture, letterboxed",
}


def snippet(spec: FigureSpec, file_name: str, caption: str) -> str:
    """A LaTeX figure with a caption; `file_name` is what \\includegraphics names."""
    style = preset(spec.preset)
    wide = style.two_columns and spec.columns == 2
    environment = "figure*" if wide else "figure"
    width = r"\columnwidth" if style.two_columns and not wide else r"\textwidth"
    path = Path(file_name)
    label = re.sub(r"[^A-Za-z0-9-]+", "-", path.stem).strip("-") or "searchlight"
    return "\n".join(
        [
            f"% {style.title}: {style.width(spec.columns):g} in wide; drawn at that size, so do not scale it.",
            rf"\begin{{{environment}}}[t]",
            r"  \centering",
            *include(path, width),
            rf"  \caption{{{caption}}}",
            rf"  \label{{fig:{label}}}",
            rf"\end{{{environment}}}",
            "",
        ]
    )


def caption(made: FigureData) -> str:
    """The caption, in LaTeX: what each panel is, then model, scale and range, cells, interpolation and crop."""
    trace, spec = made.trace, made.spec
    sentences = ["; ".join(f"({c.letter}) {_panel_words(made, c)}" for c in made.contents) + "."]
    steps = f"{trace.steps} computation step{'s' if trace.steps > 1 else ''}"
    sentences.append(
        f"Model: {model_words(trace.card)}, {steps}, {escaped(trace.precision)}; picture: "
        f"{picture_words(trace.picture)}."
    )
    sentences += map(escaped, attribution_sentences([(c.letter, a) for c, a in made.attributions]))
    groups: dict[tuple[object, ...], list[Content]] = {}
    for c in made.contents:
        if c.scale is not None:
            shape = c.heatmaps[0].native.shape if c.heatmaps else (len(c.values) if c.values is not None else 0,)
            key = (c.is_map, c.quantity, c.unit, c.source, c.scale, c.palette, c.opacity, c.interpolation, shape)
            groups.setdefault(key, []).append(c)
    for members in groups.values():
        quantity, unit = members[0].quantity, members[0].unit
        shown_unit = f" ({escaped(unit)})" if unit and unit not in quantity else ""
        sentences.append(range_sentence(escaped(quantity[:1].upper() + quantity[1:]) + shown_unit, members))
    boxes = [c for c in made.contents if c.panel.kind == "boxes"]
    for threshold in sorted({c.threshold for c in boxes}):
        letters = ", ".join(f"({c.letter})" for c in boxes if c.threshold == threshold)
        sentences.append(box_sentence(f"Boxes in {letters}", threshold, spec.components))
    if any(c.panel.all_steps for c in boxes):
        sentences.append("Coloured numbers give the step of the boxes of that colour.")
    framed = spec.crop_frame and spec.view == "picture" and trace.geometry.mode == "center_crop"
    frame = ", marked by the white frame" if framed else ""
    sentences.append(f"The network saw {input_words(trace.geometry)}{frame}.")
    sentences += map(escaped, made.lost)
    return " ".join(sentences)


def _panel_words(made: FigureData, c: Content) -> str:
    """Quantity, class and step, whatever the panel's title is; a title of the user is added."""
    words = escaped(c.words)
    if c.panel.probe is not None:
        paths = {r.path for r in made.trace.records}
        path = c.panel.probe.rpartition(".")[0]
        words += f" at {escaped(path)}" if len(paths) > 1 and path else ""
    own = (c.panel.title or "").strip()
    return f"{words} (titled ``{escaped(own)}'')" if own else words


def model_words(card: ModelCard) -> str:
    """Name and checkpoint of a model."""
    return escaped(card.name) + (f" (checkpoint sha256 {escaped(card.sha256[:12])})" if card.sha256 else "")


def picture_words(picture: Picture) -> str:
    """Name and contents of a picture."""
    return f"{escaped(picture.name)} (sha256 {picture.sha256[:12]})"


def input_words(geometry: Geometry) -> str:
    """What a network saw of the picture, and at which size."""
    height, width = geometry.network
    return rf"{_FITS[geometry.mode]} at ${width}\times{height}$ pixels"


def box_sentence(which: str, threshold: float, components: Components) -> str:
    """How display boxes were found."""
    kept = "the largest part" if components == "largest" else "every connected part"
    return (
        f"{which} enclose {kept} of the bilinearly interpolated map at or above {threshold:g} of the way from its "
        "smallest to its largest value; they are for display, not a localization protocol."
    )


def range_sentence(name: str, members: Sequence[Content]) -> str:
    """Scale, raw ranges and appearance of panels that share a scale."""
    first, scale = members[0], members[0].scale
    assert scale is not None

    def span(ends: tuple[float, float]) -> str:
        return " to ".join(map(escaped, numbers(scale.low, scale.high, *ends)))

    raw = ", ".join(f"({c.letter}) {span(c.raw_range)}" for c in members)
    text = f"{name}: {escaped(first.source)}, {span((scale.low, scale.high))}; raw ranges {raw}"
    if first.values is not None:
        return f"{text}; {len(first.values)} channels."
    rows, columns = first.heatmaps[0].native.shape
    return (
        rf"{text}; ${rows}\times{columns}$ cells, {_INTERPOLATION[first.interpolation]}, palette "
        rf"{escaped(first.palette)} at {100 * first.opacity:.0f}\,\% opacity."
    )
