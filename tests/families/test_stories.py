"""Stories: what a stop of the slider shows for each family, the truths it must keep, kernels, draws, payload."""

from __future__ import annotations

import base64
import itertools
import json
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tests.family_models import NAMES, family_model
from tests.tiny import as_model, scene, with_tap
from viz.capture.probe import capture
from viz.core.card import ModelCard
from viz.core.kernels import cell_at, directions, kernel_at
from viz.core.map_spec import DERIVED, MapSpec
from viz.core.record import Record
from viz.core.stage import MOST_STAGES
from viz.core.trace import Trace
from viz.errors import FigureError, ProbeError, VizError
from viz.families.ema.module import EMA
from viz.families.family import family_of
from viz.families.paka.module import AdaptiveConv2d
from viz.families.psa.module import ParallelPSA
from viz.families.vista.draws import draw_statistics
from viz.families.vista.graph import AttentionGraph, GatedMessage
from viz.figures import Figure, figure
from viz.figures.defaults import default_panels
from viz.figures.shorthand import panel_text, parse_panel
from viz.geometry import Geometry
from viz.models.backbone import lite0_state
from viz.models.networks.lite0_families import Lite0PAKA
from viz.page.channels_tab import caveat, channel_records, choices_of, feature_probe, ranked
from viz.page.figure_tab import panel_choices
from viz.page.payload import viewer_message

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


@cache
def traced(family: str) -> Trace:
    return family_model(family).trace(scene(240, 320))


def with_module(module: nn.Module, *inputs: Tensor, family: str) -> Trace:
    """A trace that holds the records of one module under the path ``block``, on the picture of a real trace."""
    holder = nn.ModuleDict({"block": module.eval()})
    with torch.inference_mode(), capture(holder) as sink:
        module(*inputs)
    base = traced("psa")
    card = replace(base.card, family=family)
    return replace(base, records=sink.records(), card=card, family=family_of(family))


@pytest.mark.parametrize("family", NAMES)
def test_every_stop_has_a_map_a_short_title_and_a_caption(family: str) -> None:
    trace = traced(family)
    frames = trace.stages
    assert 5 < len(frames) <= MOST_STAGES
    assert len({f.title for f in frames}) == len(frames)
    assert [f.step for f in frames] == sorted(f.step for f in frames)
    assert frames[0].title == "input" and frames[-1].title.endswith("answer")
    for frame in frames:
        assert len(frame.title) <= 24
        assert "{" not in frame.caption and frame.caption.endswith(".")
        assert frame.show is not None
        heat = frame.heatmap(trace)
        assert heat.step == frame.step and heat.unit
        assert np.isfinite(heat.native).all() and np.ptp(heat.native) > 0
        for r in frame.records:
            assert r.step == frame.step
    # What is drawn at one stop differs from what is drawn at the next.
    for a, b in itertools.pairwise(frames):
        x, y = a.heatmap(trace).native, b.heatmap(trace).native
        assert x.shape != y.shape or not np.allclose(x, y)


def test_psa_goes_from_pooling_weights_to_the_gate() -> None:
    trace = traced("psa")
    titles = [f.title for f in trace.stages]
    assert titles == ["input", "pooling weights", "channel gate", "spatial score", "spatial gate", "answer"]
    pool = trace.record("channel_pool").values
    shown = trace.stages[1].heatmap(trace)
    assert shown.native == pytest.approx(np.log2(pool * pool.size), abs=1e-4)
    assert shown.neutral == 0
    gated = trace.stages[2].heatmap(trace).native
    want = (trace.record("channel_gate").values[:, None, None] * trace.record("bottom").values).mean(axis=0)
    assert gated == pytest.approx(want, abs=1e-5)
    assert trace.stages[2].show is not None and trace.stages[2].show.vector == "attention.channel_gate"
    assert trace.stages[4].heatmap(trace).neutral is None and "it rests at 0.5" in trace.stages[4].caption


def test_parallel_psa_shows_the_softmax_beside_a_gate_within_a_hair_of_one_half() -> None:
    torch.manual_seed(1)
    trace = with_module(ParallelPSA(32), 3 * torch.randn(1, 32, 14, 14), family="psa")
    gate = trace.record("spatial_gate").values
    assert gate.min() >= 0.5
    titles = [f.title for f in trace.stages]
    assert titles.index("spatial softmax") + 1 == titles.index("spatial gate")
    softmax = trace.record("spatial_softmax").values
    assert trace.stages[titles.index("spatial softmax")].heatmap(trace).native == pytest.approx(
        np.log2(softmax * softmax.size), abs=1e-4
    )
    assert "hair of 0.5" in trace.stages[titles.index("spatial gate")].caption
    made = figure(trace, default_panels(trace))
    of_gate = next(c for c in made.contents if c.quantity == "spatial gate")
    assert of_gate.palette == "inferno" and of_gate.scale is not None, "both gates together are neutral at 0.5, not one"


@pytest.mark.parametrize("modules", [2, 12, 40])
def test_many_modules_stay_walkable_and_in_order_of_depth(modules: int) -> None:
    base = traced("psa")
    paths = [f"layer{i}.psa" for i in range(modules)]
    records = tuple(with_tap(r, path=p) for p in paths for r in base.records)
    frames = replace(base, records=records).stages
    assert len(frames) <= MOST_STAGES
    met = list(dict.fromkeys(r.path for f in frames for r in f.records))
    assert met == sorted(met, key=paths.index)
    assert met[0] == paths[0] and met[-1] == paths[-1]
    assert all(f.title.startswith("layer") for f in frames[:-1])


def test_ema_goes_group_by_group_and_never_draws_its_constant() -> None:
    trace = traced("ema")
    titles = [f.title for f in trace.stages]
    assert titles[1:5] == ["row gates", "column gates", "map 1", "map 2"]
    assert titles[5:13] == [f"gate {g}" for g in range(1, 9)]
    gate = trace.record("group_gate").values
    for g in range(8):
        np.testing.assert_array_equal(trace.stages[5 + g].heatmap(trace).native, gate[g])
    assert not any(f.show and "softmax_1x1" in str(f.show.map) + str(f.show.vector) for f in trace.stages)
    assert "learned constant" in trace.stages[3].caption and "same for every picture" in trace.stages[3].caption
    constant = trace.record("channel_softmax_1x1")
    other = family_model("ema").trace(scene(200, 200, seed=9)).record("channel_softmax_1x1")
    np.testing.assert_array_equal(constant.values, other.values)
    assert "nothing about this one" in caveat(constant) and caveat(trace.record("channel_softmax_3x3")) == ""
    assert feature_probe(trace, constant) is None
    many = with_module(EMA(64, 32), torch.randn(1, 64, 7, 7), family="ema")
    assert "gate" in [f.title for f in many.stages] and len(many.stages) <= 8


def test_vista_adds_up_its_ranks() -> None:
    trace = traced("vista")
    for t in (1, 2, 3):
        titles = [f.title for f in trace.stages if f.step == t and f.title != "input"]
        assert titles == [f"update {t}: {x}" for x in ("attention", "m1, v1", "m2, v2", "sum", "answer")]
    frame = next(f for f in trace.stages if f.title == "update 2: sum")
    path = frame.records[0].path
    here = {r.label: r.values for r in trace.records if r.path == path and r.step == 2}
    parts = [here[f"channel_vector_{t}"][:, None, None] * here[f"spatial_map_{t}"] for t in (1, 2)]
    products = np.sum(parts, axis=0)
    assert frame.heatmap(trace).native == pytest.approx(products.mean(axis=0), rel=1e-4)
    assert here["structured"] == pytest.approx(products, rel=1e-3, abs=1e-5)
    one = trace.heatmap(f"ranks({path}.spatial_map_2)", 2, channel=7).native
    assert one == pytest.approx(products[7], rel=1e-4)
    total = trace.heatmap("total(structured)", 2).native
    alike = [
        r.values.mean(axis=0) * (r.tap.strength or 0) for r in trace.records if r.label == "structured" and r.step == 2
    ]
    assert len(alike) == len({r.path for r in trace.records if r.label == "structured"}) > 1
    assert total == pytest.approx(sum(alike), rel=1e-4)
    beside = next(f for f in trace.stages if f.title == "update 3: m2, v2")
    assert beside.show is not None and beside.show.vector == f"{path}.channel_vector_2"


def test_paka_goes_dilation_by_dilation() -> None:
    trace = traced("paka")
    for step, (d, reach) in enumerate(((1, 1), (2, 3), (4, 7)), 1):
        frames = [f for f in trace.stages if f.step == step and f.title != "input"]
        assert [f.title for f in frames] == [
            f"d = {d}: {x}" for x in ("departure", "centre tap", "directions", "answer")
        ]
        attention = (
            trace.record("kernel_attention", step)
            if step == 3
            else trace.record(f"attention.levels.{step - 1}.kernel_attention", step)
        )
        assert frames[0].heatmap(trace).native == pytest.approx(np.abs(attention.values - 1).mean(axis=0), abs=1e-5)
        assert f"reach {reach} {'cell' if reach == 1 else 'cells'} to each side" in frames[0].caption
        assert frames[1].heatmap(trace).neutral == 1
        assert all(f.show is not None and f.show.kernel == attention.name for f in frames)
        assert frames[2].show is not None and frames[2].show.arrows


def test_a_kernel_attention_of_one_is_said_to_be_plain_convolution() -> None:
    network = Lite0PAKA()
    network.backbone.load_state_dict(lite0_state())
    model = as_model(network, ModelCard("hpm", "HPM at its start", "paka", "hpm", steps=3))
    trace = model.trace(scene())
    titles = [f.title for f in trace.stages]
    assert titles[1:3] == ["d = 1: plain", "d = 1: answer"]
    assert all("exactly 1 everywhere" in f.caption and "plain convolution" in f.caption for f in trace.stages[1::2])
    # A mean of exactly 1 over channels that differ is not plain.
    r = next(r for r in trace.records if r.label == "channel_logits")
    uneven = tuple(replace(x, values=x.values + 0.5) if x is r else x for x in trace.records)
    assert replace(trace, records=uneven).stages[1].title == "d = 1: departure"


def test_published_vista_says_that_its_vectors_are_random() -> None:
    torch.manual_seed(0)
    graph = AttentionGraph((8, 12, 16), width=16, rank=2, combination="pointwise")
    inputs = (torch.randn(1, 8, 8, 8), torch.randn(1, 12, 4, 4), torch.randn(1, 16, 2, 2))
    trace = with_module(graph, *inputs, family="vista")
    frames = trace.stages[:-1]
    assert len(frames) == 18
    assert all("random draw, not learned" in f.caption for f in frames)
    assert "dilation 8" in frames[-1].caption
    vectors = [r for r in channel_records(trace) if r.label.startswith("channel_vector")]
    assert vectors and all("random draws" in caveat(r) for r in vectors)
    by_dilation = {r.label.rpartition("_")[2]: r.tap.dilation for r in trace.records if r.tap.is_kernel}
    assert by_dilation == {"1": 1, "2": 4, "3": 8}


def test_mean_and_spread_over_draws() -> None:
    torch.manual_seed(0)
    message = GatedMessage(16, rank=2).eval()
    inputs = (torch.randn(2, 16, 6, 6), torch.randn(2, 16, 6, 6))
    got = draw_statistics(message, inputs, draws=6, seed=4, item=1)
    generator = torch.Generator().manual_seed(4)
    runs: list[dict[str, np.ndarray]] = []
    for _ in range(6):
        with torch.inference_mode(), capture(message) as sink:
            message(*inputs, draws=generator)
        runs.append({r.name: r.values for r in sink.records(1)})
    for name in ("spatial_map_2_1", "channel_vector_1_2", "energy_3"):
        stack = np.stack([run[name] for run in runs])
        assert got[name].mean == pytest.approx(stack.mean(axis=0), abs=1e-5)
        assert got[name].spread == pytest.approx(stack.std(axis=0, ddof=1), abs=1e-5)
    assert got["energy_3"].spread.max() == 0 and "the same in all 6 draws" in got["energy_3"].sentence
    assert got["spatial_map_2_1"].spread.min() > 0
    assert "neither learned nor inferred" in got["spatial_map_2_1"].sentence
    again = draw_statistics(message, inputs, draws=6, seed=4, item=1)
    np.testing.assert_array_equal(got["spatial_map_2_1"].mean, again["spatial_map_2_1"].mean)
    for bad in (1, 0, 10**6):
        with pytest.raises(ProbeError, match="2 to 10000"):
            draw_statistics(message, inputs, draws=bad)
    with pytest.raises(ProbeError, match="no random draws"):
        draw_statistics(EMA(8, 2), (torch.randn(1, 8, 4, 4),))


# --- kernels


@pytest.mark.parametrize(("stride", "dilation", "size"), [(1, 1, 7), (1, 3, 9), (2, 2, 8)])
def test_kernel_squares_lie_where_the_taps_of_the_convolution_lie(stride: int, dilation: int, size: int) -> None:
    torch.manual_seed(0)
    conv = AdaptiveConv2d(1, 1, stride=stride, dilation=dilation)
    out = -(-size // stride)
    channel, tap = torch.randn(1, 1, out, out), torch.randn(1, 9, out, out)
    with torch.inference_mode(), capture(conv) as sink:
        conv.convolve(torch.randn(1, 1, size, size), channel, tap)
    attention = next(r.values for r in sink.records() if r.label == "kernel_attention")
    weight = conv.weight.detach().numpy().reshape(9)
    geometry = Geometry("squash", (300, 500), (224, 224), (0.0, 0.0, 500.0, 300.0), (0.0, 0.0, 224.0, 224.0))
    cell = (out // 2, 0)  # at the edge, where one column of taps reads padding
    taps = kernel_at(attention, cell, geometry, dilation=dilation, stride=stride)
    assert [t.inside for t in taps] == [False, True, True] * 3
    hit = np.zeros((size, size))
    for row in range(size):
        for column in range(size):
            x = torch.zeros(1, 1, size, size)
            x[0, 0, row, column] = 1
            with torch.inference_mode():
                hit[row, column] = float(conv.convolve(x, channel, tap)[0, 0, cell[0], cell[1]])
    for t in taps:
        if not t.inside:
            assert not (0 <= t.row < size and 0 <= t.column < size)
            continue
        assert hit[t.row, t.column] == pytest.approx(weight[t.index] * t.value, rel=1e-4)
        # The square in the picture is the input cell that was hit.
        x0, y0, x1, y1 = t.box
        assert (x0, x1) == pytest.approx((t.column * 500 / size, (t.column + 1) * 500 / size))
        assert (y0, y1) == pytest.approx((t.row * 300 / size, (t.row + 1) * 300 / size))
        hit[t.row, t.column] = 0
    assert np.abs(hit).max() < 1e-6, "the convolution reads nothing beside the squares"


def test_the_kernel_of_a_point_of_the_picture() -> None:
    trace = traced("paka")
    x0, y0, x1, y1 = trace.geometry.seen
    point = (x0 + (x1 - x0) * 3.5 / 14, y0 + (y1 - y0) * 6.5 / 14)
    taps = trace.kernel(step=3, point=point)
    assert [t.row for t in taps[::3]] == [2, 6, 10] and [t.column for t in taps[:3]] == [-1, 3, 7]
    assert [t.inside for t in taps[:3]] == [False, True, True]
    record = trace.record("kernel_attention", 3).values
    assert [t.value for t in taps] == pytest.approx([float(v) for v in record[:, 6, 3]])
    assert taps[4].box[0] <= point[0] < taps[4].box[2] and taps[4].box[1] <= point[1] < taps[4].box[3]
    assert trace.kernel(step=3, cell=(6, 3)) == taps
    assert cell_at((x0 - 5, y0), (14, 14), trace.geometry) is None
    with pytest.raises(ProbeError, match="did not see"):
        trace.kernel(point=(x0 - 5, y0))
    with pytest.raises(ProbeError, match="either a cell"):
        trace.kernel()
    with pytest.raises(ProbeError, match="no cell"):
        trace.kernel(cell=(14, 0))
    with pytest.raises(ProbeError, match="kind joint"):
        trace.kernel("bottom", cell=(0, 0))


def test_directions_point_to_the_taps_above_neutral() -> None:
    values = np.ones((9, 2, 2), np.float32)
    assert np.abs(directions(values, 1.0)).max() == 0
    for tap, (x, y) in {5: (1, 0), 3: (-1, 0), 1: (0, -1), 7: (0, 1)}.items():
        one = values.copy()
        one[tap, 0, 1] = 1.8
        pull = directions(one, 1.0)
        assert pull[:, 0, 1] == pytest.approx((0.1 * x, 0.1 * y))
        assert np.abs(pull[:, 1]).max() == 0
    one[4] = 2.0
    assert directions(one, 1.0) == pytest.approx(pull), "the centre pulls nowhere"


# --- parts


def test_parts_refuse_what_they_cannot_be_made_of() -> None:
    trace = traced("psa")
    for name, part in (
        ("spatial_gate", "mean"),
        ("spatial_score", "log"),
        ("bottom", "departure"),
        ("bottom", "ranks"),
    ):
        with pytest.raises(ProbeError, match=f"{part} needs"):
            trace.heatmap(f"{part}({name})")
    with pytest.raises(VizError, match="Unknown derived map 'median'"):
        trace.heatmap("median(bottom)")
    with pytest.raises(ProbeError, match="takes no channel"):
        trace.heatmap("mean(bottom)", channel=3)
    with pytest.raises(ProbeError, match="kind joint"):
        trace.heatmap("bottom")
    without = replace(trace, records=tuple(r for r in trace.records if r.label != "channel_gate"))
    with pytest.raises(ProbeError, match="No channel gate"):
        without.heatmap("gated(bottom)")


@pytest.mark.parametrize("family", NAMES)
def test_a_trace_without_records_still_answers(family: str) -> None:
    frames = replace(traced(family), records=()).stages
    assert {f.title.rpartition(": ")[2] for f in frames} == {"answer"}
    assert default_panels(replace(traced(family), records=()))


# --- page


@pytest.mark.parametrize("family", NAMES)
def test_the_message_holds_every_stop_and_no_whole_tensor(family: str) -> None:
    trace = traced(family)
    message = json.loads(viewer_message(trace))
    names = {m["name"] for m in message["maps"]}
    names |= {f"{k['name']}#{j}" for k in message["kernels"] for j in range(k["k"] ** 2)}
    for frame in message["frames"]:
        assert frame["show"] in names | {"cam"}
        assert frame["kernel"] is None or frame["kernel"] in {k["name"] for k in message["kernels"]}
    message["picture"]["src"] = ""
    assert len(json.dumps(message)) < 600_000
    for m in message["maps"]:
        for s in m["steps"]:
            assert len(base64.b64decode(s["data"])) == 4 * s["h"] * s["w"] <= 4 * 14 * 14
    own = [m["name"] for m in message["maps"] if m["kind"] != "cam"]
    assert len(own) == len(set(own))


def test_kernels_are_sent_once_with_dilation_and_reach() -> None:
    kernels = json.loads(viewer_message(traced("paka")))["kernels"]
    assert [(k["dilation"], k["reach"], k["neutral"]) for k in kernels] == [(1, 1, 1), (2, 3, 1), (4, 7, 1)]
    vista = json.loads(viewer_message(traced("vista")))["kernels"]
    # A message of another scale keeps its kernel over the updates: it travels once.
    same = {k["name"]: [s.get("same", False) for s in k["steps"]] for k in vista}
    assert [False, True, True] in same.values()


@pytest.mark.parametrize("family", NAMES)
def test_channels_of_every_family(family: str) -> None:
    trace = traced(family)
    choices = choices_of(trace)
    assert len({words for words, _ in choices}) == len(choices)
    assert any("mean over the cells" in words for words, _ in choices)
    for r in channel_records(trace):
        (_, top), *_, (_, low) = ranked(r)
        size = r.values if r.bounds[0] >= 0 else np.abs(r.values)
        assert top == int(np.argmax(size)) and size[low] == size.min()
        probe = feature_probe(trace, r)
        if probe is not None:
            assert len(trace.record(probe).values) == len(r.values)
    bottom = trace.record("attention.bottom")
    assert feature_probe(trace, bottom) == "attention.bottom"
    if family == "vista":
        assert feature_probe(trace, trace.record("channel_vector_1")) == "attention.bottom"


# --- figures


@pytest.mark.parametrize("family", NAMES)
def test_the_default_figure_tells_the_story(family: str) -> None:
    trace = traced(family)
    panels = default_panels(trace)
    assert 5 <= len(panels) <= 6
    assert panels[0].kind == "picture" and panels[-1].spec.kind == "cam"
    assert [parse_panel(panel_text(p)) == p for p in panels] == [True] * len(panels)
    made = figure(trace)
    assert isinstance(made, Figure)
    for c in made.contents:
        if c.is_map and c.scale is not None:
            signed = c.neutral is not None and c.shows != "cam"
            assert c.palette == ("diverging" if signed else "inferno")
            if signed and c.neutral is not None:
                assert c.scale.low + c.scale.high == pytest.approx(2 * c.neutral, abs=1e-6)
            assert c.unit
    assert made.to_bytes("png", 60) and made.to_bytes("pdf")[:4] == b"%PDF"
    caption = made.latex()
    assert "None" not in caption
    for _, text in panel_choices(trace):
        parse_panel(text)


def test_panels_of_parts() -> None:
    assert parse_panel("mean(bottom):2").spec == MapSpec("mean", "bottom", step=2)
    panel = parse_panel("ranks(attention.messages.s8d1.spatial_map_2):1#5")
    assert (panel.spec.tap, panel.spec.channel, panel.spec.step) == ("attention.messages.s8d1.spatial_map_2", 5, 1)
    assert panel_text(panel) == "ranks(attention.messages.s8d1.spatial_map_2)#5:1"
    with pytest.raises(VizError, match=", ".join(DERIVED)):
        parse_panel("median(bottom)")
    trace = traced("ema")
    with pytest.raises(FigureError, match=r"mean\(group_gate\)"):
        figure(trace, "group_gate")
    groups = figure(trace, "group_gate#1,group_gate#6").contents
    assert [c.title for c in groups] == ["group 2", "group 7"]
    assert groups[0].scale == groups[1].scale, "groups hold one quantity"
    taps = figure(traced("paka"), "kernel_attention:3#0,kernel_attention:3#8").contents
    assert taps[0].scale == taps[1].scale and "tap row 1, column 1" in taps[0].title
    kept = figure(traced("paka"), "directions(kernel_attention):3")
    assert kept.maps() and kept.record()["figure"]["panels"][0]["map"].startswith("directions(")


def test_records_stay_plain_values() -> None:
    record: Record = traced("vista").record("structured")
    assert record.kind == "joint" and not record.values.flags.writeable


def test_half_precision_tells_the_same_stops() -> None:
    torch.manual_seed(0)
    module, x = ParallelPSA(16).eval(), torch.randn(1, 16, 14, 14)
    nn.init.zeros_(module.conv_q_right.weight)  # 196 equal shares, all rounded the same way
    trace = with_module(module, x, family="psa")
    half = with_module(module.to(torch.bfloat16), x.bfloat16(), family="psa")
    sums = [float(r.values.sum()) for r in half.records if r.label in ("channel_pool", "spatial_softmax")]
    assert max(abs(s - 1) for s in sums) > 1e-3, "rounded shares no longer sum to 1: the case is tested"
    assert [f.title for f in half.stages] == [f.title for f in trace.stages]


@pytest.mark.parametrize("family", NAMES)
def test_values_that_are_not_finite_are_told(family: str) -> None:
    trace = traced(family)
    for value, shown in ((np.nan, "not finite"), (np.inf, "not finite")):
        spoilt = []
        for r in trace.records:
            values = r.values.copy()
            values[..., 0] = value
            spoilt.append(replace(r, values=values))
        broken = replace(trace, records=tuple(spoilt))
        assert any(shown in f.caption or "nowhere finite" in f.caption for f in broken.stages)
        assert json.loads(viewer_message(broken))["frames"]


@pytest.mark.parametrize("family", ["vista", "paka"])
def test_fewer_steps_than_the_module_has(family: str) -> None:
    short = family_model(family).trace(scene(240, 320), steps=1)
    assert short.steps == 1 and {r.step for r in short.records} == {1}
    assert {f.step for f in short.stages} == {1}
    assert json.loads(viewer_message(short))["frames"] and figure(short).contents
    first = traced(family)
    for r in short.records:
        np.testing.assert_array_equal(r.values, first.record(r.name, 1).values)


def test_only_a_kernel_attention_of_one_is_called_plain_convolution() -> None:
    module, (receiving, emitting) = GatedMessage(4).eval(), torch.randn(2, 1, 4, 6, 6)
    trace = with_module(module, receiving, emitting, family="vista")
    kernel = next(r for r in trace.records if r.kind == "kernel")
    assert "plain" not in trace.heatmap(f"departure({kernel.name})", kernel.step).unit
    paka = traced("paka")
    assert "0 is plain convolution" in paka.heatmap("departure(kernel_attention)").unit
