"""Messages for the viewer: the picture once, and every map of every step as its native cells."""

from __future__ import annotations

import base64
import hashlib
import io
import secrets
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from viz.core.heatmap import PALETTES, palette
from viz.core.trace import Trace
from viz.families.family import family_of
from viz.page.entries import (
    derived_entries,
    frame_entry,
    geometry_entry,
    kernel_entries,
    output_entries,
    output_facts,
    spatial_entries,
)
from viz.page.messages import MESSAGE_VERSION, ErrorMessage, MapEntry, MoreMaps, PictureEntry, ViewerMessage, packed
from viz.picture import Picture

# Longest side of the picture that the browser gets. Maps are drawn on it; boxes stay in the picture's own pixels.
DISPLAY_SIDE = 1280
TOP = 5


def display_size(picture: Picture) -> tuple[int, int]:
    """(height, width) of the copy that the browser draws on."""
    height, width = picture.size
    factor = min(1.0, DISPLAY_SIDE / max(height, width))
    return max(1, round(height * factor)), max(1, round(width * factor))


def display_rgb(picture: Picture) -> NDArray[np.uint8]:
    """The copy itself, uint8 (h, w, 3)."""
    height, width = display_size(picture)
    if (height, width) == picture.size:
        return picture.rgb
    return np.asarray(Image.fromarray(picture.rgb).resize((width, height), Image.Resampling.LANCZOS, reducing_gap=2.0))


def picture_entry(picture: Picture, notes: Sequence[str] = ()) -> PictureEntry:
    """The picture with its display copy (JPEG, full chroma resolution) and notes to show beside it."""
    height, width = display_size(picture)
    buffer = io.BytesIO()
    Image.fromarray(display_rgb(picture)).save(buffer, "JPEG", quality=95, subsampling=0)
    return {
        "src": "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode(),
        "width": width,
        "height": height,
        "full": picture.size,
        "name": picture.name,
        "sha256": picture.sha256,
        "notes": [*picture.notes, *notes],
    }


def palette_entries() -> dict[str, str]:
    """The colours of all palettes."""
    return {n: base64.b64encode(palette(n).tobytes()).decode() for n in PALETTES}


def classes_of(trace: Trace) -> list[int | None]:
    """Classes whose maps are sent: the best of every step, best first; None for an answer without classes."""
    if not trace.labels:
        return [None]
    tops = [trace.top(step, TOP) for step in range(1, trace.steps + 1)]
    return list(dict.fromkeys(top[rank].class_index for rank in range(TOP) for top in tops if rank < len(top)))


def trace_key(trace: Trace) -> str:
    """A short id of what the page shows."""
    text = f"{trace.picture.sha256}|{trace.card.name}|{trace.geometry.mode}"
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def viewer_message(trace: Trace) -> str:
    """The JSON message for the viewer."""
    classes = [e for c in classes_of(trace) for e in output_entries(trace, c)]
    message: ViewerMessage = {
        "message_version": MESSAGE_VERSION,
        "key": trace_key(trace),
        "family": trace.card.family,
        "output": output_facts(trace),
        "missing": family_of(trace.card.family).missing,
        "model": {"name": trace.card.name, "title": trace.card.title},
        "picture": picture_entry(trace.picture, trace.notes),
        "geometry": geometry_entry(trace),
        "frames": [frame_entry(trace, stage, TOP) for stage in trace.stages],
        "maps": [*classes, *spatial_entries(trace), *derived_entries(trace)],
        "kernels": kernel_entries(trace),
        "pick": None,
        "show": None,
        "palettes": palette_entries(),
    }
    return packed(message)


def more_maps_message(
    trace: Trace, entries: list[MapEntry], *, pick: int | None = None, show: str | None = None
) -> str:
    """The JSON message with further maps for the viewer.

    Args:
        pick: the class to show. show: name of the map to show.
    """
    message: MoreMaps = {
        "message_version": MESSAGE_VERSION,
        "key": trace_key(trace),
        "maps": entries,
        "pick": pick,
        "show": show,
    }
    return packed(message)


def error_message(sentence: str, refused: str | Path | None = None) -> str:
    """A message that shows a sentence and leaves the picture as it is.

    Args:
        refused: the uploaded file that cannot be shown. The browser removes it from the input unless another file has
            replaced it. It identifies the file by the last two parts of its path, and a second refusal of the same file
            by a random mark.
    """
    message: ErrorMessage = {"message_version": MESSAGE_VERSION, "error": sentence}
    if refused is not None:
        path = Path(refused)
        message |= {"refused": f"{path.parent.name}/{path.name}", "mark": secrets.token_hex(4)}
    return packed(message)


def static(name: str) -> str:
    """Text of a file in ``static/``."""
    return files("viz.page").joinpath("static").joinpath(name).read_text(encoding="utf-8")
