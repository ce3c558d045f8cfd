"""Compare tab: two to six models on the picture, side by side; one message to the browser, files on request."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import gradio as gr

from viz.core.map_spec import parse
from viz.core.stage import CAM
from viz.core.trace import Trace
from viz.core.words import method_words
from viz.errors import VizError
from viz.figures.comparison import FEWEST, MOST, Comparison
from viz.geometry import Mode
from viz.page.attribution_entries import INPUT_METHODS
from viz.page.compare_entries import class_index, common_classes, compare_message, method_offers, more_message
from viz.page.components import model_grid, offered
from viz.page.exports import Exports
from viz.page.grid import stale_message, toast, viewed, written
from viz.page.running import FOLLOWS, PROGRESS, QUIET, StopButton, Stopped, Tell, attributed, parts_of, telling
from viz.page.session import Pictures, Shown
from viz.run.engine import Engine

# Longer than any class name.
MAX_LABEL = 200
STOPPED = "Stopped. Traces and maps that were finished are kept, so computing them again takes no time."
NOTHING = (gr.skip(), gr.skip(), gr.skip())


@dataclass(frozen=True)
class Compared:
    """What one visitor compares: a few words, so that a session holds no picture and no tensor.

    Attributes:
        methods: attributions that were computed for every class of `classes`.
    """

    sha256: str
    geometry: Mode | None
    models: tuple[str, ...]
    methods: tuple[str, ...] = ()
    classes: tuple[str, ...] = ()


class CompareTab:
    """Components and events of the tab."""

    def __init__(self, engine: Engine, pictures: Pictures) -> None:
        self.engine, self.pictures = engine, pictures
        self.exports = Exports()
        names = offered(engine.catalogue.cards, engine.catalogue.files)
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
            self.stop = StopButton(self.start, "compare-stop", STOPPED)
        self.also = gr.CheckboxGroup(
            method_offers(),
            value=[],
            label="Attributions to compute as well; each panel's list of maps then offers them",
            elem_id="compare-also",
        )
        self.grid = model_grid("compare-grid")
        self.files = gr.File(
            label="Comparison", file_count="multiple", visible=False, elem_id="compare-files", show_label=True
        )
        self.compared = gr.State(None, time_to_live=3600)
        self.asked = gr.State("", time_to_live=3600)

    def run(
        self,
        names: list[str] | None,
        methods: list[str] | None,
        shown: Shown | None,
        tell: Tell = lambda share, words: None,
    ) -> tuple[Any, ...]:
        """The message, what was compared, and no old files. A model that cannot be run is told and left out.

        Raises:
            Stopped: from `tell`.
        """
        chosen, also = names or [], [m for m in INPUT_METHODS if m in (methods or ())]
        try:
            if shown is None:
                raise VizError("Choose a picture first.")
            if not FEWEST <= len(chosen) <= MOST:
                raise VizError(f"Choose {FEWEST} to {MOST} models, not {len(chosen)}.")
            picture = self.pictures.get(shown.sha256)
        except VizError as error:
            toast(str(error))
            return NOTHING
        traces: dict[str, Trace] = {}
        first = 1 / (1 + len(also))
        for i, name in enumerate(chosen):
            tell(first * i / len(chosen), f"Running {name}")
            try:
                traces[name] = self.engine.trace(picture, name, shown.geometry)
            except VizError as error:
                toast(f"{name}: {error}")
                continue
            for note in traces[name].notes:
                toast(f"{name}: {note}")
        if len(traces) < FEWEST:
            if traces:
                toast("Fewer than two models are left to compare; choose others.")
            return NOTHING
        now = Compared(shown.sha256, shown.geometry, tuple(traces), tuple(also))
        if also:
            label = common_classes(list(traces.values()))[0]
            now = replace(now, classes=(label,))
            traces = self._attributed(now, label, lambda share, words: tell(first + share * (1 - first), words))
        message = compare_message(list(traces.values()), list(traces), also)
        return gr.HTML(value=message, extra=""), now, gr.update(value=None, visible=False)

    def _attributed(
        self, now: Compared, label: str, tell: Tell | None = None, plan: Sequence[tuple[str, str]] | None = None
    ) -> dict[str, Trace]:
        """The traces with maps of a class; one that cannot be made is told and left out.

        Args:
            plan: (model, method) pairs; default every method for every model.

        Raises:
            VizError: the picture is no longer kept. Stopped: from `tell`.
        """
        picture = self.pictures.get(now.sha256)
        traces = {name: self.engine.trace(picture, name, now.geometry) for name in now.models}
        plan = [(name, text) for text in now.methods for name in now.models] if plan is None else plan
        parts = parts_of(tell or (lambda share, words: None), [f"{method_words(parse(m))}, {n}" for n, m in plan])
        for (name, text), part in zip(plan, parts, strict=True):
            index = class_index(traces[name], label)
            if index is None:
                continue
            try:
                traces[name] = attributed(self.engine, picture, name, text, now.geometry, class_index=index, tell=part)
            except VizError as error:
                toast(f"{name}, {method_words(parse(text))}: {error}")
        return traces

    def more(self, label: str, now: Compared | None, tell: Tell = lambda share, words: None) -> tuple[Any, Any]:
        """The attributions of one more class, for a grid that is there.

        Raises:
            Stopped: from `tell`.
        """
        if now is None or not now.methods or not label:
            return gr.skip(), gr.skip()
        try:
            traces = self._attributed(now, label, tell)
        except VizError as error:
            toast(str(error))
            return gr.skip(), gr.skip()
        known = tuple(dict.fromkeys((*now.classes, label)))
        return gr.HTML(extra=more_message(traces, label, now.methods)), replace(now, classes=known)

    def stale(self, shown: Shown | None, now: Compared | None) -> Any:
        """After a new picture or fit above: say that the grid still shows the old one."""
        if shown is None or now is None:
            return gr.skip()
        same = (shown.sha256, shown.geometry) == (now.sha256, now.geometry)
        sentence = "The picture above has changed; press Compare to compare it."
        return gr.HTML(extra=stale_message("" if same else sentence))

    def comparison(self, now: Compared, view: dict[str, Any]) -> Comparison:
        """The comparison as the visitor sees it.

        Raises:
            VizError: a view that this page cannot have sent, or a picture that is no longer kept.
        """
        picture = self.pictures.get(now.sha256)
        asked = view.get("maps")
        asked = asked if isinstance(asked, dict) else {}
        chosen = {name: str(asked.get(name, CAM)) for name in now.models}
        maps = [parse(text) for text in chosen.values()]
        wanted = view.get("class")
        label = wanted if isinstance(wanted, str) and wanted else None
        plan = [(name, m.head) for name, m in zip(now.models, maps, strict=True) if m.kind == "attribution"]
        if plan and (label not in now.classes or not {m for _, m in plan} <= set(now.methods)):
            raise VizError(f"The attributions of {label} are not computed yet; press the button beside the class.")
        traces = self._attributed(now, label or "", plan=plan)
        # The page calls the map of an output cam, whatever the output is.
        maps = [traces[n].output_map or m if m == CAM else m for n, m in zip(now.models, maps, strict=True)]
        return viewed([traces[name] for name in now.models], maps, view, picture, label)

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

    def listen(self, shown: gr.State) -> None:
        """Wire the events; `shown` is what the visitor looks at."""

        def started(values: dict[Any, Any], request: gr.Request, progress: gr.Progress = PROGRESS) -> tuple[Any, ...]:
            with self.stop.running.started(request.session_hash) as check:
                try:
                    return self.run(values[self.models], values[self.also], values[shown], telling(progress, check))
                except Stopped:
                    return NOTHING

        def class_of(event: gr.EventData) -> str:
            view = event._data if isinstance(event._data, dict) else {}
            return str(view.get("class") or "")[:MAX_LABEL]

        def asked(
            label: str, now: Compared | None, request: gr.Request, progress: gr.Progress = PROGRESS
        ) -> tuple[Any, Any]:
            with self.stop.running.started(request.session_hash) as check:
                try:
                    return self.more(label, now, telling(progress, check))
                except Stopped:
                    return gr.skip(), gr.skip()

        def exported(event: gr.EventData, now: Compared | None) -> Any:
            return self.export(event._data, now)

        job = self.stop.run(
            self.start.click,
            started,
            {self.models, self.also, shown},
            [self.grid, self.compared, self.files],
            show_progress_on=[self.grid],
            concurrency_limit=2,
        )
        self.stop.run(
            self.grid.ask_class,
            asked,
            [self.asked, self.compared],
            [self.grid, self.compared],
            noted=class_of,
            note=self.asked,
            show_progress_on=[self.grid],
            concurrency_limit=2,
        )
        self.stop.listen()
        shown.change(self.stale, [shown, self.compared], self.grid, concurrency_id="compare", **FOLLOWS)
        # Another picture may have come while the models ran.
        job.then(self.stale, [shown, self.compared], self.grid, concurrency_id="compare", **QUIET)
        self.grid.export_grid(
            exported, self.compared, self.files, show_progress_on=[self.grid], api_visibility="private"
        )
