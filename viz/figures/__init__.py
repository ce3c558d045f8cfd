"""Paper figures, plots and their files: the only room that imports Matplotlib and Plotly.

from viz.figures import figure
figure(trace, panels=["picture", "cam:1", "cam:2"], preset="cvpr").save("fig.pdf")
"""

from __future__ import annotations

from viz.plotting import import_matplotlib

# Before the modules below do.
import_matplotlib()

from viz.figures.again import figure_from_record  # noqa: E402
from viz.figures.build import Figure, figure  # noqa: E402
from viz.figures.presets import PRESETS  # noqa: E402
from viz.figures.spec import FigureSpec, Panel  # noqa: E402

__all__ = ["PRESETS", "Figure", "FigureSpec", "Panel", "figure", "figure_from_record"]
