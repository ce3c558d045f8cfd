"""Options of an evaluation, and the checked plan of one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any, Literal

from viz.attribution import AttributionOptions
from viz.core.card import ModelCard
from viz.core.map_spec import BASELINES, MapSpec, parse
from viz.datasets import Dataset
from viz.errors import VizError
from viz.measures.localization.protocol import SIZE, Thresholds
from viz.measures.localization.tuning import Tuning
from viz.run.engine import Engine, Precision

Classes = Literal["label", "predicted"]
Mixed = Literal["bfloat16", "float16"]
# Maps of a model: text in the result, and map.
Maps = tuple[tuple[str, MapSpec], ...]
# Number of a model, and map; baselines belong to no model and have -1.
Key = tuple[int, str]


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


@dataclass(frozen=True, eq=False)
class Plan:
    """A checked evaluation that has not started.

    Attributes:
        models: names or files. cards: of the models. sources: their maps. left_out: (model, map, why).
        data: the reported data set, then that for tuning, if any.
        tuning: how thresholds are chosen. folds: per split; splits: that numbers are averaged over; both are 1 without
            cross-validation.
        engine: loads the models, and keeps some of them.
    """

    models: tuple[str, ...]
    cards: tuple[ModelCard, ...]
    sources: tuple[Maps, ...]
    left_out: tuple[tuple[str, str, str], ...]
    data: tuple[Dataset, ...]
    options: Options
    tuning: Tuning
    folds: int
    splits: int
    engine: Engine

    @property
    def device(self) -> str:
        """Device of the networks."""
        return self.engine.device

    @cached_property
    def groups(self) -> list[str]:
        """The picture of each sample of the reported data set."""
        return [s.group for s in self.data[0]]

    def step(self, key: Key) -> int:
        """0-based step of a model's map."""
        step, steps = parse(key[1]).step, self.cards[max(key[0], 0)].steps
        return step - 1 if step > 0 else steps + step

    def place(self, key: Key) -> tuple[int, int]:
        """Order of the rows: baselines, then model by model the maps as they were asked for."""
        return key[0], ["centre_box", "centre_gaussian", *(str(s) for s in self.options.sources)].index(key[1])
