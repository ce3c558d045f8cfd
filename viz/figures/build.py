"""`figure(trace, ...)` and `Figure`, which saves itself with all that makes it repeatable."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from viz.core.card import class_number
from viz.core.finite import notes_on
from viz.errors import FigureError
from viz.figures.attributions import options_in
from viz.figures.content import Content, contents
from viz.figures.defaults import default_panels
from viz.figures.draw import FORMATS, render
from viz.figures.latex import latex
from viz.figures.latex_names import name_notes
from viz.figures.layout import Layout, lay_out
from viz.figures.record import record_of
from viz.figures.shorthand import parse_panels, with_class
from viz.figures.spec import FigureSpec, Panel
from viz.files import as_json_bytes, npz_bytes, write_whole

if TYPE_CHECKING:
    from viz.core.trace import Trace

_log = logging.getLogger(__name__)
# Text height of a letter or A4 page in the venues' kits, about.
PAGE_HEIGHT = 9.0


class Figure:
    """A figure of one trace. Nothing is drawn before `to_bytes` or `save` is called.

    Attributes:
        trace: what is shown. spec: how, with every panel made definite.
    """

    def __init__(self, trace: Trace, spec: FigureSpec) -> None:
        self.trace = trace
        self.contents: tuple[Content, ...] = contents(trace, spec)
        # The record holds what was drawn ("step 3, class 388"), not what was asked for ("last step, best class").
        values = {k: getattr(spec, k) for k in spec.__dataclass_fields__ if k != "panels"}
        self.spec = FigureSpec(tuple(c.panel for c in self.contents), **values)

    @cached_property
    def layout(self) -> Layout:
        """Where everything lies, in inches."""
        return lay_out(self.spec, self.contents, self.trace.geometry)

    @property
    def size(self) -> tuple[float, float]:
        """(width, height) in inches."""
        return self.layout.width, self.layout.height

    @cached_property
    def lost(self) -> tuple[str, ...]:
        """Which panels hold values that are not finite, in sentences."""
        named: list[tuple[str, NDArray[Any]]] = []
        for c in self.contents:
            named += [(f"Panel ({c.letter}), {h.title}", h.native) for h in c.heatmaps]
            named += [] if c.values is None else [(f"Panel ({c.letter}), {c.words}", c.values)]
        return notes_on(named, self.trace.precision)

    @cached_property
    def notes(self) -> tuple[str, ...]:
        """What an author should know before printing, in sentences."""
        found = []
        if self.layout.height > PAGE_HEIGHT:
            found.append(f"The figure is {self.layout.height:.1f} inches tall, more than a page holds.")
        if any(c.panel.kind == "boxes" and not c.boxes for c in self.contents):
            found.append("A panel has no boxes, because its map is flat.")
        found += self.lost
        return tuple(found)

    def to_bytes(self, fmt: str = "pdf", dpi: int | None = None) -> bytes:
        """The figure as a file's bytes; the same figure gives the same bytes.

        Args:
            fmt: ``pdf``, ``svg`` or ``png``.
            dpi: of PNG, 36 to 1200; default that of the spec.

        Raises:
            FigureError: another format or dpi.
        """
        dots = self.spec.dpi if dpi is None else dpi
        if not 36 <= dots <= 1200:
            raise FigureError(f"The dpi must lie between 36 and 1200, not {dots}.")
        if fmt == "png" and self.layout.height * self.layout.width * dots * dots > 120e6:
            raise FigureError("The picture file would have more than 120 megapixels; take fewer dpi, or a PDF.")
        return render(self.trace, self.spec, self.contents, self.layout, fmt=fmt, dpi=dots)

    def save(self, path: str | Path, dpi: int | None = None, *, sidecars: bool = True) -> tuple[Path, ...]:
        """Write the figure, and beside it the JSON record, the raw maps (.npz) and a LaTeX snippet (.tex).

        Args:
            path: ends in .pdf, .svg or .png. dpi: of PNG.
            sidecars: False writes the figure alone.

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
        """All that makes the figure again, as plain values: `figure_from_record` reads it."""
        return record_of(self)

    def latex(self, file_name: str = "figure.pdf") -> str:
        """A LaTeX figure whose caption states model, steps, scale, ranges, cells and crop."""
        return latex(self, file_name)

    def maps(self) -> dict[str, NDArray[Any]]:
        """The values behind the figure: native maps and vectors by panel, boxes, logits and the geometry."""
        geometry = self.trace.geometry
        out: dict[str, NDArray[Any]] = {
            "logits": self.trace.logits,
            "geometry.picture": np.array(geometry.picture),
            "geometry.network": np.array(geometry.network),
            "geometry.seen": np.array(geometry.seen),
            "geometry.placed": np.array(geometry.placed),
        }
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
        panels: texts (``"picture"``, ``"cam:2"``, ``"mean(bottom)"``, ``"gradcam:2"``, ...), `Panel`
            objects, or None: the family's story, see `viz.figures.defaults`.
        preset: venue, see `viz.figures.PRESETS`.
        columns: 1 or 2; default 1 for up to four panels.
        class_index: number or name of the class for class maps without one of their own.
        spec: a whole `FigureSpec`; then no other option is taken.
        options: the other fields of `FigureSpec`.

    Raises:
        FigureError, ModelError, ProbeError: one sentence each.
    """
    if spec is not None:
        if panels is not None or options or class_index is not None or columns is not None:
            raise FigureError("A FigureSpec already says everything; change it instead of giving further options.")
        return Figure(trace, spec)
    for name in options:
        if name not in FigureSpec.__dataclass_fields__:
            raise FigureError(f"A figure has no option {name!r}.")
    index = None if class_index is None else class_number(trace.head.labels, class_index)
    chosen = parse_panels(panels) if panels is not None else default_panels(trace, index)
    chosen = with_class(chosen, index)
    if options.get("shared_scale") is None:
        # One map's own range is by its meaning not shared, unless that is asked for.
        options["shared_scale"] = options.get("scale") != "image"
    if options.get("palette") is None:
        options["palette"] = "auto"
    if options.get("attribution") is None:
        options["attribution"] = options_in(trace, chosen)
    if isinstance(options.get("fixed"), list):
        options["fixed"] = tuple(options["fixed"])
    columns = columns if columns is not None else (1 if len(chosen) <= 4 else 2)
    return Figure(trace, FigureSpec(chosen, preset, columns, **options))
