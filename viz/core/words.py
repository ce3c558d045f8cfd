"""Maps in words, for titles, captions and tables."""

from __future__ import annotations

import re

from viz.core.map_spec import BASELINES, MapSpec

# Labels of the maps of single ranks.
RANK = re.compile(r"spatial_map_(\d{1,4})")
_NAMED = {
    "cam": "class map",
    "attention": "own attention",
    "output": "output",
    "probability": "probability",
    **BASELINES,
}


def label_words(label: str) -> str:
    """A tap's label in words."""
    return label.replace("_", " ")


def derived_words(label: str, name: str | None, channel: int | None = None) -> str:
    """A derived map of a tap in words; without a name, the captured value itself."""
    words = "input" if label == "bottom" else label_words(label)
    rank = RANK.fullmatch(label)
    if name == "ranks" and rank:
        last = f"v{rank[1]} m{rank[1]}"
        words = "v1 m1" if rank[1] == "1" else f"v1 m1 + {'... + ' if int(rank[1]) > 2 else ''}{last}"
    text = {
        "mean": f"{words}, mean",
        "log": f"{words} x cells, log2",
        "gated": f"{words} after the channel gate",
        "departure": "departure from plain" if label == "kernel_attention" else f"{words}, departure from 0",
        "directions": "pull of the kernel" if label == "kernel_attention" else f"{words}, pull",
        "total": f"{words}, all messages",
    }.get(name or "", words)
    return text if channel is None else f"{text}, channel {channel}"


def method_words(spec: MapSpec) -> str:
    """An attribution in words, for titles and captions: ``Grad-CAM at spatial gate``."""
    if spec.tap is None:
        return spec.method.title
    label = spec.tap.rpartition(".")[2]
    return f"{spec.method.title} at {'module input' if label == 'bottom' else label_words(label)}"


def words(spec: MapSpec) -> str:
    """A map in words, for tables: ``class map``, ``spatial gate``, ``Grad-CAM at spatial gate``."""
    if spec.name in _NAMED:
        return _NAMED[spec.name]
    if spec.kind == "attribution":
        return method_words(spec)
    if spec.kind == "feature":
        return f"feature {spec.channel}"
    label = (spec.probe or "").rpartition(".")[2]
    return derived_words(label, spec.name if spec.kind == "derived" else None, spec.channel)
