"""Networks that answer for each place, on the page: what they have is shown, what they have not is not offered."""

from __future__ import annotations

import numpy as np
import pytest
from playwright.sync_api import expect

from tests.dense import LABELS, dense_model
from tests.page.browser.people import ASSETS, Visitor
from viz.core.heatmap import Heatmap, overlay, scale_for
from viz.core.trace import Trace
from viz.page.payload import display_rgb
from viz.picture import open_picture

pytestmark = pytest.mark.browser


def shown(visitor: Visitor, model: str) -> Trace:
    """The visitor looks at a photograph under a model; the same trace by Python."""
    visitor.choose_model(model)
    visitor.upload(ASSETS / "coffee.jpg")
    return dense_model(model).trace(open_picture(ASSETS / "coffee.jpg"))


def is_drawn(visitor: Visitor, trace: Trace, heat: Heatmap) -> None:
    """The canvas shows that map with its own range, boxes left away."""
    visitor.page.uncheck(".sl-showbox")
    visitor.choose("scale", "image")
    visitor.choose("interp", "bilinear")
    visitor.set_range("opacity", 100)
    drawn = visitor.canvas().astype(int)
    want = overlay(display_rgb(trace.picture), heat, scale_for(heat, "image"), opacity=1.0, interpolation="bilinear")
    off = np.abs(drawn - want)
    assert off.max() <= 6 and (off > 1).mean() < 0.005, "a colour at most is another where rounding decides"


def test_segmentation(visitor: Visitor) -> None:
    trace = shown(visitor, "tiny-segmentation")
    best = trace.top()[0]
    assert visitor.page.locator(".sl-class option").all_inner_texts()[1:] == [r.label for r in trace.top()]
    assert sorted(r.label for r in trace.top()) == sorted(LABELS)
    first = visitor.page.locator(".sl-top button").first
    expect(first).to_contain_text(best.label)
    expect(first).to_contain_text(f"{100 * best[2]:.1f} %")
    assert visitor.page.locator(".sl-map option:checked").inner_text() == "output"
    is_drawn(visitor, trace, trace.heatmap("output"))
    visitor.choose("class", "2")
    is_drawn(visitor, trace, trace.heatmap("output@car"))
    assert "car" in visitor.text(".sl-readout")


def test_regression(visitor: Visitor) -> None:
    trace = shown(visitor, "tiny-depth")
    is_drawn(visitor, trace, trace.heatmap("output"))
    assert visitor.page.locator(".sl-top button").count() == 0
    expect(visitor.page.locator(".sl-classrow")).to_be_hidden()
    assert "depth" in visitor.text(".sl-readout") and "(m)" in visitor.text(".sl-readout")


@pytest.mark.parametrize("model", ["tiny-detector", "tiny-nohead"])
def test_an_answer_without_a_map(visitor: Visitor, model: str) -> None:
    trace = shown(visitor, model)
    assert "output" not in visitor.page.locator(".sl-map option").all_inner_texts()
    is_drawn(visitor, trace, trace.heatmap("spatial_gate"))
    expect(visitor.page.locator(".sl-top button").first).to_contain_text(trace.top()[0].label)


def test_attribution_of_a_value(visitor: Visitor) -> None:
    trace = shown(visitor, "tiny-depth")
    visitor.page.get_by_role("tab", name="Attribution").click()
    visitor.page.click("#attribution-start")
    grid = visitor.page.locator("#attribution-grid .cmp[data-models]")
    expect(grid).to_have_attribute("data-models", "native attention output Grad-CAM")
    assert trace.output.says(1) in visitor.text("#attribution-grid")
