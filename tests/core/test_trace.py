"""Trace: what one forward pass keeps, on a small seeded network."""

from __future__ import annotations

import base64
import io
import re
from dataclasses import replace
from html.parser import HTMLParser
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from tests.tiny import as_model, scene, tiny_model, tiny_network, with_logits
from viz.core.output import Prediction
from viz.core.trace import Trace
from viz.errors import ModelError, PictureError, ProbeError, VizError
from viz.families.family import family_of
from viz.geometry import prepare
from viz.picture import open_picture
from viz.run.engine import Model

STEPS = 3


@pytest.fixture(scope="module")
def model() -> Model:
    return tiny_model(STEPS)


@pytest.fixture(scope="module")
def trace(model: Model) -> Trace:
    return model.trace(scene())


def test_shapes_and_types(trace: Trace) -> None:
    assert trace.steps == STEPS
    assert trace.logits.shape == (STEPS, 1000)
    assert trace.logits.dtype == np.float32
    assert len(trace.features) == STEPS
    assert all(f.shape == (512, 3, 3) and f.dtype == np.float32 for f in trace.features)
    assert trace.precision == "float32"
    assert trace.geometry.picture == (120, 180)
    assert trace.picture.size == (120, 180)


def test_equals_the_network_run_by_hand(model: Model, trace: Trace) -> None:
    x, _ = prepare(open_picture(scene()), model.card.preprocessing, "center_crop")
    with torch.inference_mode():
        outputs = model.network.forward_steps(x)
    for t, output in enumerate(outputs):
        np.testing.assert_array_equal(trace.logits[t], output.logits[0].numpy())
        np.testing.assert_array_equal(trace.features[t], output.features[0].numpy())
    assert not np.array_equal(trace.logits[0], trace.logits[-1]), "the steps must differ for these tests to mean much"


def test_class_maps_by_name(trace: Trace) -> None:
    by_name, by_number = trace.class_map(2, "Giant  Panda"), trace.class_map(2, np.int64(388))
    np.testing.assert_array_equal(by_name.native, by_number.native)
    assert by_name.class_index == by_number.class_index == 388
    bad: list[Any] = ["panda", "no such thing", "", "9" * 5000, 1000, -1, 2.5, True]
    for name in bad:
        with pytest.raises(ModelError) as caught:
            trace.class_map(2, name)
        assert "\n" not in str(caught.value) and len(str(caught.value)) < 300


def test_fewer_steps(model: Model, trace: Trace) -> None:
    one = model.trace(scene(), steps=1)
    assert one.steps == 1
    assert not [r for r in one.records if r.path.startswith("layer4")]
    for wrong in (0, -1, STEPS + 1):
        with pytest.raises(ModelError, match="3 step"):
            model.trace(scene(), steps=wrong)


def test_steps_count_from_one_and_from_the_end(trace: Trace) -> None:
    assert [trace.step_number(s) for s in (1, 2, 3, -1, -2, -3)] == [1, 2, 3, 3, 2, 1]
    for wrong in (0, 4, -4):
        with pytest.raises(ModelError, match=rf"steps 1 to 3; there is no step {wrong}\.$"):
            trace.step_number(wrong)
        for call in (trace.top, trace.class_map):
            with pytest.raises(ModelError):
                call(wrong)
        with pytest.raises(ModelError):
            trace.feature_map(0, wrong)
    with pytest.raises(ModelError):
        trace.heatmap(step=0)
    np.testing.assert_array_equal(trace.class_map(-2).native, trace.class_map(2).native)


def test_predictions_are_sorted_probabilities(trace: Trace) -> None:
    assert len(trace.predictions) == STEPS
    for t, predictions in enumerate(trace.predictions):
        p = [x.probability for x in predictions]
        assert p == sorted(p, reverse=True)
        assert sum(p) == pytest.approx(1, abs=1e-5)
        assert {x.class_index for x in predictions} == set(range(1000))
        best = int(trace.logits[t].argmax())
        want = torch.softmax(torch.from_numpy(trace.logits[t].copy()), 0)[best]
        assert predictions[0] == Prediction(best, trace.labels[best], pytest.approx(float(want), rel=1e-5))
        assert trace.top(t + 1, 3) == predictions[:3]


def test_huge_logits_do_not_overflow(trace: Trace) -> None:
    big = with_logits(trace, trace.logits * np.float32(1e30))
    assert np.isfinite(big.probabilities).all()
    assert big.probabilities.sum(axis=1) == pytest.approx(np.ones(STEPS))


@pytest.mark.parametrize("step", [1, 2, 3])
def test_class_map_is_the_weighted_sum_of_features(model: Model, trace: Trace, step: int) -> None:
    weights = model.network.class_weights().numpy()
    bias = model.network.get_submodule("fc").bias.detach().numpy()  # type: ignore[union-attr]
    for class_index in (None, 0, 417, 999):
        heatmap = trace.class_map(step, class_index)
        c = int(trace.logits[step - 1].argmax()) if class_index is None else class_index
        want = np.einsum("c,chw->hw", weights[c].astype(np.float64), trace.features[step - 1].astype(np.float64))
        np.testing.assert_allclose(heatmap.native, want, rtol=1e-4, atol=1e-5)
        assert heatmap.native.mean() + bias[c] == pytest.approx(trace.logits[step - 1, c], abs=1e-4)
        assert heatmap.class_index == c
        assert heatmap.step == step
        assert trace.labels[c] in heatmap.title
        assert heatmap.name == "cam"
        assert heatmap.values.shape == (120, 180)
        assert heatmap.raw_range == (heatmap.native.min(), heatmap.native.max())


@pytest.mark.parametrize("wrong", [-1, 1000])
def test_class_that_does_not_exist(trace: Trace, wrong: int) -> None:
    with pytest.raises(ModelError, match="classes 0 to 999"):
        trace.class_map(class_index=wrong)


def test_feature_map(trace: Trace) -> None:
    np.testing.assert_array_equal(trace.feature_map(7, 2).native, trace.features[1][7])
    with pytest.raises(ModelError, match="channels 0 to 511"):
        trace.feature_map(512)


def test_probes(trace: Trace) -> None:
    labels = {"bottom", "channel_logits", "channel_gate", "spatial_score", "spatial_gate"}
    assert {n.rpartition(".")[2] for n in trace.probe_names} == labels
    full = "layer3.0.RA_block.spatial_gate"
    assert full in trace.probe_names
    gate = trace.heatmap(full, 2)
    record = trace.record(full, 2)
    np.testing.assert_array_equal(gate.native, record.values)
    assert gate.bounds == (0, 1)
    assert gate.step == record.step == 2
    assert gate.name == full
    # A bare label means the deepest module; -1 the last step that has a value.
    assert trace.record("spatial_gate").path == "layer4.0.RA_block"
    assert trace.record("spatial_gate").step == STEPS
    assert trace.record("spatial_gate", -2).step == 2
    score = trace.heatmap("spatial_score", 2).native
    np.testing.assert_allclose(trace.heatmap("spatial_gate", 2).native, 1 / (1 + np.exp(-score)), rtol=1e-5)


def test_a_searchlight_is_made_of_its_own_logits(trace: Trace) -> None:
    gate, logits = trace.record("channel_gate", 2).values, trace.record("channel_logits", 2).values
    np.testing.assert_allclose(gate, 1 / (1 + np.exp(-logits)), rtol=1e-5)
    bottom = trace.record("bottom", 2).values
    score = np.einsum("c,chw->hw", logits, gate[:, None, None] * bottom)
    np.testing.assert_allclose(trace.record("spatial_score", 2).values, score, rtol=1e-3, atol=1e-4)


def test_probe_errors_name_the_probe(model: Model, trace: Trace) -> None:
    with pytest.raises(ProbeError, match=r"'nothing'.*spatial_gate"):
        trace.record("nothing")
    with pytest.raises(ProbeError, match="no value at step 1"):
        trace.record("spatial_gate", 1)
    with pytest.raises(ProbeError, match="kind channel"):
        trace.heatmap("channel_gate")
    with pytest.raises(ProbeError, match="kind joint"):
        trace.heatmap("bottom")
    with pytest.raises(ProbeError, match="channels 0 to"):
        trace.heatmap("bottom", channel=10**6)
    bottom = trace.heatmap("bottom", 2, channel=3)
    np.testing.assert_array_equal(bottom.native, trace.record("bottom", 2).values[3])
    with pytest.raises(ProbeError, match="'ghost'"):
        model.trace(scene(), probes=["ghost"])
    with pytest.raises(ProbeError, match="did not fire"):
        model.trace(scene(), probes=["layer4.0.RA_block.spatial_gate"], steps=1)


def test_only_the_probes_asked_for(model: Model) -> None:
    some = model.trace(scene(), probes=["spatial_gate", "layer4.*.channel_gate"])
    assert set(some.probe_names) == {
        "layer3.0.RA_block.spatial_gate",
        "layer4.0.RA_block.spatial_gate",
        "layer4.0.RA_block.channel_gate",
    }
    assert model.trace(scene(), probes=[]).records == ()


def test_arrays_are_copies_that_cannot_be_changed(model: Model) -> None:
    trace = model.trace(scene())
    before = [a.copy() for a in (trace.logits, *trace.features, *(r.values for r in trace.records))]
    model.trace(scene(seed=5))
    after = [trace.logits, *trace.features, *(r.values for r in trace.records)]
    for old, new in zip(before, after, strict=True):
        np.testing.assert_array_equal(old, new)
        assert new.dtype == np.float32
        with pytest.raises(ValueError, match="read-only"):
            new.flat[0] = 1
    parameters = {p.data_ptr() for p in model.network.parameters()}
    assert not parameters & {a.ctypes.data for a in after}


def test_frames_tell_the_steps_in_order(trace: Trace) -> None:
    frames = trace.stages
    assert [f.step for f in frames] == [1, 2, 3]
    assert frames[0].records == ()
    assert "no top-down" in frames[0].caption
    for frame in frames:
        assert all(r.step == frame.step for r in frame.records)
        best = trace.top(frame.step, 1)[0]
        assert best.label in frame.caption
        assert f"{best.probability:.1%}" in frame.caption
        assert frame.title == f"step {frame.step}"
    assert "step 2 makes a searchlight" in frames[2].caption
    assert sum(len(f.records) for f in frames) == len(trace.records) > 0
    assert trace.stages is frames


def test_a_plain_network_has_one_frame(trace: Trace) -> None:
    plain = replace(
        trace,
        card=replace(trace.card, family=None),
        family=family_of(None),
        output=replace(trace.scores, logits=trace.logits[:1]),
        records=(),
    )
    assert [f.title for f in plain.stages] == ["step 1"]
    assert "no attention module" in plain.stages[0].caption


@pytest.mark.parametrize("geometry", ["center_crop", "squash", "letterbox"])
def test_geometry_argument(model: Model, geometry: Any) -> None:
    trace = model.trace(scene(), geometry=geometry)
    assert trace.geometry.mode == geometry
    nothing = np.isnan(trace.class_map().values)
    assert nothing.any() == (geometry == "center_crop")
    assert replace(model, geometry=geometry).trace(scene()).geometry == trace.geometry


def test_unknown_geometry(model: Model) -> None:
    wrong: Any = "stretch"
    with pytest.raises(ModelError, match="center_crop, squash, letterbox"):
        model.trace(scene(), geometry=wrong)


def test_bad_pictures_pass_through(model: Model) -> None:
    with pytest.raises(PictureError):
        model.trace(b"text")
    with pytest.raises(VizError):
        model.trace(np.zeros((2, 2, 2), np.uint8))


class Outline(HTMLParser):
    """Checks that every tag is closed in order, and collects attributes."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))
        if tag not in ("img", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_notebook_view_is_well_formed_and_escaped(model: Model) -> None:
    evil = "<script>alert('x')</script>\" onerror=\"alert(1)&.png"
    picture = open_picture(scene(), name=evil)
    hostile = replace(
        model,
        card=replace(model.card, name="<b>card</b>"),
        labels=tuple(f'"><i>{i}' for i in range(1000)),
    )
    page = hostile.trace(picture)._repr_html_()
    outline = Outline()
    outline.feed(page)
    outline.close()
    assert outline.open == []
    assert {tag for tag, _ in outline.seen} == {"table", "caption", "tr", "td", "img", "br"}
    assert all(set(attrs) <= {"src", "alt"} for _, attrs in outline.seen)
    images = [attrs["src"] for tag, attrs in outline.seen if tag == "img"]
    assert len(images) == STEPS
    for source in images:
        assert source is not None
        data = base64.b64decode(source.removeprefix("data:image/png;base64,"))
        assert Image.open(io.BytesIO(data)).size == (180, 120)
    assert re.search("shared over the steps: .* to ", page)


def test_notebook_view_of_a_large_picture_is_small(model: Model) -> None:
    assert len(model.trace(scene(1000, 1500))._repr_html_()) < 600_000


def test_bfloat16_stays_near_float32(trace: Trace) -> None:
    """bfloat16 has 8 bits of mantissa: logits agree to 2 % of their spread, gates to 0.02."""
    half = replace(as_model(tiny_network(STEPS)), dtype=torch.bfloat16)
    half.network.to(torch.bfloat16)
    low = half.trace(scene())
    assert low.precision == "bfloat16"
    assert low.logits.dtype == np.float32
    spread = float(np.ptp(trace.logits))
    assert 0 < np.abs(low.logits - trace.logits).max() < 0.02 * spread
    for a, b in zip(low.records, trace.records, strict=True):
        assert (a.name, a.step, a.values.shape) == (b.name, b.step, b.values.shape)
        assert a.values.dtype == np.float32
        if a.label in ("channel_gate", "spatial_gate"):
            assert np.abs(a.values - b.values).max() < 0.02
