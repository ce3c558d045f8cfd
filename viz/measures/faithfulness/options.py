"""Names of the controls, and how thorough they are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, get_args

from viz.attribution import AttributionOptions
from viz.core.methods import DEFAULT_OPTIONS
from viz.errors import VizError
from viz.measures.faithfulness.impute import NOISE
from viz.measures.faithfulness.orders import Baseline, Unit
from viz.measures.faithfulness.passes import BATCH

Part = Literal["reliance", "deletion", "insertion", "road", "randomisation", "stability"]
PARTS: tuple[Part, ...] = get_args(Part)
# Imputing large holes for many fractions costs as much as all other controls together.
QUICK_PARTS: tuple[Part, ...] = ("reliance", "deletion", "insertion", "randomisation", "stability")
Mode = Literal["cascading", "independent"]
MODES: tuple[Mode, ...] = get_args(Mode)
How = Literal["normal", "shuffle"]


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
