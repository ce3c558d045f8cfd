"""Redraw the figure of a record: the same picture and model give the same bytes."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from viz.errors import FigureError
from viz.figures.attributions import with_attributions
from viz.figures.build import Figure
from viz.figures.record import FigureRecord, drawing_versions, panel_entry, read_record
from viz.picture import PictureSource
from viz.run.engine import Model, load

_log = logging.getLogger(__name__)


def figure_from_record(
    record: str | Path | dict[str, Any],
    picture: PictureSource,
    *,
    model: Model | None = None,
    checkpoint: str | Path | None = None,
    models: str | Path | None = None,
    device: str = "cpu",
) -> Figure:
    """The figure of a record.

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
    data = read_record(record)
    opened = data.picture.opened(picture)
    if model is None:
        model = load(checkpoint or data.model.name, device, precision=data.precision, models=models)
    data.model.check(model.card)
    trace = model.trace(opened, steps=data.steps, geometry=data.geometry.mode)
    if trace.precision != data.precision:
        raise FigureError(f"The record was made in {data.precision}, this model runs in {trace.precision}.")
    made = Figure(with_attributions(model, trace, data.figure.panels, data.figure.attribution), data.figure)
    _warn(data, made)
    return made


def _warn(data: FigureRecord, made: Figure) -> None:
    """Log what could make the bytes differ."""
    then, now = data.versions if isinstance(data.versions, dict) else {}, drawing_versions()
    before = data.attributions
    if isinstance(before, list) and before and isinstance(before[0], dict) and made.trace.attributions:
        then, now = {**then, "captum": before[0].get("captum")}, {**now, "captum": made.trace.attributions[0].captum}
    changed = [f"{k} {str(then.get(k))[:20]} -> {v}" for k, v in now.items() if then.get(k) != v]
    if changed:
        _log.warning("Versions differ from the record's, so the bytes may differ: %s.", ", ".join(changed))
    panels = data.panels if isinstance(data.panels, list) else []
    old = [p.get("raw_range") if isinstance(p, dict) else None for p in panels]
    if old != [panel_entry(c).get("raw_range") for c in made.contents]:
        _log.warning("The values differ from the record's (another device, or an edited record).")
