"""What a figure writes beside itself: geometry, neutral values, raw ranges, predictions of each step."""

from __future__ import annotations

import json
import re
from typing import Any

import numpy as np
import pytest

from tests.tiny import scene, tiny_model, with_logits
from viz.core.map_spec import MapSpec
from viz.core.trace import Trace
from viz.figures import FigureSpec, Panel, figure, figure_from_record
from viz.figures.content import contents
from viz.figures.draw import _Drawing, settings
from viz.figures.latex import caption
from viz.figures.text import numbers
from viz.run.export import predictions_entry


@pytest.fixture(scope="module")
def model() -> Any:
    return tiny_model()


@pytest.fixture(scope="module")
def trace(model: Any) -> Trace:
    return model.trace(scene())


@pytest.mark.parametrize("mode", ["letterbox", "squash"])
def test_a_figure_in_another_geometry_is_made_again_in_it(model: Any, mode: Any) -> None:
    made = figure(model.trace(scene(), geometry=mode), "class_map:2,boxes:2")
    record = json.loads(json.dumps(made.record()))
    assert record["geometry"]["mode"] == mode != model.geometry
    again = figure_from_record(record, made.trace.picture, model=model)
    assert again.trace.geometry == made.trace.geometry
    assert again.to_bytes("svg") == made.to_bytes("svg")


def test_the_record_states_neutral_value_unit_and_raw_range_of_each_panel(trace: Trace) -> None:
    panels = figure(trace, "class_map:2,spatial_gate:2,channel_gate:3,picture").record()["panels"]
    gate = trace.record("spatial_gate", 2)
    heat = trace.class_map(2)
    assert [p.get("neutral", "none") for p in panels] == [
        0.0,
        gate.neutral,
        trace.record("channel_gate", 3).neutral,
        "none",
    ]
    assert panels[0]["raw_range"] == [float(heat.native.min()), float(heat.native.max())]
    assert panels[1]["raw_range"] == [float(gate.values.min()), float(gate.values.max())]
    assert panels[1]["cells"] == list(gate.values.shape) and panels[0]["unit"] == "logit per cell"


def test_channels_on_the_raw_scale_reach_both_bounds(trace: Trace) -> None:
    made = contents(trace, FigureSpec((Panel("channels", MapSpec("channel_gate", step=3)),), scale="raw"))[0]
    bounds = trace.record("channel_gate", 3).bounds
    assert np.isfinite(bounds).all()
    assert made.scale is not None and (made.scale.low, made.scale.high) == bounds


def test_sorted_channels_fall(trace: Trace) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure as Canvas
    from matplotlib.patches import StepPatch

    heights = {}
    for order in ("sorted", "index"):
        made = figure(trace, [Panel("channels", MapSpec("channel_gate", step=3), order=order)])  # type: ignore[arg-type]
        canvas = Canvas(figsize=made.size)
        FigureCanvasAgg(canvas)
        with settings():
            _Drawing(canvas, made.contents, made.spec, made.layout, vector=False, box=None).panels()
        steps = [p for a in canvas.axes for p in a.patches if isinstance(p, StepPatch)]
        heights[order] = np.asarray(steps[0].get_data().values)
    values = trace.record("channel_gate", 3).values
    np.testing.assert_array_equal(heights["sorted"], np.sort(values)[::-1])
    np.testing.assert_array_equal(heights["index"], values)


def test_predictions_are_each_steps_own(trace: Trace) -> None:
    logits = trace.logits.copy()
    logits[:, [11, 22, 33]] += np.eye(3, dtype=np.float32) * 1e3
    entries = predictions_entry(with_logits(trace, logits), 2)
    assert [e["step"] for e in entries] == [1, 2, 3]
    assert [e["top"][0]["class"] for e in entries] == [11, 22, 33]


def test_the_caption_states_the_raw_range_and_not_the_scales(trace: Trace) -> None:
    made = figure(trace, "class_map:2", scale="fixed", fixed=(-50.0, 50.0))
    text = caption(made)
    low, high = (v.replace("\u2212", "$-$") for v in numbers(-50.0, 50.0, *made.contents[0].raw_range))
    assert f"raw ranges (a) {low} to {high}" in text
    assert re.search(r"fixed range, \$-\$50\S* to 50", text)
    assert (low, high) != ("$-$50", "50")
