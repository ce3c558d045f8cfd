"""Stages: the stops of the page's slider. Several may lie inside one computation step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from viz.core.map_spec import HasMaps, MapSpec
from viz.core.record import Record

# A slider with more stops is no walk any more; families leave out their finer stops before that.
MOST_STAGES = 20
CAM = MapSpec("cam")


class Answered(HasMaps[Any], Protocol):
    """What a stage asks of its trace."""

    @property
    def output_map(self) -> MapSpec | None:
        """The map of the answer itself."""
        ...


@dataclass(frozen=True)
class View:
    """What a stage shows unless a person chooses otherwise.

    Attributes:
        map: by default the class map of the step's best class.
        vector: full name of the channel vector that belongs beside the map.
        kernel: full name of the kernel that a click on the picture opens. arrows: whether its directions are drawn.
    """

    map: MapSpec = CAM
    vector: str | None = None
    kernel: str | None = None
    arrows: bool = False


@dataclass(frozen=True, eq=False)
class Stage:
    """One stop of the slider.

    Attributes:
        step: computation step, 1-based. title: short. caption: one or two plain sentences: what is seen, and what
            range and neutral value it has.
        records: the attention values that this stage uses.
        show: what the viewer shows here by default; None leaves the choice to the person.
    """

    step: int
    title: str
    caption: str
    records: tuple[Record, ...]
    show: View | None = None

    @property
    def map(self) -> MapSpec:
        """The map that this stage shows, at its step."""
        return (self.show or View()).map.at(self.step)

    def heatmap(self, trace: Answered) -> Any:
        """The map itself, as a `viz.core.heatmap.Heatmap`; without a view of its own, that of the answer."""
        shown = trace.output_map if self.show is None else self.show.map
        return (shown or CAM).at(self.step).on(trace)


class Narrator(Protocol):
    """What a trace asks of its family, see `viz.families.family.Family`."""

    @property
    def own(self) -> MapSpec | None:
        """The family's own map over places."""
        ...

    def stages(self, trace: Any) -> tuple[Stage, ...]:
        """The stages of a trace."""
        ...
