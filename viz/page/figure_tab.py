"""Figure tab: choose panels, see the figure, take it home with its numbers."""

from __future__ import annotations

import base64
import html
import re
import zipfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import gradio as gr

from viz.core.heatmap import PALETTES
from viz.core.trace import Trace
from viz.core.words import words as map_words
from viz.errors import FigureError, VizError
from viz.figures import PRESETS, Figure, FigureSpec, Panel, defaults, figure
from viz.figures.shorthand import panel_text, parse_panel
from viz.figures.spec import FIGURE_PALETTES, SCALES
from viz.geometry import INTERPOLATIONS
from viz.page.channels_tab import channel_records
from viz.page.exports import Exports
from viz.page.payload import block_title, words
from viz.page.running import FOLLOWS
from viz.page.session import Pictures, Shown, trace_of
from viz.run.engine import Engine

PREVIEW_DPI = 130
FORMATS = ("pdf", "svg", "png")
# Runs in the browser before the preview is asked for: says in the first input whether anyone can see it.
ASK_IF_OPEN = """(seen, ...values) => [document.querySelector("#preview")?.checkVisibility() ?? false, ...values]"""


def default_panels(trace: Trace) -> list[str]:
    """The panels of a figure for which nothing was chosen, the same as in Python and on the command line."""
    return [panel_text(panel) for panel in defaults.default_panels(trace)]


def file_stem(trace: Trace) -> str:
    """A file name that says which picture and which model: letters, digits, dots, dashes and underscores only."""
    return (
        re.sub(r"[^A-Za-z0-9._-]+", "_", f"{Path(trace.picture.name).stem}-{trace.card.name}")[:80].strip("._")
        or "figure"
    )


def panel_choices(trace: Trace) -> list[tuple[str, str]]:
    """(words, shorthand) of every panel that can be offered without a question back."""
    steps = range(1, trace.steps + 1)
    choices = [("picture", "picture")]
    answer = trace.output_map
    boxed = "boxes" if answer is None or answer.kind == "cam" else f"boxes({answer})"
    for t in steps:
        if answer is not None:
            choices.append((f"{map_words(answer)}, step {t}", f"{answer}:{t}"))
            choices.append((f"boxes, step {t}", f"{boxed}:{t}"))
    if answer is not None and trace.steps > 1:
        choices.append(("boxes of all steps", f"{boxed}:all"))
    for r in reversed([r for r in trace.records if r.tap.is_map]):
        choices.append((f"{words(r.label)}, {block_title(r.path)}, step {r.step}", f"{r.name}:{r.step}"))
    for stage in trace.stages:
        if stage.show is not None and stage.show.map != answer:
            choices.append((f"story: {stage.title}", str(stage.map)))
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
                [("fits the map", "auto"), *((p, p) for p in PALETTES)],
                value="auto",
                label="Palette",
                filterable=False,
                min_width=150,
                elem_id="figure-palette",
            )
            self.interpolation = gr.Dropdown(
                [("cells (native)", "cells"), ("bilinear", "bilinear"), ("bicubic", "bicubic")],
                value="cells",
                label="Interpolation",
                filterable=False,
                min_width=150,
            )
            self.opacity = gr.Slider(0, 1, 0.55, step=0.05, label="Opacity", min_width=150)
            self.threshold = gr.Slider(0, 1, 0.5, step=0.01, label="Box threshold", min_width=150)
        self.options = gr.CheckboxGroup(
            [
                ("titles", "titles"),
                ("letters", "letters"),
                ("colour bar", "colour_bar"),
                ("one range for one quantity (unless each map alone)", "shared_scale"),
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
            shared_scale="shared_scale" in drawn and scale != "image",
            crop_frame="crop_frame" in drawn,
        )
        return figure(trace_of(shown, self.engine, self.pictures), spec=spec)

    def draw(self, seen: bool, shown: Shown | None, *values: Any) -> Any:
        """The live preview, as an inline picture; nothing new while the tab is closed."""
        if not seen:
            return gr.skip()
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
            stem = file_stem(made.trace)
            paths = made.save(folder / f"{stem}.{kind if kind in FORMATS else 'pdf'}")
        except VizError as error:
            return gr.update(visible=False), f"<p>{html.escape(str(error))}</p>"
        bundle = folder / f"{stem}.zip"
        with zipfile.ZipFile(bundle, "w", zipfile.ZIP_DEFLATED) as archive:
            for path in paths:
                archive.write(path, path.name)
        return gr.update(value=[str(p) for p in (*paths, bundle)], visible=True), gr.skip()

    def refresh(self, shown: Shown | None, chosen: list[str]) -> tuple[Any, Any]:
        """After a new trace: the panels that can be chosen, keeping the choice where it still holds; no old files."""
        if shown is None:
            return gr.skip(), gr.skip()
        try:
            trace = trace_of(shown, self.engine, self.pictures)
        except VizError:
            return gr.skip(), gr.skip()
        choices = panel_choices(trace)
        known = {value for _, value in choices}
        # A class named in a panel belonged to the picture before; only panels without one are kept.
        kept = [c for c in chosen or [] if c in known]
        same = bool(kept) and len(kept) == len(chosen)
        panels = gr.update(choices=choices, value=kept if same else default_panels(trace))
        return panels, gr.update(value=None, visible=False)

    def listen(self, shown: gr.State, canvas: gr.HTML, tab: gr.Tab) -> None:
        """Wire the events; `shown` is what the visitor looks at, `tab` holds this."""
        # One after the other, so that nothing of an older picture comes after what a newer one brought.
        quiet: dict[str, Any] = {**FOLLOWS, "concurrency_id": "figure"}
        seen = gr.Checkbox(visible=False)
        preview: dict[str, Any] = {
            "fn": self.draw, "inputs": [seen, shown, *self._inputs], "outputs": self.preview, "js": ASK_IF_OPEN, **quiet
        }  # fmt: skip
        shown.change(self.refresh, [shown, self.panels], [self.panels, self.files], **quiet).then(**preview)
        tab.select(**{**preview, "js": "(seen, ...values) => [true, ...values]"})
        for component in self._inputs:
            component.input(**preview)
        self.scale.input(
            lambda s: [gr.update(visible=s == "fixed")] * 2, self.scale, [self.low, self.high], queue=False, **quiet
        )
        self.make.click(
            self.write,
            [shown, self.format, *self._inputs],
            [self.files, self.preview],
            api_visibility="private",
            concurrency_id="figure",
        )

        def added(event: gr.EventData, chosen: list[str]) -> list[Any]:
            view = event._data if isinstance(event._data, dict) else {}
            try:
                panel = panel_text(parse_panel(str(view.get("panel"))))
            except VizError:
                return [gr.skip()] * 8
            fixed = view.get("fixed")
            low, high = fixed if isinstance(fixed, list) and len(fixed) == 2 else (gr.skip(), gr.skip())
            return [
                [*(chosen or []), panel],
                _one_of(view.get("palette"), FIGURE_PALETTES),
                _one_of(view.get("interpolation"), INTERPOLATIONS),
                _share(view.get("opacity")),
                _one_of(view.get("scale"), SCALES),
                gr.update(value=low, visible=True) if view.get("scale") == "fixed" else gr.update(visible=False),
                gr.update(value=high, visible=True) if view.get("scale") == "fixed" else gr.update(visible=False),
                _share(view.get("threshold")),
            ]

        taken = [
            self.panels, self.palette, self.interpolation, self.opacity, self.scale, self.low, self.high, self.threshold
        ]  # fmt: skip
        canvas.add_panel(added, self.panels, taken, **quiet).then(**preview)


def _one_of(value: Any, allowed: Sequence[str]) -> Any:
    return value if isinstance(value, str) and value in allowed else gr.skip()


def _share(value: Any) -> Any:
    return value if isinstance(value, int | float) and 0 <= value <= 1 else gr.skip()
