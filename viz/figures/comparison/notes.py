"""What a reader of a comparison must know, in sentences."""

from __future__ import annotations

from viz.core.finite import notes_on
from viz.figures.comparison.attributions import attribution_notes
from viz.figures.comparison.data import Compared, scale_group


def notes_of(made: Compared) -> tuple[str, ...]:
    """Sentences on steps, scales, classes and crops."""
    return tuple(
        dict.fromkeys(
            (*_steps(made), *_scales(made), *_classes(made), *attribution_notes(made), *_crops(made), *lost_of(made))
        )
    )


def _steps(made: Compared) -> list[str]:
    out = []
    for c in made.columns:
        if c.trace.steps < made.steps:
            has = "1 step" if c.trace.steps == 1 else f"{c.trace.steps} steps"
            out.append(f"{c.trace.card.name} has {has}; at later steps its last one stands.")
        last = max(h.step for h in c.heatmaps if h is not None)
        if last < c.trace.steps:
            out.append(
                f"{c.quantity} of {c.trace.card.name} has its last value at step {last}; it stands at later steps."
            )
        missing = [str(s) for s in range(1, made.steps + 1) if c.heatmaps[s - 1] is None]
        if missing:
            out.append(f"{c.quantity} of {c.trace.card.name} has no value at step {', '.join(missing)}.")
    return out


def _scales(made: Compared) -> list[str]:
    over = " and all steps" if made.steps > 1 else ""
    if made.scale_mode == "each":
        return [f"Each column has its own range{', over its own steps' if made.steps > 1 else ''}."]
    groups: dict[str, list[int]] = {}
    for i, c in enumerate(made.columns):
        groups.setdefault(scale_group(c), []).append(i)
    out = []
    for unit, members in groups.items():
        scale = made.scale(members[0])
        low, high = f"{scale.low:.4g}", f"{scale.high:.4g}"
        who = (
            "all columns" if len(members) == len(made.columns) else " and ".join(made.columns[i].label for i in members)
        )
        if len(members) > 1:
            out.append(f"One range for {who}{over}: {low} to {high} ({unit}).")
        else:
            out.append(f"{who} measures in its own unit and has its own range: {low} to {high} ({unit}).")
    return out


def _classes(made: Compared) -> list[str]:
    named = {c.label: c.trace.labels[c.map.cls] for c in made.columns if isinstance(c.map.cls, int)}
    if not named:
        return []
    kinds = {c.map.kind for c in made.columns}
    what = [
        words
        for kind, words in (("cam", "class maps"), ("output", "outputs"), ("attribution", "attributions"))
        if kind in kinds
    ]
    which = " and ".join(what).capitalize()
    if len(set(named.values())) == 1:
        return [f"{which} are of {next(iter(named.values()))}."]
    return [f"{which} are of different classes: " + "; ".join(f"{k}: {v}" for k, v in named.items()) + "."]


def lost_of(made: Compared) -> list[str]:
    """Which maps hold values that are not finite."""
    out: list[str] = []
    for c in made.columns:
        maps = {h.step: h.native for h in c.heatmaps if h is not None}
        named = [(f"{c.label}, {c.quantity}, step {step}", native) for step, native in maps.items()]
        out += notes_on(named, c.trace.precision)
    return out


def _crops(made: Compared) -> list[str]:
    if len({c.trace.geometry.seen for c in made.columns}) == 1:
        return []
    return ["The networks saw different parts of the picture; agreement counts only what both of a pair saw."]
