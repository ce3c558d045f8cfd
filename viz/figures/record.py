"""The JSON record of a figure, written and read."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any, get_args

import matplotlib

from viz.core.finite import finite
from viz.errors import FigureError, FileError, PictureError
from viz.figures.content import Content, Shows, shown
from viz.figures.presets import preset
from viz.geometry import MODES
from viz.run.engine import Precision, versions
from viz.run.export import attribution_entry, model_entry, picture_entry, predictions_entry

_log = logging.getLogger(__name__)
RECORD_VERSION = 2
READABLE = (1, 2)
MAX_RECORD_BYTES = 2**20
PRECISIONS: tuple[str, ...] = get_args(Precision)


def record_of(made: Shows) -> dict[str, Any]:
    """The record of a figure."""
    trace, spec = made.trace, made.spec
    classes = sorted({c.panel.class_index for c in made.contents if c.panel.class_index is not None})
    probes = list(dict.fromkeys(c.panel.probe for c in made.contents if c.panel.probe is not None))
    return {
        "record_version": RECORD_VERSION,
        "picture": picture_entry(trace),
        "geometry": trace.geometry.as_json(),
        "model": model_entry(trace.card),
        "precision": trace.precision,
        "steps": trace.steps,
        "predictions": predictions_entry(trace),
        "classes": [{"class": c, "label": trace.head.labels[c]} for c in classes],
        "probes": probes,
        "figure": spec.to_json(),
        "width_inches": preset(spec.preset).width(spec.columns),
        "panels": [panel_entry(c) for c in made.contents],
        "attributions": [
            attribution_entry(a, trace.head.labels[a.class_index]) for _, a in shown(trace, spec, made.contents)
        ],
        # Nothing in a figure is random.
        "seed": None,
        "versions": drawing_versions(),
        **({"notes": list(made.lost)} if made.lost else {}),
    }


def drawing_versions() -> dict[str, str]:
    """Versions of what computes and draws."""
    return {**versions(), "matplotlib": matplotlib.__version__}


def panel_entry(c: Content) -> dict[str, Any]:
    entry: dict[str, Any] = {"letter": c.letter, "kind": c.panel.kind, "title": c.title}
    if c.heatmaps or c.values is not None:
        low, high = c.raw_range
        cells = c.heatmaps[0].native.shape if c.heatmaps else ()
        entry |= {
            "quantity": c.quantity,
            "unit": c.unit,
            "neutral": finite(c.neutral),
            "cells": [int(n) for n in cells] or None,
            "channels": None if c.values is None else int(c.values.shape[0]),
            "raw_range": [low, high],
        }
    if c.scale is not None:
        entry["scale"] = {"low": c.scale.low, "high": c.scale.high, "source": c.source}
    if c.is_map:
        entry |= {"palette": c.palette, "opacity": c.opacity, "interpolation": c.interpolation}
    if c.panel.kind == "boxes":
        entry["threshold"] = c.threshold
        entry["boxes"] = [{"step": step, "xyxy": list(box.xyxy)} for step, box in c.boxes]
    return entry


def record_values(source: str | Path | dict[str, Any]) -> Any:
    """The values of a record file, bounded and not yet checked; values that are already there come back as they are.

    Raises:
        FileError: the file is missing or cannot be read. FigureError: it is too large, or not JSON.
    """
    if isinstance(source, dict):
        return source
    path = Path(source)
    try:
        if path.stat().st_size > MAX_RECORD_BYTES:
            raise FigureError(f"{path.name} is too large for a figure's record.")
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError:
        raise FileError(f"The record {path.name} does not exist or cannot be read.") from None
    except (ValueError, RecursionError):
        raise FigureError(f"{path.name} is not a figure's record, or it is damaged.") from None


def read_record(source: str | Path | dict[str, Any]) -> dict[str, Any]:
    """A record from its file or from plain values, checked as far as `figure_from_record` needs it.

    Raises:
        FigureError, FileError: one sentence on what is wrong.
    """
    data = record_values(source)
    if not isinstance(data, dict) or "record_version" not in data:
        raise FigureError("This is not a figure's record; take the .json file that lies beside a figure.")
    if data["record_version"] not in READABLE:
        raise FigureError("The record is of another version of Searchlight and cannot be used.")
    for part in ("picture", "geometry", "model", "figure"):
        if not isinstance(data.get(part), dict):
            raise FigureError(f"The record has no {part}; was the file edited?")
    for part, key in (("picture", "sha256"), ("picture", "name"), ("model", "name"), ("model", "checkpoint_sha256")):
        value = data[part].get(key)
        if not isinstance(value, str) or len(value) > 300:
            raise FigureError(f"The record's {part} has no {key}; was the file edited?")
    steps = data.get("steps")
    if isinstance(steps, bool) or not isinstance(steps, int) or not 1 <= steps <= 1000:
        raise FigureError("The record's number of steps cannot be read; was the file edited?")
    # Compared as text: a list or a dict of an edited file would not even compare.
    if str(data["geometry"].get("mode")) not in MODES or str(data.get("precision")) not in PRECISIONS:
        raise FigureError("The record's geometry or precision cannot be read; was the file edited?")
    return data


def picture_beside(record: Path) -> Path:
    """The picture that a record file names, where it lies beside the record or in the working folder.

    Raises:
        PictureError: it does not.
    """
    # Only the name counts: an edited record must not make the program open files elsewhere.
    name = Path(read_record(record)["picture"]["name"].replace("\\", "/")).name
    for folder in (record.parent, Path()):
        try:
            if name and (folder / name).is_file():
                return folder / name
        except (OSError, ValueError):  # a name that no file can have
            break
    raise PictureError(f"The record's picture {name or 'without a name'} is not beside it; name the picture yourself.")
