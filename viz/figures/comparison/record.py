"""Redraw the figure of a comparison from its record: the same picture and models give the same bytes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, StrictBool, StrictFloat, StrictInt

from viz.errors import FigureError
from viz.figures.comparison.build import compare
from viz.figures.comparison.data import FEWEST, MOST, ColumnScale
from viz.figures.comparison.grid import CompareFigure
from viz.figures.record import RecordedGeometry, RecordedModel, RecordedPicture, RecordText, checked
from viz.figures.spec import FigureSpec
from viz.picture import PictureSource
from viz.run.engine import Engine, Model


@dataclass(frozen=True)
class _Column:
    model: RecordedModel
    asked: RecordText
    geometry: RecordedGeometry
    precision: Any = None


@dataclass(frozen=True)
class _ComparisonRecord:
    """What `comparison_from_record` reads of a record."""

    comparison_figure_version: Literal[1]
    picture: RecordedPicture
    columns: Annotated[list[_Column], Field(min_length=FEWEST, max_length=MOST)]
    steps: list[StrictInt]
    figure: FigureSpec
    class_label: Annotated[str, Field(alias="class")]
    scale: ColumnScale = "shared"
    boxes: StrictBool | Literal["class_maps"] = True
    box: tuple[StrictFloat, StrictFloat, StrictFloat, StrictFloat] | None = None


def comparison_from_record(
    record: str | Path | dict[str, Any],
    picture: PictureSource,
    *,
    models: Sequence[str | Path | Model] | None = None,
    engine: Engine | None = None,
) -> CompareFigure:
    """The figure of a comparison's record.

    Args:
        record: the JSON file beside the figure, or its values.
        picture: the same picture as then.
        models: loaded models or checkpoint files, one per column; None loads the record's models by their names.
        engine: where models are loaded; default a new one on the CPU.

    Raises:
        FigureError: a record that cannot be used, or another picture, checkpoint or precision than the record's.
        ModelError, PictureError, CheckpointError: as from `compare`.
    """
    data = checked(record, _ComparisonRecord, "comparison_figure_version", "a comparison's figure")
    opened = data.picture.opened(picture)
    chosen = [c.model.name for c in data.columns] if models is None else list(models)
    if len(chosen) != len(data.columns):
        raise FigureError(f"The record has {len(data.columns)} columns, but {len(chosen)} models were given.")
    modes = {c.geometry.mode for c in data.columns}
    made = compare(
        opened,
        chosen,
        [c.asked for c in data.columns],
        class_index=data.class_label,
        scale=data.scale,
        threshold=data.figure.threshold,
        components=data.figure.components,
        box=data.box,
        # One mode for all was asked for, or each model had its own, which differ.
        geometry=modes.pop() if len(modes) == 1 else None,
        engine=engine or Engine("cpu"),
        attribution=data.figure.attribution,
    )
    for column, then in zip(made.columns, data.columns, strict=True):
        then.model.check(column.trace.card)
        if column.trace.precision != then.precision:
            raise FigureError(f"The record was made in another precision than {column.trace.precision}.")
    return CompareFigure(made, [made.step_number(s) for s in data.steps], data.figure, boxes=data.boxes)
