"""An attribution map as it was computed, with all that makes it repeatable."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from viz.core.map_spec import MapSpec, parse
from viz.core.record import match
from viz.read_only import ReadOnlyArrays

FloatArray = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Attribution(ReadOnlyArrays):
    """What speaks for a class, as `Model.attribute` found it: values and all that makes them repeatable.

    Attributes:
        method: e.g. ``gradcam`` or ``gradcam(PROBE)`` with the probe's full name. words: it in words.
        step, class_index: of the logit. layer: ``input``, ``class features`` or the probe's full name.
        values: float32 (h, w). unit, bounds, neutral: of them, see `Heatmap`.
        options: those that the method uses. settings: them in words. captum: its version.
    """

    method: str
    words: str
    step: int
    class_index: int
    layer: str
    values: FloatArray
    unit: str
    bounds: tuple[float, float]
    neutral: float | None
    options: Mapping[str, Any]
    settings: str
    captum: str

    def is_asked(self, spec: MapSpec) -> bool:
        """Whether a method as it is asked for, its tap by label or full name, means this one."""
        mine = parse(self.method)
        if spec.name != mine.name or (spec.tap is None) != (mine.tap is None):
            return False
        return spec.tap is None or mine.tap is None or bool(match([mine.tap], spec.tap))
