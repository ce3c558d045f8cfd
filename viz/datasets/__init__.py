"""Data sets for localization: pictures with boxes or masks, read from the layouts in common use."""

from __future__ import annotations

from viz.datasets.core import (
    Dataset,
    DatasetClass,
    DatasetError,
    Problem,
    Sample,
    load_mask,
    open_sample,
)
from viz.datasets.masks import FileMask, MaskSource, RegionMask, has_object
from viz.datasets.opening import LAYOUTS, open_dataset

__all__ = [
    "LAYOUTS",
    "Dataset",
    "DatasetClass",
    "DatasetError",
    "FileMask",
    "MaskSource",
    "Problem",
    "RegionMask",
    "Sample",
    "has_object",
    "load_mask",
    "open_dataset",
    "open_sample",
]
