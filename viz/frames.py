"""Stories: what one stop of the step slider means for each family.

A new family adds one function here and one line to `_STORIES`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from viz.attention.probe import AttentionRecord

if TYPE_CHECKING:
    from viz.trace import Trace


@dataclass(frozen=True, eq=False)
class Frame:
    """One stop of the step slider.

    Attributes:
        step: computation step, 1-based. title: short. caption: one or two plain sentences.
        records: the attention values that this step uses.
    """

    step: int
    title: str
    caption: str
    records: tuple[AttentionRecord, ...]


def frames_of(trace: Trace) -> tuple[Frame, ...]:
    """The frames of a trace, told as its family tells them."""
    return _STORIES.get(trace.card.family or "plain", _plain)(trace)


def _prediction(trace: Trace, step: int) -> str:
    best = trace.top(step, 1)[0]
    return f"{best.label} ({best.probability:.1%})"


def _plain(trace: Trace) -> tuple[Frame, ...]:
    caption = f"One pass, no attention module: {_prediction(trace, 1)}."
    return (Frame(1, "step 1", caption, trace.records),)


def _tdam(trace: Trace) -> tuple[Frame, ...]:
    """TDAM: step 1 has no top-down signal; step t uses the searchlight made from the result of step t - 1."""
    last_stage_only = trace.card.network == "td_resnet"
    frames = []
    for t in range(1, trace.steps + 1):
        records = tuple(r for r in trace.records if r.step == t)
        said = _prediction(trace, t)
        if t == 1:
            where = "the last stage" if last_stage_only else "this result"
            caption = f"Step 1: no top-down signal reaches {where}. It says {said}."
        else:
            caption = (
                f"Step {t}: the result of step {t - 1} makes a searchlight, the searchlight gates the input of the "
                f"upper layers, and they answer again. It says {said}."
            )
        frames.append(Frame(t, f"step {t}", caption, records))
    return tuple(frames)


_STORIES: dict[str, Callable[[Trace], tuple[Frame, ...]]] = {"plain": _plain, "tdam": _tdam}
