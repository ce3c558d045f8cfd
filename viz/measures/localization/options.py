"""What an evaluation is asked for."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from viz.attribution import AttributionOptions
from viz.core.map_spec import BASELINES, MapSpec, parse
from viz.errors import VizError
from viz.measures.localization.protocol import SIZE, Thresholds
from viz.run.engine import Precision

Classes = Literal["label", "predicted"]
Mixed = Literal["bfloat16", "float16"]


@dataclass(frozen=True)
class Options:
    """What decides the rows of an evaluation.

    Attributes:
        sources: where maps come from, see `viz.core.map_spec`.
        interval: between the thresholds of the sweep.
        classes: class of class maps and attributions: the sample's ``label``, or what the network ``predicted``.
        batch: pictures that go through a network together. Part of the request: a network's sums differ in their last
            digits with the batch.
        precision: number format of the network. mixed: format of autocast, or None.
        threads: of one process on the CPU, part of the request for the same reason.
        attribution: of the attribution methods.
    """

    sources: tuple[MapSpec, ...] = (MapSpec("cam"),)
    interval: float = 0.01
    classes: Classes = "label"
    batch: int = 2
    precision: Precision = "float32"
    mixed: Mixed | None = None
    threads: int = 1
    attribution: AttributionOptions = field(default_factory=AttributionOptions)

    def __post_init__(self) -> None:
        if not self.sources:
            raise VizError("An evaluation needs at least one source of maps, such as cam.")
        if len({str(s) for s in self.sources}) != len(self.sources):
            raise VizError("A source of maps is given twice.")
        if any(s.kind == "baseline" for s in self.sources):
            raise VizError(f"The floors ({', '.join(BASELINES)}) are always there; they need not be asked for.")
        if not 1 <= self.batch <= 1024:
            raise VizError(f"The batch must lie between 1 and 1024 pictures, not {self.batch}.")
        if not 1 <= self.threads <= 1024:
            raise VizError(f"The number of threads must lie between 1 and 1024, not {self.threads}.")
        Thresholds(self.interval)

    @property
    def thresholds(self) -> Thresholds:
        """The thresholds of the sweep."""
        return Thresholds(self.interval)

    def to_json(self) -> dict[str, Any]:
        """Plain values, for the request and the record."""
        data = asdict(self)
        data["sources"] = [str(s) for s in self.sources]
        return data | {"size": SIZE, "geometry": "squash"}


def sources_of(texts: list[str] | tuple[str, ...]) -> tuple[MapSpec, ...]:
    """Sources from their words, in order."""
    return tuple(parse(text) for text in texts)
