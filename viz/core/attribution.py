"""A computed attribution map, with everything needed to reproduce it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from viz.core.map_spec import MapSpec, parse
from viz.core.record import match
from viz.read_only import ReadOnlyArrays

FloatArray = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Attribution(ReadOnlyArrays):
    """The evidence for a class that `Model.attribute` computed, with everything needed to reproduce it.

    Attributes:
        method: e.g. ``gradcam`` or ``gradcam(PROBE)`` with the probe's full name. words: its title.
        step, class_index: of the output; class_index is None if it has no classes. region: of the picture, or None.
        layer: ``input``, ``class features`` or the probe's full name.
        values: float32 (h, w). unit, bounds, neutral: see `Heatmap`.
        options: those that the method uses. settings: the same in words. captum: version of Captum.
    """

    method: str
    words: str
    step: int
    class_index: int | None
    layer: str
    values: FloatArray
    unit: str
    bounds: tuple[float, float]
    neutral: float | None
    options: Mapping[str, Any]
    settings: str
    captum: str
    region: tuple[int, ...] | None = None

    @property
    def key(self) -> str:
        """The map specification, which names the values in files."""
        spec = parse(self.method)
        return str(replace(spec, cls=self.class_index, region=self.region, step=self.step))

    def is_asked(self, spec: MapSpec) -> bool:
        """Whether a specification, with its tap's label or full name, means this method."""
        own = parse(self.method)
        if spec.name != own.name or spec.tap is None or own.tap is None:
            return spec.name == own.name and spec.tap == own.tap
        return bool(match([own.tap], spec.tap))
