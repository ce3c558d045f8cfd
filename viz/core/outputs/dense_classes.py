"""Segmentation: one score per class and cell."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from viz.core.card import ModelCard
from viz.core.output import CellMap, FloatArray, Output, Share, softmax
from viz.core.target import CellsTarget, Region, cells_of, cells_target
from viz.geometry import Geometry


@dataclass(frozen=True, eq=False)
class DenseClasses(Output):
    """`logits` float32 (steps, classes, h, w); `seen` bool (h, w): the cells without padding."""

    logits: FloatArray
    labels: tuple[str, ...]
    seen: NDArray[np.bool_]
    words: ClassVar[str] = "a class for each cell"
    axes: ClassVar[int] = 3
    number: ClassVar[str] = "share"
    probable: ClassVar[bool] = True
    maps: ClassVar[tuple[str, ...]] = ("output", "probability")

    @classmethod
    def of(
        cls, answers: Sequence[FloatArray], geometry: Geometry, labels: tuple[str, ...], card: ModelCard
    ) -> DenseClasses:
        h, w = answers[0].shape[1:]
        return cls(np.stack(answers), labels, geometry.cells_inside(geometry.placed, (h, w)))

    def arrays(self) -> dict[str, NDArray[Any]]:
        return {"logits": self.logits}

    def says(self, step: int) -> str:
        best = [r for r in self.ranking[step - 1][:3] if r.share > 0]
        return ", ".join(f"{r.label} ({r.share:.1%} of the cells)" for r in best)

    def target(self, geometry: Geometry, step: int, class_index: int | None, region: Region | None) -> CellsTarget:
        """Without a region: the cells where the class is the best one, or all cells if there are none."""
        if region is not None:
            return cells_target(cells_of(region, geometry, self.seen.shape), class_index)
        own = self._own(step, class_index)
        return cells_target(own if own.any() else self.seen, class_index)

    def question(self, step: int, class_index: int | None, region: Region | None) -> str:
        if region is not None:
            return super().question(step, class_index, region)
        where = "where predicted" if self._own(step, class_index).any() else "everywhere"
        return f"{self.subject(class_index)} {where}"

    def _own(self, step: int, class_index: int | None) -> NDArray[np.bool_]:
        return self.seen & (self.classes[step - 1] == class_index)

    @cached_property
    def classes(self) -> NDArray[np.intp]:
        """The best class of each cell, (steps, h, w)."""
        return self.logits.argmax(axis=1)

    @cached_property
    def ranking(self) -> tuple[tuple[Share, ...], ...]:
        out = []
        for cells in self.classes:
            shares = np.bincount(cells[self.seen], minlength=len(self.labels)) / self.seen.sum()
            order = np.argsort(-shares, kind="stable")
            out.append(tuple(Share(int(i), self.labels[i], float(shares[i])) for i in order))
        return tuple(out)

    def map(self, name: str, step: int, class_index: int | None) -> CellMap:
        index = class_index or 0
        logits, label = self.logits[step - 1], self.labels[index]
        if name == "output":
            return CellMap(logits[index], f"logit of {label}", "logit")
        return CellMap(softmax(logits, 0)[index], f"probability of {label}", "probability", (0.0, 1.0))


OUTPUT = DenseClasses
