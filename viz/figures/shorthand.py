"""Panels as texts: a map specification, ``picture``, ``boxes``, ``boxes(MAP)`` with channel, class and step after it.

    picture, cam:2, cam@giant panda:2, spatial_gate, mean(bottom), gradcam, boxes, boxes(spatial_gate):2, boxes:all

``boxes`` alone are those of the class map; ``:all`` puts the boxes of every step into one panel.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from viz.core.map_spec import LONGEST, parse
from viz.errors import FigureError
from viz.figures.spec import Panel

_BOXES = re.compile(r"boxes(\((?P<map>[^()@#:]+(\([^()]*\))?)\))?(?P<rest>([#@:].*)?)")
_ALL = re.compile(r":all(?=$|[#@])")


def parse_panel(text: str) -> Panel:
    """One panel from its text.

    Raises:
        FigureError: a picture with a step, or another map than boxes with all steps. MapError: not a map.
    """
    text = text.strip()
    name = re.split(r"[#@:]", text)[0]
    if name == "picture":
        if text != name:
            raise FigureError("The picture is the same at every step; write picture alone.")
        return Panel("picture")
    found = _BOXES.fullmatch(text) if len(text) <= LONGEST else None
    if found is None:
        if _ALL.search(text) and "@" not in text:
            raise FigureError(f"Only boxes can show all steps in one panel, not {name!r}.")
        return Panel("map", parse(text))
    rest, all_steps = _ALL.subn("", found["rest"], count=1)
    return Panel("boxes", parse((found["map"] or "cam") + rest), bool(all_steps))


def panel_text(panel: Panel) -> str:
    """The text of a panel, so that `parse_panel` gives it again.

    Its own title, order of bars and look are left out; a panel of ``channels`` comes back as a ``map`` of the same tap,
    which a figure then draws as channels again.
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
    made = []
    for item in items:
        if isinstance(item, Panel):
            made.append(item)
        elif isinstance(item, str):
            made.append(parse_panel(item))
        else:
            raise FigureError(f"A panel is a text or a Panel, not {type(item).__name__}.")
    if not made:
        raise FigureError("A figure needs at least one panel.")
    return tuple(made)


def with_class(panels: Sequence[Panel], class_index: int | None) -> tuple[Panel, ...]:
    """The same panels; maps of a class that name none take this one."""
    if class_index is None:
        return tuple(panels)
    return tuple(
        replace(p, map=replace(p.map, cls=class_index))
        if p.map is not None and p.map.takes_class and p.map.cls is None
        else p
        for p in panels
    )
