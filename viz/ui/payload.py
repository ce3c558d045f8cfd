"""The one message that the viewer gets: the picture once, and every map of every step as its native cells."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import math
from collections.abc import Sequence
from importlib.resources import files
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from viz.maps import PALETTES, Heatmap, palette
from viz.picture import Picture
from viz.trace import Trace

# Longest side of the picture that the browser gets; maps are drawn on it, boxes stay in the picture's own pixels.
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


def picture_uri(picture: Picture) -> str:
    """The display copy as a data URI (JPEG, without chroma loss)."""
    buffer = io.BytesIO()
    Image.fromarray(display_rgb(picture)).save(buffer, "JPEG", quality=95, subsampling=0)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()


def _floats(values: NDArray[np.floating[Any]]) -> str:
    return base64.b64encode(np.ascontiguousarray(values, dtype="<f4").tobytes()).decode()


def _bound(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _map_entry(maps: Sequence[Heatmap], kind: str, title: str, group: str) -> dict[str, Any]:
    first = maps[0]
    return {
        "name": first.name,
        "kind": kind,
        "title": title,
        "group": group,
        "unit": first.unit,
        "bounds": [_bound(b) for b in first.bounds],
        "neutral": first.neutral,
        "class_index": first.class_index,
        "steps": [
            {"step": m.step, "h": m.native.shape[0], "w": m.native.shape[1], "data": _floats(np.nan_to_num(m.native))}
            for m in maps
        ],
    }


def class_entry(trace: Trace, class_index: int) -> dict[str, Any]:
    """Class maps of one class at every step."""
    maps = [trace.class_map(t, class_index) for t in range(1, trace.steps + 1)]
    return _map_entry(maps, "class_map", trace.head.labels[class_index], "class maps")


def words(label: str) -> str:
    """A probe's label in words."""
    return label.replace("_", " ")


def block_title(path: str) -> str:
    """A module's path as a person reads it."""
    return path.removesuffix(".RA_block") or "network"


def spatial_entries(trace: Trace) -> list[dict[str, Any]]:
    """One entry for each spatial probe, deepest module first (it is the one that a person looks for)."""
    entries = []
    names = dict.fromkeys(r.name for r in trace.records if r.kind == "spatial")
    for name in reversed(list(names)):
        records = [r for r in trace.records if r.name == name]
        maps = [trace.heatmap(name, r.step) for r in records]
        group = block_title(records[0].path)
        entries.append(_map_entry(maps, "spatial", f"{words(records[0].label)} ({group})", group))
    # The gate is what multiplies the features: it stands before the score it comes from.
    return sorted(entries, key=lambda e: (e["group"] != entries[0]["group"], "score" in e["name"]))


def classes_of(trace: Trace, extra: Sequence[int] = ()) -> list[int]:
    """Classes whose maps are sent: the best of every step, best first, and those asked for."""
    found: dict[int, None] = {}
    for rank in range(TOP):
        for step in range(1, trace.steps + 1):
            top = trace.top(step, TOP)
            if rank < len(top):
                found[top[rank].class_index] = None
    return list(dict.fromkeys([*found, *extra]))


def channel_entry(trace: Trace, path: str, channel: int) -> dict[str, Any] | None:
    """The gated input of one channel at every step of a module, or None where it was not captured."""
    name = f"{path}.bottom"
    records = [r for r in trace.records if r.name == name]
    if not records or not 0 <= channel < records[0].values.shape[0]:
        return None
    maps = [trace.heatmap(name, r.step, channel=channel) for r in records]
    entry = _map_entry(maps, "feature", f"channel {channel} ({block_title(path)})", "channels")
    entry["name"] = f"{name}@{channel}"
    return entry


def trace_key(trace: Trace) -> str:
    """A short name of what the page shows."""
    text = f"{trace.picture.sha256}|{trace.card.name}|{trace.geometry.mode}"
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def viewer_message(
    trace: Trace,
    *,
    extra_classes: Sequence[int] = (),
    pick: int | None = None,
    channels: Sequence[tuple[str, int]] = (),
    show: str | None = None,
) -> str:
    """The JSON message for the viewer.

    Args:
        extra_classes: classes beside the best of every step. pick: the class to show first.
        channels: (module path, channel) pairs whose feature maps go along. show: name of the map to show first.
    """
    picture = trace.picture
    height, width = display_size(picture)
    features = [e for e in (channel_entry(trace, path, c) for path, c in channels) if e is not None]
    maps = [class_entry(trace, c) for c in classes_of(trace, extra_classes)] + spatial_entries(trace) + features
    message = {
        "key": trace_key(trace),
        "family": trace.card.family,
        "model": {"name": trace.card.name, "title": trace.card.title},
        "picture": {
            "src": picture_uri(picture),
            "width": width,
            "height": height,
            "full": list(picture.size),
            "name": picture.name,
            "sha256": picture.sha256,
            "notes": list(picture.notes),
        },
        "geometry": trace.geometry.as_json(),
        "frames": [
            {
                "step": f.step,
                "title": f.title,
                "caption": f.caption,
                "top": [p._asdict() for p in trace.top(f.step, TOP)],
            }
            for f in trace.frames
        ],
        "maps": maps,
        "pick": pick,
        "show": show,
        "palettes": {n: base64.b64encode(palette(n).tobytes()).decode() for n in PALETTES},
    }
    return json.dumps(message, allow_nan=False)


def error_message(sentence: str) -> str:
    """A message that shows a sentence and leaves the picture as it is."""
    return json.dumps({"error": sentence})


def static(name: str) -> str:
    """Text of a file of the viewer."""
    return files("viz.ui").joinpath("static").joinpath(name).read_text(encoding="utf-8")
