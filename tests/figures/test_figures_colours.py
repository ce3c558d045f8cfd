"""Colours of a figure as they are printed: which end of the bar is which, and how strongly a map covers the photo."""

from __future__ import annotations

import base64
import io
import re
import zlib
from typing import Any

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure as Canvas
from numpy.typing import NDArray
from PIL import Image

from tests.tiny import scene, tiny_model
from viz.core.heatmap import palette
from viz.core.trace import Trace
from viz.figures import figure
from viz.figures.build import Figure
from viz.figures.draw import _Drawing, settings

FIXED: dict[str, Any] = {"scale": "fixed", "fixed": (-2.0, 7.0), "palette": "viridis"}


@pytest.fixture(scope="module")
def trace() -> Trace:
    return tiny_model().trace(scene())


def drawing(made: Figure, vector: bool) -> Any:
    canvas = Canvas(figsize=made.size, dpi=200)
    FigureCanvasAgg(canvas)
    with settings():
        _Drawing(canvas, made.contents, made.spec, made.layout, vector=vector, box=None).panels()
    return canvas


def test_the_low_number_stands_left_and_the_high_one_right(trace: Trace) -> None:
    made = figure(trace, "class_map:2", **FIXED)
    strip = made.layout.bars[0].strip if made.layout.bars else made.layout.panels[0].bar.strip  # type: ignore[union-attr]
    canvas = drawing(made, vector=False)
    low = next(t for t in canvas.texts if re.fullmatch(r"[\u2212-]2(\.0*)?", t.get_text()))
    high = next(t for t in canvas.texts if re.fullmatch(r"7(\.0*)?", t.get_text()))
    renderer = canvas.canvas.get_renderer()
    left, right = (t.get_window_extent(renderer) for t in (low, high))
    assert left.x0 / 200 == pytest.approx(strip.x, abs=0.02)
    assert right.x1 / 200 == pytest.approx(strip.x + strip.width, abs=0.02)
    # Both stand right below the strip.
    assert all(0 < canvas.bbox.height - t.y1 - (strip.y + strip.height) * 200 < 20 for t in (left, right))


@pytest.mark.parametrize("name", ["viridis", "inferno", "grey"])
def test_the_bar_runs_from_the_palettes_first_colour_to_its_last(trace: Trace, name: str) -> None:
    made = figure(trace, "class_map:2", **{**FIXED, "palette": name})
    strip = made.layout.bars[0].strip if made.layout.bars else made.layout.panels[0].bar.strip  # type: ignore[union-attr]
    image = np.asarray(Image.open(io.BytesIO(made.to_bytes("png", 400))).convert("RGB")).astype(int)
    row = image[round((strip.y + strip.height / 2) * 400)]
    shares = np.linspace(0.03, 0.97, 12)
    found = row[[round((strip.x + s * strip.width) * 400) for s in shares]]
    wanted = palette(name)[(shares * 256).astype(int)].astype(int)
    assert np.abs(found - wanted).max() <= 12
    # The same strip in a vector file, where it is an image of its own.
    strips = [p for p in svg_images(made.to_bytes("svg")) if p[0].shape[:2] == (1, 256)]
    assert len(strips) == 1
    np.testing.assert_array_equal(strips[0][0][0, :, :3], palette(name))


def test_a_cell_at_an_end_of_the_scale_has_the_colour_of_that_end(trace: Trace) -> None:
    """Map and bar use the palette the same way round."""
    made = figure(trace, "class_map:2", scale="image", palette="viridis", opacity=1.0, interpolation="cells")
    grids = [p for p, _ in svg_images(made.to_bytes("svg")) if p.shape[:2] == (3, 3)]
    native = trace.class_map(2).native
    low, high = np.unravel_index(native.argmin(), native.shape), np.unravel_index(native.argmax(), native.shape)
    assert grids[0][low][:3].tolist() == palette("viridis")[0].tolist()
    assert grids[0][high][:3].tolist() == palette("viridis")[255].tolist()


def svg_images(svg: bytes) -> list[tuple[NDArray[np.uint8], float]]:
    """Pixels and opacity of every image of an SVG file, the way up that it is shown."""
    found = []
    for tag in re.findall(r"<image\b.*?/>", svg.decode(), re.DOTALL):
        data = re.search(r'href="data:image/png;base64,\s*([^"]+)"', tag)
        assert data
        pixels = np.asarray(Image.open(io.BytesIO(base64.b64decode(data[1]))).convert("RGBA"))
        opacity = re.search(r'opacity="([\d.]+)"|opacity:\s*([\d.]+)', tag)
        found.append((pixels, float(opacity[1] or opacity[2]) if opacity else 1.0))
    return found


@pytest.mark.parametrize("opacity", [0.35, 0.8])
def test_native_cells_keep_their_opacity_in_vector_files(trace: Trace, opacity: float) -> None:
    made = figure(trace, "class_map:2", interpolation="cells", opacity=opacity)
    images = svg_images(made.to_bytes("svg"))
    assert [o for p, o in images if p.shape[:2] == (3, 3)] == [pytest.approx(opacity)]
    # The photo below and the bar stay opaque.
    assert sorted(o for p, o in images if p.shape[:2] != (3, 3)) == [1.0, 1.0]
    pdf = made.to_bytes("pdf")
    parts = [
        zlib.decompress(s) for s in re.findall(rb"stream\r?\n(x\x9c.*?|x\xda.*?|x\x5e.*?)endstream", pdf, re.DOTALL)
    ]
    states = set(re.findall(rb"/ca ([\d.]+)", b"\n".join([pdf, *parts])))
    assert f"{opacity:g}".encode() in states


def test_a_smooth_map_is_blended_into_the_photo_in_vector_files(trace: Trace) -> None:
    from viz.core.heatmap import overlay, scale_for

    made = figure(trace, "class_map:2", interpolation="bilinear", opacity=0.35, scale="image", palette="inferno")
    pixels = next(p for p, _ in svg_images(made.to_bytes("svg")) if p.shape[:2] == trace.picture.size)
    heat = trace.class_map(2)
    wanted = overlay(trace.picture.rgb, heat, scale_for(heat, "image"), palette_name="inferno", opacity=0.35)
    np.testing.assert_array_equal(pixels[..., :3], wanted)
