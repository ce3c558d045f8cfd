"""Channels tab: one value per channel as an interactive plot, and feature maps of single channels."""

from __future__ import annotations

from typing import Any

import gradio as gr
import numpy as np

from viz.core.record import Record
from viz.core.trace import Trace
from viz.core.words import label_words
from viz.errors import VizError
from viz.figures import plots
from viz.figures.plots import channel_vector
from viz.page.entries import channel_entry, group_title
from viz.page.payload import error_message, more_maps_message
from viz.page.session import Pictures, Shown
from viz.page.tab import FOLLOWS, Tab, file_stem, filled, hidden
from viz.run.engine import Engine

STRONGEST, WEAKEST = 12, 6
# Rows of a softmax over the places all have the same mean.
_FLAT = frozenset({"value_softmax"})


def channel_records(trace: Trace) -> list[Record]:
    """Channel vectors of a trace, or logits if there are no gates; gates first, then deepest first."""
    found = [r for r in trace.records if r.tap.is_vector]
    gated = {r.path for r in found if r.label == "channel_gate"}
    deepest_first = [r for r in reversed(found) if r.label != "channel_logits" or r.path not in gated]
    return sorted(deepest_first, key=lambda r: r.label != "channel_gate")


def choices_of(trace: Trace) -> list[tuple[str, str]]:
    """(text, value) of every channel vector and of every joint value's mean; the value is ``name:step``."""
    vectors = channel_records(trace)
    joint = [r for r in reversed(trace.records) if r.tap.is_maps and r.label not in _FLAT and r.values.shape[0] > 1]
    only_gates = {r.label for r in vectors} <= {"channel_gate"}
    choices = []
    for r in [*vectors, *joint]:
        what = "" if only_gates and r.tap.is_vector else f"{label_words(r.label)}, "
        what = f"{what}mean over the cells, " if r.tap.is_maps else what
        choices.append((f"{what}{group_title(trace, r.path)}, step {r.step}", f"{r.name}:{r.step}"))
    return choices


def caveat(record: Record) -> str:
    """What a reader must know before reading a vector, or nothing."""
    if not record.tap.varies_with_picture:
        return "These weights are learned and the same for every picture: they say nothing about this one."
    if record.tap.random_draw:
        return "These numbers are random draws, neither learned nor inferred: another draw gives others."
    return ""


def ranked(record: Record) -> list[tuple[str, int]]:
    """(text, channel) of all channels, strongest first."""
    values = channel_vector(record).values
    # A non-negative value is a gain; a signed one acts by its magnitude.
    size = values if record.bounds[0] >= 0 else np.abs(values)
    return [(f"{int(c)} ({values[c]:.3g})", int(c)) for c in np.argsort(-size, kind="stable")]


def feature_probe(trace: Trace, record: Record) -> str | None:
    """Full name of the joint value whose channels a vector weights, or None if none was captured.

    This is the joint value itself, or the input of its module, or that of the nearest enclosing module with as many
    channels, or another joint value of its module.
    """
    if record.tap.is_maps:
        return record.name
    if not record.tap.varies_with_picture:
        return None
    joint = {r.name: len(r.values) for r in trace.records if r.tap.is_maps}
    parts = record.path.split(".") if record.path else []
    inputs = [".".join([*parts[:depth], "bottom"]) for depth in range(len(parts), -1, -1)]
    beside = [r.name for r in trace.records if r.tap.is_maps and r.path == record.path]
    return next((name for name in (*inputs, *beside) if joint.get(name) == len(record.values)), None)


class ChannelsTab(Tab):
    """Components and events of the tab."""

    def __init__(self, engine: Engine, pictures: Pictures, shown: gr.State) -> None:
        super().__init__(engine, pictures, shown)
        self.note = gr.Markdown("Choose a picture first.", elem_id="channels-note")
        self.which = gr.Dropdown(label="Channel values", visible=False, elem_id="which-channels", filterable=False)
        self.plot = gr.Plot(visible=False, elem_id="channel-plot", show_label=False)
        self.pick = gr.Radio(
            [], label="Strongest channels: choose one to see its feature map above", visible=False, elem_id="pick"
        )
        self.weak = gr.Radio([], label="Weakest channels", visible=False, elem_id="pick-weakest")
        self.save = gr.Button("Download this plot as an interactive HTML page", visible=False, elem_id="save-plot")
        self.saved = gr.File(label="Interactive plot", visible=False, elem_id="saved-plot")

    def _selected(self, value: str | None, shown: Shown | None) -> tuple[Trace, Record] | None:
        if shown is None or not value:
            return None
        trace = self.trace(shown)
        name, _, step = value.rpartition(":")
        return trace, trace.record(name, int(step))

    def _plotted(self, value: str | None, shown: Shown | None) -> tuple[Trace, Record, Any] | None:
        """The chosen values with their plot; None if they are gone."""
        try:
            found = self._selected(value, shown)
        except VizError:
            return None
        if found is None:
            return None
        trace, record = found
        return trace, record, plots.channel_plot(trace, record.path, record.step, label=record.label)

    def refresh(self, shown: Shown | None, value: str | None) -> Any:
        """Updates for a new trace: its vectors, the plot of one of them, and no old file."""
        if shown is None:
            return gr.skip()
        gone = [gr.update(visible=False)] * 5
        try:
            choices = choices_of(self.trace(shown))
        except VizError as error:
            return [str(error), *gone, hidden()]
        if not choices:
            return ["This model has no channel attention.", *gone, hidden()]
        values = [v for _, v in choices]
        chosen = value if value in values else values[0]
        note, *drawn = self.draw(chosen, shown)
        return [note, gr.update(choices=choices, value=chosen, visible=True), *drawn, hidden()]

    def draw(self, value: str | None, shown: Shown | None) -> list[Any]:
        """Caveat, plot, strongest and weakest channels and download button of one vector."""
        found = self._plotted(value, shown)
        if found is None:
            return ["", *[gr.update(visible=False)] * 4]
        trace, record, figure = found
        channels, has_maps = ranked(record), feature_probe(trace, record) is not None
        return [
            caveat(record),
            filled(figure),
            gr.update(choices=channels[:STRONGEST], value=None, visible=has_maps),
            gr.update(choices=channels[::-1][:WEAKEST], value=None, visible=has_maps),
            gr.update(visible=True),
        ]

    def write(self, value: str | None, shown: Shown | None) -> Any:
        """The plot as one self-contained HTML file."""
        found = self._plotted(value, shown)
        if found is None:
            return gr.update(visible=False)
        trace, record, figure = found
        title = f"{trace.card.name}: {record.name}, step {record.step}"
        stem = file_stem(trace.card.name, record.label, f"step{record.step}", default="channels", limit=200)
        path = self.exports.folder() / f"{stem}.html"
        path.write_text(plots.to_html(figure, title), encoding="utf-8")
        return filled(str(path))

    def feature(self, channel: int | None, value: str | None, shown: Shown | None) -> Any:
        """The feature map of one channel, sent to the viewer."""
        if channel is None:
            return gr.skip()
        try:
            found = self._selected(value, shown)
            if found is None:
                return gr.skip()
            trace, record = found
            probe = feature_probe(trace, record)
            if probe is None:
                raise VizError("These values have no feature maps of their own to show.")
            entry = channel_entry(trace, probe, int(channel))
            if entry is None:
                raise VizError(f"Channel {channel} was not captured.")
            return gr.HTML(extra=more_maps_message(trace, [entry], show=entry["name"]))
        except VizError as error:
            return gr.HTML(extra=error_message(str(error)))

    def listen(self, canvas: gr.HTML) -> None:
        """Wire the events."""
        # One at a time, so that nothing of an older picture arrives after a newer one.
        quiet: dict[str, Any] = {**FOLLOWS, "concurrency_id": "channels"}
        drawn = [self.plot, self.pick, self.weak, self.save]
        self.shown.change(self.refresh, [self.shown, self.which], [self.note, self.which, *drawn, self.saved], **quiet)
        self.which.input(self.draw, [self.which, self.shown], [self.note, *drawn], **quiet)
        self.save.click(
            self.write, [self.which, self.shown], self.saved, api_visibility="private", concurrency_id="channels"
        )
        for radio in (self.pick, self.weak):
            radio.input(self.feature, [radio, self.which, self.shown], canvas, **quiet)

        def clicked(event: gr.EventData, value: str | None, now: Shown | None) -> Any:
            channel = event._data.get("channel") if isinstance(event._data, dict) else None
            return self.feature(channel if isinstance(channel, int) else None, value, now)

        canvas.pick_channel(clicked, [self.which, self.shown], canvas, **quiet)
