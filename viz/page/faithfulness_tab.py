"""Faithfulness tab: does the network use what a map shows? Controls for one map of one picture, with explanations."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import gradio as gr
from torch import Tensor

from viz.attribution import attribute
from viz.core.map_spec import parse
from viz.core.trace import Trace
from viz.core.words import method_words, words
from viz.errors import VizError
from viz.figures.faithfulness_plots import curves_plot, randomisation_plot
from viz.files import as_json_bytes, write_whole
from viz.measures.faithfulness import PARTS, QUICK_PARTS, Report, faithful, sample_bank, words_for
from viz.measures.faithfulness.passes import Passes
from viz.measures.faithfulness.sources import Source, source_of
from viz.models.networks.base import StepNetwork
from viz.page.components import class_update
from viz.page.faithfulness_text import curves_html, head_html, rest_html
from viz.page.grid_entries import INPUT_METHODS, class_choices
from viz.page.running import Job, Tell
from viz.page.session import Pictures, Shown
from viz.page.tab import FOLLOWS, QUIET, Tab, file_stem, filled, hidden, offered_files, required
from viz.run.engine import Engine

EMPTY = "Choose a picture first."
# Random weights and stability compute the map this often, so slow methods take minutes.
SLOW = "minutes: about 40 maps"


def source_choices(trace: Trace, step: int = -1) -> list[tuple[str, str]]:
    """(title, source) of the maps that can be tested at a step; native attention first, if the step has it."""
    number = trace.step_number(step)
    choices = []
    own = trace.family.own
    if own is not None and any(r.label == own.probe and r.step <= number for r in trace.records):
        choices.append((f"native attention: {words(own)}", str(own)))
    if trace.output_map is not None:
        choices.append((words(trace.output_map), str(trace.output_map)))
    for text in INPUT_METHODS:
        choice = parse(text)
        choices.append((f"{method_words(choice)} ({SLOW})" if choice.method.slow else method_words(choice), text))
    return choices


def part_choices(trace: Trace, step: int = -1) -> list[tuple[str, str]]:
    """(title, part) of the controls that apply; reliance needs a gate up to the step."""
    if not trace.output.probable:
        return []
    parts = PARTS if _is_gated(trace, step) else [p for p in PARTS if p != "reliance"]
    return [(words_for(p).title + (" (takes longest)" if p == "road" else ""), p) for p in parts]


def _is_gated(trace: Trace, step: int) -> bool:
    number = trace.step_number(step)
    return trace.card.family is not None and any(r.step <= number for r in trace.records)


def note_of(trace: Trace, step: int = -1) -> str:
    """What is measured, and what does not apply."""
    if not trace.output.probable:
        return f"This tab measures the probability of a class, but {trace.card.name} predicts {trace.output.words}."
    note = "Does the network use what is shown? Each control compares the map with a baseline that knows less."
    if _is_gated(trace, step):
        return note
    if trace.card.family is None:
        return f"{note} {trace.card.name} has no attention module, so there is no gate to replace."
    return f"{note} At step {trace.step_number(step)} the attention has not acted yet, so no gate can be replaced."


def watched(text: str, step: int, family: str | None, check: Callable[[], None]) -> Source:
    """A source that calls `check` before every map, and at every pass of a slow method, so that it can be stopped."""
    source = source_of(text, step, family)

    def function(network: StepNetwork, x: Tensor, classes: Tensor) -> Tensor:
        check()
        if text not in INPUT_METHODS:
            return source.function(network, x, classes)
        x = x.to(next(network.parameters()))
        return attribute(network, x, classes, text, step=source.step, progress=lambda share: check())

    return replace(source, function=function)


class FaithfulnessTab(Tab):
    """Components and events of the tab."""

    def __init__(self, engine: Engine, pictures: Pictures, shown: gr.State) -> None:
        super().__init__(engine, pictures, shown)
        self.note = gr.Markdown(EMPTY, elem_id="faithfulness-note")
        with gr.Row():
            self.source = gr.Dropdown(
                label="Map to test", elem_id="faithfulness-source", filterable=False, min_width=200, scale=2
            )
            self.cls = gr.Dropdown(
                label="Class", elem_id="faithfulness-class", filterable=False, min_width=260, scale=2
            )
            self.step = gr.Radio([], label="Step", elem_id="faithfulness-step", visible=False, min_width=120)
        self.job = Job(
            "faithfulness",
            "Measure",
            "Stopped. Nothing was measured; the results below stay.",
            choices=[(words_for(p).title, p) for p in PARTS],
            value=list(QUICK_PARTS),
            label="Controls",
            elem_id="faithfulness-parts",
        )
        self.parts = self.job.boxes
        self.head = gr.HTML("", elem_id="faithfulness-result", apply_default_css=False, visible=False)
        self.curves = gr.Plot(visible=False, elem_id="faithfulness-curves", show_label=False)
        self.areas = gr.HTML("", elem_id="faithfulness-areas", apply_default_css=False, visible=False)
        self.random = gr.Plot(visible=False, elem_id="faithfulness-random", show_label=False)
        self.rest = gr.HTML("", elem_id="faithfulness-rest", apply_default_css=False, visible=False)
        self.files = gr.File(label="All numbers", file_count="multiple", visible=False, elem_id="faithfulness-files")
        self.measured = gr.State(None, time_to_live=3600)
        self._results = [self.head, self.curves, self.areas, self.random, self.rest, self.files]

    def refresh(self, shown: Shown | None, measured: Shown | None) -> Any:
        """Updates for a new trace: what can be tested. Results of another picture are hidden."""
        trace = self.trace_or_none(shown)
        if trace is None:
            return gr.skip()
        steps = [(str(s), s) for s in range(1, trace.steps + 1)]
        step = gr.update(choices=steps, value=trace.steps, visible=trace.steps > 1)
        return [*self._offer(trace, trace.steps, None, None), step, *self.outdated(shown, measured)]

    def outdated(self, shown: Shown | None, measured: Shown | None) -> list[Any]:
        """Updates that hide results of what is no longer shown above."""
        return [gr.skip() if measured == shown else hidden() for _ in self._results]

    def stepped(self, shown: Shown | None, step: int | None, source: str | None, parts: list[str] | None) -> Any:
        """Updates for another step: its classes, and what applies to it."""
        trace = self.trace_or_none(shown)
        if trace is None or step is None:
            return gr.skip()
        return self._offer(trace, int(step), source, parts)

    def _offer(self, trace: Trace, step: int, source: str | None, parts: list[str] | None) -> list[Any]:
        sources, offered = source_choices(trace, step), part_choices(trace, step)
        known = [v for _, v in sources]
        wanted = list(QUICK_PARTS) if parts is None else parts
        return [
            note_of(trace, step),
            gr.update(choices=sources, value=source if source in known else next(iter(known), None)),
            class_update(class_choices(trace, step)),
            gr.update(choices=offered, value=[v for _, v in offered if v in wanted]),
        ]

    def measure(
        self,
        shown: Shown | None,
        source: str | None,
        class_index: int | None,
        step: int | None,
        parts: list[str] | None,
        *,
        tell: Tell,
    ) -> list[Any]:
        """The results for one map, as components and files, and what was measured.

        Raises:
            VizError: nothing to measure, or it cannot be measured. Stopped: from `tell`.
        """
        at = 0.0

        def report_progress(share: float, word: str) -> None:
            nonlocal at
            at = share
            tell(share, word.replace("_", " "))

        shown = required(shown)
        if source is None:
            raise VizError(EMPTY)
        if not parts:
            raise VizError("Choose at least one control.")
        number = step or -1
        picture, model = self.pictures.get(shown.sha256), self.engine.model(shown.model)
        family = model.network.family
        # Some controls compute the map many times without reporting progress.
        map_of = watched(source, Passes.of(model, number).step, family, lambda: tell(at, "maps of changed pictures"))
        report = faithful(
            model,
            picture,
            source=map_of,
            class_index=class_index,
            step=number,
            parts=[p for p in PARTS if p in parts],
            bank=sample_bank(model, number) if "reliance" in parts and family else None,
            geometry=shown.geometry,
            progress=report_progress,
        )
        titles = {v: title for title, v in source_choices(self.trace(shown), number)}
        title = titles.get(source, source).removesuffix(f" ({SLOW})")
        return [*self.drawn(report, title, model.labels), shown]

    def drawn(self, report: Report, title: str, labels: Sequence[str]) -> list[Any]:
        """Updates of the result components for a report."""
        stem = file_stem(
            Path(report.picture).stem, report.model, report.source, "faithfulness", default="faithfulness", limit=100
        )
        base = self.exports.folder() / stem
        files = {
            base.with_name(f"{stem}.json"): as_json_bytes(report.to_json()),
            base.with_name(f"{stem}.csv"): report.to_csv().encode(),
        }
        for path, data in files.items():
            write_whole(path, data)
        return [
            filled(head_html(report, title, labels)),
            filled(curves_plot(report.curves) if report.curves else None),
            filled(curves_html(report.curves) or None),
            filled(None if report.randomisation is None else randomisation_plot(report.randomisation)),
            filled(rest_html(report) or None),
            offered_files(files),
        ]

    def listen(self) -> None:
        """Wire the events."""
        offered = [self.note, self.source, self.cls, self.parts]
        # One at a time, so that the choices of an older picture never arrive after those of a newer one.
        turn: dict[str, Any] = {"concurrency_id": "faithfulness"}
        self.shown.change(
            self.refresh, [self.shown, self.measured], [*offered, self.step, *self._results], **FOLLOWS, **turn
        )
        self.step.input(self.stepped, [self.shown, self.step, self.source, self.parts], offered, **FOLLOWS, **turn)
        job = self.job.run(
            self.job.start.click,
            self.measure,
            [self.shown, self.source, self.cls, self.step, self.parts],
            [*self._results, self.measured],
            show_progress_on=[self.note],
            concurrency_limit=1,
        )
        self.job.listen()
        # Another picture may have come in the meantime.
        job.then(self.outdated, [self.shown, self.measured], self._results, **QUIET, **turn)
