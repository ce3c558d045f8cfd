"""Panels in one word each, for the command line and for quick Python: ``class_map:2@giant panda``.

    NAME [:STEP] [#CHANNEL] [@CLASS]

NAME is ``picture``, ``class_map``, ``feature``, ``boxes``, ``boxes(PROBE)``, a probe's label or a probe's full name;
STEP is a number, ``last``, or for boxes ``all``; CLASS is a number or a name.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from viz.errors import FigureError
from viz.figures.spec import MAX_TEXT, Panel

if TYPE_CHECKING:
    from viz.trace import Trace

_FORM = re.compile(
    r"(?P<name>[A-Za-z_][\w.]*)(\((?P<inner>[\w.]+)\))?(:(?P<step>-?\d{1,4}|all|last))?(#(?P<channel>\d{1,6}))?"
    r"(@(?P<cls>[^@]+))?"
)
_EXAMPLES = "picture, class_map:2, class_map:2@giant panda, spatial_gate:2, channel_gate:2, feature:2#17 or boxes:all"


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
    if inner and name != "boxes":
        raise FigureError(f"Only boxes take a probe in brackets, as in boxes(spatial_gate):2, not {name!r}.")
    if step_text == "all" and name != "boxes":
        raise FigureError(f"Only boxes can show all steps in one panel, not {name!r}.")
    if cls is not None and (name not in ("class_map", "boxes") or inner):
        raise FigureError(f"Only class maps and their boxes take a class, not {inner or name!r}.")
    if channel is not None and name in ("picture", "class_map", "boxes"):
        raise FigureError(f"{name} has no channels to choose from.")
    if name == "picture":
        if step_text is not None:
            raise FigureError("The picture is the same at every step; write picture alone.")
        return Panel("picture")
    if name == "class_map":
        return Panel("class_map", step, class_index=index, class_label=label)
    if name == "boxes":
        return Panel("boxes", step, step_text == "all", inner, index, label)
    if name == "feature":
        if channel is None:
            raise FigureError("A feature panel needs its channel, as in feature:2#17.")
        return Panel("feature", step, channel=channel)
    return Panel("map", step, probe=name, channel=channel)


def panel_text(panel: Panel) -> str:
    """The shorthand of a panel, so that `parse_panel` gives it again.

    Its own title, order of bars and look have no shorthand and are left out; a panel of ``channels`` comes back as a
    ``map`` of the same probe, which a figure then draws as channels again.

    Raises:
        FigureError: a probe, class or channel that no shorthand can name.
    """
    name = panel.kind if panel.probe is None else panel.probe if panel.kind != "boxes" else f"boxes({panel.probe})"
    step = "all" if panel.all_steps else "" if panel.step == -1 else str(panel.step)
    text = name + (f":{step}" if step and panel.kind != "picture" else "")
    if panel.channel is not None:
        text += f"#{panel.channel}"
    cls = panel.class_label if panel.class_index is None else panel.class_index
    if cls is not None and panel.kind in ("class_map", "boxes"):
        text += f"@{cls}"
    try:
        again = parse_panel(text)
    except FigureError:
        again = None
    same = (
        again is not None
        and again.probe == panel.probe
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


def default_panels(trace: Trace, class_index: int | None = None) -> tuple[Panel, ...]:
    """The picture, the class map of every step for one class, and the deepest spatial gate of every step.

    Args:
        class_index: default the last step's best class, so that the steps can be compared.
    """
    best = trace.top(-1, 1)[0].class_index if class_index is None else class_index
    # Many steps are thinned evenly, the first and the last kept, so that a page holds the figure.
    steps = sorted({1 + round(i * (trace.steps - 1) / 5) for i in range(6)})
    panels = [Panel("picture")]
    panels += [Panel("class_map", step, class_index=best) for step in steps]
    maps = [r for r in trace.records if r.kind == "spatial"]
    # A gate is what was really multiplied onto the features; a score before it is second choice.
    chosen = [r for r in maps if r.label == "spatial_gate"] or maps
    panels += [Panel("map", r.step, probe=r.name) for r in chosen if r.name == chosen[-1].name and r.step in steps]
    return tuple(panels)


def with_class(panels: Sequence[Panel], class_index: int | None) -> tuple[Panel, ...]:
    """The same panels; class maps and their boxes without a class of their own take this one."""
    if class_index is None:
        return tuple(panels)
    return tuple(
        replace(p, class_index=class_index)
        if (p.kind == "class_map" or (p.kind == "boxes" and p.probe is None))
        and p.class_index is None
        and p.class_label is None
        else p
        for p in panels
    )
