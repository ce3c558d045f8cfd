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
    from viz.attention.probe import AttentionRecord
    from viz.attribution import AttributionOptions, attribute
    from viz.comparison import Comparison, compare
    from viz.engine import Engine, Model, load
    from viz.faithfulness import faithful
    from viz.figures import Figure, figure
    from viz.frames import Frame
    from viz.geometry import Geometry, Preprocessing
    from viz.localization.boxes import Box, boxes, iou
    from viz.maps import Heatmap, Scale
    from viz.trace import Trace

# What needs torch or matplotlib is imported when first used: `import viz` stays quick.
_LAZY = {
    "AttentionRecord": "viz.attention.probe",
    "AttributionOptions": "viz.attribution",
    "Box": "viz.localization.boxes",
    "Comparison": "viz.comparison",
    "Engine": "viz.engine",
    "Figure": "viz.figures",
    "Frame": "viz.frames",
    "Geometry": "viz.geometry",
    "Preprocessing": "viz.geometry",
    "Heatmap": "viz.maps",
    "Model": "viz.engine",
    "Scale": "viz.maps",
    "Trace": "viz.trace",
    "attribute": "viz.attribution",
    "boxes": "viz.localization.boxes",
    "compare": "viz.comparison",
    "faithful": "viz.faithfulness",
    "figure": "viz.figures",
    "iou": "viz.localization.boxes",
    "load": "viz.engine",
}


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        from importlib import import_module

        return getattr(import_module(_LAZY[name]), name)
    raise AttributeError(f"module 'viz' has no attribute {name!r}")


__all__ = [
    "AttentionRecord",
    "AttributionOptions",
    "Box",
    "CheckpointError",
    "Comparison",
    "Engine",
    "Figure",
    "FigureError",
    "Frame",
    "Geometry",
    "Heatmap",
    "Limits",
    "Model",
    "ModelError",
    "NotFiniteError",
    "Picture",
    "PictureError",
    "Preprocessing",
    "ProbeError",
    "Scale",
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
