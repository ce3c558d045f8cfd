"""The page's two own components: a picture input that reports bad files in one sentence, and the viewer."""

from __future__ import annotations

from typing import Any

import gradio as gr

from viz.ui.payload import static

from gradio.events import Dependency

class PictureInput(gr.Image):  # type: ignore[misc]
    """`gr.Image` that hands over the uploaded file as it is; `viz.open_picture` judges it.

    The stock component decodes without limits, drops alpha, clips 16-bit values and shows server paths in its errors.
    """

    is_template = True

    def __init__(self, **arguments: Any) -> None:
        super().__init__(type="filepath", image_mode=None, **arguments)

    def preprocess(self, payload: Any) -> str | None:
        """Path of the uploaded file in the page's own cache, or None."""
        return None if payload is None else payload.path

    def get_config(self, cls: Any = None) -> dict[str, Any]:
        """The stock component's settings: Gradio reads their names from the constructor's signature."""
        return super().get_config(gr.Image)

    def get_block_name(self) -> str:
        return "image"
    from typing import Callable, Literal, Sequence, Any, TYPE_CHECKING
    from gradio.blocks import Block

    if TYPE_CHECKING:
        from gradio.components import Timer
        from gradio.components.base import Component

def viewer() -> gr.HTML:
    """The canvas viewer. Its `value` is the message of `viz.ui.payload`, its `extra` further maps for the same trace."""
    return gr.HTML(
        value="",
        html_template=static("viewer.html"),
        js_on_load=static("core.js") + static("viewer.js"),
        apply_default_css=False,
        extra="",
        elem_id="viewer",
        padding=False,
    )
