"""Attribution tab: the module's own attention, the class map and Captum's methods side by side, for one class."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gradio as gr

from viz.core.map_spec import parse
from viz.core.words import method_words
from viz.errors import VizError
from viz.figures.comparison import FEWEST, MOST, Comparison
from viz.geometry import Mode
from viz.page.attribution_entries import (
    INPUT_METHODS,
    NATIVE,
    attribution_message,
    class_choices,
    columns_of,
    layer_choices,
    method_choices,
    output_name,
)
from viz.page.components import class_update, map_grid
from viz.page.exports import Exports
from viz.page.grid import stale_message, toast, viewed, written
from viz.page.running import FOLLOWS, PROGRESS, QUIET, StopButton, Stopped, Tell, attributed, parts_of, telling
from viz.page.session import Pictures, Shown, trace_of
from viz.run.engine import Engine

FIRST = ("gradcam",)
STOPPED = "Stopped. Maps that were finished are kept, so computing them again takes no time."


@dataclass(frozen=True)
class Attributed:
    """What one visitor has computed: a few words, so that a session holds no map."""

    sha256: str
    model: str
    geometry: Mode | None
    class_index: int | None
    methods: tuple[str, ...]


class AttributionTab:
    """Components and events of the tab."""

    def __init__(self, engine: Engine, pictures: Pictures) -> None:
        self.engine, self.pictures = engine, pictures
        self.exports = Exports()
        with gr.Row(equal_height=True):
            self.cls = gr.Dropdown(
                [],
                label="Class, with its probability at the last step",
                elem_id="attribution-class",
                filterable=False,
                scale=2,
                min_width=200,
            )
            self.layers = gr.Dropdown(
                [],
                value=[],
                multiselect=True,
                label="Attributed to the attention module",
                elem_id="attribution-layers",
                visible=False,
                scale=3,
                min_width=200,
            )
        with gr.Row(equal_height=True):
            self.methods = gr.CheckboxGroup(
                [(method_words(parse(m)), m) for m in INPUT_METHODS],
                value=list(FIRST),
                label="Methods beside native attention and class map",
                elem_id="attribution-methods",
                scale=4,
                min_width=240,
            )
            self.start = gr.Button("Compute", variant="primary", elem_id="attribution-start", scale=1, min_width=120)
            self.stop = StopButton(self.start, "attribution-stop", STOPPED)
        self.grid = map_grid("attribution-grid")
        self.files = gr.File(label="Attribution", file_count="multiple", visible=False, elem_id="attribution-files")
        self.computed = gr.State(None, time_to_live=3600)

    def refresh(self, shown: Shown | None, methods: list[str], now: Attributed | None) -> list[Any]:
        """After a new trace: its classes, what its methods cost, the layers it has, and whether the grid is old."""
        if shown is None:
            return [gr.skip()] * 4
        try:
            trace = trace_of(shown, self.engine, self.pictures)
        except VizError:
            return [gr.skip()] * 4
        classes, layers, offered = class_choices(trace), layer_choices(trace), method_choices(trace)
        return [
            class_update(classes),
            gr.update(choices=offered, value=[m for m in methods or () if m in {v for _, v in offered}]),
            gr.update(choices=layers, value=[], visible=bool(layers)),
            self.stale(shown, now),
        ]

    def stale(self, shown: Shown | None, now: Attributed | None) -> Any:
        """Say whether the grid still shows what was above before."""
        if shown is None or now is None:
            return gr.skip()
        same = (shown.sha256, shown.model, shown.geometry) == (now.sha256, now.model, now.geometry)
        sentence = "Picture, model or fit above has changed; press Compute for the new one."
        return gr.HTML(extra=stale_message("" if same else sentence))

    def run(
        self,
        shown: Shown | None,
        class_index: int | None,
        methods: list[str] | None,
        layers: list[str] | None,
        tell: Tell = lambda share, words: None,
    ) -> tuple[Any, ...]:
        """The message, what was computed, and no old files. A method that cannot be computed is told and left out.

        Raises:
            Stopped: from `tell`.
        """
        nothing = (gr.skip(), gr.skip(), gr.skip())
        chosen = [*(methods or ()), *(layers or ())]
        try:
            if shown is None:
                raise VizError("Choose a picture first.")
            trace = trace_of(shown, self.engine, self.pictures)
            beside = len(columns_of(trace, trace.output.best(trace.steps), ()))
            if not FEWEST - beside <= len(chosen) <= MOST - beside:
                least = max(0, FEWEST - beside)
                raise VizError(f"Choose {least} to {MOST - beside} methods for {shown.model}, not {len(chosen)}.")
            index = trace.output.best(trace.steps) if class_index is None else int(class_index)
        except VizError as error:
            toast(str(error))
            return nothing
        done = []
        parts = parts_of(tell, [method_words(parse(text)) for text in chosen])
        for text, part in zip(chosen, parts, strict=True):
            try:
                trace = attributed(
                    self.engine,
                    trace.picture,
                    shown.model,
                    text,
                    shown.geometry,
                    class_index=index,
                    tell=part,
                )
                done.append(text)
            except VizError as error:
                toast(f"{method_words(parse(text))}: {error}")
        if len(done) < FEWEST - beside:
            return nothing
        now = Attributed(shown.sha256, shown.model, shown.geometry, index, tuple(done))
        message = attribution_message(trace, index, done)
        return gr.HTML(value=message, extra=""), now, gr.update(value=None, visible=False)

    def comparison(self, now: Attributed, view: dict[str, Any]) -> Comparison:
        """The grid as a comparison of one model with itself.

        Raises:
            VizError: a view that this page cannot have sent, or a picture that is no longer kept.
        """
        shown = Shown(now.sha256, now.model, now.geometry)
        trace = trace_of(shown, self.engine, self.pictures)
        for text in now.methods:
            trace = attributed(self.engine, trace.picture, now.model, text, now.geometry, class_index=now.class_index)
        names = {c["name"]: c.get("pick") for c in columns_of(trace, now.class_index, now.methods)}
        asked = view.get("maps")
        asked = asked if isinstance(asked, dict) else {}
        maps = []
        for name, pick in names.items():
            text = (
                str(asked.get(name, pick))
                if name == NATIVE
                else str(trace.output_map)
                if name == output_name(trace)
                else str(pick)
            )
            maps.append(parse(text))
        return viewed([trace] * len(maps), maps, view, trace.picture, now.class_index)

    def export(self, view: Any, now: Attributed | None) -> Any:
        """The grid or the tables as files."""
        if now is None or not isinstance(view, dict):
            return gr.skip()
        try:
            paths = written(self.comparison(now, view), view, self.exports)
        except VizError as error:
            toast(str(error))
            return gr.skip()
        return gr.update(value=[str(p) for p in paths], visible=True)

    def listen(self, shown: gr.State) -> None:
        """Wire the events; `shown` is what the visitor looks at."""

        def started(values: dict[Any, Any], request: gr.Request, progress: gr.Progress = PROGRESS) -> tuple[Any, ...]:
            methods, layers = values[self.methods], values[self.layers]
            with self.stop.running.started(request.session_hash) as check:
                try:
                    return self.run(values[shown], values[self.cls], methods, layers, telling(progress, check))
                except Stopped:
                    return (gr.skip(), gr.skip(), gr.skip())

        def exported(event: gr.EventData, now: Attributed | None) -> Any:
            return self.export(event._data, now)

        shown.change(
            self.refresh,
            [shown, self.methods, self.computed],
            [self.cls, self.methods, self.layers, self.grid],
            concurrency_id="attribution",
            **FOLLOWS,
        )
        job = self.stop.run(
            self.start.click,
            started,
            {shown, self.cls, self.methods, self.layers},
            [self.grid, self.computed, self.files],
            show_progress_on=[self.grid],
            concurrency_limit=2,
        )
        self.stop.listen()
        # Another picture may have come while the methods ran.
        job.then(self.stale, [shown, self.computed], self.grid, concurrency_id="attribution", **QUIET)
        self.grid.export_grid(
            exported, self.computed, self.files, show_progress_on=[self.grid], api_visibility="private"
        )
