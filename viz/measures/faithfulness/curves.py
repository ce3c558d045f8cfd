"""Curves of the answer while pixels are removed or brought in, in the order of a map, with two controls beside them.

- deletion and insertion: Petsiuk, Das, Saenko, "RISE", BMVC 2018 (arXiv 1806.07421);
- ``road_morf`` and ``road_lerf``: removal of the most or the least relevant pixels first, with imputation instead of a
  fixed colour: Rong et al., ICML 2022 (ROAD, arXiv 2202.00449).

Controls: random maps of as many cells as the map has (several seeds), and a Gaussian in the middle of the picture.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import torch
from torch import Tensor

from viz.errors import VizError
from viz.measures.faithfulness.gates import input_keys
from viz.measures.faithfulness.impute import NOISE, impute
from viz.measures.faithfulness.orders import Baseline, Unit, fill, order_of, random_map, removed
from viz.measures.faithfulness.passes import Passes, probability
from viz.measures.faithfulness.results import Row, plain, row
from viz.measures.faithfulness.sources import centre

CurveControl = Literal["deletion", "insertion", "road_morf", "road_lerf"]
# Where a map that points at what the network uses gives a small area.
LOW_IS_GOOD = ("deletion", "road_morf")
DEFAULT_BASELINE: dict[str, Baseline | Literal["imputed"]] = {
    "deletion": "mean",
    "insertion": "blurred",
    "road_morf": "imputed",
    "road_lerf": "imputed",
}


@dataclass(frozen=True)
class Curve:
    """Probability of the class and whether it is the best one, over the fraction of pixels changed.

    `area` is that under the probability by the trapezoid rule, divided by the range of the fractions: 0 to 1.
    """

    fractions: tuple[float, ...]
    probability: tuple[float, ...]
    best: tuple[bool, ...]

    @property
    def area(self) -> float:
        """Mean height of the probability, 0 to 1."""
        f, p = self.fractions, self.probability
        total = sum((f[i + 1] - f[i]) * (p[i + 1] + p[i]) / 2 for i in range(len(f) - 1))
        return total / (f[-1] - f[0])

    def to_json(self) -> dict[str, Any]:
        """Plain values and the area."""
        return {**plain(self), "area": plain(self.area)}


@dataclass(frozen=True)
class CurveResult:
    """One control of one map.

    Attributes:
        control: which curve. source: which map. class_index, step: whose probability.
        baseline: what takes the place of pixels. unit: ``pixels`` or ``cells``.
        curve: the map's own; None where the map has no two different values, so that it orders nothing.
        random: those of random maps. centre: that of the Gaussian. reason: why there is no curve, else empty.
    """

    control: CurveControl
    source: str
    class_index: int
    step: int
    baseline: str
    unit: Unit
    curve: Curve | None
    random: tuple[Curve, ...]
    centre: Curve
    reason: str = ""

    @property
    def area(self) -> float:
        """Of the map; NaN where it orders nothing."""
        return self.curve.area if self.curve else math.nan

    @property
    def random_area(self) -> float:
        """Mean area of the random maps."""
        return sum(c.area for c in self.random) / len(self.random) if self.random else math.nan

    def gain(self, over: float) -> float:
        """How much better the map is than another area; positive is better, whichever way the control points."""
        return over - self.area if self.control in LOW_IS_GOOD else self.area - over

    def rows(self) -> list[Row]:
        """Areas of map and controls, and the gains over them."""
        values = {
            "area": self.area,
            "random_area": self.random_area,
            "centre_area": self.centre.area,
            "gain_over_random": self.gain(self.random_area),
            "gain_over_centre": self.gain(self.centre.area),
        }
        return [row(self.control, self.source, self.baseline, m, v) for m, v in values.items()]

    def to_json(self) -> dict[str, Any]:
        """Plain values; what is no number is None."""
        return {
            "control": self.control,
            "source": self.source,
            "class_index": self.class_index,
            "step": self.step,
            "baseline": self.baseline,
            "unit": self.unit,
            "low_is_good": self.control in LOW_IS_GOOD,
            "curve": self.curve.to_json() if self.curve else None,
            "random": [c.to_json() for c in self.random],
            "centre": self.centre.to_json(),
            "random_area": plain(self.random_area),
            "gain_over_random": plain(self.gain(self.random_area)),
            "gain_over_centre": plain(self.gain(self.centre.area)),
            "reason": self.reason,
        }


def fractions_of(control: str, points: int) -> tuple[float, ...]:
    """`points` + 1 fractions from 0 to 1; imputation needs something to start from and leaves out 1.

    Raises:
        VizError: fewer than two points.
    """
    if points < 2:
        raise VizError(f"A curve needs at least 2 points, not {points}.")
    found = tuple(k / points for k in range(points + 1))
    return found[:-1] if control.startswith("road") else found


def curves(
    passes: Passes,
    x: Tensor,
    class_index: int,
    maps: Mapping[str, Tensor],
    controls: Sequence[CurveControl],
    *,
    points: int = 20,
    unit: Unit = "pixels",
    seeds: int = 3,
    seed: int = 0,
    noise: float = NOISE,
    baselines: Mapping[str, Baseline] | None = None,
    progress: Callable[[float, str], None] | None = None,
) -> list[CurveResult]:
    """Curves of several maps of one picture.

    Args:
        x: (1, 3, h, w). maps: (h', w') float32 on the CPU by source.
        points: intervals of the fraction. seeds: random maps. seed: of everything random.
        noise: of the imputation, in network units.
        baselines: by control, in place of the mean colour (deletion) or the blurred picture (insertion).
        progress: called with the share done and a word.
    """
    # Each picture has random maps of its own: shared ones would not average out over a data set.
    own_seed = seed + int(input_keys(x)[0][:8], 16)
    x = passes.placed(x)
    size = (int(x.shape[2]), int(x.shape[3]))
    cells: dict[tuple[int, ...], None] = {tuple(m.shape): None for m in maps.values()}
    middle = order_of(centre(x)[0], size, unit, seed)
    chance = {
        shape: [
            order_of(random_map(torch.empty(shape), own_seed + 1000 * (k + 1)), size, unit, seed) for k in range(seeds)
        ]
        for shape in cells
    }
    orders = {name: order_of(m, size, unit, seed) for name, m in maps.items() if _orders(m)}
    found = []
    beside: dict[tuple[str, tuple[int, ...]], tuple[Curve, ...]] = {}
    for done, control in enumerate(controls):
        if progress:
            progress(done / len(controls), control)
        baseline = (baselines or {}).get(control, DEFAULT_BASELINE[control])
        run = _Run(passes, x, class_index, control, baseline, fractions_of(control, points), noise, seed)
        # A random order read from its end is a random order: both directions of ROAD share theirs.
        kind = "road" if control.startswith("road") else control
        for shape, many in chance.items():
            if (kind, shape) not in beside:
                beside[kind, shape] = tuple(run.curve(o) for o in many)
        gaussian = run.curve(middle)
        for name, m in maps.items():
            own = run.curve(orders[name]) if name in orders else None
            reason = "" if own else f"The map {name} is the same everywhere or no number; it orders nothing."
            found.append(
                CurveResult(
                    control,
                    name,
                    class_index,
                    passes.step,
                    baseline,
                    unit,
                    own,
                    beside[kind, tuple(m.shape)],
                    gaussian,
                    reason,
                )
            )
    return found


def _orders(heat: Tensor) -> bool:
    good = heat[torch.isfinite(heat)]
    return good.numel() > 1 and bool(good.min() < good.max())


@dataclass(frozen=True, eq=False)
class _Run:
    """One control of one picture, for any order."""

    passes: Passes
    x: Tensor
    class_index: int
    control: CurveControl
    baseline: str
    fractions: tuple[float, ...]
    noise: float
    seed: int

    @cached_property
    def other(self) -> Tensor | None:
        """What stands in for pixels, (1, 3, h, w); None where they are imputed."""
        return None if self.baseline == "imputed" else fill(self.x, self.baseline)  # type: ignore[arg-type]

    @cached_property
    def ends(self) -> dict[float, Tensor]:
        """Logits (1, classes) at the fractions 0 and 1, where no order matters."""
        whole = self.passes.logits(self.x)
        if self.other is None:
            return {0.0: whole}
        empty = self.passes.logits(self.other)
        return {0.0: empty, 1.0: whole} if self.control == "insertion" else {0.0: whole, 1.0: empty}

    def curve(self, order: Tensor) -> Curve:
        """Along an order of pixels (h, w)."""
        if self.control == "road_lerf":
            order = order.numel() - 1 - order
        inner = tuple(f for f in self.fractions if f not in self.ends)
        between = self.passes.logits(self._changed(removed(order, inner).to(self.x.device)))
        at = {**self.ends, **{f: between[i : i + 1] for i, f in enumerate(inner)}}
        logits = torch.cat([at[f] for f in self.fractions])
        p = probability(logits, torch.full((len(logits),), self.class_index))
        best = logits.argmax(dim=1) == self.class_index
        return Curve(self.fractions, tuple(p.tolist()), tuple(best.tolist()))

    def _changed(self, first: Tensor) -> Tensor:
        """Inputs (K, 3, h, w) for the pixels (K, 1, h, w) that come first."""
        if self.other is None:
            x = self.x.expand(len(first), -1, -1, -1)
            return impute(x, first, noise=self.noise, seed=self.seed)
        on, off = (self.x, self.other) if self.control == "insertion" else (self.other, self.x)
        return torch.where(first, on, off)
