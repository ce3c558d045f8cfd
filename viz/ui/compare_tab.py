"""Compare tab: two to six models on the picture, side by side; one message to the browser, files on request."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr

from viz.comparison import FEWEST, MOST, Comparison
from viz.comparison.build import compare_traces, user_box
from viz.comparison.choice import parse_map
from viz.engine import Engine
from viz.errors import ModelError, VizError
from viz.figures.build import as_json_bytes, write_whole
from viz.geometry import INTERPOLATIONS, Mode
from viz.localization.boxes import DEFAULT_THRESHOLD
from viz.maps import PALETTES, palette
from viz.trace import Trace
from viz.ui.entries import class_entry, derived_entries, spatial_entries
from viz.ui.exports import Exports
from viz.ui.payload import display_size, picture_uri, static
from viz.ui.session import Pictures, Shown, trace_of
from viz.zoo.cards import class_number

TOP = 5
FIGURES, TABLES = ("pdf", "svg", "png"), ("csv", "json")
# Gradio finds a handler's progress argument by a default of this type.
PROGRESS = gr.Progress()


@dataclass(frozen=True)
class Compared:
    """What one visitor compares: a few words, so that a session holds no picture and no tensor."""

    sha256: str
    geometry: Mode | None
    models: tuple[str, ...]


def common_classes(traces: Sequence[Trace]) -> list[str]:
    """Classes that the page offers: the best of every model's last step, best first, then of the other steps."""
    found: dict[str, None] = {}
    for rank in range(TOP):
        for trace in traces:
            for step in range(trace.steps, 0, -1):
                top = trace.top(step, TOP)
                if rank < len(top):
                    found[top[rank].label] = None
    first = traces[0].top(-1, 1)[0].label
    return [first, *(label for label in found if label != first)]


def _index(trace: Trace, label: str) -> int | None:
    try:
        index = class_number(trace.head.labels, label)
    except ModelError:
        return None
    # A part of a name is not enough here: two classifiers must mean the same.
    return index if trace.head.labels[index] == label else None


def model_entry(trace: Trace, name: str, classes: Sequence[str]) -> dict[str, Any]:
    """One model's part of the message: geometry, steps, best classes, class maps, spatial probes and derived maps."""
    maps = []
    for label in classes:
        index = _index(trace, label)
        if index is not None:
            maps.append(class_entry(trace, index) | {"p": [float(p) for p in trace.probabilities[:, index]]})
    return {
        "name": name,
        "title": trace.card.title,
        "steps": trace.steps,
        "geometry": trace.geometry.as_json(),
        "top": [trace.top(step, 1)[0]._asdict() for step in range(1, trace.steps + 1)],
        "maps": [*maps, *spatial_entries(trace), *derived_entries(trace)],
    }


def compare_message(traces: Sequence[Trace], names: Sequence[str]) -> str:
    """The JSON message for the grid."""
    picture = traces[0].picture
    height, width = display_size(picture)
    classes = common_classes(traces)
    text = "|".join([picture.sha256, *names, *(t.geometry.mode for t in traces)])
    message = {
        "key": hashlib.sha256(text.encode()).hexdigest()[:16],
        "picture": {
            "src": picture_uri(picture),
            "width": width,
            "height": height,
            "full": list(picture.size),
            "name": picture.name,
            "sha256": picture.sha256,
            "notes": list(picture.notes),
        },
        "classes": classes,
        "models": [model_entry(t, n, classes) for t, n in zip(traces, names, strict=True)],
        "palettes": {n: base64.b64encode(palette(n).tobytes()).decode() for n in PALETTES},
    }
    return json.dumps(message, allow_nan=False)


def toast(sentence: str) -> None:
    """Show one sentence; a file's name in it is text, never markup."""
    gr.Warning(html.escape(sentence, quote=False), title="")


class CompareTab:
    """Components and events of the tab."""

    def __init__(self, engine: Engine, pictures: Pictures) -> None:
        self.engine, self.pictures = engine, pictures
        self.exports = Exports()
        names = engine.catalogue.names
        with gr.Row(equal_height=True):
            self.models = gr.CheckboxGroup(
                names,
                value=names[:FEWEST],
                label=f"Models, {FEWEST} to {MOST}",
                elem_id="compare-models",
                scale=4,
                min_width=240,
            )
            self.start = gr.Button("Compare", variant="primary", elem_id="compare-start", scale=1, min_width=120)
        self.grid = gr.HTML(
            value="",
            html_template=static("compare.html"),
            js_on_load=static("core.js") + static("compare_core.js") + static("compare.js"),
            apply_default_css=False,
            extra="",
            elem_id="compare-grid",
            padding=False,
        )
        self.files = gr.File(
            label="Comparison", file_count="multiple", visible=False, elem_id="compare-files", show_label=True
        )
        self.compared = gr.State(None, time_to_live=3600)

    def run(self, names: list[str] | None, shown: Shown | None, progress: gr.Progress | None = None) -> tuple[Any, ...]:
        """The message, what was compared, and no old files. A model that cannot be run is told and left out."""
        nothing = (gr.skip(), gr.skip(), gr.skip())
        try:
            if shown is None:
                raise VizError("Choose a picture first.")
            if not FEWEST <= len(names or ()) <= MOST:
                raise VizError(f"Choose {FEWEST} to {MOST} models, not {len(names or ())}.")
            picture = self.pictures.get(shown.sha256)
        except VizError as error:
            toast(str(error))
            return nothing
        traces: dict[str, Trace] = {}
        for i, name in enumerate(names or ()):
            if progress is not None:
                progress(i / len(names or ()), desc=f"Running {name}")
            try:
                traces[name] = self.engine.trace(picture, name, shown.geometry)
            except VizError as error:
                toast(f"{name}: {error}")
        if len(traces) < FEWEST:
            if traces:
                toast("Fewer than two models are left to compare; choose others.")
            return nothing
        now = Compared(shown.sha256, shown.geometry, tuple(traces))
        message = compare_message(list(traces.values()), list(traces))
        return gr.HTML(value=message, extra=""), now, gr.update(value=None, visible=False)

    def stale(self, shown: Shown | None, now: Compared | None) -> Any:
        """After a new picture or fit above: say that the grid still shows the old one."""
        if shown is None or now is None:
            return gr.skip()
        same = (shown.sha256, shown.geometry) == (now.sha256, now.geometry)
        sentence = "The picture above has changed; press Compare to compare it."
        return gr.HTML(extra=json.dumps({"stale": "" if same else sentence}))

    def comparison(self, now: Compared, view: dict[str, Any]) -> Comparison:
        """The comparison as the visitor sees it.

        Raises:
            VizError: a view that this page cannot have sent, or a picture that is no longer kept.
        """
        picture = self.pictures.get(now.sha256)
        traces = [trace_of(Shown(now.sha256, name, now.geometry), self.engine, self.pictures) for name in now.models]
        asked = view.get("maps")
        asked = asked if isinstance(asked, dict) else {}
        # The viewer writes a channel as NAME@CHANNEL.
        maps = [parse_map(str(asked.get(name, "class_map")).replace("@", "#")) for name in now.models]
        label, threshold, box = view.get("class"), view.get("threshold"), view.get("box")
        return compare_traces(
            traces,
            maps,
            class_index=label if isinstance(label, str) and label else None,
            scale="each" if view.get("scale") == "each" else "shared",
            threshold=float(threshold) if isinstance(threshold, int | float) else DEFAULT_THRESHOLD,
            components="largest",
            box=user_box(box, picture) if isinstance(box, list) else None,
        )

    def export(self, view: Any, now: Compared | None) -> Any:
        """The grid or the tables as files."""
        if now is None or not isinstance(view, dict):
            return gr.skip()
        try:
            made = self.comparison(now, view)
            kind = view.get("format")
            base = self.exports.folder() / file_stem(made)
            if kind in TABLES:
                path = base.with_name(f"{base.name}-agreement.{kind}")
                write_whole(path, made.to_csv().encode() if kind == "csv" else as_json_bytes(made.to_json()))
                paths: tuple[Path, ...] = (path,)
            else:
                palette_name, how, opacity = view.get("palette"), view.get("interpolation"), view.get("opacity")
                figure = made.to_figure(
                    boxes=view.get("boxes") is not False,
                    palette=palette_name if palette_name in PALETTES else "inferno",
                    interpolation=how if how in INTERPOLATIONS else "cells",
                    opacity=float(opacity) if isinstance(opacity, int | float) else 0.55,
                )
                paths = figure.save(base.with_name(f"{base.name}.{kind if kind in FIGURES else 'pdf'}"))
        except VizError as error:
            toast(str(error))
            return gr.skip()
        return gr.update(value=[str(p) for p in paths], visible=True)

    def listen(self, after: Any, shown: gr.State) -> None:
        """Wire the events; `after` is the event that brings a new trace."""

        def started(names: list[str], now: Shown | None, progress: gr.Progress = PROGRESS) -> tuple[Any, ...]:
            return self.run(names, now, progress)

        def exported(event: gr.EventData, now: Compared | None) -> Any:
            return self.export(event._data, now)

        self.start.click(
            started,
            [self.models, shown],
            [self.grid, self.compared, self.files],
            show_progress_on=[self.grid],
            concurrency_limit=2,
            api_visibility="private",
        )
        after.success(self.stale, [shown, self.compared], self.grid, show_progress="hidden", api_visibility="private")
        self.grid.export_grid(
            exported, self.compared, self.files, show_progress_on=[self.grid], api_visibility="private"
        )


def file_stem(made: Comparison) -> str:
    """A file name that says which picture and which models: letters, digits, dots, dashes and underscores only."""
    text = "-".join([Path(made.picture.name).stem, *dict.fromkeys(c.trace.card.name for c in made.columns)])
    return re.sub(r"[^A-Za-z0-9._-]+", "_", text)[:80].strip("._") or "comparison"
