"""Faithfulness controls on hand-made networks whose right answers are known, and on small real ones."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.corner import SIDE, Corner, bright, corner_model, oracle, passes_of, zero
from tests.tiny import as_model, scene, tiny_model, tiny_network
from viz.errors import ModelError, ProbeError, VizError
from viz.geometry import prepare
from viz.measures.faithfulness import (
    QUICK_PARTS,
    Options,
    Source,
    faithful,
    gate_bank,
    sample_bank,
    source_of,
    words_for,
)
from viz.measures.faithfulness.curves import curves
from viz.measures.faithfulness.gates import gate_values
from viz.measures.faithfulness.passes import Passes, log_odds, probability
from viz.measures.faithfulness.randomisation import blocks_of, randomisation, randomise
from viz.measures.faithfulness.reliance import reliance
from viz.measures.faithfulness.removal import impute, neighbours, order_of, removed
from viz.measures.faithfulness.report import measure
from viz.measures.faithfulness.set_result import summarise
from viz.measures.faithfulness.similarity import similarity, ssim
from viz.measures.faithfulness.stability import stability
from viz.picture import Picture, open_picture

SMALL = Options(points=4, road_points=3, seeds=2, draws=2, samples=4, sigmas=(4.0,))
CASCADING = Options(modes=("cascading",))


# passes


def test_log_odds_and_probability() -> None:
    logits = torch.tensor([[2.0, 1.0, -1.0], [900.0, 0.0, 0.0]], dtype=torch.float64)
    p = probability(logits, zero(2))
    assert float(log_odds(logits, zero(2))[0]) == pytest.approx(math.log(p[0] / (1 - p[0])))
    assert float(log_odds(logits, zero(2))[1]) == pytest.approx(900 - math.log(2))  # finite where p is 1


def test_steps_are_checked() -> None:
    assert Passes.of(tiny_model(), -1).step == 3
    with pytest.raises(ModelError, match="steps 1 to 3"):
        Passes.of(tiny_model(), 4)


# reliance


def test_a_constant_gate_is_not_relied_on() -> None:
    passes, x = passes_of("constant"), bright(3)
    bank = gate_bank(passes, [bright(2, seed=1)], "others")
    for one in reliance(passes, x, zero(3), bank=bank):
        assert [r.how for r in one.replaced] == ["neutral", "flat", "mean", "other"]
        for r in one.replaced:
            assert r.probability == pytest.approx(one.probability, abs=1e-12)
            assert (r.total_variation, r.top1_kept) == (pytest.approx(0.0, abs=1e-12), 1.0)


def test_an_open_gate_is_relied_on_by_a_known_amount() -> None:
    passes, x = passes_of(), bright(1)
    found = reliance(passes, x, zero())[0]
    neutral = found.replaced[0]
    light = x.mean(dim=1)[0] * oracle()
    expected = float(8 * (light * 0.5).mean())
    assert neutral.log_odds == pytest.approx(expected, rel=1e-5)
    assert found.log_odds == pytest.approx(float(8 * (light * torch.sigmoid(3 * light)).mean()), rel=1e-5)
    assert "No gates of other pictures" in found.replaced[2].reason and math.isnan(found.replaced[2].probability)


def test_a_picture_is_not_its_own_other() -> None:
    passes, x = passes_of(), bright(3)
    bank = gate_bank(passes, [x], "these")
    found = reliance(passes, x, zero(3), bank=bank)
    assert all(one.replaced[3].passes == 2 for one in found)
    alone = reliance(passes, x[:1], zero(), bank=gate_bank(passes, [x[:1]], "itself"))[0].replaced[3]
    assert alone.passes == 0 and alone.reason


def test_means_of_a_stream_are_the_means_of_all() -> None:
    passes, x = passes_of(), bright(5)
    bank = gate_bank(passes, [x[:2], x[2:]], "five", examples=3)
    values = gate_values(passes, x)["spatial_gate", 1]
    assert torch.allclose(bank.means["spatial_gate", 1], values.mean(dim=0, keepdim=True), atol=1e-6)
    assert torch.equal(bank.examples["spatial_gate", 1], values[:3]) and bank.count == 5


def test_tdam_has_no_gate_before_step_two() -> None:
    model = tiny_model()
    x = torch.randn(1, 3, 96, 96, generator=torch.Generator().manual_seed(0))
    with pytest.raises(ProbeError, match="step 1"):
        reliance(Passes.of(model, 1), x, zero())
    found = reliance(Passes.of(model, 2), x, zero())[0]
    assert all("no" in r.reason.lower() for r in found.replaced if r.how == "neutral")
    assert all(step == 2 for _, step in gate_values(Passes.of(model, 2), x))
    with pytest.raises(ProbeError, match="no probe"):
        reliance(Passes.of(model), x, zero(), probes=["nothing"])


def test_any_probe_can_be_replaced() -> None:
    found = reliance(Passes.of(tiny_model()), bright_tiny(), zero(), probes=["spatial_score"])[0]
    assert {r.gates for r in found.replaced} == {("spatial_score",)}
    assert [bool(r.reason) for r in found.replaced[:2]] == [True, False], "no neutral value, but a mean"


def bright_tiny(n: int = 1) -> Tensor:
    return torch.randn(n, 3, 96, 96, generator=torch.Generator().manual_seed(1))


# orders and curves


def test_orders() -> None:
    heat = torch.tensor([[0.0, 3.0], [2.0, 1.0]])
    assert order_of(heat, (2, 2)).tolist() == [[3, 0], [1, 2]]
    cells = order_of(heat, (4, 4), "cells")
    assert set(cells[:2, 2:].flatten().tolist()) == {0, 1, 2, 3}
    assert set(cells[:2, :2].flatten().tolist()) == {12, 13, 14, 15}
    heat[0, 1] = float("nan")
    assert order_of(heat, (2, 2)).tolist() == [[2, 3], [0, 1]]
    flat = order_of(torch.zeros(2, 2), (8, 8), seed=3)
    assert sorted(flat.flatten().tolist()) == list(range(64)) and flat.flatten().tolist() != list(range(64))
    assert removed(flat, (0.0, 0.25, 1.0)).flatten(1).sum(dim=1).tolist() == [0, 16, 64]
    tied = order_of(torch.tensor([[1.0, 1.0], [0.0, 0.0]]), (4, 4), "cells")
    first = {tuple(c) for c in (tied < 4).nonzero().tolist()}
    assert first in ({(0, 0), (0, 1), (1, 0), (1, 1)}, {(0, 2), (0, 3), (1, 2), (1, 3)})  # a whole cell, not two halves


@pytest.mark.parametrize("control", ["deletion", "insertion", "road_morf", "road_lerf"])
def test_an_oracle_beats_chance_and_its_opposite_does_not(control: Any) -> None:
    maps = {"oracle": oracle(), "wrong": 1 - oracle()}
    good, bad = curves(passes_of(), bright(), 0, maps, [control], options=Options(points=8, road_points=8, seeds=3))
    # Of 16 pixels the blur takes little away, so that little can be brought back.
    least = 0.005 if control == "insertion" else 0.02
    assert good.gain(good.random_area) > least and bad.gain(bad.random_area) < 0
    assert good.random == bad.random and len(good.random) == 3
    assert good.curve is not None and good.curve.fractions[0] == 0
    if control == "deletion":
        full = float(probability(passes_of().logits(bright()), zero())[0])
        assert good.curve.probability[0] == pytest.approx(full)
        quarter = good.curve.probability[2]  # the whole corner is gone, and only the mean colour stands there
        assert good.curve.probability[-1] == pytest.approx(quarter, abs=1e-6)


def test_a_blind_network_gives_flat_curves() -> None:
    for made in curves(passes_of("blind"), bright(), 0, {"oracle": oracle()}, ["deletion", "insertion", "road_morf"]):
        assert made.curve is not None
        assert made.area == pytest.approx(0.5) and made.gain(made.random_area) == pytest.approx(0)


def test_a_map_that_orders_nothing_has_no_curve() -> None:
    maps = {"flat": torch.ones(4, 4), "nan": torch.full((4, 4), float("nan"))}
    for made in curves(passes_of(), bright(), 0, maps, ["deletion"], options=Options(points=3)):
        assert made.curve is None and math.isnan(made.area) and "does not rank pixels" in made.reason
        assert made.to_json()["curve"] is None and len(made.random) > 0


def test_one_that_is_partly_nan_has_one() -> None:
    heat = oracle()
    heat[-1, -1] = float("nan")
    made = curves(passes_of(), bright(), 0, {"m": heat}, ["deletion"], options=Options(points=4))[0]
    assert made.curve is not None and math.isfinite(made.area)


# imputation


def dense_solution(x: Tensor, missing: Tensor) -> Tensor:
    """The linear system, written out and solved at once."""
    h, w = x.shape
    index = {(int(r), int(c)): i for i, (r, c) in enumerate(missing.nonzero())}
    a, b = torch.zeros(len(index), len(index), dtype=torch.float64), torch.zeros(len(index), dtype=torch.float64)
    for (r, c), i in index.items():
        for dr in (-1, 0, 1):
            for dc in (-1, 0, 1):
                p = (r + dr, c + dc)
                if (dr, dc) == (0, 0) or not (0 <= p[0] < h and 0 <= p[1] < w):
                    continue
                weight = 1 / 6 if dr == 0 or dc == 0 else 1 / 12
                a[i, i] += weight
                if p in index:
                    a[i, index[p]] -= weight
                else:
                    b[i] += weight * x[p]
    out = x.double().clone()
    for p, value in zip(index, torch.linalg.solve(a, b), strict=True):
        out[p] = value
    return out


@pytest.mark.parametrize("hole", ["square", "edge", "scattered"])
def test_imputation_solves_the_system(hole: str) -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(1, 3, 20, 17, generator=generator)
    missing = torch.zeros(1, 1, 20, 17, dtype=torch.bool)
    if hole == "square":
        missing[:, :, 3:17, 2:14] = True
    elif hole == "edge":
        missing[:, :, 2:] = True
    else:
        missing = torch.rand(1, 1, 20, 17, generator=generator) < 0.6
    made = impute(x, missing, noise=0, tolerance=1e-6)
    for c in range(3):
        assert torch.allclose(made[0, c].double(), dense_solution(x[0, c], missing[0, 0]), atol=1e-3)
    noisy = impute(x, missing, noise=0.01, seed=1)
    kept = ~missing.expand_as(x)
    assert torch.equal(noisy[kept], x[kept]) and not torch.equal(noisy, made)
    assert torch.equal(noisy, impute(x, missing, noise=0.01, seed=1))


def test_imputation_of_a_plane_is_the_plane_inside() -> None:
    y, x = torch.meshgrid(torch.arange(12.0), torch.arange(12.0), indexing="ij")
    plane = (2 * x - y)[None, None]
    missing = torch.zeros(1, 1, 12, 12, dtype=torch.bool)
    missing[:, :, 3:9, 3:9] = True
    assert torch.allclose(impute(plane, missing, noise=0, tolerance=1e-7), plane, atol=1e-3)
    assert float(neighbours(torch.ones(5, 5))[2, 2]) == pytest.approx(1.0)
    with pytest.raises(VizError, match="Nothing can be imputed"):
        impute(plane, torch.ones_like(missing))


# similarity


def test_similarity() -> None:
    a = torch.arange(49.0).reshape(7, 7) - 24
    same, flipped = similarity(a, a.clone()), similarity(a, -a)
    assert (same.spearman, same.spearman_abs) == (1.0, 1.0) and same.ssim == pytest.approx(1.0)
    assert (flipped.spearman, flipped.spearman_abs) == (-1.0, 1.0) and flipped.ssim < 0
    flat = similarity(a, torch.ones(7, 7))
    assert all(math.isnan(v) for v in (flat.spearman, flat.spearman_abs, flat.ssim))
    assert math.isnan(similarity(a, torch.full((7, 7), float("nan"))).spearman)
    assert ssim(a, a.roll(3, dims=0)) < 0.9


# randomisation


def test_randomisation_destroys_a_class_map_and_spares_the_network() -> None:
    model = tiny_model()
    before = {k: v.clone() for k, v in model.network.state_dict().items()}
    passes, x = Passes.of(model), bright_tiny(2)
    constant = Source("flat", lambda network, x, classes: torch.ones(len(x), 3, 3), 3)
    edges = Source("edges", lambda network, x, classes: x.mean(dim=1)[:, ::12, ::12], 3)
    cam, flat, same = randomisation(passes, x, zero(2), [source_of("cam", 3), constant, edges], options=CASCADING)
    everything = [made.stages[-1].similarity.spearman for made in cam]
    assert all(abs(s) < 0.75 for s in everything if math.isfinite(s))
    assert all(s.similarity.spearman != 1.0 for made in cam for s in made.stages)
    assert all(math.isnan(s.similarity.spearman) for made in flat for s in made.stages)
    assert all(s.similarity.spearman == 1.0 for made in same for s in made.stages)  # the check that it would fail
    after = model.network.state_dict()
    assert all(torch.equal(after[k], v) for k, v in before.items())
    assert (
        cam[0].to_json() == randomisation(passes, x, zero(2), [source_of("cam", 3)], options=CASCADING)[0][0].to_json()
    )


def test_independent_blocks_are_put_back() -> None:
    found = randomisation(Passes.of(tiny_model()), bright_tiny(), zero(), [source_of("cam", 3)])[0][0]
    names = [b.name for b in blocks_of(tiny_model().network)]
    assert names == ["classifier", "layer4", "attention", "layer3", "layer2", "layer1", "stem"]
    stages = {s.name: s for s in found.stages}
    assert stages["cascading: classifier"].similarity == stages["independent: classifier"].similarity
    assert len(stages) == 2 * len(names) and found.chance > 0
    # With the other blocks trained, the stem alone is another state than all of them.
    assert stages["independent: stem"].probability != stages["cascading: classifier .. stem"].probability


@pytest.mark.parametrize("how", ["normal", "shuffle"])
def test_randomise_keeps_the_scale_of_weights(how: Any) -> None:
    network = tiny_model().network
    block = next(b for b in blocks_of(network) if b.name == "layer3")
    held = dict(network.named_parameters())
    old = {k: v.detach().clone() for k, v in held.items()}
    randomise(network, block, 0, how)
    for name, value in held.items():
        if name not in block.parameters:
            assert torch.equal(value, old[name])
        elif value.ndim >= 2 and value.numel() > 200:
            assert not torch.equal(value, old[name])
            assert float(value.detach().std()) == pytest.approx(float(old[name].std()), rel=0.2)


def test_every_parameter_is_in_one_block() -> None:
    for network in (tiny_model().network, Corner()):
        named = [name for b in blocks_of(network) for name in b.parameters]
        assert sorted(named) == sorted(name for name, _ in network.named_parameters())


# stability


def test_stability_of_a_fixed_map_and_of_noise() -> None:
    passes, x = passes_of(), bright()
    fixed = Source("fixed", lambda network, x, classes: oracle().expand(len(x), -1, -1), 1)
    shaky = Source("shaky", lambda network, x, classes: torch.frac(1e4 * (x.mean(dim=1).cpu() + 9)), 1)
    same, noise = stability(
        passes, x, 0, [fixed, shaky], (128.0,) * 3, options=Options(sigmas=(4.0,), draws=3, samples=6)
    )
    assert same.noises[0].spearman == same.noises[0].least == 1.0 and same.sensitivity_max == 0
    assert noise.noises[0].spearman < 0.5 and noise.sensitivity_max > 0.1
    assert same.noises[0].probability_change < 0.05


def test_infidelity_knows_a_map_that_adds_up() -> None:
    """The class map of a constant gate is exactly what squares of the mean colour cost, up to the colour's value."""
    passes, x = passes_of("constant"), bright()
    other = x.mean(dim=(2, 3), keepdim=True)
    exact = Source("exact", lambda n, x, c: ((x - other).mean(dim=1) * oracle()).float(), 1)
    wrong = Source("wrong", lambda n, x, c: (1 - oracle()).expand(len(x), -1, -1), 1)
    good, bad = stability(
        passes, x, 0, [exact, wrong], (128.0,) * 3, options=Options(sigmas=(4.0,), draws=2, samples=24)
    )
    assert good.unexplained < 1e-3
    assert 0.3 < bad.unexplained <= 1
    blind = stability(
        passes_of("blind"), x, 0, [wrong], (128.0,) * 3, options=Options(sigmas=(4.0,), draws=2, samples=4)
    )[0]
    assert math.isnan(blind.unexplained)


# sources


def test_sources() -> None:
    model = tiny_model()
    picture = open_picture(scene())
    trace = model.trace(picture)

    x = prepare(picture, model.card.preprocessing, model.geometry)[0]
    for text, native in (
        ("cam", trace.class_map(3, 7).native),
        ("cam:2", trace.class_map(2, 7).native),
        ("attention:spatial_gate", trace.heatmap("spatial_gate").native),
        ("attention:spatial_gate:2", trace.heatmap("spatial_gate", 2).native),
        ("attention:mean(bottom)", trace.heatmap("mean(bottom)").native),
    ):
        made = source_of(text, 3)(model.network, x, torch.tensor([7]))
        assert np.allclose(made[0].numpy(), native, atol=1e-5), text
    assert source_of("gradcam", 3)(model.network, x, torch.tensor([7])).shape[0] == 1
    assert not any(m._forward_hooks or m._backward_hooks for m in model.network.modules())
    with pytest.raises(ProbeError, match="up to step 1"):
        source_of("attention:spatial_gate", 1)(model.network, x, torch.tensor([7]))
    with pytest.raises(ProbeError, match="not one map"):
        source_of("attention:bottom", 3)(model.network, x, torch.tensor([7]))
    for text in ("nothing at all", "centre_box", "cam:-4"):
        with pytest.raises(VizError):
            source_of(text, 3)
    assert source_of("attention", 3, "tdam").name == "spatial_gate"
    with pytest.raises(VizError, match="no attention map"):
        source_of("attention", 1, None)


@pytest.mark.parametrize("name", ["lite0-tdam", "lite0-psa", "lite0-ema", "lite0-vista", "lite0-paka"])
def test_sources_mean_the_same_as_in_the_evaluation(name: str) -> None:
    """One word, one map, in both commands; a value that does not exist at a step exists in neither."""
    from viz.core.map_spec import parse
    from viz.families.family import family_of
    from viz.measures.localization.batch import native_maps, prepare_all, probes_for, trace_batch
    from viz.run.engine import load

    model, pictures = load(name, "cpu"), [open_picture(scene(seed=s)) for s in (1, 2)]
    x, geometries = prepare_all(model, pictures)
    classes = [3, 7]
    refused = 0
    for text in ("cam", "attention", *(f"attention:{s}" for s in range(1, model.network.steps + 1))):
        asked = parse(text)
        if asked.kind == "attention":
            own = family_of(model.network.family).own
            assert own is not None
            asked = own.at(asked.step)
        other = source_of(text, model.network.steps, model.network.family)
        traces = trace_batch(model, pictures, x, geometries, probes=probes_for([asked]))
        try:
            wanted = native_maps(model, asked, traces, x=x, classes=classes)
        except ProbeError:
            refused += 1
            with pytest.raises(ProbeError, match="no value at step"):
                other(model.network, x, torch.tensor(classes))
            continue
        found = other(model.network, x, torch.tensor(classes)).numpy()
        assert np.allclose(found, np.stack(wanted), rtol=1e-4, atol=1e-4), text
    assert refused == {"lite0-tdam": 1, "lite0-paka": model.network.steps - 1}.get(name, 0)


def test_attribution_options_reach_the_map() -> None:
    from viz.attribution import AttributionOptions, attribute
    from viz.measures.faithfulness.report import source_for

    model, classes = tiny_model(), torch.tensor([7])
    x, _ = prepare(open_picture(scene()), model.card.preprocessing, model.geometry)
    chosen = AttributionOptions("black", window=24, stride=24)
    found = source_for(model, "occlusion", 3, Options(attribution=chosen))(model.network, x, classes)
    wanted = attribute(model.network, x, classes, "occlusion", options=chosen, preprocessing=model.card.preprocessing)
    assert torch.equal(found, wanted)
    assert not torch.allclose(found, source_of("occlusion", 3)(model.network, x, classes))


# the report


@pytest.fixture(scope="module")
def picture() -> Picture:
    return open_picture(scene())


def test_the_report(picture: Picture) -> None:
    model = as_model(tiny_network(2), size=(64, 64))
    before = {k: v.clone() for k, v in model.network.state_dict().items()}
    x = torch.randn(3, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    bank = gate_bank(Passes.of(model), [x], "three random pictures")
    said: list[float] = []
    parts = (*QUICK_PARTS, "road")
    report = faithful(
        model,
        picture,
        parts=parts,
        options=SMALL,
        bank=bank,
        progress=lambda share, _: said.append(share),  # type: ignore[arg-type]
    )
    assert report.reliance is not None and report.reliance.others == "three random pictures"
    assert [c.control for c in report.curves] == ["deletion", "insertion", "road_morf", "road_lerf"]
    assert report.randomisation and report.stability and not report.skipped and report.best
    assert said == sorted(said) and said[-1] == 1.0
    text = json.dumps(report.to_json(), allow_nan=False)
    assert set(json.loads(text)["words"]) == {r.to_json()["control"] for r in report.results}
    lines = report.to_csv().splitlines()
    assert lines[0] == "control,source,variant,measure,value" and len(lines) == len(report.rows()) + 1
    again = faithful(model, picture, parts=["deletion", "stability"], options=SMALL)
    assert again.curves == report.curves[:1] and again.stability == report.stability
    after = model.network.state_dict()
    assert all(torch.equal(after[k], v) for k, v in before.items())
    assert not any(m._forward_hooks or m._forward_pre_hooks or m._backward_hooks for m in model.network.modules())
    assert model._lock.acquire(blocking=False)
    model._lock.release()


def test_the_bundled_samples_stand_for_other_pictures() -> None:
    bank = sample_bank(corner_model())
    assert bank.label == "the bundled samples" and bank.count == len(bank.keys) == len(set(bank.keys)) == 11
    assert bank.means["spatial_gate", 1].shape == (1, SIDE, SIDE)


def test_a_report_says_what_it_cannot_do(picture: Picture) -> None:
    bank = gate_bank(Passes.of(tiny_model()), [bright_tiny(1)], "one")
    report = faithful(tiny_model(), picture, step=1, parts=["reliance"], options=SMALL, bank=bank)
    assert report.reliance is None and "step 1" in report.skipped["reliance"]
    with pytest.raises(VizError, match="Unknown control 'magic'"):
        faithful(tiny_model(), picture, parts=["magic"])  # type: ignore[list-item]
    with pytest.raises(ModelError):
        faithful(tiny_model(), picture, class_index=5000)


def test_progress_can_stop_it(picture: Picture) -> None:
    class StopError(Exception):
        pass

    def stop(share: float, word: str) -> None:
        raise StopError

    model = tiny_model()
    with pytest.raises(StopError):
        faithful(model, picture, parts=["deletion"], options=SMALL, progress=stop)
    assert model._lock.acquire(blocking=False)
    model._lock.release()


def test_words_are_there_for_every_control() -> None:
    for control in ("reliance", "deletion", "insertion", "road_morf", "road_lerf", "randomisation", "stability"):
        words = words_for(control)
        assert words.shows and words.limits and "arXiv" in words.source


# many pictures


def test_measure_and_summarise() -> None:
    model, x = corner_model(), bright(3)
    bank = gate_bank(Passes.of(model), [x], "these")
    oracle_map = Source("oracle", lambda network, x, classes: oracle().expand(len(x), -1, -1), 1)
    controls: Any = ("reliance", "deletion", "stability")
    rows = measure(model, x, zero(3), SMALL, sources=[oracle_map], controls=controls, bank=bank)
    assert {r["item"] for r in rows} == {0, 1, 2}
    table = {(s.control, s.variant, s.measure): s for s in summarise(rows)}
    gain = table["deletion", "mean", "gain_over_random"]
    assert gain.n == 3 and gain.low <= gain.mean <= gain.high and gain.mean > 0
    alone = [
        r["value"]
        for i in range(3)
        for r in measure(model, x[i : i + 1], zero(), SMALL, sources=[oracle_map], controls=controls, bank=bank)
        if (r["control"], r["measure"]) == ("deletion", "gain_over_random")
    ]
    assert gain.mean == pytest.approx(sum(alone) / 3)
    flat = Source("flat", lambda network, x, classes: torch.ones(len(x), 2, 2), 1)
    empty = summarise(measure(model, x, zero(3), SMALL, sources=[flat], controls=["deletion"]))
    missing = next(s for s in empty if s.measure == "gain_over_random")
    assert (missing.n, missing.missing) == (0, 3) and missing.to_json()["mean"] is None


def test_summaries_draw_pictures_not_rows() -> None:
    base = {"control": "c", "source": "", "variant": "", "measure": "m"}
    rows = [{**base, "picture": p, "value": v} for p, v in (("a", 0.0), ("a", 0.0), ("b", 1.0), ("b", 1.0))]
    made = summarise(rows, group="picture")[0]
    assert made.mean == 0.5 and made.low == 0.0 and made.high == 1.0


# a data set


def data_folder(root: Path, count: int = 6) -> Path:
    from PIL import Image

    lines = ["image,label"]
    for i in range(count):
        Image.fromarray(scene(100, 120, seed=i)).save(root / f"{i}.png")
        lines.append(f"{i}.png,{i % 2}")
    (root / "broken.png").write_bytes(b"no picture")
    lines.append("broken.png,1")
    (root / "index.csv").write_text("\n".join(lines) + "\n")
    return root


def test_a_data_set_resumes_to_the_same_numbers(tmp_path: Path) -> None:
    from viz.datasets import open_dataset
    from viz.measures.faithfulness.task import FaithfulnessTask, Request, measure_set

    data = open_dataset(data_folder(tmp_path) / "index.csv")
    request = Request(("cam", "attention"), ("reliance", "deletion"), options=SMALL)
    model = corner_model()
    whole = measure_set(model, data, request, tmp_path / "a")
    assert whole is not None and whole.failed_count == 1 and whole.failed[0][0] == "broken.png"
    assert len(whole.picture_bytes) == 64
    calls: list[int] = []

    class StopError(Exception):
        pass

    def begin(left: int, done: int) -> Any:
        def progress(count: int) -> None:
            calls.append(count)
            if not done:
                raise StopError

        return progress

    with pytest.raises(StopError):
        measure_set(model, data, request, tmp_path / "b", begin=begin)
    again = measure_set(model, data, request, tmp_path / "b", begin=begin)
    assert again is not None and len(calls) == 2
    assert json.dumps(again.to_json()) == json.dumps(whole.to_json())
    assert {s.source for s in whole.table if s.control == "deletion"} == {"cam", "spatial_gate"}
    assert all(s.n == 6 for s in whole.table if s.control == "reliance")
    with pytest.raises(VizError, match="other options"):
        measure_set(model, data, Request(("cam",), ("deletion",), options=SMALL), tmp_path / "b")
    with pytest.raises(VizError):
        FaithfulnessTask(model, data, Request(("attention:nothing",)))
