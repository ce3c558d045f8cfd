"""The page's two own components: a picture input that leaves judging a file to us, and the viewer."""

from __future__ import annotations

from typing import Any

import gradio as gr

from viz.ui.payload import static


def _uploaded_path(payload: Any) -> str | None:
    return None if payload is None else payload.path


def picture_input(**arguments: Any) -> gr.Image:
    """An image input that hands over the path of the uploaded file as it is, for `viz.open_picture` to judge.

    The stock preprocessing decodes without limits, drops alpha, clips 16-bit values and shows server paths in its
    errors. It is replaced on the instance: a subclass would make Gradio write a stub file beside this one.
    """
    component = gr.Image(type="filepath", image_mode=None, **arguments)
    component.preprocess = _uploaded_path
    return component


def viewer() -> gr.HTML:
    """The canvas viewer: `value` is a message of `viz.ui.payload`, `extra` brings further maps for the same trace."""
    return gr.HTML(
        value="",
        html_template=static("viewer.html"),
        js_on_load=static("core.js") + static("kernel.js") + static("viewer.js"),
        apply_default_css=False,
        extra="",
        elem_id="viewer",
        padding=False,
    )
