"""Faithfulness tab: does the network use what is shown? Controls of one map of one picture, with what they mean."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
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
from viz.page.attribution_entries import INPUT_METHODS, class_choices
from viz.page.components import class_update
from viz.page.exports import Exports
from viz.page.faithfulness_text import curves_html, head_html, rest_html
from viz.page.grid import toast
from viz.page.running import FOLLOWS, PROGRESS, QUIET, StopButton, Stopped, Tell, telling
from viz.page.session import Pictures, Shown, trace_of
from viz.run.engine import Engine

EMPTY = "Choose a picture first."
# Random weights and stability ask for the map that often, so slow methods take minutes.
SLOW = "minutes: some 40 maps"
STOPPED = "Stopped. Nothing was measured; what stood below stays."


def source_choices(trace: Trace, step: int = -1) -> list[tuple[str, str]]:
    """(words, source) of the maps that can be tested at a step; native attention first, where the step has it."""
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
    """(words, part) of the controls that apply: without gates up to the step there is no reliance on them."""
    if not trace.output.probable:
        return []
    number = trace.step_number(step)
    gated = trace.card.family is not None and any(r.step <= number for r in trace.records)
    return [
        (words_for(p).title + (" (takes longest)" if p == "road" else ""), p) for p in PARTS if p != "reliance" or gated
    ]


def note_of(trace: Trace, step: int = -1) -> str:
    """What is to be measured, and what does not apply."""
    if not trace.output.probable:
        return f"This tab measures the probability of a class, but {trace.card.name} predicts {trace.output.words}."
    said = "Does the network use what is shown? Each control compares the map with something that knows less."
    if trace.card.family is None:
        return f"{said} {trace.card.name} has no attention module, so there is no gate to replace."
    if not any(r.step <= trace.step_number(step) for r in trace.records):
        return f"{said} At step {trace.step_number(step)} the attention has not acted yet, so no gate can be replaced."
    return said


def watched(text: str, step: int, family: str | None, look: Callable[[], None]) -> Source:
    """A source that looks at every map, and with a slow method at every pass, whether it is still wanted."""
    source = source_of(text, step, family)

    def function(network: StepNetwork, x: Tensor, classes: Tensor) -> Tensor:
        look()
        if text not in INPUT_METHODS:
            return source.function(network, x, classes)
        like = x.to(next(network.parameters()))
        return attribute(network, like, classes, text, step=source.step, progress=lambda share: look())

    return replace(source, function=function)


@dataclass(frozen=True)
class Asked:
    """What is to be measured: map, class, step (None: the last) and controls."""

    source: str | None
    class_index: int | None
    step: int | None
    parts: tuple[str, ...]


class FaithfulnessTab:
    """Components and events of the tab."""

    def __init__(self, engine: Engine, pictures: Pictures) -> None:
        self.engine, self.pictures = engine, pictures
        self.exports = Exports()
        self.note = gr.Markdown(EMPTY, elem_id="faithfulness-note")
        with gr.Row():
            self.source = gr.Dropdown(
                [], label="Map to test", elem_id="faithfulness-source", filterable=False, min_width=200, scale=2
            )
            self.cls = gr.Dropdown(
                [], label="Class", elem_id="faithfulness-class", filterable=False, min_width=260, scale=2
            )
            self.step = gr.Radio([], label="Step", elem_id="faithfulness-step", visible=False, min_width=120)
        with gr.Row(equal_height=True):
            self.parts = gr.CheckboxGroup(
                [(words_for(p).title, p) for p in PARTS],
                value=list(QUICK_PARTS),
                label="Controls",
                elem_id="faithfulness-parts",
                scale=4,
                min_width=240,
            )
            self.start = gr.Button("Measure", variant="primary", elem_id="faithfulness-start", scale=1, min_width=120)
            self.stop = StopButton(self.start, "faithfulness-stop", STOPPED)
        self.head = gr.HTML("", elem_id="faithfulness-result", apply_default_css=False, visible=False)
        self.curves = gr.Plot(visible=False, elem_id="faithfulness-curves", show_label=False)
        self.areas = gr.HTML("", elem_id="faithfulness-areas", apply_default_css=False, visible=False)
        self.random = gr.Plot(visible=False, elem_id="faithfulness-random", show_label=False)
        self.rest = gr.HTML("", elem_id="faithfulness-rest", apply_default_css=False, visible=False)
        self.files = gr.File(label="All numbers", file_count="multiple", visible=False, elem_id="faithfulness-files")
        self.measured = gr.State(None, time_to_live=3600)
        self._results = [self.head, self.curves, self.areas, self.random, self.rest, self.files]

    def refresh(self, shown: Shown | None, measured: Shown | None) -> list[Any]:
        """After a new trace: what can be tested; numbers of the picture before go."""
        if shown is None:
            return [gr.skip()] * 11
        try:
            trace = trace_of(shown, self.engine, self.pictures)
        except VizError:
            return [gr.skip()] * 11
        steps = [(str(s), s) for s in range(1, trace.steps + 1)]
        step = gr.update(choices=steps, value=trace.steps, visible=trace.steps > 1)
        return [*self._offer(trace, trace.steps, None, None), step, *self.outdated(shown, measured)]

    def outdated(self, shown: Shown | None, measured: Shown | None) -> list[Any]:
        """Numbers of what was above before go."""
        return [gr.skip() if measured == shown else gr.update(value=None, visible=False)] * 6

    def stepped(self, shown: Shown | None, step: int | None, source: str | None, parts: list[str] | None) -> list[Any]:
        """After another step: its classes, and what applies there."""
        if shown is None or step is None:
            return [gr.skip()] * 4
        try:
            return self._offer(trace_of(shown, self.engine, self.pictures), int(step), source, parts)
        except VizError:
            return [gr.skip()] * 4

    def _offer(self, trace: Trace, step: int, source: str | None, parts: list[str] | None) -> list[Any]:
        sources, classes, offered = source_choices(trace, step), class_choices(trace, step), part_choices(trace, step)
        known = [v for _, v in sources]
        wanted = list(QUICK_PARTS) if parts is None else parts
        return [
            note_of(trace, step),
            gr.update(choices=sources, value=source if source in known else next(iter(known), None)),
            class_update(classes),
            gr.update(choices=offered, value=[v for _, v in offered if v in wanted]),
        ]

    def measure(self, shown: Shown | None, asked: Asked, tell: Tell = lambda share, word: None) -> list[Any]:
        """The numbers of one map, drawn, told and as files, and what they are of.

        Raises:
            Stopped: from `tell`.
        """
        at = 0.0

        def part(share: float, word: str) -> None:
            nonlocal at
            at = share
            tell(share, word.replace("_", " "))

        try:
            source, number = asked.source, asked.step or -1
            if shown is None or source is None:
                raise VizError(EMPTY)
            if not asked.parts:
                raise VizError("Choose at least one control.")
            picture, model = self.pictures.get(shown.sha256), self.engine.model(shown.model)
            # Some controls ask for the map many times without a sign of progress.
            step = Passes.of(model, number).step
            map_of = watched(source, step, model.network.family, lambda: tell(at, "maps of changed pictures"))
            bank = sample_bank(model, number) if "reliance" in asked.parts and model.network.family else None
            report = faithful(
                model,
                picture,
                source=map_of,
                class_index=asked.class_index,
                step=number,
                parts=[p for p in PARTS if p in asked.parts],
                bank=bank,
                geometry=shown.geometry,
                progress=part,
            )
            trace = trace_of(shown, self.engine, self.pictures)
        except VizError as error:
            toast(str(error))
            return [gr.skip()] * 7
        words = {v: w for w, v in source_choices(trace, number)}.get(source, source).removesuffix(f" ({SLOW})")
        return [*self.drawn(report, words, model.labels), shown]

    def drawn(self, report: Report, words: str, labels: Sequence[str]) -> list[Any]:
        """The components' values for a report."""
        hidden = gr.update(value=None, visible=False)
        curves = gr.update(value=curves_plot(report.curves), visible=True) if report.curves else hidden
        areas, rest = curves_html(report.curves), rest_html(report)
        random = hidden
        if report.randomisation is not None:
            random = gr.update(value=randomisation_plot(report.randomisation), visible=True)
        base = self.exports.folder() / file_stem(report)
        paths = [base.with_name(f"{base.name}.{kind}") for kind in ("json", "csv")]
        write_whole(paths[0], as_json_bytes(report.to_json()))
        write_whole(paths[1], report.to_csv().encode())
        return [
            gr.update(value=head_html(report, words, labels), visible=True),
            curves,
            gr.update(value=areas, visible=bool(areas)),
            random,
            gr.update(value=rest, visible=bool(rest)),
            gr.update(value=[str(p) for p in paths], visible=True),
        ]

    def listen(self, shown: gr.State) -> None:
        """Wire the events; `shown` is what the visitor looks at."""

        def started(values: dict[Any, Any], request: gr.Request, progress: gr.Progress = PROGRESS) -> list[Any]:
            asked = Asked(values[self.source], values[self.cls], values[self.step], tuple(values[self.parts] or ()))
            with self.stop.running.started(request.session_hash) as check:
                try:
                    return self.measure(values[shown], asked, telling(progress, check))
                except Stopped:
                    return [gr.skip()] * 7

        offered = [self.note, self.source, self.cls, self.parts]
        # One after the other, so that the choices of an older picture never come after those of a newer one.
        turn: dict[str, Any] = {"concurrency_id": "faithfulness"}
        shown.change(self.refresh, [shown, self.measured], [*offered, self.step, *self._results], **FOLLOWS, **turn)
        self.step.input(self.stepped, [shown, self.step, self.source, self.parts], offered, **FOLLOWS, **turn)
        job = self.stop.run(
            self.start.click,
            started,
            {shown, self.source, self.cls, self.step, self.parts},
            [*self._results, self.measured],
            show_progress_on=[self.note],
            concurrency_limit=1,
        )
        self.stop.listen()
        # Another picture may have come while the controls ran.
        job.then(self.outdated, [shown, self.measured], self._results, **QUIET, **turn)


def file_stem(report: Report) -> str:
    """A file name that says which picture, model and map: letters, digits, dots, dashes and underscores only."""
    text = "-".join([Path(report.picture).stem, report.model, report.source, "faithfulness"])
    return re.sub(r"[^A-Za-z0-9._-]+", "_", text)[:100].strip("._") or "faithfulness"
