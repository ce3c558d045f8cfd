"""The grid of a comparison as a paper figure: one column per model, one row per step, the photo with map and boxes.

Panels, layout, drawing and files are those of every other figure; only the trace differs between columns.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from viz.figures.build import Figure, answer_arrays
from viz.figures.comparison.data import Column, Compared
from viz.figures.comparison.tables import as_json
from viz.figures.content import Content, coloured, letter_of, percent
from viz.figures.latex import box_sentence, input_words, model_words, picture_words, range_sentence
from viz.figures.layout import panel_width
from viz.figures.presets import preset as preset_of
from viz.figures.record import drawing_versions, panel_entry
from viz.figures.spec import FigureSpec, Panel
from viz.figures.text import drawable, width_of
from viz.latex_text import escaped
from viz.run.export import model_entry, picture_entry, predictions_entry

Boxes = bool | Literal["class_maps"]
BOXES: tuple[Boxes, ...] = (True, False, "class_maps")


class CompareFigure(Figure):
    """A figure of a comparison. Nothing is drawn before `to_bytes` or `save` is called.

    Attributes:
        comparison: what is shown. steps: its rows.
        boxes: maps with display boxes: all, none, or ``class_maps`` only.
    """

    def __init__(self, comparison: Compared, steps: Sequence[int], spec: FigureSpec, *, boxes: Boxes) -> None:
        self.comparison, self.steps, self.boxes = comparison, tuple(steps), boxes
        self.trace, self.box = comparison.columns[0].trace, comparison.box
        self.spec = spec
        made: list[Content] = []
        for step in self.steps:
            made += [self._content(index, step, letter_of(len(made) + index)) for index in range(self._count)]
        self.contents = tuple(made)
        self.spec = replace(spec, panels=tuple(c.panel for c in made))

    @property
    def _count(self) -> int:
        return len(self.comparison.columns)

    def _has_boxes(self, column: Column) -> bool:
        return column.map.kind == "cam" if self.boxes == "class_maps" else bool(self.boxes)

    def _content(self, index: int, step: int, letter: str) -> Content:
        made, column = self.comparison, self.comparison.columns[index]
        heat, own = column.heatmaps[step - 1], column.own_step(step)
        title = _title(column, step, self._fits(letter))
        if heat is None:
            words = f"{column.label}: no value at step {step}"
            return Content(column.trace, Panel("picture"), letter, title, words)
        source, quantity = "range over all steps" if made.steps > 1 else "its own range", column.quantity
        mates = made.sharing(column)
        if len(mates) > 1:
            # One name for all columns that share a colour bar.
            quantity = " and ".join(dict.fromkeys(c.quantity for c in mates))
            source = f"one range over {len(mates)} columns" + (" and all steps" if made.steps > 1 else "")
        content = Content(
            column.trace,
            Panel("map", column.map.at(own)),
            letter,
            title,
            f"{column.label}, {column.quantity}, step {own}",
            (heat,),
            quantity=quantity,
            unit=column.unit,
            neutral=heat.neutral,
            bounds=heat.bounds,
            palette=self.spec.palette,
            opacity=self.spec.opacity,
            interpolation=self.spec.interpolation,
            boxes=tuple((own, box) for box in column.boxes[step - 1]) if self._has_boxes(column) else (),
            threshold=made.threshold,
        )
        neutrals = {next((h.neutral for h in c.heatmaps if h is not None), None) for c in mates}
        return coloured(content, made.scale(index), source, one_neutral=len(neutrals) == 1)

    def _fits(self, letter: str) -> Callable[[str], bool]:
        """Whether a text fits beside the letter in one line above a panel."""
        spec, style = self.spec, preset_of(self.spec.preset)
        mark = f"({letter}) " if spec.letters else ""
        width = panel_width(style.width(spec.columns), spec.per_row or 1)
        return lambda text: width_of(mark + text, spec.font or style.font, style.label) <= width

    @cached_property
    def notes(self) -> tuple[str, ...]:
        """What an author should know before printing, in sentences."""
        flat = [
            f"{c.label} has no box at step {s}, because its map is flat."
            for s in self.steps
            for c in self.comparison.columns
            if self._has_boxes(c) and c.heatmaps[s - 1] is not None and not c.boxes[s - 1]
        ]
        return (*super().notes, *flat)

    def maps(self) -> dict[str, NDArray[Any]]:
        """The values behind the figure: native maps and boxes by panel, each model's answer and geometry."""
        out: dict[str, NDArray[Any]] = {}
        for i, column in enumerate(self.comparison.columns, 1):
            out |= answer_arrays(column.trace, f"column{i}.")
        for i, c in enumerate(self.contents):
            for heat in c.heatmaps:
                out[f"{c.letter}.{heat.spec}"] = heat.native
            if c.heatmaps and self._has_boxes(self.comparison.columns[i % self._count]):
                out[f"{c.letter}.boxes"] = np.array([b.xyxy for _, b in c.boxes], dtype=np.int64).reshape(-1, 4)
        if self.comparison.box is not None:
            out["box"] = np.array(self.comparison.box)
        return out

    def record(self) -> dict[str, Any]:
        """All that is needed to redraw the figure, as plain values: `comparison_from_record` reads it."""
        comparison, spec = self.comparison, self.spec
        return {
            "comparison_figure_version": 1,
            "picture": picture_entry(self.trace),
            "class": comparison.class_label,
            "scale": comparison.scale_mode,
            "box": None if comparison.box is None else list(comparison.box),
            "columns": [
                {
                    "label": c.label,
                    "asked": str(c.asked),
                    "map": str(c.map),
                    "model": model_entry(c.trace.card),
                    "precision": c.trace.precision,
                    "geometry": c.trace.geometry.as_json(),
                    "steps": c.trace.steps,
                    "predictions": predictions_entry(c.trace),
                }
                for c in comparison.columns
            ],
            "steps": list(self.steps),
            "boxes": self.boxes,
            "figure": spec.to_json(),
            "width_inches": preset_of(spec.preset).width(spec.columns),
            "panels": [
                panel_entry(c) | {"boxes": [list(b.xyxy) for _, b in c.boxes], "model": c.trace.card.name}
                for c in self.contents
            ],
            "notes": list(comparison.notes),
            "agreement": as_json(comparison)["steps"],
            # Nothing in a figure is random.
            "seed": None,
            "versions": drawing_versions(),
        }

    def caption(self) -> str:
        """The caption, in LaTeX: models, rows, ranges, agreement, boxes and crops."""
        comparison, columns = self.comparison, self.comparison.columns
        models = []
        for i, c in enumerate(columns, 1):
            what = f"{c.quantity} of {c.trace.labels[c.map.cls]}" if isinstance(c.map.cls, int) else str(c.map)
            steps = f"{c.trace.steps} step{'s' if c.trace.steps > 1 else ''}"
            models.append(f"({i}) {model_words(c.trace.card)}, {escaped(what)}, {steps}, {c.trace.precision}")
        rows = f"; rows: step {', '.join(map(str, self.steps))}" if comparison.steps > 1 else ""
        out = [f"Columns: {'; '.join(models)}{rows}.", f"Picture: {picture_words(self.trace.picture)}."]
        out += map(escaped, comparison.notes)
        for i in range(self._count):
            if shown := [c for c in self.contents[i :: self._count] if c.scale is not None]:
                out.append(range_sentence(f"Column {i + 1}", shown))
        out += self._agreement()
        boxed = [self._has_boxes(c) for c in columns]
        if any(boxed):
            which = "Boxes" if all(boxed) else "Boxes of class maps"
            out.append(box_sentence(which, comparison.threshold, comparison.components))
        if comparison.box is not None:
            out.append("The dashed white box is the author's.")
        inputs = dict.fromkeys(input_words(c.trace.geometry) for c in columns)
        who = "Every network" if len(inputs) == 1 else "A network of this figure"
        out += [f"{who} saw {words}." for words in inputs]
        return " ".join([*out, *map(escaped, self.lost)])

    def _agreement(self) -> list[str]:
        """Rank correlations of the last row, where there are any."""
        step = self.steps[-1]
        table = self.comparison.matrix("spearman", step)
        found = [
            f"({i + 1}, {j + 1}) {table[i, j]:.2f}".replace("-", "$-$")
            for i in range(self._count)
            for j in range(i + 1, self._count)
            if math.isfinite(table[i, j])
        ]
        at = f" at step {step}" if self.comparison.steps > 1 else ""
        return [f"Spearman rank correlation of the maps{at}: {', '.join(found)}."] if found else []


def _title(column: Column, step: int, fits: Callable[[str], bool]) -> str:
    """Model, its own step, and class with probability or quantity.

    Args:
        fits: whether a text fits in one line; the name of a model is shortened in the middle; the caption has it whole.
    """
    own, cls, what = column.own_step(step), column.map.cls, column.quantity
    name = _shortened(drawable(column.trace.card.name), fits)
    at = "" if column.trace.steps == 1 else f"step\u00a0{own}, "
    if column.heatmaps[step - 1] is None:
        what = f"no value of {what}"
    elif column.map.kind == "cam" and isinstance(cls, int):
        what = f"{column.trace.labels[cls]} {percent(column.trace.output.number_of(own, cls))}"
    elif isinstance(cls, int):
        what = f"{what}, {column.trace.labels[cls]}"
    return drawable(f"{name}: {at}{what}")


def _shortened(name: str, fits: Callable[[str], bool]) -> str:
    """The name, with an ellipsis in its middle where it does not fit: names differ at their ends."""
    cuts = (f"{name[: (n + 1) // 2]}\u2026{name[len(name) - n // 2 :]}" for n in range(len(name) - 1, 1, -1))
    return next((cut for cut in (name, *cuts) if fits(f"{cut}:")), name)
