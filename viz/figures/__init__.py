"""Paper figures, plots and their files: the only room that imports Matplotlib and Plotly.

from viz.figures import figure
figure(trace, panels=["picture", "class_map:1", "class_map:2"], preset="cvpr").save("fig.pdf")
"""

from __future__ import annotations

from viz.figures.build import Figure, figure
from viz.figures.presets import PRESETS
from viz.figures.record import figure_from_record
from viz.figures.spec import FigureSpec, Panel

__all__ = ["PRESETS", "Figure", "FigureSpec", "Panel", "figure", "figure_from_record"]
