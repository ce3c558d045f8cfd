"""Curves of the class probability while pixels are removed or inserted in the order of a map, with two baselines.

- deletion and insertion: Petsiuk, Das, Saenko, "RISE", BMVC 2018 (arXiv 1806.07421);
- ``road_morf`` and ``road_lerf``: removal of the most or the least relevant pixels first, with imputation instead of a
  fixed colour: Rong et al., ICML 2022 (ROAD, arXiv 2202.00449).

Baselines: random maps of as many cells as the map has (several seeds), and a centre Gaussian.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import torch
from torch import Tensor

from viz.errors import VizError
from viz.measures.codec import plain
from viz.measures.faithfulness.control import QUICK, Control, Options
from viz.measures.faithfulness.gates import input_keys
from viz.measures.faithfulness.passes import Passes, probability
from viz.measures.faithfulness.removal import Baseline, Unit, fill, impute, order_of, random_map, removed
from viz.measures.faithfulness.sources import centre

CurveControl = Literal["deletion", "insertion", "road_morf", "road_lerf"]
# Controls for which a good map has a small area.
LOW_IS_GOOD = ("deletion", "road_morf")


@dataclass(frozen=True)
class Curve:
    """Probability of the class, and whether it is the best one, over the fraction of changed pixels."""

    fractions: tuple[float, ...]
    probability: tuple[float, ...]
    best: tuple[bool, ...]

    @property
    def area(self) -> float:
        """Mean probability, 0 to 1: the area by the trapezoidal rule over the range of the fractions."""
        f, p = self.fractions, self.probability
        total = sum((f[i + 1] - f[i]) * (p[i + 1] + p[i]) / 2 for i in range(len(f) - 1))
        return total / (f[-1] - f[0])

    def to_json(self) -> dict[str, Any]:
        """Plain values and the area."""
        return {**plain(self), "area": plain(self.area)}


@dataclass(frozen=True)
class CurveResult(Control):
    """One curve of one map.

    Attributes:
        class_index, step: whose probability. baseline: what replaces pixels. unit: ``pixels`` or ``cells``.
        curve: of the map; None where all its values are equal, so that it does not rank pixels.
        random: curves of random maps. centre: that of the Gaussian. reason: why there is no curve, else empty.
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
        """Area of the map's curve; NaN where there is none."""
        return self.curve.area if self.curve else math.nan

    @property
    def random_area(self) -> float:
        """Mean area of the random maps."""
        return sum(c.area for c in self.random) / len(self.random) if self.random else math.nan

    def gain(self, over: float) -> float:
        """How much better the map's area is than another one; positive is better for every control."""
        return over - self.area if self.control in LOW_IS_GOOD else self.area - over

    def numbers(self) -> Iterator[tuple[str, str, float]]:
        yield self.baseline, "area", self.area
        yield self.baseline, "random_area", self.random_area
        yield self.baseline, "centre_area", self.centre.area
        yield self.baseline, "gain_over_random", self.gain(self.random_area)
        yield self.baseline, "gain_over_centre", self.gain(self.centre.area)

    def to_json(self) -> dict[str, Any]:
        head = ("control", "source", "class_index", "step", "baseline", "unit")
        return {
            **{name: getattr(self, name) for name in head},
            "low_is_good": self.control in LOW_IS_GOOD,
            "curve": self.curve.to_json() if self.curve else None,
            "random": [c.to_json() for c in self.random],
            "centre": self.centre.to_json(),
            "random_area": plain(self.random_area),
            "gain_over_random": plain(self.gain(self.random_area)),
            "gain_over_centre": plain(self.gain(self.centre.area)),
            "reason": self.reason,
        }


def curves(
    passes: Passes,
    x: Tensor,
    class_index: int,
    maps: Mapping[str, Tensor],
    controls: Sequence[CurveControl],
    *,
    options: Options = QUICK,
    progress: Callable[[float, str], None] | None = None,
) -> list[CurveResult]:
    """Curves of several maps of one picture.

    Args:
        x: (1, 3, h, w). maps: (h', w') float32 on the CPU by name.
        progress: called with the fraction done and the control.

    Raises:
        VizError: fewer than two points, or an unknown unit or baseline.
    """
    # Each picture has its own random maps: shared ones would not average out over a data set.
    own_seed = options.seed + int(input_keys(x)[0][:8], 16)
    x = passes.placed(x)
    size = (int(x.shape[2]), int(x.shape[3]))

    def ordered(heat: Tensor) -> Tensor:
        return order_of(heat, size, options.unit, options.seed)

    middle = ordered(centre(x)[0])
    chance = {
        shape: [ordered(random_map(shape, own_seed + 1000 * (k + 1))) for k in range(options.seeds)]
        for shape in dict.fromkeys(tuple(m.shape) for m in maps.values())
    }
    orders = {name: ordered(m) for name, m in maps.items() if _ranks(m)}
    found = []
    beside: dict[tuple[str, tuple[int, ...]], tuple[Curve, ...]] = {}
    for done, control in enumerate(controls):
        if progress:
            progress(done / len(controls), control)
        run = _Run(passes, x, class_index, control, options)
        # A random order read backwards is a random order: both directions of ROAD share theirs.
        kind = "road" if run.imputed else control
        for shape, many in chance.items():
            if (kind, shape) not in beside:
                beside[kind, shape] = tuple(run.curve(o) for o in many)
        head, gaussian = (passes.step, run.baseline, options.unit), run.curve(middle)
        for name, m in maps.items():
            own = run.curve(orders[name]) if name in orders else None
            reason = "" if own else f"The map {name} is constant or not finite, so it does not rank pixels."
            random = beside[kind, tuple(m.shape)]
            found.append(CurveResult(control, name, class_index, *head, own, random, gaussian, reason))
    return found


def _ranks(heat: Tensor) -> bool:
    good = heat[torch.isfinite(heat)]
    return good.numel() > 1 and bool(good.min() < good.max())


@dataclass(frozen=True, eq=False)
class _Run:
    """One control of one picture, for any order of pixels."""

    passes: Passes
    x: Tensor
    class_index: int
    control: CurveControl
    options: Options

    @property
    def imputed(self) -> bool:
        """Whether removed pixels are imputed."""
        return self.control.startswith("road")

    @property
    def baseline(self) -> Baseline | Literal["imputed"]:
        """What replaces pixels."""
        if self.imputed:
            return "imputed"
        return self.options.insertion if self.control == "insertion" else self.options.deletion

    @cached_property
    def fractions(self) -> tuple[float, ...]:
        """From 0 to 1; imputation needs some pixels to start from and leaves out 1."""
        points = self.options.road_points if self.imputed else self.options.points
        if points < 2:
            raise VizError(f"A curve needs at least 2 points, not {points}.")
        return tuple(k / points for k in range(points if self.imputed else points + 1))

    @cached_property
    def other(self) -> Tensor | None:
        """What replaces pixels, (1, 3, h, w); None where they are imputed."""
        return None if self.baseline == "imputed" else fill(self.x, self.baseline)

    @cached_property
    def ends(self) -> dict[float, Tensor]:
        """Logits (1, classes) at the fractions 0 and 1, which are the same for every order."""
        whole = self.passes.logits(self.x)
        if self.other is None:
            return {0.0: whole}
        empty = self.passes.logits(self.other)
        return {0.0: empty, 1.0: whole} if self.control == "insertion" else {0.0: whole, 1.0: empty}

    def curve(self, order: Tensor) -> Curve:
        """The curve of an order of pixels (h, w)."""
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
        """Inputs (K, 3, h, w) whose first pixels (K, 1, h, w) are changed."""
        if self.other is None:
            x = self.x.expand(len(first), -1, -1, -1)
            return impute(x, first, noise=self.options.noise, seed=self.options.seed)
        on, off = (self.x, self.other) if self.control == "insertion" else (self.other, self.x)
        return torch.where(first, on, off)
