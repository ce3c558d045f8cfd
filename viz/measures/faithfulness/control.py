"""The controls: their names, how thorough they are, and what their results have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

from viz.attribution import AttributionOptions
from viz.core.methods import DEFAULT_OPTIONS
from viz.errors import VizError
from viz.measures.codec import plain
from viz.measures.faithfulness.passes import BATCH
from viz.measures.faithfulness.removal import NOISE, Baseline, Unit
from viz.measures.jobs.rows import Row

Part = Literal["reliance", "deletion", "insertion", "road", "randomisation", "stability"]
PARTS: tuple[Part, ...] = get_args(Part)
# Imputing large holes for many fractions costs as much as all other controls together.
QUICK_PARTS: tuple[Part, ...] = ("reliance", "deletion", "insertion", "randomisation", "stability")
Mode = Literal["cascading", "independent"]
MODES: tuple[Mode, ...] = get_args(Mode)
How = Literal["normal", "shuffle"]
# Entries of a row.
COLUMNS = ("control", "source", "variant", "measure", "value")


@dataclass(frozen=True)
class Options:
    """How thorough the controls are.

    Attributes:
        points: intervals of the deletion and insertion curves. road_points: of the ROAD curves.
        seeds: random maps beside each curve. unit: what is removed, ``pixels`` or ``cells`` of the map.
        deletion, insertion: what replaces pixels. noise: of ROAD's imputation, in network units.
        modes, how: of the random weights, see `randomisation`.
        sigmas, draws: strengths of the noise in units of 0..255, and draws of each. radius: of sensitivity_max, in the
            same units. samples: of Captum's metrics.
        seed: of everything random. batch: inputs per pass.
        probes: gates to replace; None takes the family's. attribution: of maps that are attribution methods.
    """

    points: int = 8
    road_points: int = 4
    seeds: int = 2
    unit: Unit = "pixels"
    deletion: Baseline = "mean"
    insertion: Baseline = "blurred"
    noise: float = NOISE
    modes: tuple[Mode, ...] = MODES
    how: How = "normal"
    sigmas: tuple[float, ...] = (4.0, 16.0)
    draws: int = 4
    radius: float = 4.0
    samples: int = 8
    seed: int = 0
    batch: int = BATCH
    probes: tuple[str, ...] | None = None
    attribution: AttributionOptions = DEFAULT_OPTIONS


QUICK = Options()
THOROUGH = replace(QUICK, points=50, road_points=10, seeds=10, draws=16, samples=64)


def check_parts(parts: Sequence[str]) -> None:
    """Refuse an unknown control.

    Raises:
        VizError: it names the control and the choices.
    """
    for part in parts:
        if part not in PARTS:
            raise VizError(f"Unknown control {str(part)[:40]!r}. Choose from: {', '.join(PARTS)}.")


class Control(ABC):
    """A result of one control.

    Attributes:
        control: its name. source: the tested map, empty where the control reads none.
    """

    control: str
    source: str

    @abstractmethod
    def numbers(self) -> Iterator[tuple[str, str, float]]:
        """Variant, measure and value of every number."""

    def rows(self) -> list[Row]:
        """One row per number: control, source, variant, measure, value."""
        head = (self.control, self.source)
        return [dict(zip(COLUMNS, (*head, v, m, float(x)), strict=True)) for v, m, x in self.numbers()]

    def to_json(self) -> dict[str, Any]:
        """Plain values; a missing number is None."""
        found: dict[str, Any] = plain(self)
        return found
