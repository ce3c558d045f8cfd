"""Panels in one word each, for the command line and for quick Python: ``class_map:2@giant panda``.

    NAME [:STEP] [#CHANNEL] [@CLASS]

NAME is ``picture``, ``class_map``, ``feature``, ``boxes``, ``boxes(PROBE)``, a probe's label or a probe's full name, or
what follows from one, ``PART(PROBE)`` as in ``mean(bottom)`` (see `viz.core.derived`), or an attribution, ``gradcam``,
``METHOD(PROBE)`` or ``boxes(METHOD)`` (see `viz.attribution`); CHANNEL is a channel, a group or a tap;
STEP is a number, ``last``, or for boxes ``all``; CLASS is a number or a name.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from viz.attribution.methods import is_method, parse_method
from viz.core.derived import PARTS, Part
from viz.errors import FigureError, VizError
from viz.figures.defaults import default_panels
from viz.figures.spec import MAX_TEXT, Panel

__all__ = ["default_panels", "panel_text", "parse_panel", "parse_panels", "with_class"]

_FORM = re.compile(
    r"(?P<name>[A-Za-z_][\w.]*)(\((?P<inner>[\w.]+(\([\w.]+\))?)\))?(:(?P<step>-?\d{1,4}|all|last))?(#(?P<channel>\d{1,6}))?"
    r"(@(?P<cls>[^@]+))?"
)
_EXAMPLES = (
    "picture, class_map:2, class_map:2@giant panda, spatial_gate:2, channel_gate:2, feature:2#17, gradcam or boxes:all"
)


def parse_panel(text: str) -> Panel:
    """One panel from its shorthand.

    Raises:
        FigureError: not of that form.
    """
    text = text.strip()
    found = _FORM.fullmatch(text) if len(text) <= MAX_TEXT else None
    if found is None:
        raise FigureError(f"{text[:60]!r} is no panel; write for example {_EXAMPLES}.")
    name, inner, step_text = found["name"], found["inner"], found["step"]
    step = -1 if step_text in (None, "all", "last") else int(step_text)
    channel = None if found["channel"] is None else int(found["channel"])
    cls = (found["cls"] or "").strip() or None
    index = int(cls) if cls is not None and cls.isascii() and cls.isdigit() else None
    label = cls if index is None else None
    part: Part | None = next((p for p in PARTS if p == name), None) if inner else None
    method = _method(name, inner)
    if inner and "(" in inner and method is None:
        raise FigureError(f"{text[:60]!r} is no panel; write for example {_EXAMPLES}.")
    if inner and name != "boxes" and part is None and method is None:
        raise FigureError(
            f"Only boxes and {', '.join(PARTS)} take a probe in brackets, as in boxes(spatial_gate):2, not {name!r}."
        )
    if cls is not None and method is None and (name not in ("class_map", "boxes") or inner):
        raise FigureError(f"Only class maps, attributions and their boxes take a class, not {inner or name!r}.")
    _check(name, method, step_text, channel)
    if name == "picture":
        return Panel("picture")
    if name == "class_map":
        return Panel("class_map", step, class_index=index, class_label=label)
    if name == "boxes":
        return Panel("boxes", step, step_text == "all", None if method else inner, index, label, method=method)
    if method is not None:
        return Panel("attribution", step, class_index=index, class_label=label, method=method)
    if name == "feature":
        return Panel("feature", step, channel=channel)
    return Panel("map", step, probe=name if part is None else inner, channel=channel, part=part)


def _check(name: str, method: str | None, step: str | None, channel: int | None) -> None:
    """Refuse a step or a channel where there is none to choose."""
    if step == "all" and name != "boxes":
        raise FigureError(f"Only boxes can show all steps in one panel, not {name!r}.")
    if channel is not None and (name in ("picture", "class_map", "boxes") or method is not None):
        raise FigureError(f"{name} has no channels to choose from.")
    if name == "picture" and step is not None:
        raise FigureError("The picture is the same at every step; write picture alone.")
    if name == "feature" and channel is None:
        raise FigureError("A feature panel needs its channel, as in feature:2#17.")


def _method(name: str, inner: str | None) -> str | None:
    """The attribution method of a panel, or None where it has none."""
    if name == "boxes" and inner is not None and is_method(inner):
        text = inner
    elif is_method(name):
        text = name if inner is None else f"{name}({inner})"
    else:
        return None
    try:
        return parse_method(text).text
    except VizError as error:
        raise FigureError(str(error)) from None


def panel_text(panel: Panel) -> str:
    """The shorthand of a panel, so that `parse_panel` gives it again.

    Its own title, order of bars and look have no shorthand and are left out; a panel of ``channels`` comes back as a
    ``map`` of the same probe, which a figure then draws as channels again.

    Raises:
        FigureError: a probe, class or channel that no shorthand can name.
    """
    name = panel.kind if panel.probe is None else panel.probe if panel.kind != "boxes" else f"boxes({panel.probe})"
    if panel.part is not None:
        name = f"{panel.part}({panel.probe})"
    if panel.method is not None:
        name = panel.method if panel.kind == "attribution" else f"boxes({panel.method})"
    step = "all" if panel.all_steps else "" if panel.step == -1 else str(panel.step)
    text = name + (f":{step}" if step and panel.kind != "picture" else "")
    if panel.channel is not None:
        text += f"#{panel.channel}"
    cls = panel.class_label if panel.class_index is None else panel.class_index
    if cls is not None and panel.kind in ("class_map", "boxes", "attribution"):
        text += f"@{cls}"
    try:
        again = parse_panel(text)
    except FigureError:
        again = None
    same = (
        again is not None
        and again.probe == panel.probe
        and again.part == panel.part
        and again.method == panel.method
        and again.class_label == (None if panel.class_index is not None else panel.class_label)
    )
    if not same:
        raise FigureError(f"The panel {text[:60]!r} has no shorthand.")
    return text


def parse_panels(panels: str | Sequence[str | Panel]) -> tuple[Panel, ...]:
    """Panels from a comma-separated text, or from a sequence of shorthands and `Panel` objects."""
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
    """The same panels; class maps, attributions and their boxes without a class of their own take this one."""
    if class_index is None:
        return tuple(panels)
    return tuple(
        replace(p, class_index=class_index)
        if (p.kind in ("class_map", "attribution") or (p.kind == "boxes" and p.probe is None))
        and p.class_index is None
        and p.class_label is None
        else p
        for p in panels
    )
