"""The grid of maps side by side, of several models or several maps of one model: its tab and its files."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import gradio as gr

from viz.core.boxes import DEFAULT_THRESHOLD
from viz.core.heatmap import PALETTES
from viz.core.map_spec import MapSpec
from viz.core.trace import Trace
from viz.errors import ProbeError, VizError
from viz.figures.comparison import Comparison
from viz.figures.comparison.build import compare_traces, user_box
from viz.figures.comparison.grid import BOXES
from viz.files import as_json_bytes, write_whole
from viz.geometry import INTERPOLATIONS
from viz.page.grid_entries import stale_message
from viz.page.running import Job, parts_of
from viz.page.session import Shown
from viz.page.tab import QUIET, Exports, Tab, file_stem, offered_files, toast

FIGURES, TABLES = ("pdf", "svg", "png"), ("csv", "json")


@dataclass(frozen=True)
class Computed:
    """What a grid shows. Names only: a session holds no map and no tensor.

    Attributes:
        shown: what was shown above when it was computed.
    """

    shown: Shown


class GridTab(Tab):
    """A tab that computes a grid on request and exports it. Subclasses add the controls and the computation.

    Attributes:
        changed: sentence for a grid that no longer matches what is shown above.
        job: its buttons. grid: the grid. files: its exports. done: state with what was computed.
    """

    changed: ClassVar[str]
    job: Job

    def add_grid(self, name: str, grid: gr.HTML, label: str) -> None:
        """Place the grid and its files; `name` is the prefix of their ids."""
        self.name, self.grid = name, grid
        self.files = gr.File(label=label, file_count="multiple", visible=False, elem_id=f"{name}-files")
        self.done = gr.State(None, time_to_live=3600)

    def comparison(self, now: Any, view: dict[str, Any]) -> Comparison:
        """The grid as a comparison, as the visitor sees it.

        Raises:
            VizError: an invalid view, or a picture that is no longer kept.
        """
        raise NotImplementedError

    def attributed(
        self, shown: Shown, method: str, class_index: int | None, tell: Callable[[float], None] = lambda share: None
    ) -> Trace:
        """The trace with a method's map at every step that has one. Maps that the engine holds are not computed again.

        Args:
            tell: called with the done share of all steps, 0 to 1; an exception from it ends the work.

        Raises:
            ProbeError: no step has a map. VizError: as from `Engine.attribute`.
        """
        picture = self.pictures.get(shown.sha256)
        trace = self.engine.trace(picture, shown.model, shown.geometry)
        parts = parts_of(lambda share, words: tell(share), [""] * trace.steps)
        missing: list[ProbeError] = []  # of steps that do not use the probe
        for step, part in enumerate(parts, 1):
            part(0.0)
            try:
                trace = self.engine.attribute(
                    picture, shown.model, method, shown.geometry, class_index=class_index, step=step, progress=part
                )
            except ProbeError as error:
                missing.append(error)
        if len(missing) == len(parts):
            raise missing[-1]
        return trace

    def is_current(self, shown: Shown, now: Computed) -> bool:
        """Whether what was computed is still shown above."""
        return shown == now.shown

    def stale(self, shown: Shown | None, now: Computed | None) -> Any:
        """Say whether the grid no longer matches what is shown above."""
        if shown is None or now is None:
            return gr.skip()
        return gr.HTML(extra=stale_message("" if self.is_current(shown, now) else self.changed))

    def export(self, event: gr.EventData, now: Computed | None) -> Any:
        """The grid or its tables as files."""
        view = event._data
        if now is None or not isinstance(view, dict):
            return gr.skip()
        try:
            return offered_files(written(self.comparison(now, view), view, self.exports))
        except VizError as error:
            toast(str(error))
            return gr.skip()

    def wire(self, work: Callable[..., Any], inputs: Sequence[Any]) -> None:
        """Wire the buttons and exports.

        Args:
            work: computes the grid's message, what was computed, and an update that hides old files.
            inputs: of `work`, which also gets a `Tell` as `tell`.
        """
        outputs = [self.grid, self.done, self.files]
        shows: dict[str, Any] = {"show_progress_on": [self.grid]}
        job = self.job.run(self.job.start.click, work, inputs, outputs, concurrency_limit=2, **shows)
        self.job.listen()
        # Another picture may have come in the meantime.
        job.then(self.stale, [self.shown, self.done], self.grid, concurrency_id=self.name, **QUIET)
        self.grid.export_grid(self.export, self.done, self.files, api_visibility="private", **shows)


def viewed(
    traces: Sequence[Trace],
    maps: Sequence[MapSpec],
    view: Mapping[str, Any],
    class_index: int | str | None,
) -> Comparison:
    """The comparison of traces with the scale, threshold and user box of a grid's view.

    Raises:
        VizError: an invalid view.
    """
    threshold, box = view.get("threshold"), view.get("box")
    return compare_traces(
        traces,
        maps,
        class_index=class_index,
        scale="each" if view.get("scale") == "each" else "shared",
        threshold=float(threshold) if isinstance(threshold, int | float) else DEFAULT_THRESHOLD,
        components="largest",
        box=user_box(box, traces[0].picture) if isinstance(box, list) else None,
    )


def written(made: Comparison, view: Mapping[str, Any], exports: Exports) -> tuple[Path, ...]:
    """Write a comparison in the format that a grid's view asks for, with the files that belong to it.

    Raises:
        VizError: a figure that cannot be drawn.
    """
    kind = view.get("format")
    models = dict.fromkeys(c.trace.card.name for c in made.columns)
    base = exports.folder() / file_stem(Path(made.picture.name).stem, *models, default="comparison")
    if kind in TABLES:
        path = base.with_name(f"{base.name}-agreement.{kind}")
        write_whole(path, made.to_csv().encode() if kind == "csv" else as_json_bytes(made.to_json()))
        return (path,)
    palette_name, how, opacity = view.get("palette"), view.get("interpolation"), view.get("opacity")
    figure = made.to_figure(
        boxes=shown if (shown := view.get("boxes")) in BOXES else True,
        palette=palette_name if palette_name in PALETTES else "inferno",
        interpolation=how if how in INTERPOLATIONS else "cells",
        opacity=float(opacity) if isinstance(opacity, int | float) else 0.55,
    )
    return tuple(figure.save(base.with_name(f"{base.name}.{kind if kind in FIGURES else 'pdf'}")))
