"""The JSON record of a figure, and the figure from its record: the same picture and model make the same bytes again."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import matplotlib

from viz.core.finite import finite
from viz.errors import FigureError, FileError, PictureError
from viz.figures.attributions import shown, with_attributions
from viz.figures.presets import preset
from viz.figures.spec import FigureSpec
from viz.geometry import MODES
from viz.picture import PictureSource, open_picture
from viz.run.engine import Model, Precision, load, versions
from viz.run.export import attribution_entry, model_entry, picture_entry, predictions_entry

if TYPE_CHECKING:
    from viz.figures.build import Figure
    from viz.figures.content import Content

_log = logging.getLogger(__name__)
RECORD_VERSION = 1
MAX_RECORD_BYTES = 2**20
PRECISIONS: tuple[str, ...] = get_args(Precision)


def record_of(made: Figure) -> dict[str, Any]:
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
        "panels": [_panel_entry(c) for c in made.contents],
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


def _panel_entry(c: Content) -> dict[str, Any]:
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
    if data["record_version"] != RECORD_VERSION:
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


def figure_from_record(
    record: str | Path | dict[str, Any],
    picture: PictureSource,
    *,
    model: Model | None = None,
    checkpoint: str | Path | None = None,
    models: str | Path | None = None,
    device: str = "cpu",
) -> Figure:
    """Make a figure again.

    Args:
        record: the JSON file beside a figure, or its values.
        picture: the same picture as then.
        model: already loaded; None loads the record's model by its name.
        checkpoint: the file of a published model. models: a folder with such files.
        device: where to run; other devices round differently, so the bytes may differ.

    Raises:
        FigureError: a record that cannot be used, or another picture, checkpoint or precision than the record's.
        ModelError, PictureError, CheckpointError: as from `load` and `open_picture`.
    """
    from viz.figures.build import Figure

    data = read_record(record)
    spec = FigureSpec.from_json(data["figure"])
    opened = open_picture(picture)
    if opened.sha256 != data["picture"]["sha256"]:
        raise FigureError(f"{opened.name} is not the picture of the record: its contents differ.")
    if model is None:
        model = load(checkpoint or data["model"]["name"], device, precision=data["precision"], models=models)
    if model.card.sha256 != data["model"]["checkpoint_sha256"]:
        raise FigureError(f"The checkpoint of {model.card.name} is not the one of the record: its contents differ.")
    trace = model.trace(opened, steps=data["steps"], geometry=data["geometry"]["mode"])
    if trace.precision != data["precision"]:
        raise FigureError(f"The record was made in {data['precision']}, this model runs in {trace.precision}.")
    trace = with_attributions(model, trace, spec.panels, spec.attribution)
    _warn(data, made := Figure(trace, spec))
    return made


def _warn(data: dict[str, Any], made: Figure) -> None:
    """Say in the log what could make the bytes differ."""
    then, now = data.get("versions"), drawing_versions()
    then = then if isinstance(then, dict) else {}
    before = data.get("attributions")
    if isinstance(before, list) and before and isinstance(before[0], dict) and made.trace.attributions:
        then, now = {**then, "captum": before[0].get("captum")}, {**now, "captum": made.trace.attributions[0].captum}
    changed = [f"{k} {str(then.get(k))[:20]} -> {v}" for k, v in now.items() if then.get(k) != v]
    if changed:
        _log.warning("Versions differ from the record's, so the bytes may differ: %s.", ", ".join(changed))
    panels = data.get("panels")
    old = [p.get("raw_range") if isinstance(p, dict) else None for p in panels] if isinstance(panels, list) else []
    new = [_panel_entry(c).get("raw_range") for c in made.contents]
    if old != new:
        _log.warning("The values differ from the record's (another device, or an edited record).")
