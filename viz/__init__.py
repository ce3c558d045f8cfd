"""Searchlight: what attention modules inside CNNs really do to a picture.

import viz
trace = viz.load("NAME").trace("photo.jpg")
trace.class_map(step=2), viz.boxes(trace.heatmap("spatial_gate"))
viz.figure(trace, preset="cvpr").save("fig.pdf")
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from viz.version import __version__

if TYPE_CHECKING:  # for type checkers; a test compares these names with the table below
    from viz.attribution import AttributionOptions as AttributionOptions, attribute as attribute  # noqa: I001
    from viz.core.boxes import Box as Box, boxes as boxes, iou as iou
    from viz.core.heatmap import Heatmap as Heatmap, Scale as Scale
    from viz.core.map_spec import MapSpec as MapSpec
    from viz.core.record import Record as Record
    from viz.core.stage import Stage as Stage
    from viz.core.trace import Trace as Trace
    from viz.errors import CheckpointError as CheckpointError, FigureError as FigureError, FileError as FileError
    from viz.errors import MapError as MapError, ModelError as ModelError, NotFiniteError as NotFiniteError
    from viz.errors import PictureError as PictureError, ProbeError as ProbeError, VizError as VizError
    from viz.figures import Figure as Figure, figure as figure
    from viz.figures.comparison import Comparison as Comparison, compare as compare
    from viz.geometry import Geometry as Geometry, Preprocessing as Preprocessing
    from viz.measures.faithfulness import faithful as faithful
    from viz.picture import Limits as Limits, Picture as Picture, open_picture as open_picture
    from viz.run.engine import Engine as Engine, Model as Model, load as load

# The modules of the public names. They are imported on first use, so that `import viz` needs no other library.
_PUBLIC = {
    "viz.attribution": ("AttributionOptions", "attribute"),
    "viz.core.boxes": ("Box", "boxes", "iou"),
    "viz.core.heatmap": ("Heatmap", "Scale"),
    "viz.core.map_spec": ("MapSpec",),
    "viz.core.record": ("Record",),
    "viz.core.stage": ("Stage",),
    "viz.core.trace": ("Trace",),
    "viz.errors": (
        *("CheckpointError", "FigureError", "FileError", "MapError", "ModelError"),
        *("NotFiniteError", "PictureError", "ProbeError", "VizError"),
    ),
    "viz.figures": ("Figure", "figure"),
    "viz.figures.comparison": ("Comparison", "compare"),
    "viz.geometry": ("Geometry", "Preprocessing"),
    "viz.measures.faithfulness": ("faithful",),
    "viz.picture": ("Limits", "Picture", "open_picture"),
    "viz.run.engine": ("Engine", "Model", "load"),
}
_MODULE = {name: module for module, names in _PUBLIC.items() for name in names}
__all__ = ["__version__", *sorted(_MODULE)]  # noqa: PLE0604


def __getattr__(name: str) -> Any:
    if name in _MODULE:
        from importlib import import_module

        return getattr(import_module(_MODULE[name]), name)
    raise AttributeError(f"module 'viz' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_MODULE})
