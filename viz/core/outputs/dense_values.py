"""Depth and other regression: one value per cell."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from viz.core.card import ModelCard
from viz.core.finite import finite
from viz.core.output import CellMap, FloatArray, Output
from viz.core.target import CellsTarget, Region, cells_of, cells_target
from viz.geometry import Geometry


@dataclass(frozen=True, eq=False)
class DenseValues(Output):
    """`values` float32 (steps, h, w); `seen` bool (h, w): the cells without padding."""

    values: FloatArray
    seen: NDArray[np.bool_]
    quantity: str = "value"
    unit: str = ""
    labels: tuple[str, ...] = ()
    words: ClassVar[str] = "a value for each cell"
    axes: ClassVar[int] = 2
    asked: ClassVar[str] = "value"
    has_classes: ClassVar[bool] = False
    maps: ClassVar[tuple[str, ...]] = ("output",)

    @classmethod
    def of(
        cls, answers: Sequence[FloatArray], geometry: Geometry, labels: tuple[str, ...], card: ModelCard
    ) -> DenseValues:
        h, w = answers[0].shape
        seen = geometry.cells_inside(geometry.placed, (h, w))
        return cls(np.stack(answers), seen, card.quantity or "value", card.unit)

    def arrays(self) -> dict[str, NDArray[Any]]:
        return {"values": self.values}

    def says(self, step: int) -> str:
        values = self.values[step - 1][self.seen]
        return f"{self.quantity} {values.min():.4g} to {values.max():.4g} {self.unit}".rstrip()

    def target(self, geometry: Geometry, step: int, class_index: int | None, region: Region | None) -> CellsTarget:
        """Without a region: all cells."""
        return cells_target(self.seen if region is None else cells_of(region, geometry, self.seen.shape), None)

    def subject(self, class_index: int | None) -> str:
        return self.quantity

    def map(self, name: str, step: int, class_index: int | None) -> CellMap:
        if name not in self.maps:
            return super().map(name, step, class_index)
        return CellMap(self.values[step - 1], self.quantity, self.unit or self.quantity)

    def entry(self, step: int, count: int = 5) -> dict[str, Any]:
        values = self.values[step - 1][self.seen]
        low, mean, high = (finite(float(v)) for v in (values.min(), values.mean(), values.max()))
        return {"step": step, "quantity": self.quantity, "unit": self.unit, "low": low, "mean": mean, "high": high}


OUTPUT = DenseValues
