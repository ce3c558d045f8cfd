"""EMA: keys, probes and their ranges, edits, and the constant that looks like attention."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tests.parity.case import draw_input, fill, read_case
from tests.parity.runner import FIXTURES, run_case
from viz.capture.probe import Edit, Probe, capture, edited, probes_of
from viz.families.ema.module import EMA


def _module(channels: int = 12, groups: int = 4, seed: int = 0) -> EMA:
    """A module whose norm is not at its trivial start."""
    torch.manual_seed(seed)
    module = EMA(channels, groups)
    nn.init.normal_(module.gn.bias)
    nn.init.uniform_(module.gn.weight, 0.5, 1.5)
    return module.eval().requires_grad_(False)


def _x(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def _seen(module: nn.Module, x: Tensor) -> dict[str, Tensor]:
    with capture(module) as sink:
        module(x)
    return {tap.label: value for tap, _, value in sink.batches}


def _adding(noise: Tensor) -> Edit:
    return lambda value, _: value + noise


def test_keys_are_the_published_ones() -> None:
    found = {k: tuple(v.shape) for k, v in EMA(128).state_dict().items()}
    assert list(found.items()) == [
        ("gn.weight", (4,)),
        ("gn.bias", (4,)),
        ("conv1x1.weight", (4, 4, 1, 1)),
        ("conv1x1.bias", (4,)),
        ("conv3x3.weight", (4, 4, 3, 3)),
        ("conv3x3.bias", (4,)),
    ]


@pytest.mark.parametrize(("channels", "groups"), [(64, 32), (96, 8), (32, 32), (6, 1)])
def test_number_of_parameters(channels: int, groups: int) -> None:
    c = channels // groups
    assert sum(p.numel() for p in EMA(channels, groups).parameters()) == 10 * c * c + 4 * c


@pytest.mark.parametrize("size", [(5, 7), (1, 1), (1, 6), (4, 4)])
@pytest.mark.parametrize(("channels", "groups"), [(12, 4), (4, 4), (6, 2)])
def test_probes_have_their_kinds_and_shapes(channels: int, groups: int, size: tuple[int, int]) -> None:
    module = _module(channels, groups)
    shapes = {
        "row_gate": ("joint", (channels, size[0], 1)),
        "column_gate": ("joint", (channels, 1, size[1])),
        "channel_softmax_1x1": ("channel", (channels // groups,)),
        "channel_softmax_3x3": ("channel", (channels,)),
        "cross_map_1": ("joint", (groups, *size)),
        "cross_map_2": ("joint", (groups, *size)),
        "group_logits": ("joint", (groups, *size)),
        "group_gate": ("joint", (groups, *size)),
    }
    with capture(module, list(shapes)) as sink:
        out = module(_x(2, channels, *size), step=2)
    assert out.shape == (2, channels, *size)
    records = sink.records(1)
    assert {r.label: (r.kind, r.values.shape) for r in records} == shapes
    assert {r.step for r in records} == {2} and {r.family for r in records} == {"ema"}
    for r in records:
        assert r.bounds[0] <= r.values.min() and r.values.max() <= r.bounds[1], r.label
    assert set(probes_of(module)) == set(shapes)


def test_channel_softmaxes_sum_to_one() -> None:
    seen = _seen(_module(), _x(2, 12, 5, 7))
    torch.testing.assert_close(seen["channel_softmax_1x1"].sum(1), torch.ones(2))
    torch.testing.assert_close(seen["channel_softmax_3x3"].reshape(2, 4, 3).sum(2), torch.ones(2, 4))


def test_the_1x1_softmax_is_a_constant() -> None:
    module = _module()
    constant = module.gn.bias.softmax(0)
    for seed, scale in ((1, 1.0), (2, 30.0), (3, 0.01)):
        seen = _seen(module, scale * _x(2, 12, 5, 7, seed=seed))
        assert torch.equal(seen["channel_softmax_1x1"], constant.expand(2, 3))
    assert "constant" in probes_of(module)["channel_softmax_1x1"].tap.unit
    # The other one does depend on the picture.
    first, second = (_seen(module, _x(1, 12, 5, 7, seed=s))["channel_softmax_3x3"] for s in (1, 2))
    assert not torch.allclose(first, second, atol=1e-3)


def test_the_constant_is_the_mean_of_the_normalised_branch() -> None:
    """What the original computes: softmax of the mean of the group norm's result, for every group."""
    module, x = _module(), _x(2, 12, 5, 7)
    seen = _seen(module, x)
    x1 = module.gn((x * seen["row_gate"] * seen["column_gate"]).reshape(8, 3, 5, 7))
    computed = x1.mean((2, 3)).softmax(1)
    torch.testing.assert_close(computed, seen["channel_softmax_1x1"][:1].expand(8, 3), rtol=0, atol=1e-6)


def test_maps_follow_from_the_probed_values() -> None:
    """Each group alone, step by step, as the paper draws it."""
    module, x = _module(), _x(2, 12, 5, 7)
    seen, out = _seen(module, x), module(x)
    for n in range(2):
        for g in range(4):
            own = slice(3 * g, 3 * g + 3)
            part = x[n : n + 1, own]
            rows = torch.sigmoid(F.conv2d(part.mean(3, keepdim=True), module.conv1x1.weight, module.conv1x1.bias))
            columns = torch.sigmoid(F.conv2d(part.mean(2, keepdim=True), module.conv1x1.weight, module.conv1x1.bias))
            torch.testing.assert_close(seen["row_gate"][n, own], rows[0])
            torch.testing.assert_close(seen["column_gate"][n, own], columns[0])
            x1 = module.gn(part * rows * columns)[0]
            x2 = module.conv3x3(part)[0]
            share = x2.mean((1, 2)).softmax(0)
            torch.testing.assert_close(seen["channel_softmax_3x3"][n, own], share)
            map_1 = (module.gn.bias.softmax(0)[:, None, None] * x2).sum(0)
            map_2 = (share[:, None, None] * x1).sum(0)
            torch.testing.assert_close(seen["cross_map_1"][n, g], map_1)
            torch.testing.assert_close(seen["cross_map_2"][n, g], map_2)
            torch.testing.assert_close(seen["group_logits"][n, g], map_1 + map_2)
            torch.testing.assert_close(seen["group_gate"][n, g], torch.sigmoid(map_1 + map_2))
            torch.testing.assert_close(out[n, own], part[0] * seen["group_gate"][n, g])


def test_a_gate_at_one_half_is_not_neutral() -> None:
    module, x = _module(), _x(2, 12, 5, 7)
    assert all(probe.tap.neutral is None for probe in probes_of(module).values())
    with edited(module, {"group_gate": lambda v, _: torch.full_like(v, 0.5)}):
        torch.testing.assert_close(module(x), 0.5 * x)


def test_a_group_can_be_closed_alone() -> None:
    module, x = _module(), _x(1, 12, 5, 7)
    before = module(x)

    def close(value: Tensor, _: int) -> Tensor:
        keep = torch.ones(value.shape[1])
        keep[2] = 0
        return value * keep[:, None, None]

    with edited(module, {"group_gate": close}):
        after = module(x)
    assert torch.count_nonzero(after[:, 6:9]) == 0
    assert torch.equal(after[:, :6], before[:, :6]) and torch.equal(after[:, 9:], before[:, 9:])


def test_every_probe_is_in_the_data_path() -> None:
    module, x = _module(), _x(1, 12, 5, 7)
    before = module(x)
    for name, value in _seen(module, x).items():
        noise = _x(*value.shape, seed=5)
        with edited(module, {name: _adding(noise)}):
            assert not torch.allclose(module(x), before, atol=1e-4), name
    assert torch.equal(module(x), before)


def test_pictures_and_groups_do_not_touch_each_other() -> None:
    module, x = _module(), _x(3, 12, 5, 7)
    torch.testing.assert_close(module(x)[1:2], module(x[1:2]))
    changed = x.clone()
    changed[:, 3:6] += _x(3, 3, 5, 7, seed=9)
    difference = (module(changed) - module(x)).abs().amax((0, 2, 3))
    assert (difference[3:6] > 0).all() and difference[:3].max() < 1e-6 and difference[6:].max() < 1e-6


def test_pictures_of_any_memory_order() -> None:
    module, x = _module(), _x(2, 12, 5, 7)
    torch.testing.assert_close(module(x.contiguous(memory_format=torch.channels_last)), module(x))


def test_gradients_reach_every_parameter() -> None:
    torch.manual_seed(0)
    module, x = EMA(12, 4), _x(2, 12, 5, 7).requires_grad_()
    module(x).pow(2).sum().backward()
    assert x.grad is not None and x.grad.abs().sum() > 0
    for name, parameter in module.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().sum() > 0, name


def test_bfloat16() -> None:
    module, x = _module(), _x(2, 12, 5, 7)
    full = module(x)
    out = module.bfloat16()(x.bfloat16())
    assert out.dtype == torch.bfloat16
    torch.testing.assert_close(out.float(), full, rtol=0.05, atol=0.05)
    assert {v.dtype for v in _seen(module, x.bfloat16()).values()} == {torch.float32}


@pytest.mark.parametrize(("channels", "groups"), [(100, 32), (48, 32), (16, 32), (16, 0), (0, 4), (16, -4)])
def test_groups_that_do_not_divide_the_channels_are_refused(channels: int, groups: int) -> None:
    with pytest.raises(ValueError, match="cannot be divided"):
        EMA(channels, groups)


def test_inputs_that_cannot_work_are_refused() -> None:
    with pytest.raises(ValueError, match="12"):
        _module()(_x(1, 8, 5, 7))
    with pytest.raises(ValueError, match="single position"):
        _module(6, 1)(_x(1, 6, 1, 1))
    # Two pictures, two positions or two groups are enough for the norm.
    for module, shape in ((_module(6, 1), (2, 6, 1, 1)), (_module(6, 1), (1, 6, 1, 2)), (_module(6, 2), (1, 6, 1, 1))):
        assert module(_x(*shape)).shape == shape


def test_probes_add_no_state() -> None:
    module = EMA(12, 4)
    probes = [m for m in module.modules() if isinstance(m, Probe)]
    assert len(probes) == 8 and not any(p.state_dict() for p in probes)
    module.load_state_dict(EMA(12, 4).state_dict(), strict=True)


SMALL = FIXTURES / "ema" / "ema_c256_f32.json"


def _variant(folder: Path, change: dict[str, Any], names: dict[str, tuple[str, Any]]) -> Path:
    """The stored case with a changed manifest and arrays made from its own: new name -> (old name, function)."""
    arrays = read_case(SMALL).expected
    made: dict[str, Any] = {new: np.asarray(function(arrays[old])) for new, (old, function) in names.items()} or dict(
        arrays
    )
    manifest = {**json.loads(SMALL.read_text()), **change, "arrays": {k: list(v.shape) for k, v in made.items()}}
    path = folder / "case.json"
    path.write_text(json.dumps(manifest))
    np.savez(path.with_suffix(".npz"), **made)
    return path


@pytest.mark.parametrize(
    "build",
    [
        {"class": "EMA", "args": [256]},
        {"class": "EMA", "args": [256, None, 32]},
        {"class": "EMA", "args": [256, 256], "kwargs": {"factor": 32}},
        {"class": "EMA", "kwargs": {"channels": 256, "c2": 256}},
        {"class": "EmaModule", "args": [256, 32]},
        {"class": "EmaModule", "args": [], "kwargs": {"channels": 256, "factor": 32}},
    ],
)
def test_parity_reads_other_ways_to_build(tmp_path: Path, build: dict[str, Any]) -> None:
    verdict = run_case(_variant(tmp_path, {"build": build}, {}))
    assert verdict.status == "ok", verdict.line()


def test_parity_reads_prefixes_and_reductions(tmp_path: Path) -> None:
    names: dict[str, tuple[str, Any]] = {
        "blocks.2.1.ema.weight": ("weight", lambda a: a),
        "ema/weight_logit_stat": ("weight_logit", lambda a: np.array([a.mean(), a.std(), a.min(), a.max()])),
        "out_head64": ("out", lambda a: a.reshape(1, -1)[:, :64]),
        "gate_h_strided64": ("gate_h", lambda a: a.reshape(1, -1)[:, :: a.size // 64][:, :64]),
        "out.sub": ("out", lambda a: a[:, ::8]),
        "weight.mean": ("weight", lambda a: a.mean(keepdims=True).reshape(1)),
    }
    verdict = run_case(_variant(tmp_path, {}, names))
    assert verdict.status == "ok", verdict.line()


@pytest.mark.parametrize(
    "change",
    [
        {"build": {"class": "CBAM", "args": [256]}},
        {"build": {"class": "EMA", "args": [256], "kwargs": {"reduction": 32}}},
        {"build": {"class": "EMA", "args": ["256"]}},
        {"kind": "network"},
        {"inputs": {}},
    ],
)
def test_parity_says_what_it_does_not_understand(tmp_path: Path, change: dict[str, Any]) -> None:
    verdict = run_case(_variant(tmp_path, change, {}))
    assert verdict.status == "not understood" and verdict.reason


def test_the_fixtures_notice_a_wrong_row_gate() -> None:
    """The group norm hides much of what happens before it, but not this."""
    case = read_case(SMALL)
    module = EMA(256, 32)
    module.load_state_dict(fill(case), strict=True)
    with edited(module, {"row_gate": lambda v, _: 1 - v}), torch.inference_mode():
        out = module(draw_input(case.inputs["x"])).numpy()
    expected = case.expected["out"]
    assert np.abs(out - expected).max() > 10 * case.tolerance * np.abs(expected).max()
