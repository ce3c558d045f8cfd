"""Two small rules with an edge: what a data set is told apart by, and where the bars of a plot begin."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.localization_data import write_dataset
from tests.tiny import scene, tiny_model, with_tap
from viz.datasets import open_dataset
from viz.figures.plots import channel_plot


def test_a_fingerprint_is_of_boxes_classes_and_what_the_edges_mean(tmp_path: Path) -> None:
    data = open_dataset(write_dataset(tmp_path / "set", 3, splits=("val",)), "val")
    first = data.samples[0]
    x0, y0, x1, y1 = first.boxes[0]
    changed = {
        "edge": replace(data, far_edge="inclusive"),
        "layout": replace(data, layout="another"),
        "box": replace(data, samples=(replace(first, boxes=((x0, y0, x1 - 0.1, y1),)), *data.samples[1:])),
        "class": replace(data, samples=(replace(first, class_index=7), *data.samples[1:])),
        "mask": replace(data, samples=(replace(first, mask=None), *data.samples[1:])),
        "order": replace(data, samples=data.samples[::-1]),
        "fewer": replace(data, samples=data.samples[1:]),
    }
    assert data.far_edge == "exclusive"
    assert len({data.fingerprint, *(d.fingerprint for d in changed.values())}) == 1 + len(changed)
    assert replace(data, name="renamed", problems=()).fingerprint == data.fingerprint


@pytest.mark.parametrize(
    ("low", "high", "neutral", "base"),
    [
        (1.0, 3.0, None, 0.0),  # far apart: bars from zero tell them apart
        (-2.0, 3.0, None, 0.0),
        (10.0, 11.0, None, 10.5),  # close together and far from zero: from the mean
        (-11.0, -10.0, None, -10.5),
        (10.0, 11.0, 10.2, 10.2),  # a neutral value comes first
    ],
)
def test_bars_begin_where_they_can_be_told_apart(low: float, high: float, neutral: float | None, base: float) -> None:
    trace = tiny_model().trace(scene())
    record = trace.record("channel_gate", 3)
    values = np.linspace(low, high, len(record.values)).astype(np.float32)
    changed = with_tap(replace(record, values=values), neutral=neutral)
    trace = replace(trace, records=tuple(changed if r is record else r for r in trace.records))
    bar = channel_plot(trace, record.path, 3).data[0]
    assert bar.base == pytest.approx(base, abs=1e-5)
    assert np.allclose(np.array(bar.y) + bar.base, values, atol=1e-5)
