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
from viz.page.components import grid, offered
from viz.page.grid import Computed, GridTab, viewed
from viz.page.grid_entries import (
    INPUT_METHODS,
    class_index,
    common_classes,
    compare_message,
    method_offers,
    more_message,
)
from viz.page.running import Job, Tell, parts_of
from viz.page.session import Pictures, Shown
from viz.page.tab import FOLLOWS, hidden, required, toast
from viz.run.engine import Engine

# Longer than any class name.
MAX_LABEL = 200


@dataclass(frozen=True)
class Compared(Computed):
    """The models that one visitor compares.

    Attributes:
        methods: attributions that were computed for every class of `classes`.
    """

    models: tuple[str, ...]
    methods: tuple[str, ...] = ()
    classes: tuple[str, ...] = ()


class CompareTab(GridTab):
    """Components and events of the tab."""

    changed = "The picture above has changed; press Compare to update."

    def __init__(self, engine: Engine, pictures: Pictures, shown: gr.State) -> None:
        super().__init__(engine, pictures, shown)
        names = offered(engine.catalogue.cards, engine.catalogue.files)
        self.job = Job(
            "compare",
            "Compare",
            "Stopped. Finished traces and maps are kept, so computing them again takes no time.",
            choices=names,
            value=names[:FEWEST],
            label=f"Models, {FEWEST} to {MOST}",
            elem_id="compare-models",
        )
        self.models = self.job.boxes
        self.also = gr.CheckboxGroup(
            method_offers(),
            value=[],
            label="Attributions to compute as well; each panel's list of maps then includes them",
            elem_id="compare-also",
        )
        self.add_grid("compare", grid("models", "compare-grid"), "Comparison")
        self.asked = gr.State("", time_to_live=3600)

    def compute(self, names: list[str] | None, methods: list[str] | None, shown: Shown | None, *, tell: Tell) -> Any:
        """The grid's message, what was compared, and no old files. A model that fails is reported and skipped.

        Raises:
            VizError: no picture, or too few or too many models. Stopped: from `tell`.
        """
        chosen, also = names or [], [m for m in INPUT_METHODS if m in (methods or ())]
        shown = required(shown)
        if not FEWEST <= len(chosen) <= MOST:
            raise VizError(f"Choose {FEWEST} to {MOST} models, not {len(chosen)}.")
        picture = self.pictures.get(shown.sha256)
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
        if not traces:
            return gr.skip()
        if len(traces) < FEWEST:
            raise VizError("Fewer than two models are left to compare; choose others.")
        now = Compared(shown, tuple(traces), tuple(also))
        if also:
            label = common_classes(list(traces.values()))[0]
            now = replace(now, classes=(label,))
            traces = self._attributed(now, label, lambda share, words: tell(first + share * (1 - first), words))
        message = compare_message(list(traces.values()), list(traces), also)
        return gr.HTML(value=message, extra=""), now, hidden()

    def _attributed(
        self, now: Compared, label: str, tell: Tell | None = None, plan: Sequence[tuple[str, str]] | None = None
    ) -> dict[str, Trace]:
        """The traces with maps of a class. A map that fails is reported and skipped.

        Args:
            plan: (model, method) pairs; default every method for every model.

        Raises:
            VizError: the picture is no longer kept. Stopped: from `tell`.
        """
        shown = {name: replace(now.shown, model=name) for name in now.models}
        traces = {name: self.trace(each) for name, each in shown.items()}
        plan = [(name, text) for text in now.methods for name in now.models] if plan is None else plan
        parts = parts_of(tell or (lambda share, words: None), [f"{method_words(parse(m))}, {n}" for n, m in plan])
        for (name, text), part in zip(plan, parts, strict=True):
            index = class_index(traces[name], label)
            if index is None:
                continue
            try:
                traces[name] = self.attributed(shown[name], text, index, part)
            except VizError as error:
                toast(f"{name}, {method_words(parse(text))}: {error}")
        return traces

    def more(self, label: str, now: Compared | None, *, tell: Tell) -> Any:
        """The attributions of one more class, for the present grid.

        Raises:
            VizError: the picture is no longer kept. Stopped: from `tell`.
        """
        if now is None or not now.methods or not label:
            return gr.skip()
        traces = self._attributed(now, label, tell)
        known = tuple(dict.fromkeys((*now.classes, label)))
        return gr.HTML(extra=more_message(traces, label, now.methods)), replace(now, classes=known)

    def is_current(self, shown: Shown, now: Computed) -> bool:
        """Whether picture and fit are still shown above; the model above is not compared."""
        return replace(shown, model=now.shown.model) == now.shown

    def comparison(self, now: Compared, view: dict[str, Any]) -> Comparison:
        """The grid as a comparison, as the visitor sees it."""
        asked, label = view.get("maps"), view.get("class")
        if not isinstance(asked, dict):
            asked = {}
        if not isinstance(label, str) or not label:
            label = None
        maps = [parse(str(asked.get(name, CAM))) for name in now.models]
        plan = [(name, m.head) for name, m in zip(now.models, maps, strict=True) if m.kind == "attribution"]
        if plan and (label not in now.classes or not {m for _, m in plan} <= set(now.methods)):
            raise VizError(f"The attributions of {label} are not computed yet; press the button beside the class.")
        traces = list(self._attributed(now, label or "", plan=plan).values())
        # The page calls the map of an output cam, whatever the output is.
        maps = [t.output_map or m if m == CAM else m for t, m in zip(traces, maps, strict=True)]
        return viewed(traces, maps, view, label)

    def listen(self) -> None:
        """Wire the events."""

        def class_of(event: gr.EventData) -> str:
            view = event._data if isinstance(event._data, dict) else {}
            return str(view.get("class") or "")[:MAX_LABEL]

        self.wire(self.compute, [self.models, self.also, self.shown])
        self.job.run(
            self.grid.ask_class,
            self.more,
            [self.asked, self.done],
            [self.grid, self.done],
            note=(class_of, self.asked),
            show_progress_on=[self.grid],
            concurrency_limit=2,
        )
        self.shown.change(self.stale, [self.shown, self.done], self.grid, concurrency_id=self.name, **FOLLOWS)
