"""Stages: the stops of the page's slider. A computation step may have several."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from viz.core.map_spec import MapSpec
from viz.core.record import Record

# More stops are too many to step through; families leave out their finer stops before that.
MOST_STAGES = 20
CAM = MapSpec("cam")


class Answered(Protocol):
    """What a stage needs of its trace."""

    @property
    def output_map(self) -> MapSpec | None:
        """The map of the output itself."""
        ...

    def heatmap(self, spec: MapSpec) -> Any:
        """The map of a specification."""
        ...


@dataclass(frozen=True)
class View:
    """What a stage shows by default.

    Attributes:
        map: by default the class map of the step's best class.
        vector: full name of the channel vector shown beside the map.
        kernel: full name of the kernel that a click on the picture shows. arrows: whether its directions are drawn.
    """

    map: MapSpec = CAM
    vector: str | None = None
    kernel: str | None = None
    arrows: bool = False


@dataclass(frozen=True, eq=False)
class Stage:
    """One stop of the slider.

    Attributes:
        step: computation step, 1-based.
        title: short. caption: one or two sentences on what is shown, with its range and neutral value.
        records: the captured values that this stage uses.
        show: the viewer's default view; None leaves the choice to the user.
    """

    step: int
    title: str
    caption: str
    records: tuple[Record, ...]
    show: View | None = None

    @property
    def map(self) -> MapSpec:
        """The map shown at this stage, at its step."""
        return (self.show or View()).map.at(self.step)

    def heatmap(self, trace: Answered) -> Any:
        """The `viz.core.heatmap.Heatmap` of its view, or of the output if it has none."""
        shown = trace.output_map if self.show is None else self.show.map
        return trace.heatmap((shown or CAM).at(self.step))


class Narrator(Protocol):
    """What a trace needs of its family, see `viz.families.family.Family`."""

    @property
    def own(self) -> MapSpec | None:
        """The family's own spatial map."""
        ...

    def stages(self, trace: Any) -> tuple[Stage, ...]:
        """The stages of a trace."""
        ...
