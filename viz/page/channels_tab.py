"""Channels tab: one value a channel as an interactive plot, and what the strongest and weakest channels saw."""

from __future__ import annotations

import json
import re
from typing import Any

import gradio as gr
import numpy as np

from viz.core.record import Record
from viz.core.trace import Trace
from viz.errors import VizError
from viz.figures import plots
from viz.figures.plots import channel_vector
from viz.page.entries import group_title
from viz.page.exports import Exports
from viz.page.payload import channel_entry, error_message, trace_key, words
from viz.page.running import FOLLOWS
from viz.page.session import Pictures, Shown, trace_of
from viz.run.engine import Engine

STRONGEST, WEAKEST = 12, 6
# Rows of a softmax over the places all have the same mean.
_FLAT = frozenset({"value_softmax"})


def channel_records(trace: Trace) -> list[Record]:
    """Channel vectors of a trace: gates where there are gates, else the logits; gates first, then deepest first."""
    found = [r for r in trace.records if r.tap.is_vector]
    gated = {r.path for r in found if r.label == "channel_gate"}
    deepest_first = [r for r in reversed(found) if r.label != "channel_logits" or r.path not in gated]
    return sorted(deepest_first, key=lambda r: r.label != "channel_gate")


def joint_records(trace: Trace) -> list[Record]:
    """Joint values, whose mean over the cells is one value a channel; deepest first."""
    found = [r for r in trace.records if r.tap.is_maps and r.label not in _FLAT and r.values.shape[0] > 1]
    return list(reversed(found))


def choices_of(trace: Trace) -> list[tuple[str, str]]:
    """(words, value) of every channel vector and of every joint value's mean; the value is ``name:step``."""
    only_gates = {r.label for r in channel_records(trace)} <= {"channel_gate"}
    choices = []
    for r in [*channel_records(trace), *joint_records(trace)]:
        what = "" if only_gates and r.tap.is_vector else f"{words(r.label)}, "
        what = f"{what}mean over the cells, " if r.tap.is_maps else what
        choices.append((f"{what}{group_title(trace, r.path)}, step {r.step}", f"{r.name}:{r.step}"))
    return choices


def told(record: Record) -> str:
    """What must be said of a vector before it is read, or nothing."""
    if not record.tap.varies_with_picture:
        return "These weights are learned and the same for every picture: they say nothing about this one."
    if record.tap.random_draw:
        return "These numbers are random draws, neither learned nor inferred: another draw gives others."
    return ""


def strongest(record: Record, count: int = STRONGEST) -> list[tuple[str, int]]:
    """(words, channel) of the largest values, largest first."""
    return _ranked(record)[:count]


def weakest(record: Record, count: int = WEAKEST) -> list[tuple[str, int]]:
    """(words, channel) of the smallest values, smallest first."""
    return _ranked(record)[::-1][:count]


def _ranked(record: Record) -> list[tuple[str, int]]:
    values = channel_vector(record).values
    # What is not negative passes the more the larger it is; signed values act by their size.
    size = values if record.bounds[0] >= 0 else np.abs(values)
    return [(f"{int(c)} ({values[c]:.3g})", int(c)) for c in np.argsort(-size, kind="stable")]


def feature_probe(trace: Trace, record: Record) -> str | None:
    """Full name of the joint value whose channels a vector weighs: itself, or the input of its module or of the nearest
    module around it with as many channels; None where none was captured."""
    if record.tap.is_maps:
        return record.name
    if not record.tap.varies_with_picture:
        return None
    joint = {r.name: len(r.values) for r in trace.records if r.tap.is_maps}
    path = record.path
    while True:
        name = f"{path}.bottom" if path else "bottom"
        if joint.get(name) == len(record.values):
            return name
        if not path:
            break
        path = path.rpartition(".")[0]
    beside = [r.name for r in trace.records if r.tap.is_maps and r.path == record.path]
    return next((n for n in beside if joint[n] == len(record.values)), None)


class ChannelsTab:
    """Components and events of the tab."""

    def __init__(self, engine: Engine, pictures: Pictures) -> None:
        self.engine, self.pictures = engine, pictures
        self.note = gr.Markdown("Choose a picture first.", elem_id="channels-note")
        self.which = gr.Dropdown([], label="Channel values", visible=False, elem_id="which-channels", filterable=False)
        self.plot = gr.Plot(visible=False, elem_id="channel-plot", show_label=False)
        self.pick = gr.Radio(
            [], label="Strongest channels: choose one to see its feature map above", visible=False, elem_id="pick"
        )
        self.weak = gr.Radio([], label="Weakest channels", visible=False, elem_id="pick-weakest")
        self.save = gr.Button("Take this plot home as an interactive HTML page", visible=False, elem_id="save-plot")
        self.saved = gr.File(label="Interactive plot", visible=False, elem_id="saved-plot")
        self.exports = Exports()

    def _select(self, value: str | None, shown: Shown | None) -> tuple[Trace, Record] | None:
        if shown is None or not value:
            return None
        trace = trace_of(shown, self.engine, self.pictures)
        name, _, step = value.rpartition(":")
        return trace, trace.record(name, int(step))

    def refresh(self, shown: Shown | None, value: str | None) -> list[Any]:
        """After a new trace: which vectors there are, the plot of one of them, and no old file."""
        hidden, old = gr.update(visible=False), gr.update(value=None, visible=False)
        if shown is None:
            return [gr.skip()] * 7
        try:
            choices = choices_of(trace_of(shown, self.engine, self.pictures))
        except VizError as error:
            return [str(error), *[hidden] * 5, old]
        if not choices:
            return ["This model has no channel attention.", *[hidden] * 5, old]
        values = [v for _, v in choices]
        chosen = value if value in values else values[0]
        note, *drawn = self.draw(chosen, shown)
        return [note, gr.update(choices=choices, value=chosen, visible=True), *drawn, old]

    def draw(self, value: str | None, shown: Shown | None) -> list[Any]:
        """What must be said, the plot, the strongest and weakest channels and the file of one vector."""
        try:
            found = self._select(value, shown)
        except VizError:
            found = None
        if found is None:
            return ["", *[gr.update(visible=False)] * 4]
        trace, record = found
        figure = plots.channel_plot(trace, record.path, record.step, label=record.label)
        seen = feature_probe(trace, record) is not None
        return [
            told(record),
            gr.update(value=figure, visible=True),
            gr.update(choices=strongest(record), value=None, visible=seen),
            gr.update(choices=weakest(record), value=None, visible=seen),
            gr.update(visible=True),
        ]

    def write(self, value: str | None, shown: Shown | None) -> Any:
        """The plot as one HTML file that needs nothing else."""
        try:
            found = self._select(value, shown)
        except VizError:
            found = None
        if found is None:
            return gr.update(visible=False)
        trace, record = found
        figure = plots.channel_plot(trace, record.path, record.step, label=record.label)
        title = f"{trace.card.name}: {record.name}, step {record.step}"
        stem = re.sub(r"[^A-Za-z0-9._-]+", "_", f"{trace.card.name}-{record.label}-step{record.step}")
        path = self.exports.folder() / f"{stem}.html"
        path.write_text(plots.to_html(figure, title), encoding="utf-8")
        return gr.update(value=str(path), visible=True)

    def feature(self, channel: int | None, value: str | None, shown: Shown | None) -> Any:
        """The map of one channel, sent to the viewer."""
        if channel is None:
            return gr.skip()
        try:
            found = self._select(value, shown)
            if found is None:
                return gr.skip()
            trace, record = found
            probe = feature_probe(trace, record)
            if probe is None:
                return gr.HTML(extra=error_message("These values have no feature maps of their own to show."))
            entry = channel_entry(trace, probe, int(channel))
            if entry is None:
                return gr.HTML(extra=error_message(f"Channel {channel} was not captured."))
            message = {"key": trace_key(trace), "maps": [entry], "pick": None, "show": entry["name"]}
            return gr.HTML(extra=json.dumps(message))
        except VizError as error:
            return gr.HTML(extra=error_message(str(error)))

    def listen(self, shown: gr.State, canvas: gr.HTML) -> None:
        """Wire the events; `shown` is what the visitor looks at."""
        # One after the other, so that nothing of an older picture comes after what a newer one brought.
        quiet: dict[str, Any] = {**FOLLOWS, "concurrency_id": "channels"}
        drawn = [self.plot, self.pick, self.weak, self.save]
        shown.change(self.refresh, [shown, self.which], [self.note, self.which, *drawn, self.saved], **quiet)
        self.which.input(self.draw, [self.which, shown], [self.note, *drawn], **quiet)
        self.save.click(
            self.write, [self.which, shown], self.saved, api_visibility="private", concurrency_id="channels"
        )
        for radio in (self.pick, self.weak):
            radio.input(self.feature, [radio, self.which, shown], canvas, **quiet)

        def clicked(event: gr.EventData, value: str | None, now: Shown | None) -> Any:
            channel = event._data.get("channel") if isinstance(event._data, dict) else None
            return self.feature(channel if isinstance(channel, int) else None, value, now)

        canvas.pick_channel(clicked, [self.which, shown], canvas, **quiet)
