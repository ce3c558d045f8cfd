"""The page's own components: a picture input that leaves judging a file to us, the viewer, and the grid of maps."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import gradio as gr

from viz.core.card import ModelCard
from viz.families.family import families, family_of
from viz.page.payload import static
from viz.page.server.files import FileRefusedError, own_folder, uploaded_path
from viz.page.server.modules import module_address

# Plain networks first, then the families in the order in which the project tells of them.
_MODELS = {
    "what": "Comparison of models",
    "empty": "Choose two to six models above and press Compare: their maps of the picture appear here side by side.",
    "one": "model",
    "pair": "models",
    "boxes": "checked",
    "boxwords": "show boxes of class maps",
}
_MAPS = {
    "what": "Attention, class map and attributions side by side",
    "empty": "Press Compute: the attention, the class map and the chosen methods appear here side by side.",
    "one": "map",
    "pair": "maps",
    "boxes": "",
    "boxwords": "show boxes",
}

# Runs in the browser after a refusal, between whose look at the input and its act nothing can come: a picture that was
# chosen meanwhile, or is being uploaded, stays.
FORGET_REFUSED = """(held) => {
  const refused = document.querySelector("#viewer .sl").dataset.refused;
  const same = held && held.path && held.path.replaceAll("\\\\", "/").endsWith("/" + refused);
  return same ? null : { __type__: "update" };
}"""
# Runs in the browser before a request to show something: counts it, in the last input.
COUNT_TURN = """(...values) => {
  window.searchlightTurn = (window.searchlightTurn || 0) + 1;
  return [...values.slice(0, -1), window.searchlightTurn];
}"""


def _uploaded_path(payload: Any) -> str | None:
    """The path of an uploaded picture, which lies in this page's own folder.

    Raises:
        gr.Error: it lies anywhere else, or is no file.
    """
    if payload is None:
        return None
    try:
        return str(uploaded_path(payload.path, own_folder()))
    except FileRefusedError as error:
        raise gr.Error(str(error), print_exception=False) from None


def picture_input(**arguments: Any) -> gr.Image:
    """An image input that hands over the path of the uploaded file as it is, for `viz.open_picture` to judge.

    The stock preprocessing decodes without limits, drops alpha, clips 16-bit values and shows server paths in its
    errors. It is replaced on the instance: a subclass would make Gradio write a stub file beside this one.
    """
    component = gr.Image(type="filepath", image_mode=None, **arguments)
    component.preprocess = _uploaded_path
    return component


def _attached(view: str, events: Iterable[str]) -> str:
    """A component's script: it hands what Gradio gives to the page's module of that view.

    Args:
        events: what the view tells the server. Gradio knows them by their quoted names in this text.
    """
    address = f'new URL("{module_address("page")}", document.baseURI)'
    told = "".join(f'// "{event}"\n' for event in events)
    return f"{told}import({address}).then((page) => page.{view}({{ element, props, trigger, watch }}));"


def viewer() -> gr.HTML:
    """The canvas viewer: `value` is a message of `viz.page.payload`, `extra` brings further maps for the same trace."""
    return gr.HTML(
        value="",
        html_template=static("viewer.html"),
        js_on_load=_attached("viewer", ("refused", "add_panel", "pick_channel")),
        apply_default_css=False,
        extra="",
        elem_id="viewer",
        padding=False,
    )


def model_grid(elem_id: str) -> gr.HTML:
    """The grid with one panel a model: `value` is `viz.page.compare_tab.compare_message`."""
    return _grid(_MODELS, elem_id)


def map_grid(elem_id: str) -> gr.HTML:
    """The grid with one panel a map of one model: `value` is `viz.page.attribution_entries.attribution_message`."""
    return _grid(_MAPS, elem_id)


def _grid(texts: Mapping[str, str], elem_id: str) -> gr.HTML:
    template = static("compare.html")
    for name, text in texts.items():
        template = template.replace(f"[[{name}]]", text)
    return gr.HTML(
        value="",
        html_template=template,
        js_on_load=_attached("grid", ("ask_class", "export_grid")),
        apply_default_css=False,
        extra="",
        elem_id=elem_id,
        padding=False,
    )


def offered(cards: Mapping[str, ModelCard], files: Iterable[str]) -> list[str]:
    """Names for a list of models: the plain ones, then family by family, then brought files."""

    order = list(families())

    def place(name: str) -> int:
        family = cards[name].family
        return 0 if family is None else 1 + order.index(family_of(family).name)

    return [*sorted(cards, key=place), *files]
