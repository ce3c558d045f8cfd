"""Stories: what one stop of the step slider means for each family.

A new family adds one file in `viz/families/stories` and one line to its `STORIES`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from viz.capture.probe import AttentionRecord
from viz.core.derived import Part

if TYPE_CHECKING:
    from viz.core.heatmap import Heatmap
    from viz.core.trace import Trace

# A slider with more stops is no walk any more; stories leave out their finer stops before that.
MOST_FRAMES = 20


@dataclass(frozen=True)
class View:
    """What a frame shows unless a person chooses otherwise.

    Attributes:
        probe: full name; None is the class map of the step's best class.
        part: a derived map of it, see `viz.core.derived`. channel: of a joint value or kernel.
        vector: full name of the channel vector that belongs beside the map.
        kernel: full name of the kernel that a click on the picture opens. arrows: whether its directions are drawn.
    """

    probe: str | None = None
    part: Part | None = None
    channel: int | None = None
    vector: str | None = None
    kernel: str | None = None
    arrows: bool = False

    @property
    def name(self) -> str:
        """The map's name in the viewer: ``class_map``, ``PROBE``, ``PART(PROBE)``, each with ``@CHANNEL``."""
        if self.probe is None:
            return "class_map"
        name = self.probe if self.part is None else f"{self.part}({self.probe})"
        return name if self.channel is None else f"{name}@{self.channel}"

    def heatmap(self, trace: Trace, step: int) -> Heatmap:
        """The map itself, at a computation step."""
        if self.probe is None:
            return trace.class_map(step)
        return trace.heatmap(self.probe, step, part=self.part, channel=self.channel)


@dataclass(frozen=True, eq=False)
class Frame:
    """One stop of the step slider. Several may lie inside one computation step.

    Attributes:
        step: computation step, 1-based. title: short. caption: one or two plain sentences: what is seen, and what
            range and neutral value it has.
        records: the attention values that this stop uses.
        show: what the viewer shows here by default; None leaves the choice to the person.
    """

    step: int
    title: str
    caption: str
    records: tuple[AttentionRecord, ...]
    show: View | None = None

    def heatmap(self, trace: Trace) -> Heatmap:
        """The map that this stop shows; without one of its own, the class map of the step's best class."""
        return (self.show or View()).heatmap(trace, self.step)


def frames_of(trace: Trace) -> tuple[Frame, ...]:
    """The frames of a trace, told as its family tells them."""
    from viz.families.stories import STORIES

    return STORIES.get(trace.card.family or "plain", STORIES["plain"])(trace)
