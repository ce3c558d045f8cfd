"""Figure tab: choose panels, see the figure, download it with its numbers."""

from __future__ import annotations

import base64
import html
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import gradio as gr

from viz.core.heatmap import PALETTES
from viz.core.record import Record
from viz.core.trace import Trace
from viz.core.words import label_words
from viz.core.words import words as map_words
from viz.errors import FigureError, VizError
from viz.figures import PRESETS, Figure, FigureSpec, Panel, figure
from viz.figures.defaults import default_panels
from viz.figures.shorthand import panel_text, parse_panel
from viz.figures.spec import FIGURE_PALETTES, SCALES
from viz.geometry import INTERPOLATIONS
from viz.page.channels_tab import channel_records
from viz.page.entries import block_title
from viz.page.session import Pictures, Shown
from viz.page.tab import FOLLOWS, Tab, file_stem, hidden, offered_files
from viz.run.engine import Engine

PREVIEW_DPI = 130
FORMATS = ("pdf", "svg", "png")
# Runs in the browser before the preview is requested: says in the last input whether anyone can see it.
ASK_IF_OPEN = """(...values) =>
  [...values.slice(0, -1), document.querySelector("#preview")?.checkVisibility() ?? false]"""
SCALE_WORDS = [
    ("shared over the steps", "steps"),
    ("each map alone", "image"),
    ("range of the operation", "raw"),
    ("fixed numbers", "fixed"),
]
DRAWN = [
    ("titles", "titles"),
    ("letters", "letters"),
    ("colour bar", "colour_bar"),
    ("same range for the same quantity (unless each map alone)", "shared_scale"),
    ("crop frame", "crop_frame"),
    ("only what the network saw", "seen"),
]


def panel_choices(trace: Trace) -> list[tuple[str, str]]:
    """(text, shorthand) of every panel that needs no further choice."""

    def record_choice(r: Record) -> tuple[str, str]:
        return f"{label_words(r.label)}, {block_title(r.path)}, step {r.step}", f"{r.name}:{r.step}"

    choices = [("picture", "picture")]
    answer = trace.output_map
    if answer is not None:
        boxed = "boxes" if answer.kind == "cam" else f"boxes({answer})"
        for t in range(1, trace.steps + 1):
            choices.append((f"{map_words(answer)}, step {t}", f"{answer}:{t}"))
            choices.append((f"boxes, step {t}", f"{boxed}:{t}"))
        if trace.steps > 1:
            choices.append(("boxes of all steps", f"{boxed}:all"))
    choices += [record_choice(r) for r in reversed(trace.records) if r.tap.is_map]
    for stage in trace.stages:
        if stage.show is not None and stage.show.map != answer:
            choices.append((f"story: {stage.title}", str(stage.map)))
    return choices + [record_choice(r) for r in channel_records(trace)]


def titled(panels: list[Panel], titles: str) -> list[Panel]:
    """Panels with the user's own titles, one per line; an empty line keeps the default title, a dash removes it."""
    lines = [line.strip() for line in (titles or "").splitlines()]
    out = list(panels)
    for i, (panel, line) in enumerate(zip(panels, lines, strict=False)):
        if line:
            out[i] = replace(panel, title="" if line == "-" else line)
    return out


class FigureTab(Tab):
    """Components and events of the tab."""

    def __init__(self, engine: Engine, pictures: Pictures, shown: gr.State) -> None:
        super().__init__(engine, pictures, shown)
        self.panels = gr.Dropdown(
            value=[],
            multiselect=True,
            allow_custom_value=True,
            label="Panels, in the order in which you choose them",
            elem_id="panels",
        )
        # Controls by the field of `FigureSpec` that they set.
        self.fields = fields = dict[str, Any]()
        menu: dict[str, Any] = {"filterable": False, "min_width": 150}
        with gr.Row():
            venues = [(p.title, p.name) for p in PRESETS.values()]
            fields["preset"] = gr.Dropdown(venues, value="cvpr", label="Venue", **menu)
            fields["columns"] = gr.Radio([("one column", 1), ("two columns", 2)], value=2, label="Width", min_width=150)
            fields["scale"] = gr.Dropdown(SCALE_WORDS, value="steps", label="Scale", **menu)
            self.low = gr.Number(0, label="from", visible=False, min_width=80)
            self.high = gr.Number(1, label="to", visible=False, min_width=80)
        with gr.Row():
            palettes = [("fits the map", "auto"), *((p, p) for p in PALETTES)]
            fields["palette"] = gr.Dropdown(palettes, value="auto", label="Palette", elem_id="figure-palette", **menu)
            interpolations = [("cells (native)", "cells"), ("bilinear", "bilinear"), ("bicubic", "bicubic")]
            fields["interpolation"] = gr.Dropdown(interpolations, value="cells", label="Interpolation", **menu)
            fields["opacity"] = gr.Slider(0, 1, 0.55, step=0.05, label="Opacity", min_width=150)
            fields["threshold"] = gr.Slider(0, 1, 0.5, step=0.01, label="Box threshold", min_width=150)
        self.options = gr.CheckboxGroup(DRAWN, value=[v for _, v in DRAWN if v != "seen"], label="Drawn")
        with gr.Accordion("Own titles", open=False):
            hint = "One line per panel; an empty line keeps the default title, - removes it"
            self.titles = gr.Textbox("", lines=3, show_label=False, placeholder=hint)
        self.preview = gr.HTML("<p>Choose a picture first.</p>", elem_id="preview", apply_default_css=False)
        with gr.Row():
            self.format = gr.Radio(list(FORMATS), value="pdf", label="Format", min_width=150)
            fields["dpi"] = gr.Radio([300, 600], value=300, label="PNG resolution (dpi)", min_width=150)
            self.make = gr.Button("Create the files", variant="primary", elem_id="make-figure", min_width=150)
        self.files = gr.File(
            label="Figure, raw maps (npz), record (JSON), caption (LaTeX), and all of them in one zip",
            file_count="multiple",
            visible=False,
            elem_id="figure-files",
        )
        # Created last, because Gradio orders a set of inputs by age and `ASK_IF_OPEN` fills in the last one.
        self.seen = gr.Checkbox(visible=False)
        self._controls = [self.panels, *self.fields.values(), self.low, self.high, self.options, self.titles]

    def _figure(self, values: dict[Any, Any]) -> Figure:
        """The figure that the controls describe.

        Raises:
            VizError: no picture, no panel, or options that do not go together.
        """
        trace = self.trace(values[self.shown])
        if not values[self.panels]:
            raise FigureError("Choose at least one panel.")
        fields = {name: values[control] for name, control in self.fields.items()}
        fields |= {name: float(fields[name]) for name in ("opacity", "threshold")}
        fields |= {name: int(fields[name]) for name in ("columns", "dpi")}
        drawn = values[self.options]
        fields |= {name: name in drawn for name in ("titles", "letters", "colour_bar", "crop_frame")}
        spec = FigureSpec(
            tuple(titled([parse_panel(p) for p in values[self.panels]], values[self.titles])),
            fixed=(float(values[self.low] or 0), float(values[self.high] or 0)) if fields["scale"] == "fixed" else None,
            view="seen" if "seen" in drawn else "picture",
            shared_scale="shared_scale" in drawn and fields["scale"] != "image",
            **fields,
        )
        return figure(trace, spec=spec)

    def draw(self, values: dict[Any, Any]) -> Any:
        """The live preview as an inline picture; unchanged while nobody can see it."""
        if not values[self.seen]:
            return gr.skip()
        try:
            data = self._figure(values).to_bytes("png", PREVIEW_DPI)
        except VizError as error:
            return f"<p>{html.escape(str(error))}</p>"
        source = f"data:image/png;base64,{base64.b64encode(data).decode()}"
        return f'<img alt="Preview of the figure" src="{source}" style="max-width:100%;background:#fff">'

    def write(self, values: dict[Any, Any]) -> tuple[Any, Any]:
        """The figure and its accompanying files."""
        kind = values[self.format]
        try:
            made = self._figure(values)
            stem = file_stem(Path(made.trace.picture.name).stem, made.trace.card.name, default="figure")
            base = self.exports.folder() / stem
            paths = made.save(base.with_name(f"{stem}.{kind if kind in FORMATS else 'pdf'}"))
        except VizError as error:
            return gr.update(visible=False), f"<p>{html.escape(str(error))}</p>"
        bundle = base.with_name(f"{stem}.zip")
        with zipfile.ZipFile(bundle, "w", zipfile.ZIP_DEFLATED) as archive:
            for path in paths:
                archive.write(path, path.name)
        return offered_files([*paths, bundle]), gr.skip()

    def refresh(self, shown: Shown | None, chosen: list[str] | None) -> Any:
        """Updates for a new trace: the panels to choose from, keeping the choice if it still holds; no old files."""
        trace = self.trace_or_none(shown)
        if trace is None:
            return gr.skip()
        choices = panel_choices(trace)
        known = {value for _, value in choices}
        # A panel that names a class belonged to the previous picture, so it is not kept.
        if not chosen or not known.issuperset(chosen):
            chosen = [panel_text(panel) for panel in default_panels(trace)]
        return gr.update(choices=choices, value=chosen), hidden()

    def add(self, event: gr.EventData, chosen: list[str] | None) -> Any:
        """Updates that add the viewer's present view as a panel, with its look."""
        view = event._data if isinstance(event._data, dict) else {}
        try:
            panel = panel_text(parse_panel(str(view.get("panel"))))
        except VizError:
            return gr.skip()
        updates: dict[Any, Any] = {self.panels: [*(chosen or []), panel]}
        allowed = {"palette": FIGURE_PALETTES, "interpolation": INTERPOLATIONS, "scale": SCALES}
        for name, values in allowed.items():
            if isinstance(view.get(name), str) and view[name] in values:
                updates[self.fields[name]] = view[name]
        for name in ("opacity", "threshold"):
            if isinstance(view.get(name), int | float) and 0 <= view[name] <= 1:
                updates[self.fields[name]] = view[name]
        is_fixed, fixed = view.get("scale") == "fixed", view.get("fixed")
        for i, component in enumerate((self.low, self.high)):
            updates[component] = gr.update(visible=is_fixed)
            if is_fixed and isinstance(fixed, list) and len(fixed) == 2:
                updates[component] = gr.update(value=fixed[i], visible=True)
        return updates

    def listen(self, canvas: gr.HTML, tab: gr.Tab) -> None:
        """Wire the events; `tab` is the tab that holds all this."""
        # One at a time, so that nothing of an older picture arrives after a newer one.
        quiet: dict[str, Any] = {**FOLLOWS, "concurrency_id": "figure"}
        preview: dict[str, Any] = {
            "fn": self.draw,
            "inputs": {self.shown, *self._controls, self.seen},
            "outputs": self.preview,
            "js": ASK_IF_OPEN,
            **quiet,
        }
        self.shown.change(self.refresh, [self.shown, self.panels], [self.panels, self.files], **quiet).then(**preview)
        tab.select(**{**preview, "js": "(...values) => [...values.slice(0, -1), true]"})
        for component in self._controls:
            component.input(**preview)
        scale = self.fields["scale"]
        scale.input(lambda s: [gr.update(visible=s == "fixed")] * 2, scale, [self.low, self.high], queue=False, **quiet)
        self.make.click(
            self.write,
            {self.shown, self.format, *self._controls},
            [self.files, self.preview],
            api_visibility="private",
            concurrency_id="figure",
        )
        looks = [self.fields[name] for name in ("palette", "interpolation", "opacity", "scale", "threshold")]
        canvas.add_panel(self.add, self.panels, [self.panels, *looks, self.low, self.high], **quiet).then(**preview)
