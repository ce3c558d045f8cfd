"""Networks without an attention module of ours: one stop for each computation step."""

from __future__ import annotations

from viz.core.stage import Stage
from viz.core.trace import Trace
from viz.families.family import Family
from viz.families.stages import prediction


def stages(trace: Trace) -> tuple[Stage, ...]:
    """A network without attention: one stop."""
    caption = f"One pass, no attention module: {prediction(trace, 1)}."
    return (Stage(1, "step 1", caption, trace.records),)


FAMILY = Family("generic", stages)
