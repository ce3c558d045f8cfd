"""Figure tab: choose panels, see the figure, take it home with its numbers."""

from __future__ import annotations

import base64
import html
import zipfile
from dataclasses import replace
from typing import Any

import gradio as gr

from viz.engine import Engine
from viz.errors import FigureError, VizError
from viz.figures import PRESETS, Figure, FigureSpec, Panel, figure
from viz.figures.shorthand import parse_panel
from viz.maps import PALETTES
from viz.trace import Trace
from viz.ui.channels_tab import channel_records
from viz.ui.exports import Exports
from viz.ui.payload import block_title, words
from viz.ui.session import Pictures, Shown, trace_of

PREVIEW_DPI = 130
FORMATS = ("pdf", "svg", "png")


def default_panels(trace: Trace) -> list[str]:
    """The photo, the class map of each step and the last spatial gate of each step that has one."""
    steps = range(1, trace.steps + 1)
    gates = [r for r in trace.records if r.label == "spatial_gate"]
    deepest = gates[-1].path if gates else None
    shown = [f"{r.name}:{r.step}" for r in gates if r.path == deepest]
    return ["picture", *(f"class_map:{t}" for t in steps), *shown]


def panel_choices(trace: Trace) -> list[tuple[str, str]]:
    """(words, shorthand) of every panel that can be offered without a question back."""
    steps = range(1, trace.steps + 1)
    choices = [("picture", "picture")]
    for t in steps:
        choices.append((f"class map, step {t}", f"class_map:{t}"))
        choices.append((f"boxes, step {t}", f"boxes:{t}"))
    if trace.steps > 1:
        choices.append(("boxes of all steps", "boxes:all"))
    for r in reversed([r for r in trace.records if r.kind == "spatial"]):
        choices.append((f"{words(r.label)}, {block_title(r.path)}, step {r.step}", f"{r.name}:{r.step}"))
    for r in channel_records(trace):
        choices.append((f"{words(r.label)}, {block_title(r.path)}, step {r.step}", f"{r.name}:{r.step}"))
    return choices


def titled(panels: list[Panel], titles: str) -> list[Panel]:
    """Panels with the user's own titles, one a line; an empty line keeps the usual title, a dash takes it away."""
    lines = (titles or "").splitlines()
    out = []
    for i, panel in enumerate(panels):
        line = lines[i].strip() if i < len(lines) else ""
        out.append(panel if not line else replace(panel, title="" if line == "-" else line))
    return out


class FigureTab:
    """Components and events of the tab."""

    def __init__(self, engine: Engine, pictures: Pictures) -> None:
        self.engine, self.pictures = engine, pictures
        self.exports = Exports()
        self.panels = gr.Dropdown(
            [],
            value=[],
            multiselect=True,
            allow_custom_value=True,
            label="Panels, in the order in which you choose them",
            elem_id="panels",
        )
        with gr.Row():
            names = [(p.title, p.name) for p in PRESETS.values()]
            self.preset = gr.Dropdown(names, value="cvpr", label="Venue", filterable=False, min_width=150)
            self.columns = gr.Radio([("one column", 1), ("two columns", 2)], value=2, label="Width", min_width=150)
            self.scale = gr.Dropdown(
                [
                    ("shared over the steps", "steps"),
                    ("each map alone", "image"),
                    ("range of the operation", "raw"),
                    ("fixed numbers", "fixed"),
                ],
                value="steps",
                label="Scale",
                filterable=False,
                min_width=150,
            )
            self.low = gr.Number(0, label="from", visible=False, min_width=80)
            self.high = gr.Number(1, label="to", visible=False, min_width=80)
        with gr.Row():
            self.palette = gr.Dropdown(
                list(PALETTES), value="inferno", label="Palette", filterable=False, min_width=150
            )
            self.interpolation = gr.Dropdown(
                [("cells (native)", "cells"), ("bilinear", "bilinear"), ("bicubic", "bicubic")],
                value="cells",
                label="Interpolation",
                filterable=False,
                min_width=150,
            )
            self.opacity = gr.Slider(0, 1, 0.55, step=0.05, label="Opacity", min_width=150)
            self.threshold = gr.Slider(0, 1, 0.5, step=0.01, label="Threshold of boxes", min_width=150)
        self.options = gr.CheckboxGroup(
            [
                ("titles", "titles"),
                ("letters", "letters"),
                ("colour bar", "colour_bar"),
                ("one range for one quantity", "shared_scale"),
                ("crop frame", "crop_frame"),
                ("only what the network saw", "seen"),
            ],
            value=["titles", "letters", "colour_bar", "shared_scale", "crop_frame"],
            label="Drawn",
        )
        with gr.Accordion("Own titles", open=False):
            self.titles = gr.Textbox(
                "", lines=3, show_label=False, placeholder="One line a panel; empty keeps the usual title, - removes it"
            )
        self.preview = gr.HTML("<p>Choose a picture first.</p>", elem_id="preview", apply_default_css=False)
        with gr.Row():
            self.format = gr.Radio(list(FORMATS), value="pdf", label="Format", min_width=150)
            self.dpi = gr.Radio([300, 600], value=300, label="PNG resolution (dpi)", min_width=150)
            self.make = gr.Button("Make the files", variant="primary", elem_id="make-figure", min_width=150)
        self.files = gr.File(
            label="Figure, raw maps (npz), record (JSON), caption (LaTeX), and all of them in one zip",
            file_count="multiple",
            visible=False,
            elem_id="figure-files",
        )
        self._inputs = [
            self.panels, self.preset, self.columns, self.scale, self.low, self.high, self.palette, self.interpolation,
            self.opacity, self.threshold, self.options, self.titles, self.dpi,
        ]  # fmt: skip

    def _figure(self, shown: Shown | None, values: tuple[Any, ...]) -> Figure:
        if shown is None:
            raise FigureError("Choose a picture first.")
        panels, preset, columns, scale, low, high, palette, interpolation, *rest = values
        opacity, threshold, drawn, own_titles, dpi = rest
        if not panels:
            raise FigureError("Choose at least one panel.")
        spec = FigureSpec(
            tuple(titled([parse_panel(p) for p in panels], own_titles)),
            preset=preset,
            columns=int(columns),
            palette=palette,
            opacity=float(opacity),
            interpolation=interpolation,
            scale=scale,
            fixed=(float(low or 0), float(high or 0)) if scale == "fixed" else None,
            threshold=float(threshold),
            view="seen" if "seen" in drawn else "picture",
            dpi=int(dpi),
            titles="titles" in drawn,
            letters="letters" in drawn,
            colour_bar="colour_bar" in drawn,
            shared_scale="shared_scale" in drawn,
            crop_frame="crop_frame" in drawn,
        )
        return figure(trace_of(shown, self.engine, self.pictures), spec=spec)

    def draw(self, shown: Shown | None, *values: Any) -> str:
        """The live preview, as an inline picture."""
        try:
            data = self._figure(shown, values).to_bytes("png", PREVIEW_DPI)
        except VizError as error:
            return f"<p>{html.escape(str(error))}</p>"
        image = base64.b64encode(data).decode()
        source = f"data:image/png;base64,{image}"
        return f'<img alt="Preview of the figure" src="{source}" style="max-width:100%;background:#fff">'

    def write(self, shown: Shown | None, kind: str, *values: Any) -> tuple[Any, Any]:
        """The figure and what belongs to it, as files."""
        try:
            made = self._figure(shown, values)
            folder = self.exports.folder()
            paths = made.save(folder / f"figure.{kind if kind in FORMATS else 'pdf'}")
        except VizError as error:
            return gr.update(visible=False), f"<p>{html.escape(str(error))}</p>"
        bundle = folder / "figure-and-numbers.zip"
        with zipfile.ZipFile(bundle, "w", zipfile.ZIP_DEFLATED) as archive:
            for path in paths:
                archive.write(path, path.name)
        return gr.update(value=[str(p) for p in (*paths, bundle)], visible=True), gr.skip()

    def refresh(self, shown: Shown | None, chosen: list[str]) -> Any:
        """After a new trace: the panels that can be chosen, keeping the choice where it still holds."""
        if shown is None:
            return gr.skip()
        try:
            trace = trace_of(shown, self.engine, self.pictures)
        except VizError:
            return gr.skip()
        choices = panel_choices(trace)
        known = {value for _, value in choices}
        kept = [c for c in chosen or [] if c in known or "@" in c]
        same = bool(kept) and len(kept) == len(chosen)
        return gr.update(choices=choices, value=kept if same else default_panels(trace))

    def listen(self, after: Any, shown: gr.State, canvas: gr.HTML) -> None:
        """Wire the events; `after` is the event that brings a new trace."""
        quiet: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
        shown_inputs = [shown, *self._inputs]
        after.success(self.refresh, [shown, self.panels], self.panels, **quiet).then(
            self.draw, shown_inputs, self.preview, **quiet
        )
        for component in self._inputs:
            component.input(self.draw, shown_inputs, self.preview, trigger_mode="always_last", **quiet)
        self.scale.input(
            lambda s: [gr.update(visible=s == "fixed")] * 2, self.scale, [self.low, self.high], queue=False, **quiet
        )
        self.make.click(
            self.write, [shown, self.format, *self._inputs], [self.files, self.preview], api_visibility="private"
        )

        def added(event: gr.EventData, chosen: list[str]) -> Any:
            panel = event._data.get("panel") if isinstance(event._data, dict) else None
            try:
                parse_panel(str(panel))
            except VizError:
                return gr.skip()
            return [*(chosen or []), str(panel)]

        canvas.add_panel(added, self.panels, self.panels, **quiet).then(self.draw, shown_inputs, self.preview, **quiet)
