"""Two small rules with an edge: which name a label goes by, and where the bars of a plot begin."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.tiny import scene, tiny_model
from viz.datasets.builder import Builder
from viz.figures.plots import channel_plot


def test_a_wordnet_id_says_more_than_the_name_beside_it(tmp_path: Path) -> None:
    made = Builder(tmp_path)
    assert made.known_as("n99999999", "tench") is None  # another synset, whatever it is called
    assert made.known_as("fish", "tench") == 0
    assert made.known_as("n01440764", "giant panda") == 0
    assert made.known_as("7", "tench", class_index=388) == 388
    assert made.known_as("fish") == 0  # as it was noted first


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
    changed = replace(record, values=values, neutral=neutral)
    trace = replace(trace, records=tuple(changed if r is record else r for r in trace.records))
    bar = channel_plot(trace, record.path, 3).data[0]
    assert bar.base == pytest.approx(base, abs=1e-5)
    assert np.allclose(np.array(bar.y) + bar.base, values, atol=1e-5)
