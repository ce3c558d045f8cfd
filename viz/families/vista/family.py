"""VISTA-Net as a family."""

from __future__ import annotations

from viz.core.map_spec import MapSpec
from viz.core.trace import Trace
from viz.families.family import Family, last_record
from viz.families.vista.stages import main_message, module_title, stages


def figure(trace: Trace) -> list[MapSpec]:
    """The last update's maps rank by rank, their sum, the attention of all messages."""
    message = main_message(trace)
    found = [r for r in trace.records if r.path == message and r.label.startswith("spatial_map_")]
    if not found:
        return []
    last = [r for r in found if r.step == found[-1].step][:3]
    maps = [MapSpec(r.name, step=r.step) for r in last]
    if len(last) > 1:
        maps.append(MapSpec("ranks", last[-1].name, step=last[-1].step))
    if structured := last_record(trace, "structured", message):
        maps.append(MapSpec("total", structured.name, step=structured.step))
    return maps


FAMILY = Family(
    "vista",
    stages,
    own=MapSpec("total", "structured"),
    gates=("structured",),
    figure=figure,
    module_title=module_title,
)
