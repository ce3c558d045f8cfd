"""The page's own components: a picture input that leaves validation to us, the viewer, and the grid of maps."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

import gradio as gr

from viz.core.card import ModelCard
from viz.families.family import families, family_of
from viz.page.payload import static
from viz.page.server.files import FileRefusedError, own_folder, uploaded_path
from viz.page.server.modules import module_address

# Texts of the two grids: one panel per model, or one panel per map of one model.
GRIDS: Mapping[str, Mapping[str, str]] = {
    "models": {
        "what": "Comparison of models",
        "empty": "Choose two to six models above and press Compare: their maps appear here side by side.",
        "one": "model",
        "boxes": "checked",
        "boxwords": "show boxes of class maps",
    },
    "maps": {
        "what": "Attention, class map and attributions side by side",
        "empty": "Press Compute: the attention, the class map and the chosen methods appear here side by side.",
        "one": "map",
        "boxes": "",
        "boxwords": "show boxes",
    },
}
# Runs in the browser after a refusal. Nothing can come between its look at the input and its reply, so a picture that
# was chosen or is being uploaded meanwhile stays.
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
    """The path of an uploaded picture in this page's own folder.

    Raises:
        gr.Error: it is outside the folder, or not a file.
    """
    if payload is None:
        return None
    try:
        return str(uploaded_path(payload.path, own_folder()))
    except FileRefusedError as error:
        raise gr.Error(str(error), print_exception=False) from None


def picture_input(**arguments: Any) -> gr.Image:
    """An image input that returns the path of the uploaded file unchanged, for `viz.open_picture` to validate.

    The stock preprocessing decodes without limits, drops alpha, clips 16-bit values and shows server paths in its
    errors. It is replaced on the instance: a subclass would make Gradio write a stub file beside this one.
    """
    component = gr.Image(type="filepath", image_mode=None, **arguments)
    component.preprocess = _uploaded_path
    return component


def viewer() -> gr.HTML:
    """The canvas viewer: `value` is a message of `viz.page.payload`, `extra` brings further maps for the same trace."""
    return _view("viewer", static("viewer.html"), "viewer", ("refused", "add_panel", "pick_channel"))


def grid(kind: Literal["models", "maps"], elem_id: str) -> gr.HTML:
    """A grid: `value` is a message of `viz.page.grid`."""
    template = static("compare.html")
    for name, text in GRIDS[kind].items():
        template = template.replace(f"[[{name}]]", text)
    return _view("grid", template, elem_id, ("ask_class", "export_grid"))


def _view(view: str, template: str, elem_id: str, events: Iterable[str]) -> gr.HTML:
    """A component whose script passes what Gradio gives it to the page's module of that view.

    Args:
        events: what the view sends to the server. Gradio finds them by their quoted names in the script.
    """
    address = f'new URL("{module_address("page")}", document.baseURI)'
    named = "".join(f'// "{event}"\n' for event in events)
    return gr.HTML(
        value="",
        html_template=template,
        js_on_load=f"{named}import({address}).then((page) => page.{view}({{ element, props, trigger, watch }}));",
        apply_default_css=False,
        extra="",
        elem_id=elem_id,
        padding=False,
    )


def class_update(classes: Sequence[tuple[str, int]]) -> Any:
    """Update of a class list: offers these and chooses the first; hidden if there are none."""
    return gr.update(choices=classes, value=classes[0][1] if classes else None, visible=bool(classes))


def offered(cards: Mapping[str, ModelCard], files: Iterable[str]) -> list[str]:
    """Names for a list of models: plain networks, then family by family, then files of the operator."""
    order = list(families())

    def place(name: str) -> int:
        family = cards[name].family
        return 0 if family is None else 1 + order.index(family_of(family).name)

    return [*sorted(cards, key=place), *files]
