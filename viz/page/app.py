"""The page: layout and events of the whole; the work is done by the rooms below."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import gradio as gr

from viz.errors import PictureError, VizError
from viz.geometry import Mode
from viz.models import DEFAULT_MODEL
from viz.models.cards import imagenet_labels
from viz.models.paths import bundled
from viz.page.attribution_tab import AttributionTab
from viz.page.card import card_markdown
from viz.page.channels_tab import ChannelsTab
from viz.page.compare_tab import CompareTab
from viz.page.components import COUNT_TURN, FORGET_REFUSED, offered, picture_input, viewer
from viz.page.entries import output_entries
from viz.page.faithfulness_tab import FaithfulnessTab
from viz.page.figure_tab import FigureTab
from viz.page.payload import error_message, more_maps_message, static, viewer_message
from viz.page.server.modules import module_links
from viz.page.session import Pictures, Shown, Turns, trace_of
from viz.page.tab import FOLLOWS, PROGRESS, QUIET
from viz.picture import open_picture
from viz.run.engine import Engine

GEOMETRIES: list[tuple[str, str]] = [
    ("the model's own", "own"),
    ("centre crop", "center_crop"),
    ("whole picture, squashed", "squash"),
    ("whole picture, letterbox", "letterbox"),
]
# Of the bundled photographs, those on which the families' attention says most; the rule is in `benchmarks/samples.py`.
SAMPLES = ("panda", "flower", "crocodile", "raccoon", "moose", "chelsea")


def sample_paths() -> list[str]:
    """The photographs that the page offers."""
    return [str(bundled("assets") / f"{name}.jpg") for name in SAMPLES]


def _mode(choice: str) -> Mode | None:
    return None if choice == "own" else choice  # type: ignore[return-value]


def show(
    path: str | None,
    model: str,
    geometry: str,
    shown: Shown | None,
    *,
    engine: Engine,
    pictures: Pictures,
    progress: gr.Progress | None = None,
    newest: Callable[[], bool] = lambda: True,
) -> tuple[Any, Any]:
    """Updates for a new picture, model or geometry: (viewer message, what is shown).

    Args:
        newest: whether this is still the visitor's newest request; otherwise nothing is shown.
    """
    nothing = gr.skip(), gr.skip()
    try:
        if path is None:
            now = None if shown is None else replace(shown, model=model, geometry=_mode(geometry))
            if now is None or now == shown:
                return nothing
        else:
            try:
                picture = pictures.keep(open_picture(Path(path)))
            except PictureError as error:
                return (error_message(str(error), path), gr.skip()) if newest() else nothing
            now = Shown(picture.sha256, model, _mode(geometry))
        if progress is not None:
            progress(0.1, desc=f"Running {model}")
        trace = trace_of(now, engine, pictures)
        return (viewer_message(trace), now) if newest() else nothing
    except VizError as error:
        # The viewer keeps what it shows, and the input its picture, which another model may accept.
        return (error_message(str(error)), gr.skip()) if newest() else nothing


def another_class(index: int | None, shown: Shown | None, *, engine: Engine, pictures: Pictures) -> Any:
    """Send the class maps of one more class to the viewer."""
    if index is None or shown is None:
        return gr.skip()
    try:
        trace = trace_of(shown, engine, pictures)
        return gr.HTML(extra=more_maps_message(trace, output_entries(trace, int(index)), pick=int(index)))
    except VizError as error:
        return gr.HTML(extra=error_message(str(error)))


def build(engine: Engine) -> gr.Blocks:
    """Build the page for an engine."""
    pictures, turns = Pictures(), Turns()
    names = offered(engine.catalogue.cards, engine.catalogue.files)
    default = DEFAULT_MODEL if DEFAULT_MODEL in names else names[0]
    with gr.Blocks(title="Searchlight", analytics_enabled=False, delete_cache=(1800, 3600)) as page:
        shown = gr.State(None, time_to_live=3600)
        gr.Markdown("# Searchlight\nWhat the attention inside a CNN does to your picture, step by step.")
        with gr.Row(elem_id="columns"):
            with gr.Column(scale=1, min_width=280, elem_id="inputs"):
                picture = picture_input(
                    sources=["upload", "clipboard", "webcam"],
                    label="Picture",
                    buttons=[],
                    height=260,
                    elem_id="picture",
                    placeholder="Drop a photo here, click to choose one, or paste",
                )
                model = gr.Dropdown(names, value=default, label="Model", elem_id="model", filterable=False)
                samples = gr.Dataset(
                    label="Samples",
                    components=["image"],
                    samples=[[path] for path in sample_paths()],
                    samples_per_page=len(SAMPLES),
                    elem_id="samples",
                )
                with gr.Accordion("Fit and class", open=False, elem_id="more"):
                    geometry = gr.Dropdown(GEOMETRIES, value="own", label="How the picture is fitted", filterable=False)
                    other = gr.Dropdown(
                        [(label, i) for i, label in enumerate(imagenet_labels())],
                        value=None,
                        label="Class map of another class",
                        elem_id="other-class",
                    )
            with gr.Column(scale=3, min_width=320, elem_id="result"):
                canvas = viewer()
                with gr.Tabs():
                    with gr.Tab("Channels", elem_id="channels"):
                        channels = ChannelsTab(engine, pictures, shown)
                    with gr.Tab("Compare", elem_id="compare"):
                        comparison = CompareTab(engine, pictures, shown)
                    with gr.Tab("Attribution", elem_id="attribution"):
                        attributions = AttributionTab(engine, pictures, shown)
                    with gr.Tab("Faithfulness", elem_id="faithfulness"):
                        faithfulness = FaithfulnessTab(engine, pictures, shown)
                    with gr.Tab("Figure", elem_id="figure") as figure_tab:
                        figures = FigureTab(engine, pictures, shown)
                    with gr.Tab("Model card", elem_id="card"):
                        card = gr.Markdown(card_markdown(engine.catalogue, default), elem_id="card-text")

        turn = gr.Number(0, visible=False)

        def on_change(values: dict[Any, Any], request: gr.Request, progress: gr.Progress = PROGRESS) -> tuple[Any, Any]:
            newest = turns.begin(request.session_hash, int(values[turn] or 0))
            asked = [values[c] for c in (picture, model, geometry, shown)]
            return show(*asked, engine=engine, pictures=pictures, progress=progress, newest=newest)

        gr.on(
            [picture.change, model.change, geometry.change],
            on_change,
            {picture, model, geometry, shown, turn},
            [canvas, shown],
            js=COUNT_TURN,
            show_progress_on=[canvas],
            concurrency_limit=2,
            trigger_mode="always_last",
            api_visibility="private",
        )
        # Plain values, not updates: an update would rebuild the input without its own preprocessing (see `components`).
        samples.click(lambda row: row[0], samples, picture, queue=False, **QUIET)
        canvas.refused(None, picture, picture, js=FORGET_REFUSED, api_visibility="private")
        # The tabs follow what is shown: a refused file, or the same picture again, leaves them as they are.
        channels.listen(canvas)
        figures.listen(canvas, figure_tab)
        for tab in (comparison, attributions, faithfulness):
            tab.listen()

        def left(request: gr.Request) -> None:
            turns.leave(request.session_hash)
            for tab in (comparison, attributions, faithfulness):
                tab.job.running.leave(request.session_hash)

        page.unload(left)
        model.change(
            lambda name: card_markdown(engine.catalogue, name), model, card, queue=False, api_visibility="private"
        )
        # The card of the operator's own file is known only after its first use.
        shown.change(
            lambda now: gr.skip() if now is None else card_markdown(engine.catalogue, now.model), shown, card, **FOLLOWS
        )
        other.change(partial(another_class, engine=engine, pictures=pictures), [other, shown], canvas, **QUIET)
    # `viz.page.server` limits the queue; handlers that belong in the queue cannot be called around it.
    return page.queue(max_size=None, api_open=False)  # type: ignore[no-any-return]


def theme() -> gr.themes.Base:
    """Neutral greys and system fonts: a tinted background distorts colours, a web font needs other servers."""
    return gr.themes.Base(
        primary_hue="blue",
        neutral_hue="neutral",
        font=["system-ui", "-apple-system", "Segoe UI", "Roboto", "sans-serif"],
        font_mono=["ui-monospace", "Menlo", "Consolas", "monospace"],
    )


def look() -> dict[str, Any]:
    """Theme, style sheet and links for `viz.page.server.start`."""
    css = static("style.css") + static("compare.css") + static("faithfulness.css")
    return {"theme": theme(), "css": css, "head": module_links()}
