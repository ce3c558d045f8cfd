"""`figure(trace, ...)` and `Figure`, which saves itself with all that is needed to redraw it."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import fields, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from viz.core.card import class_number
from viz.errors import FigureError
from viz.figures.attributions import options_in
from viz.figures.content import FigureData, contents
from viz.figures.defaults import default_panels
from viz.figures.draw import FORMATS, render
from viz.figures.latex import caption, snippet
from viz.figures.latex_names import name_notes
from viz.figures.layout import Layout, lay_out
from viz.figures.record import record_of
from viz.figures.shorthand import parse_panels, with_class
from viz.figures.spec import FigureSpec, Panel
from viz.files import as_json_bytes, npz_bytes, write_whole

if TYPE_CHECKING:
    from viz.core.trace import Trace

_log = logging.getLogger(__name__)
# Approximate text height in inches of a letter or A4 page in the venues' kits.
PAGE_HEIGHT = 9.0


class Figure(FigureData):
    """A figure of one trace. Nothing is drawn before `to_bytes` or `save` is called.

    Attributes:
        trace, spec, contents: see `FigureData`.
        box: the user's own box on every panel, x0, y0, x1, y1 in picture pixels.
    """

    box: tuple[float, float, float, float] | None = None

    def __init__(self, trace: Trace, spec: FigureSpec) -> None:
        self.trace = trace
        self.contents = contents(trace, spec)
        # The record holds what was drawn ("step 3, class 388"), not what was asked for ("last step, best class").
        self.spec = replace(spec, panels=tuple(c.panel for c in self.contents))

    @cached_property
    def layout(self) -> Layout:
        """Positions of all parts, in inches."""
        return lay_out(self.spec, self.contents, self.trace.geometry)

    @property
    def size(self) -> tuple[float, float]:
        """(width, height) in inches."""
        return self.layout.width, self.layout.height

    @cached_property
    def notes(self) -> tuple[str, ...]:
        """What an author should know before printing, in sentences."""
        found = []
        if self.layout.height > PAGE_HEIGHT:
            found.append(f"The figure is {self.layout.height:.1f} inches tall, more than a page holds.")
        if any(c.panel.kind == "boxes" and not c.boxes for c in self.contents):
            found.append("A panel has no boxes, because its map is flat.")
        return (*found, *self.lost)

    def to_bytes(self, fmt: str = "pdf", dpi: int | None = None) -> bytes:
        """The figure as a file's bytes; the same figure gives the same bytes.

        Args:
            fmt: ``pdf``, ``svg`` or ``png``.
            dpi: of PNG, 36 to 1200; default that of the spec.

        Raises:
            FigureError: another format or dpi.
        """
        return render(self.spec, self.contents, self.layout, fmt=fmt, dpi=dpi, box=self.box)

    def save(self, path: str | Path, dpi: int | None = None, *, sidecars: bool = True) -> tuple[Path, ...]:
        """Write the figure, and beside it the JSON record, the raw maps (.npz) and a LaTeX snippet (.tex).

        Args:
            path: ends in .pdf, .svg or .png. dpi: of PNG.
            sidecars: False writes the figure only.

        Returns:
            The files written, the figure first.

        Raises:
            FigureError: another ending. FileError: the folder does not exist or cannot be written to.
        """
        path = Path(path)
        fmt = path.suffix.lower().removeprefix(".")
        if fmt not in FORMATS:
            raise FigureError(f"A figure's file name ends in .pdf, .svg or .png, not {path.suffix or path.name!r}.")
        files = {path: self.to_bytes(fmt, dpi)}
        if sidecars:
            record = self.record()
            if dpi is not None:
                record["figure"]["dpi"] = dpi
            files[path.with_suffix(".json")] = as_json_bytes(record)
            files[path.with_suffix(".npz")] = npz_bytes(self.maps())
            files[path.with_suffix(".tex")] = self.latex(path.name).encode()
        for target, data in files.items():
            write_whole(target, data)
        for note in (*self.notes, *(name_notes(path) if sidecars else ())):
            _log.warning("%s", note)
        return tuple(files)

    def record(self) -> dict[str, Any]:
        """All that is needed to redraw the figure, as plain values: `figure_from_record` reads it."""
        return record_of(self)

    def caption(self) -> str:
        """The caption, in LaTeX: panels, model, steps, scale, ranges, cells and crop."""
        return caption(self)

    def latex(self, file_name: str = "figure.pdf") -> str:
        """A LaTeX figure with its caption; `file_name` is what \\includegraphics names."""
        return snippet(self.spec, file_name, self.caption())

    def maps(self) -> dict[str, NDArray[Any]]:
        """The values behind the figure: native maps and vectors by panel, boxes, the answer and the geometry."""
        out = answer_arrays(self.trace)
        for c in self.contents:
            for heat in c.heatmaps:
                out[f"{c.letter}.{heat.spec}"] = heat.native
            if c.values is not None:
                out[f"{c.letter}.{c.panel.map}"] = c.values
            if c.panel.kind == "boxes":
                rows = [[step, *box.xyxy] for step, box in c.boxes]
                out[f"{c.letter}.boxes"] = np.array(rows, dtype=np.int64).reshape(-1, 5)
        return out

    def _repr_png_(self) -> bytes:
        return self.to_bytes("png", 200)


def answer_arrays(trace: Trace, prefix: str = "") -> dict[str, NDArray[Any]]:
    """The answer of the network and the geometry, by name."""
    geometry = {f"geometry.{k}": getattr(trace.geometry, k) for k in ("picture", "network", "seen", "placed")}
    return {prefix + name: np.array(values) for name, values in {**trace.output.arrays(), **geometry}.items()}


def figure(
    trace: Trace,
    panels: str | Sequence[str | Panel] | None = None,
    preset: str = "cvpr",
    columns: int | None = None,
    *,
    class_index: int | str | None = None,
    spec: FigureSpec | None = None,
    **options: Any,
) -> Figure:
    """A paper figure of a trace.

    Args:
        trace: what `Model.trace` gave.
        panels: texts (``"picture"``, ``"cam:2"``, ``"mean(bottom)"``, ``"gradcam:2"``, ...), `Panel` objects, or None:
            the default figure of the family, see `viz.figures.defaults`.
        preset: venue, see `viz.figures.PRESETS`.
        columns: 1 or 2; default 1 for up to four panels.
        class_index: number or name of the class for class maps without one of their own.
        spec: a complete `FigureSpec`; excludes all other options.
        options: the other fields of `FigureSpec`.

    Raises:
        FigureError, ModelError, ProbeError: one sentence each.
    """
    if spec is not None:
        if panels is not None or options or class_index is not None or columns is not None:
            raise FigureError("A FigureSpec is complete. Change it instead of giving further options.")
        return Figure(trace, spec)
    known = {f.name for f in fields(FigureSpec)}
    for name in options:
        if name not in known:
            raise FigureError(f"Unknown option {name!r} of a figure. Choose from: {', '.join(sorted(known))}.")
    index = None if class_index is None else class_number(trace.labels, class_index)
    chosen = with_class(parse_panels(panels) if panels is not None else default_panels(trace, index), index)
    # A map's own range is not shared by default.
    usual: dict[str, Any] = {"shared_scale": options.get("scale") != "image", "palette": "auto"}
    if options.get("attribution") is None:
        usual["attribution"] = options_in(trace, chosen)
    options |= {name: value for name, value in usual.items() if options.get(name) is None}
    columns = columns if columns is not None else (1 if len(chosen) <= 4 else 2)
    return Figure(trace, FigureSpec(chosen, preset, columns, **options))
