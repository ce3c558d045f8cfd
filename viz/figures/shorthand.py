"""Panels as text: a map specification, ``picture``, ``boxes``, or ``boxes(MAP)`` followed by channel, class and step.

    picture, cam:2, cam@giant panda:2, spatial_gate, mean(bottom), gradcam, boxes, boxes(spatial_gate):2, boxes:all

``boxes`` alone means those of the class map; ``:all`` puts the boxes of every step into one panel.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from viz.core.map_spec import LONGEST, parse
from viz.errors import FigureError
from viz.figures.spec import Panel

_BOXES = re.compile(r"boxes(\((?P<map>[^()@#~:]+(\([^()]*\))?)\))?(?P<rest>([#@~:].*)?)")
_ALL = re.compile(r":all(?=$|[#@~])")


def parse_panel(text: str) -> Panel:
    """Parse the text of one panel.

    Raises:
        FigureError: ``picture`` with a step, or ``:all`` without boxes. MapError: not a map.
    """
    text = text.strip()
    name = re.split(r"[#@~:]", text)[0]
    if name == "picture":
        if text != name:
            raise FigureError("The picture is the same at every step. Write picture alone.")
        return Panel("picture")
    found = _BOXES.fullmatch(text) if len(text) <= LONGEST else None
    if found is None:
        if _ALL.search(text) and "@" not in text:
            raise FigureError(f"Only boxes can show all steps in one panel, not {name!r}.")
        return Panel("map", parse(text))
    rest, all_steps = _ALL.subn("", found["rest"], count=1)
    return Panel("boxes", parse((found["map"] or "cam") + rest), bool(all_steps))


def panel_text(panel: Panel) -> str:
    """The text that `parse_panel` reads as this panel.

    It leaves out title, order of bars and look. ``channels`` becomes the ``map`` of the same tap, which a figure draws
    as channels again.
    """
    if panel.kind == "picture":
        return "picture"
    if panel.kind != "boxes":
        return str(panel.spec)
    head = panel.spec.head
    rest = str(panel.spec).removeprefix(head)
    return ("boxes" if head == "cam" else f"boxes({head})") + rest + (":all" if panel.all_steps else "")


def parse_panels(panels: str | Sequence[str | Panel]) -> tuple[Panel, ...]:
    """Panels from a comma-separated text, or from a sequence of texts and `Panel` objects."""
    items: Sequence[str | Panel] = [p for p in panels.split(",") if p.strip()] if isinstance(panels, str) else panels
    for item in items:
        if not isinstance(item, str | Panel):
            raise FigureError(f"A panel is a text or a Panel, not {type(item).__name__}.")
    if not items:
        raise FigureError("A figure needs at least one panel.")
    return tuple(parse_panel(item) if isinstance(item, str) else item for item in items)


def with_class(panels: Sequence[Panel], class_index: int | None) -> tuple[Panel, ...]:
    """The same panels, where maps that take a class and name none get this one."""
    given = []
    for panel in panels:
        if class_index is not None and panel.map is not None and panel.map.takes_class and panel.map.cls is None:
            panel = replace(panel, map=replace(panel.map, cls=class_index))
        given.append(panel)
    return tuple(given)
