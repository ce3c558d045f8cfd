"""The figure of a record: the same picture and model make the same bytes again."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from viz.errors import FigureError
from viz.figures.attributions import with_attributions
from viz.figures.build import Figure
from viz.figures.record import drawing_versions, panel_entry, read_record
from viz.figures.spec import FigureSpec
from viz.picture import PictureSource, open_picture
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
    new = [panel_entry(c).get("raw_range") for c in made.contents]
    if old != new:
        _log.warning("The values differ from the record's (another device, or an edited record).")
