"""Comparisons where two models differ in what they measure, in how many steps they have and in what they know."""

from __future__ import annotations

import csv
import io
from dataclasses import replace

import numpy as np
import pytest

from tests.tiny import as_model, scene, tiny_model, tiny_network, with_logits
from viz.core.trace import Trace
from viz.figures.comparison import compare
from viz.figures.comparison.data import scale_group
from viz.files import csv_text
from viz.measures.agreement import top_overlap
from viz.page.grid_entries import class_index, model_entry
from viz.run.engine import Model


def named(model: Model, name: str) -> Model:
    return replace(model, card=replace(model.card, name=name))


def with_best(trace: Trace, best: tuple[int, ...]) -> Trace:
    """The trace whose step t is sure of class best[t]."""
    logits = trace.logits.copy()
    logits[np.arange(trace.steps), list(best)] += 1e3
    return with_logits(trace, logits)


def test_the_class_is_the_first_models_best_at_its_last_step() -> None:
    three, two = tiny_model(3), named(tiny_model(2, seed=1), "two")
    traces = [with_best(three.trace(scene()), (11, 22, 33)), with_best(two.trace(scene()), (44, 55))]
    made = compare(scene(), traces)
    assert [c.map.cls for c in made.columns] == [33, 33]
    assert compare(scene(), traces[::-1]).columns[0].map.cls == 55


def test_a_model_with_fewer_steps_repeats_its_last_box() -> None:
    three, two = tiny_model(3), named(tiny_model(2, seed=1), "two")
    trace = two.trace(scene())
    # Steps whose features lie in opposite corners, so that their boxes differ.
    features = [np.zeros_like(f) for f in trace.features]
    features[0][:, 0, 0], features[1][:, 2, 2] = 1.0, 1.0
    weights = np.abs(trace.class_weights)
    trace = replace(trace, features=tuple(features), class_weights=weights)
    made = compare(scene(), [three, trace])
    boxes = [made.box_of(1, step) for step in (1, 2, 3)]
    assert boxes[0] is not None and boxes[0] != boxes[1] == boxes[2]
    assert boxes[2].xyxy[0] > boxes[0].xyxy[0] and made.columns[1].heatmaps[2] is made.columns[1].heatmaps[1]  # type: ignore[union-attr]


def test_columns_share_a_range_where_they_share_a_unit_whatever_they_are_called() -> None:
    three = tiny_model(3)
    made = compare(scene(), [three, three, three], ["class_map@7", "class_map@9", "spatial_gate"])
    a, b, gate = made.columns
    other = replace(b, quantity="another name")
    assert scale_group(a) == scale_group(other) != scale_group(gate)
    changed = replace(made, columns=(a, other, gate))
    assert changed.scale(0) == changed.scale(1) == made.scale(0)
    bare = [replace(c, heatmaps=tuple(h and replace(h, unit="") for h in c.heatmaps)) for c in (a, other)]
    assert scale_group(bare[0]) != scale_group(bare[1])  # without a unit only the same quantity


def test_the_share_is_of_the_smaller_set() -> None:
    a, b = np.zeros((10, 10)), np.zeros((10, 10))
    a.flat[:10] = np.arange(1, 11)  # ten strongest cells
    b.flat[:40] = 1.0  # forty cells tie for the strongest tenth
    assert top_overlap(a, b) == (10 / 40, 1.0) and top_overlap(b, a) == (10 / 40, 1.0)


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t"])
def test_no_cell_of_a_table_begins_like_a_formula(start: str) -> None:
    text = csv_text([{"a": f"{start}SUM(1)", "b": "plain", "c": -1.5}], ("a", "b", "c"))
    rows = list(csv.reader(io.StringIO(text, newline="")))
    assert rows[1] == [f"'{start}SUM(1)", "plain", "-1.5"]


def test_two_classifiers_mean_the_same_by_a_whole_name_alone() -> None:
    """A part of a name finds a class when a person types it; it does not make two models' classes the same."""
    trace = tiny_model().trace(scene())
    assert class_index(trace, "giant panda") == 388
    assert class_index(trace, "siberian husky") is None  # the label is written "Siberian Husky"
    few = as_model(tiny_network(2, classes=10)).trace(scene())
    assert class_index(few, "giant panda") is None and class_index(few, "class 3") == 3
    whole = next(label for label in trace.labels if " " in label and trace.labels.count(label) == 1)
    assert class_index(trace, whole) == trace.labels.index(whole)
    entry = model_entry(trace, "tiny", ["giant panda", "siberian husky"])
    assert [m["class_index"] for m in entry["maps"] if m["kind"] == "cam"] == [388]
