"""Channels tab: the searchlight's channel values as an interactive plot, and what single channels saw."""

from __future__ import annotations

import json
from typing import Any

import gradio as gr
import numpy as np

from viz.attention.probe import AttentionRecord
from viz.engine import Engine
from viz.errors import VizError
from viz.figures import plots
from viz.trace import Trace
from viz.ui.exports import Exports
from viz.ui.payload import block_title, channel_entry, error_message, trace_key
from viz.ui.session import Pictures, Shown, trace_of

STRONGEST = 12


def channel_records(trace: Trace) -> list[AttentionRecord]:
    """Channel vectors of a trace: gates where there are gates, else the logits; deepest module first."""
    found = [r for r in trace.records if r.kind == "channel"]
    gated = {r.path for r in found if r.label == "channel_gate"}
    kept = [r for r in found if r.label == "channel_gate" or r.path not in gated]
    return list(reversed(kept))


def choices_of(trace: Trace) -> list[tuple[str, str]]:
    """(words, value) of every channel vector; the value is ``name:step``."""
    return [(f"{block_title(r.path)}, step {r.step}", f"{r.name}:{r.step}") for r in channel_records(trace)]


def strongest(record: AttentionRecord, count: int = STRONGEST) -> list[tuple[str, int]]:
    """(words, channel) of the largest values, largest first."""
    # A gate's largest values pass the most; logits act by their size, whatever their sign.
    size = record.values if record.label == "channel_gate" else np.abs(record.values)
    order = np.argsort(-size, kind="stable")[:count]
    return [(f"{int(c)} ({record.values[c]:.3g})", int(c)) for c in order]


class ChannelsTab:
    """Components and events of the tab."""

    def __init__(self, engine: Engine, pictures: Pictures) -> None:
        self.engine, self.pictures = engine, pictures
        self.note = gr.Markdown("Choose a picture first.", elem_id="channels-note")
        self.which = gr.Dropdown([], label="Searchlight", visible=False, elem_id="which-channels", filterable=False)
        self.plot = gr.Plot(visible=False, elem_id="channel-plot", show_label=False)
        self.pick = gr.Radio(
            [], label="Strongest channels: choose one to see its feature map above", visible=False, elem_id="pick"
        )
        self.save = gr.Button("Take this plot home as an interactive HTML page", visible=False, elem_id="save-plot")
        self.saved = gr.File(label="Interactive plot", visible=False, elem_id="saved-plot")
        self.exports = Exports()

    def _select(self, value: str | None, shown: Shown | None) -> tuple[Trace, AttentionRecord] | None:
        if shown is None or not value:
            return None
        trace = trace_of(shown, self.engine, self.pictures)
        name, _, step = value.rpartition(":")
        return trace, trace.record(name, int(step))

    def refresh(self, shown: Shown | None, value: str | None) -> list[Any]:
        """After a new trace: which vectors there are, and the plot of one of them."""
        hidden = gr.update(visible=False)
        if shown is None:
            return [gr.skip()] * 5
        try:
            choices = choices_of(trace_of(shown, self.engine, self.pictures))
        except VizError as error:
            return [str(error), hidden, hidden, hidden, hidden]
        if not choices:
            return ["This model has no channel attention.", hidden, hidden, hidden, hidden]
        values = [v for _, v in choices]
        chosen = value if value in values else values[0]
        return ["", gr.update(choices=choices, value=chosen, visible=True), *self.draw(chosen, shown)]

    def draw(self, value: str | None, shown: Shown | None) -> list[Any]:
        """The plot, the strongest channels and the file of one vector."""
        try:
            found = self._select(value, shown)
        except VizError:
            found = None
        if found is None:
            return [gr.update(visible=False)] * 3
        trace, record = found
        figure = plots.channel_plot(trace, record.path, record.step, label=record.label)
        return [
            gr.update(value=figure, visible=True),
            gr.update(choices=strongest(record), value=None, visible=True),
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
        path = self.exports.folder() / f"{trace.card.name}-{record.label}-step{record.step}.html"
        path.write_text(plots.to_html(figure, title), encoding="utf-8")
        return gr.update(value=str(path), visible=True)

    def feature(self, channel: int | None, value: str | None, shown: Shown | None) -> Any:
        """The gated input of one channel, sent to the viewer."""
        if channel is None:
            return gr.skip()
        try:
            found = self._select(value, shown)
            if found is None:
                return gr.skip()
            trace, record = found
            entry = channel_entry(trace, record.path, int(channel))
            if entry is None:
                return gr.HTML(extra=error_message(f"Channel {channel} was not captured."))
            message = {"key": trace_key(trace), "maps": [entry], "pick": None, "show": entry["name"]}
            return gr.HTML(extra=json.dumps(message))
        except VizError as error:
            return gr.HTML(extra=error_message(str(error)))

    def listen(self, after: Any, shown: gr.State, canvas: gr.HTML) -> None:
        """Wire the events; `after` is the event that brings a new trace."""
        quiet: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
        drawn = [self.plot, self.pick, self.save]
        after.success(self.refresh, [shown, self.which], [self.note, self.which, *drawn], **quiet)
        after.success(lambda: gr.update(value=None, visible=False), None, self.saved, **quiet)
        self.which.input(self.draw, [self.which, shown], drawn, **quiet)
        self.save.click(self.write, [self.which, shown], self.saved, api_visibility="private")
        self.pick.input(self.feature, [self.pick, self.which, shown], canvas, **quiet)

        def clicked(event: gr.EventData, value: str | None, now: Shown | None) -> Any:
            channel = event._data.get("channel") if isinstance(event._data, dict) else None
            return self.feature(channel if isinstance(channel, int) else None, value, now)

        canvas.pick_channel(clicked, [self.which, shown], canvas, **quiet)
