"""Attribution tab: the module's own attention, the class map and Captum's methods side by side, for one class."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gradio as gr

from viz.core.map_spec import parse
from viz.core.words import method_words
from viz.errors import VizError
from viz.figures.comparison import FEWEST, MOST, Comparison
from viz.page.components import class_update, grid
from viz.page.grid import Computed, GridTab, viewed
from viz.page.grid_entries import (
    INPUT_METHODS,
    NATIVE,
    attribution_message,
    class_choices,
    columns_of,
    layer_choices,
    method_choices,
)
from viz.page.running import Job, Tell, parts_of
from viz.page.session import Pictures, Shown
from viz.page.tab import FOLLOWS, hidden, required, toast
from viz.run.engine import Engine


@dataclass(frozen=True)
class Attributed(Computed):
    """The attributions that one visitor has computed."""

    class_index: int | None
    methods: tuple[str, ...]


class AttributionTab(GridTab):
    """Components and events of the tab."""

    changed = "The picture, model or fit above has changed; press Compute to update."

    def __init__(self, engine: Engine, pictures: Pictures, shown: gr.State) -> None:
        super().__init__(engine, pictures, shown)
        with gr.Row(equal_height=True):
            self.cls = gr.Dropdown(
                label="Class, with its probability at the last step",
                elem_id="attribution-class",
                filterable=False,
                scale=2,
                min_width=200,
            )
            self.layers = gr.Dropdown(
                value=[],
                multiselect=True,
                label="Attributed to the attention module",
                elem_id="attribution-layers",
                visible=False,
                scale=3,
                min_width=200,
            )
        self.job = Job(
            "attribution",
            "Compute",
            "Stopped. Finished maps are kept, so computing them again takes no time.",
            choices=[(method_words(parse(m)), m) for m in INPUT_METHODS],
            value=["gradcam"],
            label="Methods besides native attention and class map",
            elem_id="attribution-methods",
        )
        self.methods = self.job.boxes
        self.add_grid("attribution", grid("maps", "attribution-grid"), "Attribution")

    def refresh(self, shown: Shown | None, methods: list[str] | None, now: Attributed | None) -> Any:
        """Updates for a new trace: its classes, methods with their cost, layers, and whether the grid is stale."""
        trace = self.trace_or_none(shown)
        if trace is None:
            return gr.skip()
        layers, offered = layer_choices(trace), method_choices(trace)
        return [
            class_update(class_choices(trace)),
            gr.update(choices=offered, value=[m for _, m in offered if m in (methods or ())]),
            gr.update(choices=layers, value=[], visible=bool(layers)),
            self.stale(shown, now),
        ]

    def compute(
        self,
        shown: Shown | None,
        class_index: int | None,
        methods: list[str] | None,
        layers: list[str] | None,
        *,
        tell: Tell,
    ) -> Any:
        """The grid's message, what was computed, and no old files. A method that fails is reported and skipped.

        Raises:
            VizError: no picture, or too few or too many methods. Stopped: from `tell`.
        """
        shown = required(shown)
        trace = self.trace(shown)
        chosen = [*(methods or ()), *(layers or ())]
        best = trace.output.best(trace.steps)
        beside = len(columns_of(trace, best, ()))
        least, most = max(0, FEWEST - beside), MOST - beside
        if not least <= len(chosen) <= most:
            raise VizError(f"Choose {least} to {most} methods for {shown.model}, not {len(chosen)}.")
        index = best if class_index is None else int(class_index)
        done = []
        parts = parts_of(tell, [method_words(parse(text)) for text in chosen])
        for text, part in zip(chosen, parts, strict=True):
            try:
                trace = self.attributed(shown, text, index, part)
                done.append(text)
            except VizError as error:
                toast(f"{method_words(parse(text))}: {error}")
        if len(done) < least:
            return gr.skip()
        now = Attributed(shown, index, tuple(done))
        return gr.HTML(value=attribution_message(trace, index, done), extra=""), now, hidden()

    def comparison(self, now: Attributed, view: dict[str, Any]) -> Comparison:
        """The grid as a comparison of one model with itself."""
        trace = self.trace(now.shown)
        for text in now.methods:
            trace = self.attributed(now.shown, text, now.class_index)
        asked = view.get("maps")
        maps = []
        for column in columns_of(trace, now.class_index, now.methods):
            text = column.get("pick", column["maps"][0]["name"])
            if column["name"] == NATIVE and isinstance(asked, dict):
                text = str(asked.get(NATIVE, text))
            maps.append(parse(text))
        return viewed([trace] * len(maps), maps, view, now.class_index)

    def listen(self) -> None:
        """Wire the events."""
        self.shown.change(
            self.refresh,
            [self.shown, self.methods, self.done],
            [self.cls, self.methods, self.layers, self.grid],
            concurrency_id=self.name,
            **FOLLOWS,
        )
        self.wire(self.compute, [self.shown, self.cls, self.methods, self.layers])
