"""What the stories share: words for ranges, the first and the last stop, thinning."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from viz.core.map_spec import MapSpec
from viz.core.record import Record
from viz.core.stage import MOST_STAGES, Stage, View
from viz.core.trace import Trace
from viz.core.words import words as map_words

Found = dict[str, Record]


def prediction(trace: Trace, step: int) -> str:
    """The answer of a step: of a classifier the best class with its probability."""
    return trace.output.says(step)


def span(values: NDArray[np.floating]) -> str:
    """Smallest and largest value, with enough digits to tell them apart; values that are not finite are told apart."""
    finite = values[np.isfinite(values)]
    if finite.size < values.size:
        return f"{span(finite)}, elsewhere not finite" if finite.size else "nowhere finite"
    low, high = float(values.min()), float(values.max())
    extent = high - low
    if extent <= 1e-7 * max(abs(low), abs(high), 1e-30):
        return f"{low:.6g} everywhere"
    decimals = max(0, 1 - math.floor(math.log10(extent)))
    if decimals > 7 or max(abs(low), abs(high)) >= 1e5:
        return f"{low:.4g} to {high:.4g}"
    return f"{low:.{decimals}f} to {high:.{decimals}f}"


def at(trace: Trace, path: str, step: int) -> Found:
    """The records of one module at one step, by label."""
    return {r.label: r for r in trace.records if r.path == path and r.step == step}


def paths_with(trace: Trace, label: str) -> list[str]:
    """Modules that have a probe of that label, in order of firing, which is by depth."""
    return list(dict.fromkeys(r.path for r in trace.records if r.label == label))


def module_words(trace: Trace, path: str) -> str:
    """Scale and dilation of a message or level, where they are known: ``s16b, d = 3``; else nothing."""
    dilations = {r.tap.dilation for r in trace.records if r.path == path and r.tap.is_kernel}
    if len(dilations) != 1:
        return ""
    dilation = dilations.pop()
    scale = path.rpartition("messages.")[2].removesuffix(f"d{dilation}") if "messages." in path else ""
    return f"{scale}, d = {dilation}" if scale else f"d = {dilation}"


def within(path: str, paths: Sequence[str]) -> str:
    """`` in PATH`` where there are several modules, else nothing."""
    return f" in {path}" if len(paths) > 1 else ""


def view_stage(
    trace: Trace,
    record: Record,
    title: str,
    words: str,
    derived: str | None = None,
    *,
    channel: int | None = None,
    vector: Record | None = None,
    kernel: bool = False,
    arrows: bool = False,
    records: Sequence[Record] = (),
) -> Stage:
    """A frame that shows a map of one record; ``{span}`` in the words becomes the range of what is drawn.

    Args:
        derived: name of a derived map of it. arrows: see `View`. kernel: whether `record` is what a click opens.
        vector: the channel vector beside the map. records: further values that the stop uses.
    """
    probe = record.label if derived == "total" else record.name
    shown = MapSpec(probe, channel=channel) if derived is None else MapSpec(derived, probe, channel)
    view = View(shown, None if vector is None else vector.name, record.name if kernel else None, arrows)
    values = trace.heatmap(shown, record.step).native
    used = {r.name: r for r in (record, *records, *([] if vector is None else [vector]))}
    return Stage(record.step, title, words.replace("{span}", span(values)), tuple(used.values()), view)


def input_stage(trace: Trace, record: Record | None, where: str) -> list[Stage]:
    """The first stop: what the module gets."""
    if record is None:
        return []
    words = (
        f"The maps that reach the module{where}, mean over {record.values.shape[0]} channels: {{span}} ({record.unit})."
    )
    return [view_stage(trace, record, "input", words, "mean")]


def answer_stage(trace: Trace, step: int, title: str, what: str) -> Stage:
    """A stop that shows what the network answers with the attended maps."""
    shown = trace.output_map
    if shown is None:
        return Stage(step, title, f"{what} It says {prediction(trace, step)}.", ())
    words = "the class map of that class; 0 adds nothing to it" if shown.kind == "cam" else f"its {map_words(shown)}"
    return Stage(step, title, f"{what} It says {prediction(trace, step)}. Shown: {words}.", (), View(shown))


def thinned(frames: Sequence[Stage], most: int = MOST_STAGES) -> tuple[Stage, ...]:
    """At most `most` frames, evenly chosen, the first and the last kept."""
    if len(frames) <= most:
        return tuple(frames)
    return tuple(frames[round(i * (len(frames) - 1) / (most - 1))] for i in range(most))
