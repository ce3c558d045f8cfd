"""Options of an evaluation."""

from __future__ import annotations

from collections.abc import Sequence
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
        sources: maps to evaluate, see `viz.core.map_spec`. interval: between the thresholds of the sweep.
        classes: class of class maps and attributions: the sample's ``label`` or the ``predicted`` one.
        batch: pictures per pass; a network's sums differ in their last digits with it.
        precision: number format of the network. mixed: format of autocast, or None.
        threads: per process on the CPU; sums differ with them, too. attribution: of the attribution methods.
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
            raise VizError("An evaluation needs at least one map, such as cam.")
        if len({str(s) for s in self.sources}) != len(self.sources):
            raise VizError("A map is given twice; name each map once.")
        if any(s.kind == "baseline" for s in self.sources):
            raise VizError(f"The baselines ({', '.join(BASELINES)}) are always evaluated; leave them out.")
        for name, value in (("batch", self.batch), ("number of threads", self.threads)):
            if not 1 <= value <= 1024:
                raise VizError(f"The {name} must lie between 1 and 1024, not {value}.")
        Thresholds(self.interval)

    @property
    def thresholds(self) -> Thresholds:
        """The thresholds of the sweep."""
        return Thresholds(self.interval)

    def to_json(self) -> dict[str, Any]:
        """Plain values, for the request."""
        return asdict(self) | {"sources": [str(s) for s in self.sources], "size": SIZE, "geometry": "squash"}


def sources_of(texts: Sequence[str]) -> tuple[MapSpec, ...]:
    """Maps from their specifications, in order."""
    return tuple(parse(text) for text in texts)
