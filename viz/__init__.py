"""Searchlight: what attention modules inside CNNs really do to a picture.

import viz
trace = viz.load("lite0-tdam").trace("photo.jpg")
trace.class_map(step=2), viz.boxes(trace.heatmap("spatial_gate"))
viz.figure(trace, preset="cvpr").save("fig.pdf")
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

from viz.errors import CheckpointError, FigureError, ModelError, NotFiniteError, PictureError, ProbeError, VizError
from viz.picture import Limits, Picture, open_picture

if TYPE_CHECKING:
    from viz.attribution import AttributionOptions, attribute
    from viz.core.heatmap import Heatmap, Scale
    from viz.core.map_spec import MapSpec
    from viz.core.record import Record
    from viz.core.stage import Stage
    from viz.core.trace import Trace
    from viz.figures import Figure, figure
    from viz.figures.comparison import Comparison, compare
    from viz.geometry import Geometry, Preprocessing
    from viz.measures.faithfulness import faithful
    from viz.measures.localization.boxes import Box, boxes, iou
    from viz.run.engine import Engine, Model, load

# What needs torch or matplotlib is imported when first used: `import viz` stays quick.
_LAZY = {
    "Record": "viz.core.record",
    "AttributionOptions": "viz.attribution",
    "Box": "viz.measures.localization.boxes",
    "Comparison": "viz.figures.comparison",
    "Engine": "viz.run.engine",
    "Figure": "viz.figures",
    "Stage": "viz.core.stage",
    "Geometry": "viz.geometry",
    "Preprocessing": "viz.geometry",
    "Heatmap": "viz.core.heatmap",
    "MapSpec": "viz.core.map_spec",
    "Model": "viz.run.engine",
    "Scale": "viz.core.heatmap",
    "Trace": "viz.core.trace",
    "attribute": "viz.attribution",
    "boxes": "viz.measures.localization.boxes",
    "compare": "viz.figures.comparison",
    "faithful": "viz.measures.faithfulness",
    "figure": "viz.figures",
    "iou": "viz.measures.localization.boxes",
    "load": "viz.run.engine",
}


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        from importlib import import_module

        return getattr(import_module(_LAZY[name]), name)
    raise AttributeError(f"module 'viz' has no attribute {name!r}")


__all__ = [
    "Record",
    "AttributionOptions",
    "Box",
    "CheckpointError",
    "Comparison",
    "Engine",
    "Figure",
    "FigureError",
    "Geometry",
    "Heatmap",
    "Limits",
    "MapSpec",
    "Model",
    "ModelError",
    "NotFiniteError",
    "Picture",
    "PictureError",
    "Preprocessing",
    "ProbeError",
    "Scale",
    "Stage",
    "Trace",
    "VizError",
    "__version__",
    "attribute",
    "boxes",
    "compare",
    "faithful",
    "figure",
    "iou",
    "load",
    "open_picture",
]
