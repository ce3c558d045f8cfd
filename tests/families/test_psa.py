"""PSA: keys, probes and their ranges, edits, and the laws that its gates obey."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tests.parity.case import draw_input, fill, read_case
from tests.parity.runner import FIXTURES, run_case
from viz.capture.probe import Edit, Probe, capture, edited, probes_of
from viz.families.psa.module import ParallelPSA, SequentialPSA

Form = type[ParallelPSA] | type[SequentialPSA]
FORMS: list[Form] = [ParallelPSA, SequentialPSA]
BOTH = pytest.mark.parametrize("form", FORMS)


def _module(form: Form, channels: int = 16, seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return form(channels).eval().requires_grad_(False)


def _x(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def _seen(module: nn.Module, x: Tensor) -> dict[str, Tensor]:
    with capture(module) as sink:
        module(x)
    return {tap.label: value for tap, _, value in sink.batches}


def _adding(noise: Tensor) -> Edit:
    return lambda value, _: value + noise


def test_keys_are_the_published_ones() -> None:
    heads = {"conv_q_right.weight": (1, 16, 1, 1), "conv_v_right.weight": (8, 16, 1, 1)}
    tails = {"conv_q_left.weight": (8, 16, 1, 1), "conv_v_left.weight": (8, 16, 1, 1)}
    up = {
        "conv_up.0.weight": (2, 8, 1, 1),
        "conv_up.0.bias": (2,),
        "conv_up.1.weight": (2, 1, 1),
        "conv_up.1.bias": (2, 1, 1),
        "conv_up.3.weight": (16, 2, 1, 1),
        "conv_up.3.bias": (16,),
    }
    for form, middle in ((ParallelPSA, {"conv_up.weight": (16, 8, 1, 1)}), (SequentialPSA, up)):
        found = {k: tuple(v.shape) for k, v in form(16, 16).state_dict().items()}
        assert list(found.items()) == list({**heads, **middle, **tails}.items())


@BOTH
@pytest.mark.parametrize("size", [(5, 7), (1, 1), (1, 6)])
def test_probes_have_their_kinds_and_shapes(form: Form, size: tuple[int, int]) -> None:
    module = _module(form, 17)  # an odd number of channels: the inner width is rounded down
    shapes: dict[str, tuple[str, tuple[int, ...]]] = {
        "channel_pool": ("spatial", size),
        "channel_logits": ("channel", (17,)),
        "channel_gate": ("channel", (17,)),
        "spatial_query": ("channel", (8,)),
        "spatial_score": ("spatial", size),
        "spatial_gate": ("spatial", size),
    }
    if form is ParallelPSA:
        shapes["spatial_softmax"] = ("spatial", size)
    else:
        shapes["value_softmax"] = ("joint", (8, *size))
    with capture(module, list(shapes)) as sink:
        out = module(_x(2, 17, *size), step=3)
    assert out.shape == (2, 17, *size)
    records = sink.records(1)
    assert {r.label: (r.kind, r.values.shape) for r in records} == shapes
    assert {r.step for r in records} == {3} and {r.family for r in records} == {"psa"}
    for r in records:
        assert r.bounds[0] <= r.values.min() and r.values.max() <= r.bounds[1], r.label
    assert set(probes_of(module)) == set(shapes)


@BOTH
def test_softmaxes_sum_to_one(form: Form) -> None:
    seen = _seen(_module(form), _x(2, 16, 5, 7))
    torch.testing.assert_close(seen["channel_pool"].sum((1, 2)), torch.ones(2))
    name = "spatial_softmax" if form is ParallelPSA else "value_softmax"
    sums = seen[name].sum((-2, -1))
    torch.testing.assert_close(sums, torch.ones_like(sums))


def test_parallel_gate_is_the_sigmoid_of_the_softmax() -> None:
    module = _module(ParallelPSA)
    seen = _seen(module, _x(2, 16, 5, 7))
    expected = torch.sigmoid(seen["spatial_score"].flatten(1).softmax(1)).reshape(2, 5, 7)
    torch.testing.assert_close(seen["spatial_gate"], expected)
    assert (seen["spatial_gate"] > 0.5).all()
    # One position: the softmax is 1, the gate at its upper end.
    one = _seen(module, _x(1, 16, 1, 1))["spatial_gate"]
    assert one.item() == pytest.approx(0.731059, abs=1e-6) and one.item() <= 0.7311


def test_sequential_scores_sum_to_the_query() -> None:
    seen = _seen(_module(SequentialPSA), _x(3, 16, 9, 4))
    torch.testing.assert_close(seen["spatial_score"].sum((1, 2)), seen["spatial_query"].sum(1), rtol=0, atol=1e-5)


def test_parallel_adds_and_sequential_multiplies() -> None:
    x = _x(2, 16, 5, 7)
    module = _module(ParallelPSA)
    seen = _seen(module, x)
    gain = seen["channel_gate"][:, :, None, None] + seen["spatial_gate"][:, None]
    torch.testing.assert_close(module(x), x * gain)
    module = _module(SequentialPSA)
    seen = _seen(module, x)
    gain = seen["channel_gate"][:, :, None, None] * seen["spatial_gate"][:, None]
    torch.testing.assert_close(module(x), x * gain)


def test_sequential_spatial_branch_reads_the_gated_input() -> None:
    module, x = _module(SequentialPSA), _x(1, 16, 5, 7)
    with edited(module, {"channel_gate": lambda v, _: torch.zeros_like(v)}), capture(module) as sink:
        module(x)
    query = {tap.label: v for tap, _, v in sink.batches}["spatial_query"]
    assert torch.count_nonzero(query) == 0
    # The parallel form's spatial branch reads x itself.
    module = _module(ParallelPSA)
    with edited(module, {"channel_gate": lambda v, _: torch.zeros_like(v)}), capture(module) as sink:
        module(x)
    assert {tap.label: v for tap, _, v in sink.batches}["spatial_query"].abs().sum() > 0


@BOTH
def test_a_gate_at_one_half_is_not_neutral(form: Form) -> None:
    module, x = _module(form), _x(2, 16, 5, 7)
    gate = _seen(module, x)["channel_gate"][:, :, None, None]
    assert all(probe.tap.neutral is None for probe in probes_of(module).values())
    with edited(module, {"spatial_gate": lambda v, _: torch.full_like(v, 0.5)}):
        out = module(x)
    torch.testing.assert_close(out, x * (gate + 0.5) if form is ParallelPSA else x * gate * 0.5)


@BOTH
def test_every_probe_is_in_the_data_path(form: Form) -> None:
    # A layer norm over the two values of 16 channels would leave little but their order.
    module, x = _module(form, 32), _x(1, 32, 5, 7)
    before = module(x)
    for name in probes_of(module):
        noise = _x(*_seen(module, x)[name].shape, seed=5)
        with edited(module, {name: _adding(noise)}):
            assert not torch.allclose(module(x), before, atol=1e-4), name
    assert torch.equal(module(x), before)


def test_a_layer_norm_over_one_value_makes_the_channel_gate_a_constant() -> None:
    for channels, constant in ((15, True), (16, False)):
        module = _module(SequentialPSA, channels)
        first, second = (_seen(module, _x(1, channels, 5, 7, seed=s))["channel_gate"] for s in (1, 4))
        assert torch.equal(first, second) == constant


@BOTH
def test_pictures_of_a_batch_do_not_touch_each_other(form: Form) -> None:
    module, x = _module(form), _x(3, 16, 5, 7)
    torch.testing.assert_close(module(x)[1:2], module(x[1:2]), rtol=1e-5, atol=1e-6)


@BOTH
def test_pictures_of_any_memory_order(form: Form) -> None:
    module, x = _module(form), _x(2, 16, 5, 7)
    torch.testing.assert_close(module(x.contiguous(memory_format=torch.channels_last)), module(x))


@BOTH
def test_gradients_reach_every_parameter(form: Form) -> None:
    torch.manual_seed(0)
    module, x = form(32), _x(2, 32, 5, 7).requires_grad_()
    module(x).pow(2).sum().backward()
    assert x.grad is not None and x.grad.abs().sum() > 0
    for name, parameter in module.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().sum() > 0, name


@BOTH
def test_bfloat16(form: Form) -> None:
    module, x = _module(form), _x(2, 16, 5, 7)
    full = module(x)
    out = module.bfloat16()(x.bfloat16())
    assert out.dtype == torch.bfloat16
    torch.testing.assert_close(out.float(), full, rtol=0.05, atol=0.05)
    assert {v.dtype for v in _seen(module, x.bfloat16()).values()} == {torch.float32}


@BOTH
def test_impossible_arguments_are_refused(form: Form) -> None:
    least = 2 if form is ParallelPSA else 8
    form(least)
    with pytest.raises(ValueError, match="at least"):
        form(least - 1)
    with pytest.raises(ValueError, match="planes must equal"):
        form(16, 32)


@BOTH
def test_probes_add_no_state(form: Form) -> None:
    module = form(16)
    probes = [m for m in module.modules() if isinstance(m, Probe)]
    assert len(probes) == 7 and not any(p.state_dict() for p in probes)
    module.load_state_dict(form(16).state_dict(), strict=True)


def _variant(folder: Path, source: str, change: dict[str, Any], names: dict[str, tuple[str, Any]]) -> Path:
    """A stored case with a changed manifest and arrays made from its own: new name -> (old name, function)."""
    origin = FIXTURES / "psa" / f"{source}.json"
    arrays = read_case(origin).expected
    made: dict[str, Any] = {new: np.asarray(function(arrays[old])) for new, (old, function) in names.items()} or dict(
        arrays
    )
    manifest = {**json.loads(origin.read_text()), **change, "arrays": {k: list(v.shape) for k, v in made.items()}}
    path = folder / "case.json"
    path.write_text(json.dumps(manifest))
    np.savez(path.with_suffix(".npz"), **made)
    return path


@pytest.mark.parametrize(
    "build",
    [
        {"class": "PSA_s", "args": [48], "kwargs": {"planes": 48}},
        {"class": "PSA_s", "kwargs": {"inplanes": 48, "planes": 48, "kernel_size": 3, "stride": 1}},
        {"class": "network.PSA.PSA_s", "args": [48, 48, 1, 1]},
    ],
)
def test_parity_reads_other_ways_to_build(tmp_path: Path, build: dict[str, Any]) -> None:
    verdict = run_case(_variant(tmp_path, "psa_s_c48", {"build": build}, {}))
    assert verdict.status == "ok", verdict.line()


def test_parity_reads_prefixes_and_reductions(tmp_path: Path) -> None:
    names: dict[str, tuple[str, Any]] = {
        "deattn.mask_ch": ("mask_ch", lambda a: a),
        "a/b.out_strided64": ("out", lambda a: a.reshape(2, -1)[:, :: max(1, a[0].size // 64)][:, :64]),
        "out_head64": ("out", lambda a: a.reshape(2, -1)[:, :64]),
        "out_stat": ("out", lambda a: np.array([a.mean(), a.std(), a.min(), a.max()], dtype=np.float64)),
        "mask_sp.sub": ("mask_sp", lambda a: a[..., ::4, ::4]),
        "out.sub": ("out", lambda a: a[:, ::16, ::2, ::2]),
        "mask_sp.mean": ("mask_sp", lambda a: a.mean()),
        "out.std": ("out", lambda a: a.std(axis=(0, 2, 3), ddof=1)),
        "out.shape": ("out", lambda a: np.array(a.shape)),
    }
    verdict = run_case(_variant(tmp_path, "psa_s_c48", {}, names))
    assert verdict.status == "ok", verdict.line()
    wrong = {"mask_sp.sub": ("mask_sp", lambda a: a[..., ::4, ::4] + 0.01)}
    assert run_case(_variant(tmp_path, "psa_s_c48", {}, wrong)).status == "failed"


@pytest.mark.parametrize(
    "change",
    [
        {"build": {"class": "PSA_x", "args": [48, 48]}},
        {"build": {"class": "PSA_s", "args": [48, 48, 1, 2]}},
        {"build": {"class": "PSA_s", "args": [48, 48], "kwargs": {"planes": 48}}},
        {"build": {"class": "PSA_s", "args": [48, 48], "kwargs": {"ratio": 4}}},
        {"kind": "block"},
        {"kind": "network"},
        {"call": {"arguments": ["x", "mask"]}},
    ],
)
def test_parity_says_what_it_does_not_understand(tmp_path: Path, change: dict[str, Any]) -> None:
    verdict = run_case(_variant(tmp_path, "psa_s_c48", change, {}))
    assert verdict.status == "not understood" and verdict.reason


def test_parity_sees_a_wrong_form(tmp_path: Path) -> None:
    """The two forms have different keys: neither passes for the other."""
    shutil.copy(FIXTURES / "psa" / "psa_p_c16.npz", tmp_path / "case.npz")
    manifest = json.loads((FIXTURES / "psa" / "psa_p_c16.json").read_text())
    manifest["build"]["class"] = "PSA_s"
    (tmp_path / "case.json").write_text(json.dumps(manifest))
    assert run_case(tmp_path / "case.json").status == "failed"


def test_the_paper_formula_is_another_module() -> None:
    """The fixtures tell the code's form from the paper's, which softmaxes the query over its channels."""
    case = read_case(FIXTURES / "psa" / "psa_p_c16.json")
    module = ParallelPSA(16)
    module.load_state_dict(fill(case), strict=True)
    with edited(module, {"spatial_query": lambda v, _: v.softmax(1)}), torch.inference_mode():
        out = module(draw_input(case.inputs["x"])).numpy()
    expected = case.expected["out"]
    assert np.abs(out - expected).max() > 10 * case.tolerance * np.abs(expected).max()
