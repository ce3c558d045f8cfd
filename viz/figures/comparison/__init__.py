"""Several models on one picture: maps side by side, their agreement and their boxes.

import viz
made = viz.compare("photo.jpg", ["NAME", "OTHER"])
made.matrix("spearman"), made.box_iou(), made.to_figure().save("fig.pdf")
"""

from __future__ import annotations

from viz.figures.comparison.build import Comparison, compare
from viz.figures.comparison.data import COLUMN_SCALES, FEWEST, MOST, Column
from viz.figures.comparison.folder import Folder, compare_folder

__all__ = ["COLUMN_SCALES", "FEWEST", "MOST", "Column", "Comparison", "Folder", "compare", "compare_folder"]
