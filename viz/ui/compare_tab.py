"""Compare tab: two to six models on the picture, side by side; one message to the browser, files on request."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr

from viz.comparison import FEWEST, MOST, Comparison
from viz.comparison.choice import parse_map
from viz.engine import Engine
from viz.errors import ModelError, VizError
from viz.geometry import Mode
from viz.trace import Trace
from viz.ui.components import model_grid, offered
from viz.ui.entries import class_entry, derived_entries, spatial_entries
from viz.ui.exports import Exports
from viz.ui.grid import grid_message, toast, viewed, written
from viz.ui.session import Pictures, Shown, trace_of
from viz.zoo.cards import class_number

TOP = 5
# Gradio finds a handler's progress argument by a default of this type.
PROGRESS = gr.Progress()


@dataclass(frozen=True)
class Compared:
    """What one visitor compares: a few words, so that a session holds no picture and no tensor."""

    sha256: str
    geometry: Mode | None
    models: tuple[str, ...]


def common_classes(traces: Sequence[Trace]) -> list[str]:
    """Classes that the page offers: the best of every model's last step, best first, then of the other steps."""
    found: dict[str, None] = {}
    for rank in range(TOP):
        for trace in traces:
            for step in range(trace.steps, 0, -1):
                top = trace.top(step, TOP)
                if rank < len(top):
                    found[top[rank].label] = None
    first = traces[0].top(-1, 1)[0].label
    return [first, *(label for label in found if label != first)]


def _index(trace: Trace, label: str) -> int | None:
    try:
        index = class_number(trace.head.labels, label)
    except ModelError:
        return None
    # A part of a name is not enough here: two classifiers must mean the same.
    return index if trace.head.labels[index] == label else None


def model_entry(trace: Trace, name: str, classes: Sequence[str]) -> dict[str, Any]:
    """One model's part of the message: geometry, steps, best classes, class maps, spatial probes and derived maps."""
    maps = []
    for label in classes:
        index = _index(trace, label)
        if index is not None:
            maps.append(class_entry(trace, index) | {"p": [float(p) for p in trace.probabilities[:, index]]})
    return {
        "name": name,
        "title": trace.card.title,
        "steps": trace.steps,
        "geometry": trace.geometry.as_json(),
        "top": [trace.top(step, 1)[0]._asdict() for step in range(1, trace.steps + 1)],
        "maps": [*maps, *spatial_entries(trace), *derived_entries(trace)],
    }


def compare_message(traces: Sequence[Trace], names: Sequence[str]) -> str:
    """The JSON message for the grid."""
    classes = common_classes(traces)
    key = "|".join([*names, *(t.geometry.mode for t in traces)])
    return grid_message(
        traces[0].picture, [model_entry(t, n, classes) for t, n in zip(traces, names, strict=True)], classes, key
    )


class CompareTab:
    """Components and events of the tab."""

    def __init__(self, engine: Engine, pictures: Pictures) -> None:
        self.engine, self.pictures = engine, pictures
        self.exports = Exports()
        names = offered(engine.catalogue.bundled, engine.catalogue.files)
        with gr.Row(equal_height=True):
            self.models = gr.CheckboxGroup(
                names,
                value=names[:FEWEST],
                label=f"Models, {FEWEST} to {MOST}",
                elem_id="compare-models",
                scale=4,
                min_width=240,
            )
            self.start = gr.Button("Compare", variant="primary", elem_id="compare-start", scale=1, min_width=120)
        self.grid = model_grid("compare-grid")
        self.files = gr.File(
            label="Comparison", file_count="multiple", visible=False, elem_id="compare-files", show_label=True
        )
        self.compared = gr.State(None, time_to_live=3600)

    def run(self, names: list[str] | None, shown: Shown | None, progress: gr.Progress | None = None) -> tuple[Any, ...]:
        """The message, what was compared, and no old files. A model that cannot be run is told and left out."""
        nothing = (gr.skip(), gr.skip(), gr.skip())
        try:
            if shown is None:
                raise VizError("Choose a picture first.")
            if not FEWEST <= len(names or ()) <= MOST:
                raise VizError(f"Choose {FEWEST} to {MOST} models, not {len(names or ())}.")
            picture = self.pictures.get(shown.sha256)
        except VizError as error:
            toast(str(error))
            return nothing
        traces: dict[str, Trace] = {}
        for i, name in enumerate(names or ()):
            if progress is not None:
                progress(i / len(names or ()), desc=f"Running {name}")
            try:
                traces[name] = self.engine.trace(picture, name, shown.geometry)
            except VizError as error:
                toast(f"{name}: {error}")
        if len(traces) < FEWEST:
            if traces:
                toast("Fewer than two models are left to compare; choose others.")
            return nothing
        now = Compared(shown.sha256, shown.geometry, tuple(traces))
        message = compare_message(list(traces.values()), list(traces))
        return gr.HTML(value=message, extra=""), now, gr.update(value=None, visible=False)

    def stale(self, shown: Shown | None, now: Compared | None) -> Any:
        """After a new picture or fit above: say that the grid still shows the old one."""
        if shown is None or now is None:
            return gr.skip()
        same = (shown.sha256, shown.geometry) == (now.sha256, now.geometry)
        sentence = "The picture above has changed; press Compare to compare it."
        return gr.HTML(extra=json.dumps({"stale": "" if same else sentence}))

    def comparison(self, now: Compared, view: dict[str, Any]) -> Comparison:
        """The comparison as the visitor sees it.

        Raises:
            VizError: a view that this page cannot have sent, or a picture that is no longer kept.
        """
        picture = self.pictures.get(now.sha256)
        traces = [trace_of(Shown(now.sha256, name, now.geometry), self.engine, self.pictures) for name in now.models]
        asked = view.get("maps")
        asked = asked if isinstance(asked, dict) else {}
        # The viewer writes a channel as NAME@CHANNEL.
        maps = [parse_map(str(asked.get(name, "class_map")).replace("@", "#")) for name in now.models]
        label = view.get("class")
        return viewed(traces, maps, view, picture, label if isinstance(label, str) and label else None)

    def export(self, view: Any, now: Compared | None) -> Any:
        """The grid or the tables as files."""
        if now is None or not isinstance(view, dict):
            return gr.skip()
        try:
            made = self.comparison(now, view)
            paths = written(made, view, self.exports)
        except VizError as error:
            toast(str(error))
            return gr.skip()
        return gr.update(value=[str(p) for p in paths], visible=True)

    def listen(self, after: Any, shown: gr.State) -> None:
        """Wire the events; `after` is the event that brings a new trace."""

        def started(names: list[str], now: Shown | None, progress: gr.Progress = PROGRESS) -> tuple[Any, ...]:
            return self.run(names, now, progress)

        def exported(event: gr.EventData, now: Compared | None) -> Any:
            return self.export(event._data, now)

        self.start.click(
            started,
            [self.models, shown],
            [self.grid, self.compared, self.files],
            show_progress_on=[self.grid],
            concurrency_limit=2,
            api_visibility="private",
        )
        after.success(self.stale, [shown, self.compared], self.grid, show_progress="hidden", api_visibility="private")
        self.grid.export_grid(
            exported, self.compared, self.files, show_progress_on=[self.grid], api_visibility="private"
        )
