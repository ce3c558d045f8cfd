"""Interactive plots: what they hold, and HTML that fetches nothing."""

from __future__ import annotations

import itertools
import json
import re
from typing import Any

import numpy as np
import pytest

from tests.tiny import scene, tiny_model, with_neutral
from viz.core.trace import Trace
from viz.errors import FigureError, ModelError, ProbeError
from viz.figures.plots import channel_plot, steps_plot, to_html, top5_plot

PATH = "layer4.0.RA_block"


@pytest.fixture(scope="module")
def trace() -> Trace:
    return tiny_model().trace(scene())


def values(bar: Any) -> np.ndarray[Any, Any]:
    return np.array(bar.y) + bar.base


def test_channels_three_times(trace: Trace) -> None:
    figure = channel_plot(trace, PATH, 3)
    gate = trace.record(f"{PATH}.channel_gate", 3).values
    before = trace.record(f"{PATH}.channel_gate", 2).values
    order, ranked, change = figure.data
    assert np.allclose(values(order), gate) and list(order.customdata) == list(range(256))
    assert np.allclose(values(ranked), np.sort(gate)[::-1])
    assert np.allclose(gate[list(ranked.customdata)], values(ranked))
    assert np.allclose(values(change), gate - before, atol=1e-7)
    assert "step 2" in figure.layout.annotations[2].text
    assert float(order.hovertext[5]) == pytest.approx(gate[5], abs=1e-4)


def test_the_first_searchlight_has_nothing_to_compare(trace: Trace) -> None:
    figure = channel_plot(trace, PATH, 2, label="channel_logits")
    assert len(figure.data) == 2
    texts = [a.text for a in figure.layout.annotations]
    assert any("first searchlight: nothing to compare" in t for t in texts)
    assert not any("neutral" in t for t in texts)
    named = channel_plot(with_neutral(trace, "channel_logits"), PATH, 2, label="channel_logits")
    assert "neutral 0" in [a.text for a in named.layout.annotations]


def test_parts_stand_below_each_other_and_say_their_range(trace: Trace) -> None:
    for label, step, rows, said in (
        ("channel_gate", 3, 3, "; possible 0 to 1"),
        ("channel_logits", 2, 2, "sigmoid 0."),
    ):
        figure = channel_plot(trace, PATH, step, label=label)
        layout = figure.layout
        axes = [layout[f"{a}axis{n}"] for a in "xy" for n in ("", "2", "3")[:rows]]
        assert all(tuple(a.domain) == (0, 1) for a in axes[:rows])
        edges = [tuple(a.domain) for a in axes[rows:]]
        assert all(lower[1] < upper[0] for upper, lower in itertools.pairwise(edges))
        titles = [a.text for a in layout.annotations[:rows]]
        assert said in titles[0] and "step" in titles[0]
        # A phone shows about 40 characters of a line.
        assert max(len(line) for t in titles for line in t.split("<br>")) <= 40
        assert all(list(bar.customdata) for bar in figure.data)
        assert figure.data[0].customdata[7] == 7
        # The room between two parts holds the numbers below the upper and the title of the lower one.
        inside = layout.height - layout.margin.t - layout.margin.b
        for (upper, lower), title in zip(itertools.pairwise(edges), titles[1:], strict=True):
            assert (upper[0] - lower[1]) * inside >= 22 + 15 * (1 + title.count("<br>"))
        assert layout.margin.t >= 30 + 15 * (1 + titles[0].count("<br>"))
    assert channel_plot(trace, PATH, 3).layout.height == pytest.approx(640, abs=40)


def test_an_exported_plot_fills_its_page(trace: Trace) -> None:
    figure = channel_plot(trace, PATH, 3)
    page = to_html(figure, "t")
    assert f"height:max({figure.layout.height}px,calc(100vh" in page and "height:100%; width:100%" in page
    assert figure.layout.height


def test_where_bars_start(trace: Trace) -> None:
    logits = channel_plot(trace, PATH, 3, label="channel_logits").data[0]
    assert logits.base == 0
    gate = channel_plot(trace, PATH, 3).data[0]
    assert gate.base == pytest.approx(trace.record(f"{PATH}.channel_gate", 3).values.mean(), abs=1e-4)


def test_only_plain_traces_and_no_template(trace: Trace) -> None:
    for figure in (channel_plot(trace, None), top5_plot(trace), steps_plot(trace)):
        data = json.loads(figure.to_json())
        assert {t["type"] for t in data["data"]} <= {"bar", "scatter"}
        # Plotly's empty template names the default trace type and nothing else.
        assert data["layout"]["template"] in ({}, {"data": {"scatter": [{"type": "scatter"}]}})
        assert "frames" not in data
        # No packed arrays: the page's plotly.js is older than Plotly's own.
        assert "bdata" not in figure.to_json()


def test_plots_refuse(trace: Trace) -> None:
    with pytest.raises(ProbeError):
        channel_plot(trace, PATH, 1)
    with pytest.raises(ProbeError):
        channel_plot(trace, PATH, 2, label="spatial_gate")
    with pytest.raises(ProbeError):
        channel_plot(trace, "no.such")
    with pytest.raises(FigureError):
        steps_plot(trace, [5000])
    with pytest.raises(ModelError):
        top5_plot(trace, 9)


def test_top5_and_steps(trace: Trace) -> None:
    best = trace.top(2, 5)
    bar = top5_plot(trace, 2).data[0]
    assert [c[0] for c in bar.customdata][::-1] == [p.class_index for p in best]
    lines = steps_plot(trace, [3, 388]).data
    assert [line.name for line in lines] == [trace.labels[3], trace.labels[388]]
    assert lines[1].y[2] == pytest.approx(100 * trace.probabilities[2, 388])
    assert len(steps_plot(trace).data) >= 3


def test_html_holds_everything_and_fetches_nothing(trace: Trace) -> None:
    figure = channel_plot(trace, PATH, 3)
    page = to_html(figure, "Channels <script>alert(1)</script>")
    assert "<script>alert" not in page
    # Elements of the page itself; the script's own text is taken out first.
    elements = re.sub(r"(<script[^>]*>).*?</script>", r"\1", page, flags=re.DOTALL)
    assert not re.search(r"\b(src|href)\s*=", elements)
    head = page[:3000]
    assert "default-src 'none'" in head and "cdn" not in head.lower()
    assert len(page) > 1_000_000
    assert page == to_html(channel_plot(trace, PATH, 3), "Channels <script>alert(1)</script>")
