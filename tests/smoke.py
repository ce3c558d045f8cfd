"""One small thing of everything, for an environment without pytest: ``python -m tests.smoke``.

`tests/lowest` runs it with the lowest versions that pyproject.toml allows.
"""

from __future__ import annotations

import sys
import tempfile
import urllib.request
from importlib.metadata import version
from pathlib import Path

import numpy as np

import viz
from tests.known_bad import found
from viz.figures.plots import channel_plot, to_html, top5_plot
from viz.models.paths import bundled
from viz.page.app import build, look
from viz.page.server.start import start
from viz.run.engine import Engine

NAMED = (
    "captum",
    "gradio",
    "matplotlib",
    "numpy",
    "opencv-python-headless",
    "pillow",
    "plotly",
    "safetensors",
    "torch",
    "tqdm",
)


def expect(good: bool, what: str) -> None:
    """Unlike `assert`, also under ``python -O``."""
    if not good:
        raise SystemExit(f"smoke test: {what}")


def main() -> None:
    """Open, trace, attribute, compare, evaluate boxes, draw, plot and serve."""
    print(" ".join(f"{name} {version(name)}" for name in NAMED))
    expect(not found(), "; ".join(found()))
    path = bundled("assets") / "chelsea.jpg"
    picture = viz.open_picture(path)
    expect(picture.size == (300, 451), f"chelsea.jpg is {picture.size}")
    with path.open("rb") as file:
        expect(np.array_equal(viz.open_picture(file).rgb, picture.rgb), "an open file gives other pixels")
    model = viz.load("lite0-psa", device="cpu")
    trace = model.trace(picture)
    expect(trace.top(-1, 1)[0].label == "tiger cat", f"chelsea.jpg is {trace.top(-1, 1)[0].label}")
    expect(bool(np.isfinite(trace.heatmap("spatial_gate").values).any()), "no gate")
    for method in ("gradcam", "occlusion"):
        trace = model.attribute(trace, method)
        expect(bool(np.isfinite(trace.attribution(method).values).any()), f"no {method}")
    expect(len(viz.boxes(trace.class_map())) == 1, "no box")
    with tempfile.TemporaryDirectory() as folder:
        for name in ("figure.pdf", "figure.svg", "figure.png"):
            files = viz.figure(trace).save(Path(folder) / name)
            expect(all(f.stat().st_size > 0 for f in files), f"{name} is empty")
    engine = Engine("cpu")
    comparison = viz.compare(picture, ["lite0", model], maps=["class_map"], engine=engine)
    expect(comparison.to_csv().count("\n") > 1, "the comparison is empty")
    for plot in (channel_plot(trace), top5_plot(trace)):
        expect("Plotly.newPlot" in to_html(plot, "plot"), "no plot")
    with start(build, engine, port=0, **look()) as page, urllib.request.urlopen(page.url) as answer:
        expect(answer.status == 200 and b"Searchlight" in answer.read(), "the page does not answer")
    print("smoke test: all is well")


if __name__ == "__main__":
    sys.exit(main())
