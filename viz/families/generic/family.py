"""Networks without attention modules of ours: one stage for the one pass."""

from __future__ import annotations

from viz.core.stage import Stage
from viz.core.trace import Trace
from viz.families.family import Family


def stages(trace: Trace) -> tuple[Stage, ...]:
    """One stage for the one pass."""
    what = "One pass" if trace.records else "One pass, no attention module"
    return (Stage(1, "step 1", f"{what}. Prediction: {trace.output.says(1)}.", trace.records),)


FAMILY = Family("generic", stages)
