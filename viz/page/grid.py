"""The grid of maps side by side, for several models or several maps of one: its message, its view as a comparison,
its files."""

from __future__ import annotations

import hashlib
import html
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Unpack

import gradio as gr

from viz.core.boxes import DEFAULT_THRESHOLD
from viz.core.heatmap import PALETTES
from viz.core.map_spec import MapSpec
from viz.core.trace import Trace
from viz.figures.comparison import Comparison
from viz.figures.comparison.build import compare_traces, user_box
from viz.figures.comparison.grid import BOXES
from viz.files import as_json_bytes, write_whole
from viz.geometry import INTERPOLATIONS
from viz.page.exports import Exports
from viz.page.messages import MESSAGE_VERSION, Column, GridMessage, GridMore, StaleMessage, packed
from viz.page.payload import palette_entries, picture_entry
from viz.picture import Picture

FIGURES, TABLES = ("pdf", "svg", "png"), ("csv", "json")


def grid_message(
    picture: Picture, columns: Sequence[Column], classes: Sequence[str], key: str, **more: Unpack[GridMore]
) -> str:
    """A message for the grid.

    Args:
        columns: one panel each, as `model_entry` makes them. classes: names that the class list offers.
        key: what tells this message from others of the same picture. more: further entries.
    """
    message: GridMessage = {
        "message_version": MESSAGE_VERSION,
        "key": hashlib.sha256(f"{picture.sha256}|{key}".encode()).hexdigest()[:16],
        "picture": picture_entry(picture),
        "classes": list(classes),
        "models": list(columns),
        "palettes": palette_entries(),
        **more,
    }
    return packed(message)


def stale_message(sentence: str) -> str:
    """The JSON message that says why the grid is old; "" where it is not."""
    message: StaleMessage = {"message_version": MESSAGE_VERSION, "stale": sentence}
    return packed(message)


def toast(sentence: str) -> None:
    """Show one sentence; a file's name in it is text, never markup."""
    gr.Warning(html.escape(sentence, quote=False), title="")


def viewed(
    traces: Sequence[Trace],
    maps: Sequence[MapSpec],
    view: Mapping[str, Any],
    picture: Picture,
    class_index: int | str | None,
) -> Comparison:
    """The comparison of traces with the scale, threshold and own box of a grid's view.

    Raises:
        VizError: a view that the page cannot have sent.
    """
    threshold, box = view.get("threshold"), view.get("box")
    return compare_traces(
        traces,
        maps,
        class_index=class_index,
        scale="each" if view.get("scale") == "each" else "shared",
        threshold=float(threshold) if isinstance(threshold, int | float) else DEFAULT_THRESHOLD,
        components="largest",
        box=user_box(box, picture) if isinstance(box, list) else None,
    )


def written(made: Comparison, view: Mapping[str, Any], exports: Exports) -> tuple[Path, ...]:
    """A comparison as the file that a grid's view asks for, with what belongs to it.

    Raises:
        VizError: a figure that cannot be drawn.
    """
    kind = view.get("format")
    base = exports.folder() / file_stem(made)
    if kind in TABLES:
        path = base.with_name(f"{base.name}-agreement.{kind}")
        write_whole(path, made.to_csv().encode() if kind == "csv" else as_json_bytes(made.to_json()))
        return (path,)
    palette_name, how, opacity = view.get("palette"), view.get("interpolation"), view.get("opacity")
    figure = made.to_figure(
        boxes=shown if (shown := view.get("boxes")) in BOXES else True,
        palette=palette_name if palette_name in PALETTES else "inferno",
        interpolation=how if how in INTERPOLATIONS else "cells",
        opacity=float(opacity) if isinstance(opacity, int | float) else 0.55,
    )
    return tuple(figure.save(base.with_name(f"{base.name}.{kind if kind in FIGURES else 'pdf'}")))


def file_stem(made: Comparison) -> str:
    """A file name that says which picture and which models: letters, digits, dots, dashes and underscores only."""
    text = "-".join([Path(made.picture.name).stem, *dict.fromkeys(c.trace.card.name for c in made.columns)])
    return re.sub(r"[^A-Za-z0-9._-]+", "_", text)[:80].strip("._") or "comparison"
