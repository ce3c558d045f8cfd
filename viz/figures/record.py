"""The JSON record of a figure: written, and read again with every entry checked."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import matplotlib
from pydantic import Field, StrictInt, TypeAdapter, ValidationError

from viz.core.card import ModelCard
from viz.core.finite import finite
from viz.errors import FigureError, FileError, PictureError
from viz.figures.content import Content, FigureData
from viz.figures.presets import preset
from viz.figures.spec import FigureSpec, invalid
from viz.geometry import Mode
from viz.picture import Picture, PictureSource, open_picture
from viz.run.engine import Precision, versions
from viz.run.export import attribution_entry, model_entry, picture_entry, predictions_entry

RECORD_VERSION = 2
MAX_RECORD_BYTES = 2**20
R = TypeVar("R")
RecordText = Annotated[str, Field(max_length=300)]


@dataclass(frozen=True)
class RecordedPicture:
    """Identity of a picture."""

    name: RecordText
    sha256: RecordText

    def opened(self, source: PictureSource) -> Picture:
        """The picture, opened again; a FigureError where its contents differ."""
        picture = open_picture(source)
        if picture.sha256 != self.sha256:
            raise FigureError(f"{picture.name} is not the picture of the record: its contents differ.")
        return picture


@dataclass(frozen=True)
class RecordedModel:
    """Identity of a model."""

    name: RecordText
    checkpoint_sha256: RecordText

    def check(self, card: ModelCard) -> None:
        """Raise a FigureError where a model has another checkpoint."""
        if card.sha256 != self.checkpoint_sha256:
            raise FigureError(f"The checkpoint of {card.name} is not the one of the record: its contents differ.")


@dataclass(frozen=True)
class RecordedGeometry:
    """How the picture was fitted."""

    mode: Mode


@dataclass(frozen=True)
class FigureRecord:
    """The entries of a record that `viz.figures.again` reads. The last three serve warnings and are not checked."""

    record_version: Literal[1, 2]
    picture: RecordedPicture
    geometry: RecordedGeometry
    model: RecordedModel
    precision: Precision
    steps: Annotated[StrictInt, Field(ge=1, le=1000)]
    figure: FigureSpec
    versions: Any = None
    panels: Any = None
    attributions: Any = None


def read_record(source: str | Path | dict[str, Any]) -> FigureRecord:
    """The record of a figure, from its file or from plain values.

    Raises:
        FigureError, FileError: one sentence on what is wrong.
    """
    return checked(source, FigureRecord, "record_version", "a figure")


def checked(source: str | Path | dict[str, Any], kind: type[R], version: str, what: str) -> R:
    """A record from its file or from plain values.

    Args:
        kind: the entries that are needed. version: name of the entry with the record's version.
        what: the record describes, in words.

    Raises:
        FileError: the file is missing or cannot be read. FigureError: it is too large, no JSON, or no such record.
    """
    data: Any = source
    if not isinstance(source, dict):
        path = Path(source)
        try:
            if path.stat().st_size > MAX_RECORD_BYTES:
                raise FigureError(f"{path.name} is too large for a figure's record.")
            data = json.loads(path.read_text(encoding="utf-8"))
        except OSError:
            raise FileError(f"The record {path.name} does not exist or cannot be read.") from None
        except (ValueError, RecursionError):
            raise FigureError(f"{path.name} is not a figure's record, or it is damaged.") from None
    if not isinstance(data, dict) or version not in data:
        raise FigureError(f"This is not the record of {what}. Choose the .json file beside {what}.")
    try:
        return TypeAdapter(kind).validate_python(data)
    except ValidationError as error:
        raise FigureError(f"The record cannot be used. {invalid(error)}") from None


def picture_beside(record: Path) -> Path:
    """The picture that a record file names, beside the record or in the working folder.

    Raises:
        PictureError: it is in neither.
    """
    # Only the name counts: an edited record must not make the program open files elsewhere.
    name = Path(read_record(record).picture.name.replace("\\", "/")).name
    for folder in (record.parent, Path()):
        try:
            if name and (folder / name).is_file():
                return folder / name
        except (OSError, ValueError):  # a name that no file can have
            break
    raise PictureError(f"The record's picture {name or 'without a name'} is not beside it. Name the picture yourself.")


def record_of(made: FigureData) -> dict[str, Any]:
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
        "classes": [{"class": c, "label": trace.labels[c]} for c in classes],
        "probes": probes,
        "figure": spec.to_json(),
        "width_inches": preset(spec.preset).width(spec.columns),
        "panels": [panel_entry(c) for c in made.contents],
        "attributions": [attribution_entry(a, trace) for _, a in made.attributions],
        # Nothing in a figure is random.
        "seed": None,
        "versions": drawing_versions(),
        **({"notes": list(made.lost)} if made.lost else {}),
    }


def drawing_versions() -> dict[str, str]:
    """Versions of the libraries that compute and draw."""
    return {**versions(), "matplotlib": matplotlib.__version__}


def panel_entry(c: Content) -> dict[str, Any]:
    """What a panel shows, as plain values."""
    entry: dict[str, Any] = {"letter": c.letter, "kind": c.panel.kind, "title": c.title}
    if c.heatmaps or c.values is not None:
        entry |= {
            "quantity": c.quantity,
            "unit": c.unit,
            "neutral": finite(c.neutral),
            "cells": list(c.heatmaps[0].native.shape) if c.heatmaps else None,
            "channels": None if c.values is None else len(c.values),
            "raw_range": list(c.raw_range),
        }
    if c.scale is not None:
        entry["scale"] = {"low": c.scale.low, "high": c.scale.high, "source": c.source}
    if c.is_map:
        entry |= {"palette": c.palette, "opacity": c.opacity, "interpolation": c.interpolation}
    if c.panel.kind == "boxes":
        entry["threshold"] = c.threshold
        entry["boxes"] = [{"step": step, "xyxy": list(box.xyxy)} for step, box in c.boxes]
    return entry
