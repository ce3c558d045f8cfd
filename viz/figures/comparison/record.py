"""The figure of a comparison from its record: the same picture and models make the same bytes again."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from viz.errors import FigureError
from viz.figures.comparison.build import Comparison, compare
from viz.figures.comparison.data import FEWEST, MOST
from viz.figures.comparison.grid import CompareFigure
from viz.figures.comparison.text import BOXES, FIGURE_VERSION
from viz.figures.record import record_values
from viz.figures.spec import FigureSpec
from viz.geometry import MODES
from viz.picture import PictureSource, open_picture
from viz.run.engine import Engine

if TYPE_CHECKING:
    from viz.run.engine import Model


def read_comparison_record(source: str | Path | dict[str, Any]) -> dict[str, Any]:
    """A record from its file or from plain values, checked as far as `comparison_from_record` needs it.

    Raises:
        FigureError, FileError: one sentence on what is wrong.
    """
    data = record_values(source)
    if not isinstance(data, dict) or data.get("comparison_figure_version") != FIGURE_VERSION:
        raise FigureError("This is not the record of a comparison's figure; take the .json file that lies beside one.")
    columns, box = data.get("columns"), data.get("box")
    good = isinstance(columns, list) and FEWEST <= len(columns) <= MOST and all(map(_column_is_good, columns))
    good = good and isinstance(data.get("picture"), dict) and isinstance(data["picture"].get("sha256"), str)
    good = good and isinstance(data.get("steps"), list) and all(type(s) is int for s in data["steps"])
    good = good and isinstance(data.get("figure"), dict) and isinstance(data.get("class"), str)
    good = good and data.get("boxes", True) in BOXES
    good = good and (box is None or (isinstance(box, list) and all(isinstance(v, int | float) for v in box)))
    if not good:
        raise FigureError("The record of the comparison cannot be read; was the file edited?")
    return data


def _column_is_good(column: Any) -> bool:
    if not isinstance(column, dict) or not isinstance(column.get("model"), dict):
        return False
    texts = (column["model"].get("name"), column["model"].get("checkpoint_sha256"), column.get("asked"))
    geometry = column.get("geometry")
    return all(isinstance(t, str) and len(t) <= 300 for t in texts) and (
        isinstance(geometry, dict) and str(geometry.get("mode")) in MODES
    )


def comparison_from_record(
    record: str | Path | dict[str, Any],
    picture: PictureSource,
    *,
    models: Sequence[str | Path | Model] | None = None,
    engine: Engine | None = None,
) -> CompareFigure:
    """Make the figure of a comparison again.

    Args:
        record: the JSON file beside the figure, or its values.
        picture: the same picture as then.
        models: loaded models or checkpoint files, one a column; None loads the record's models by their names.
        engine: where models are loaded; default a new one on the CPU.

    Raises:
        FigureError: a record that cannot be used, or another picture or checkpoint than the record's.
        ModelError, PictureError, CheckpointError: as from `compare`.
    """
    data = read_comparison_record(record)
    spec = FigureSpec.from_json(data["figure"])
    opened = open_picture(picture)
    if opened.sha256 != data["picture"]["sha256"]:
        raise FigureError(f"{opened.name} is not the picture of the record: its contents differ.")
    columns = data["columns"]
    chosen = list(models) if models is not None else [c["model"]["name"] for c in columns]
    if len(chosen) != len(columns):
        raise FigureError(f"The record has {len(columns)} columns; {len(chosen)} models were given.")
    modes = {c["geometry"]["mode"] for c in columns}
    made = compare(
        opened,
        chosen,
        [c["asked"] for c in columns],
        class_index=data["class"],
        scale=data.get("scale", "shared"),
        threshold=spec.threshold,
        components=spec.components,
        box=data["box"],
        # One mode for all was asked for, or each model had its own, which differ.
        geometry=modes.pop() if len(modes) == 1 else None,
        engine=engine or Engine("cpu"),
        attribution=spec.attribution,
    )
    _check(made, columns)
    return CompareFigure(made, [made.step_number(s) for s in data["steps"]], spec, boxes=data.get("boxes", True))


def _check(made: Comparison, columns: Sequence[dict[str, Any]]) -> None:
    for column, then in zip(made.columns, columns, strict=True):
        card = column.trace.card
        if card.sha256 != then["model"]["checkpoint_sha256"]:
            raise FigureError(f"The checkpoint of {card.name} is not the one of the record: its contents differ.")
        if column.trace.precision != then.get("precision"):
            raise FigureError(f"The record was made in another precision than {column.trace.precision}.")
