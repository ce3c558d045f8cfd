"""TDAM as a family."""

from __future__ import annotations

from viz.core.map_spec import MapSpec
from viz.families.family import Family
from viz.families.tdam.stages import stages

FAMILY = Family(
    "tdam",
    stages,
    own=MapSpec("spatial_gate"),
    gates=("spatial_gate",),
    optional_gates=("channel_gate",),
    first_value="first searchlight",
    missing="No searchlight at this step: it starts after the first pass.",
)
