"""What a network answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from viz.read_only import ReadOnlyArrays

FloatArray = NDArray[np.float32]


class Prediction(NamedTuple):
    """One class of one step: `probability` is the softmax over all classes."""

    class_index: int
    label: str
    probability: float


@dataclass(frozen=True, eq=False)
class ClassHead(ReadOnlyArrays):
    """The linear classifier that class maps need: `weights` float32 (classes, C), `labels` one a class."""

    weights: FloatArray
    labels: tuple[str, ...]
