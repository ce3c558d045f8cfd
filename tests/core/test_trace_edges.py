"""Traces and kernels where the usual test picture says nothing: steps that differ, full caches, oblong inputs."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import viz.run.engine as engine_module
from tests.tiny import scene, tiny_model, tiny_network, with_logits
from viz.attribution import AttributionOptions, attribute
from viz.core.derived import derive
from viz.core.kernels import cell_at
from viz.core.record import KERNEL, Record, Tap
from viz.geometry import Geometry
from viz.picture import open_picture
from viz.run.engine import Engine


def test_a_step_without_a_class_shows_its_own_best_class() -> None:
    trace = tiny_model().trace(scene())
    logits = trace.logits.copy()
    logits[:, [11, 22, 33]] += np.eye(3, dtype=np.float32) * 1e3
    changed = with_logits(trace, logits)
    assert [changed.class_map(t).class_index for t in (1, 2, 3, -1)] == [11, 22, 33, 33]
    assert [changed.top(t, 1)[0].class_index for t in (1, 2, 3)] == [11, 22, 33]
    np.testing.assert_array_equal(changed.class_map(1).native, trace.class_map(1, 11).native)


def test_of_many_attributions_the_oldest_go_and_the_newest_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_module, "MAX_ATTRIBUTIONS", 2)
    engine = Engine("cpu")
    engine._models["tiny"] = tiny_model()
    picture = open_picture(scene())
    for index in (3, 5, 7):
        made = engine.attribute(picture, "tiny", "gradcam", class_index=index)
        assert made.attribution("gradcam", class_index=index).class_index == index
    kept = engine.trace(picture, "tiny")
    assert [a.class_index for a in kept.attributions] == [5, 7]


def test_a_point_of_an_oblong_input_lies_in_its_own_cell() -> None:
    whole = (0.0, 0.0, 400.0, 100.0)
    geometry = Geometry("squash", (100, 400), (64, 256), whole, (0.0, 0.0, 256.0, 64.0))
    assert cell_at((0.0, 0.0), (4, 16), geometry) == (0, 0)
    assert cell_at((390.0, 10.0), (4, 16), geometry) == (0, 15)
    assert cell_at((10.0, 90.0), (4, 16), geometry) == (3, 0)
    assert cell_at((201.0, 51.0), (4, 16), geometry) == (2, 8)
    assert cell_at((400.0, 50.0), (4, 16), geometry) is None


def test_departure_reaches_as_far_as_the_farther_bound() -> None:
    values = np.full((9, 2, 2), 1.0, np.float32)
    values[0] = 3.0
    record = Record(Tap("m", "kernel_attention", "paka", KERNEL, (0.5, 3.0), 1.0, "factor"), 1, values)
    whole = (0.0, 0.0, 8.0, 8.0)
    made = derive([record], record, "departure", Geometry("squash", (8, 8), (8, 8), whole, whole))
    assert made.bounds == (0.0, 2.0) and made.native == pytest.approx(np.full((2, 2), 2 / 9))


def test_an_attribution_without_a_class_is_of_the_steps_own_best() -> None:
    model = tiny_model()
    trace = model.trace(scene())
    logits = trace.logits.copy()
    logits[:, [11, 22, 33]] += np.eye(3, dtype=np.float32) * 1e3
    trace = with_logits(trace, logits)
    made = [model.attribute(trace, "gradcam", step=t).attributions[-1] for t in (1, 2, -1)]
    assert [(a.step, a.class_index) for a in made] == [(1, 11), (2, 22), (3, 33)]


def test_progress_goes_once_from_start_to_end_over_all_chunks() -> None:
    network = tiny_network(2, classes=10).requires_grad_(False)
    x = torch.randn(3, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    seen: list[float] = []
    options = AttributionOptions(n_steps=4, batch=1)
    attribute(network, x, torch.tensor([1, 2, 3]), "integrated_gradients", options=options, progress=seen.append)
    assert len(seen) >= 12 and seen == sorted(seen) and seen[-1] == 1.0
    assert seen[0] < 0.2 and sum(s <= 1 / 3 + 1e-9 for s in seen) == sum(s > 2 / 3 + 1e-9 for s in seen)
