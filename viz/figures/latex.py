"""The LaTeX snippet of a figure: a caption that says all a reviewer needs to trust it."""

from __future__ import annotations

import re
from pathlib import Path

from viz.figures.attributions import sentences as attribution_sentences
from viz.figures.content import Content, Shows, shown
from viz.figures.latex_names import include
from viz.figures.presets import preset
from viz.figures.text import numbers
from viz.latex_text import escaped

_SHOWN = {
    "cells": "native cells without interpolation",
    "bilinear": "bilinear interpolation of the values",
    "bicubic": "bicubic interpolation of the values",
}
_FITS = {
    "center_crop": "a central crop",
    "squash": "the whole picture, squeezed to the input",
    "letterbox": "the whole picture, letterboxed",
}


def latex(made: Shows, file_name: str) -> str:
    """The snippet; `file_name` is what \\includegraphics names."""
    spec = made.spec
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
            rf"  \caption{{{caption(made)}}}",
            rf"  \label{{fig:{label}}}",
            rf"\end{{{environment}}}",
            "",
        ]
    )


def caption(made: Shows) -> str:
    """The caption, in LaTeX: what each panel is, then model, scale and range, cells, interpolation and crop."""
    trace, spec = made.trace, made.spec
    card = trace.card
    sentences = ["; ".join(f"({c.letter}) {_panel_words(made, c)}" for c in made.contents) + "."]
    checkpoint = f" (checkpoint sha256 {escaped(card.sha256[:12])})" if card.sha256 else ""
    steps = f"{trace.steps} computation step{'s' if trace.steps > 1 else ''}"
    sentences.append(
        f"Model: {escaped(card.name)}{checkpoint}, {steps}, {escaped(trace.precision)}; "
        f"picture: {escaped(trace.picture.name)} (sha256 {trace.picture.sha256[:12]})."
    )
    found = [(c.letter, a) for c, a in shown(trace, spec, made.contents)]
    sentences += map(escaped, attribution_sentences(found))
    sentences += _scale_sentences(made)
    boxes = [c for c in made.contents if c.panel.kind == "boxes"]
    for threshold in sorted({c.threshold for c in boxes}):
        letters = ", ".join(f"({c.letter})" for c in boxes if c.threshold == threshold)
        kept = "the largest part" if spec.components == "largest" else "every connected part"
        sentences.append(
            f"Boxes in {letters} enclose {kept} of the bilinearly interpolated map at or above {threshold:g} of the "
            "way from its smallest to its largest value; they are for display, not a localization protocol."
        )
    if any(c.panel.all_steps for c in boxes):
        sentences.append("Coloured numbers give the step of the boxes of that colour.")
    frame = (
        ", marked by the white frame"
        if spec.crop_frame and spec.view == "picture" and trace.geometry.mode == "center_crop"
        else ""
    )
    height, width = trace.geometry.network
    fit = _FITS[trace.geometry.mode]
    sentences.append(rf"The network saw {fit} at ${width}\times{height}$ pixels{frame}.")
    sentences += map(escaped, made.lost)
    return " ".join(sentences)


def _panel_words(made: Shows, c: Content) -> str:
    """Quantity, class and step, whatever stands over the panel; a title of its own is added."""
    words = escaped(c.words)
    if c.panel.probe is not None:
        paths = {r.path for r in made.trace.records}
        path = c.panel.probe.rpartition(".")[0]
        words += f" at {escaped(path)}" if len(paths) > 1 and path else ""
    own = (c.panel.title or "").strip()
    return f"{words} (titled ``{escaped(own)}'')" if own else words


def _scale_sentences(made: Shows) -> list[str]:
    """For each quantity: scale and range, each panel's raw range, cells, palette, opacity, interpolation."""
    groups: dict[tuple[object, ...], list[Content]] = {}
    for c in made.contents:
        if c.scale is not None:
            shape = c.heatmaps[0].native.shape if c.heatmaps else (len(c.values) if c.values is not None else 0,)
            key = (c.is_map, c.quantity, c.unit, c.source, c.scale, c.palette, c.opacity, c.interpolation, shape)
            groups.setdefault(key, []).append(c)
    out = []
    for members in groups.values():
        c = members[0]
        if c.scale is None:
            continue
        low, high = numbers(c.scale.low, c.scale.high, c.scale.low, c.scale.high)
        raw = []
        for m in members:
            ends = numbers(c.scale.low, c.scale.high, *m.raw_range)
            raw.append(f"({m.letter}) {escaped(ends[0])} to {escaped(ends[1])}")
        unit = f" ({escaped(c.unit)})" if c.unit and c.unit not in c.quantity else ""
        name = escaped(c.quantity[:1].upper() + c.quantity[1:])
        text = f"{name}{unit}: {escaped(c.source)}, {escaped(low)} to {escaped(high)}; raw ranges {', '.join(raw)}"
        if c.is_map:
            rows, columns = c.heatmaps[0].native.shape
            text += (
                rf"; ${rows}\times{columns}$ cells, {_SHOWN[c.interpolation]}, "
                rf"palette {escaped(c.palette)} at {100 * c.opacity:.0f}\,\% opacity"
            )
        elif c.values is not None:
            text += f"; {len(c.values)} channels"
        out.append(text + ".")
    return out
