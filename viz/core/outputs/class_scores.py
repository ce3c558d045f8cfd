"""Classification: one score per class for the whole picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from viz.core.card import ModelCard
from viz.core.output import FloatArray, Output, Prediction, softmax
from viz.core.target import ClassTarget, Region
from viz.errors import ModelError
from viz.geometry import Geometry


@dataclass(frozen=True, eq=False)
class ClassScores(Output):
    """`logits` float32 (steps, classes)."""

    logits: FloatArray
    labels: tuple[str, ...]
    words: ClassVar[str] = "class scores for the whole picture"
    axes: ClassVar[int] = 1
    probable: ClassVar[bool] = True

    @classmethod
    def of(
        cls, answers: Sequence[FloatArray], geometry: Geometry, labels: tuple[str, ...], card: ModelCard
    ) -> ClassScores:
        return cls(np.stack(answers), labels)

    def arrays(self) -> dict[str, NDArray[Any]]:
        return {"logits": self.logits}

    def says(self, step: int) -> str:
        best = self.ranking[step - 1][0]
        return f"{best.label} ({best.probability:.1%})"

    def target(self, geometry: Geometry, step: int, class_index: int | None, region: Region | None) -> ClassTarget:
        if region is not None:
            raise ModelError(
                "This network classifies the whole picture; a region needs one that predicts for each cell."
            )
        return ClassTarget(int(class_index or 0))

    @cached_property
    def probabilities(self) -> FloatArray:
        """Softmax over classes, float32 (steps, classes)."""
        return softmax(self.logits, 1)

    @cached_property
    def ranking(self) -> tuple[tuple[Prediction, ...], ...]:
        return tuple(
            tuple(Prediction(int(i), self.labels[i], float(p[i])) for i in np.argsort(-p, kind="stable"))
            for p in self.probabilities
        )

    def best(self, step: int) -> int:
        return int(self.logits[step - 1].argmax())

    def number_of(self, step: int, class_index: int) -> float:
        return float(self.probabilities[step - 1, class_index])


OUTPUT = ClassScores
