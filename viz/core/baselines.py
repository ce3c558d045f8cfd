"""Baselines that ignore the image, as maps over what the network saw."""

from __future__ import annotations

import numpy as np

from viz.core.heatmap import Heatmap
from viz.core.map_spec import BASELINES, MapSpec
from viz.geometry import Geometry

CELLS = 28
# Deviation of the Gaussian as a share of the side.
DEVIATION = 0.25


def baseline(spec: MapSpec, geometry: Geometry) -> Heatmap:
    """A centre Gaussian, or a map whose level sets are centred squares: 1 in the middle, 0 at the edge."""
    axis = (np.arange(CELLS) + 0.5) / CELLS - 0.5
    if spec.name == "centre_gaussian":
        bell = np.exp(-((axis / DEVIATION) ** 2) / 2)
        native = bell[:, None] * bell[None, :]
    else:
        native = 1 - 2 * np.maximum(np.abs(axis)[:, None], np.abs(axis)[None, :])
    title = BASELINES[spec.name]
    return Heatmap(native.astype(np.float32), geometry, title, "ignores the image", (0.0, 1.0), spec=spec.at(1))
