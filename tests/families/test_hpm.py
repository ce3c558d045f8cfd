"""The hierarchical PAKA module, and what is drawn from kernel attentions."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from viz.capture.probe import capture, edited
from viz.families.paka.hpm import HPM, receptive_gain, tap_strength
from viz.families.paka.module import PAKA2d


@pytest.mark.parametrize(
    "arguments", [{}, {"depthwise": False}, {"dilations": (2,)}, {"dilations": (1, 2, 3, 5), "kernel_size": 5}]
)
def test_is_exactly_the_identity_at_the_start(arguments: dict[str, Any]) -> None:
    torch.manual_seed(0)
    module = HPM(16, **arguments)
    x = torch.randn(2, 16, 7, 6)
    results = module(x)
    assert len(results) == len(arguments.get("dilations", (1, 2, 3)))
    assert all(torch.equal(r, x) for r in results)


def _trained(depthwise: bool = True) -> HPM:
    """Away from the start in every parameter."""
    torch.manual_seed(1)
    module = HPM(16, depthwise=depthwise)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return module


@pytest.mark.parametrize("depthwise", [True, False])
def test_results_are_the_convex_mixes_of_the_cascade(depthwise: bool) -> None:
    module = _trained(depthwise)
    x = torch.randn(2, 16, 7, 7)
    states = [x]
    for level in module.levels:
        states.append(level(states[-1]))
    results = module(x)
    for i in (1, 2, 3):
        shares = module.shares(i)
        assert shares.min() > 0 and float(shares.sum().detach()) == pytest.approx(1)
        expected = sum((s * z for s, z in zip(shares, states[1 : i + 1], strict=True)), torch.zeros_like(x))
        torch.testing.assert_close(results[i - 1], expected, atol=1e-5, rtol=1e-5)


def test_levels_tell_their_shape() -> None:
    module = HPM(16, dilations=(1, 3), kernel_size=5)
    levels = [level for level in module.levels if isinstance(level, PAKA2d)]
    assert [(level.dilation, level.kernel_size) for level in levels] == [(1, 5), (3, 5)]
    assert {k.split(".")[0] for k in module.state_dict()} == {"levels", "mix"}
    assert module.state_dict()["levels.1.weight"].shape == (16, 1, 25, 1, 1)


def test_probes_fire_once_a_level() -> None:
    module = _trained()
    with torch.inference_mode(), capture(module) as sink:
        module(torch.randn(2, 16, 7, 6))
    seen = [(r.name, r.step, r.values.shape) for r in sink.records()]
    assert seen == [
        (f"levels.{i}.{label}", i + 1, (count, 7, 6))
        for i in range(3)
        for label, count in (("channel_logits", 16), ("tap_logits", 9), ("kernel_attention", 9))
    ]


def test_an_edit_of_one_level_acts_from_there_on() -> None:
    module, x = _trained(), torch.randn(1, 16, 7, 7)
    with torch.inference_mode():
        free = module(x)
        with edited(module, {"levels.1.kernel_attention": lambda v, _: 0 * v}):
            changed = module(x)
        first = module.shares(2)[0] * free[0]
    assert torch.equal(free[0], changed[0])
    torch.testing.assert_close(changed[1], first)


def test_every_parameter_learns() -> None:
    torch.manual_seed(0)
    module = HPM(16)
    target, x = torch.randn(4, 16, 7, 7), torch.randn(4, 16, 7, 7)
    optimizer = torch.optim.Adam(module.parameters(), 0.01)
    losses = []
    for _ in range(30):
        loss = (module(x)[-1] - target).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.8 * losses[0]
    assert all(p.grad is not None and p.grad.abs().max() > 0 for p in module.parameters())


def test_gradcheck() -> None:
    module = _trained().double()
    x = torch.randn(1, 16, 4, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda v: module(v)[-1], (x,))


def test_it_can_gate_a_place_away() -> None:
    """The centre tap as a spatial gate: tap logits far below zero at a pixel silence it, and only it."""
    module, x = HPM(16, dilations=(1,)), torch.randn(1, 16, 5, 5)

    def shut(value: Tensor, step: int) -> Tensor:
        value = value.clone()
        value[:, :, 2, 3] = -20
        return value

    with torch.inference_mode(), edited(module, {"tap_logits": shut}):
        out = module(x)[-1]
    expected = x.clone()
    expected[:, :, 2, 3] = 0
    torch.testing.assert_close(out, expected)


def test_it_is_cheap() -> None:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        module, x = HPM(320), torch.randn(64, 320, 7, 7)
        spent = []
        for _ in range(3):
            start = time.process_time()
            module(x)[-1].square().mean().backward()
            spent.append(time.process_time() - start)
    finally:
        torch.set_num_threads(threads)
    assert min(spent) < 1


@pytest.mark.parametrize("arguments", [{"dilations": ()}, {"kernel_size": 2}, {"reduction": 64}, {"dilations": (0,)}])
def test_what_cannot_be_built_is_refused(arguments: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        HPM(16, **arguments)


def test_receptive_gain_counts_the_ways() -> None:
    ones = np.ones((9, 9, 9), np.float32)
    single = receptive_gain([ones], [2], (4, 4))
    expected = np.zeros((9, 9))
    expected[2:7:2, 2:7:2] = 1
    np.testing.assert_array_equal(single, expected)
    assert receptive_gain([ones, ones], [1, 1], (4, 4)).sum() == 81
    assert receptive_gain([ones], [3], (0, 0)).sum() == 4
    assert receptive_gain([ones], [9], (0, 0)).sum() == 1


def test_receptive_gain_is_the_derivative_of_the_stack() -> None:
    """With one channel the gains times the weights are exactly what autograd gives for fixed attentions."""
    rng = np.random.default_rng(0)
    kernels = [rng.uniform(0, 2, (9, 6, 8)).astype(np.float32) for _ in range(3)]
    weights = [rng.uniform(0, 1, 9).astype(np.float32) for _ in range(3)]
    dilations, pixel = (1, 2, 3), (2, 5)
    x = torch.ones(1, 1, 6, 8, requires_grad=True)
    z = x
    for kernel, weight, d in zip(kernels, weights, dilations, strict=True):
        patches = nn.functional.unfold(z, 3, dilation=d, padding=d).view(9, 6, 8)
        z = (patches * torch.from_numpy(kernel) * torch.from_numpy(weight)[:, None, None]).sum(0)[None, None]
    (grad,) = torch.autograd.grad(z[0, 0, 2, 5], x)
    gain = receptive_gain(kernels, dilations, pixel, weights)
    np.testing.assert_allclose(gain, grad[0, 0].numpy(), rtol=1e-5, atol=1e-6)


def test_tap_strength() -> None:
    level = HPM(16).levels[0]
    assert isinstance(level, PAKA2d)
    np.testing.assert_array_equal(tap_strength(level), np.eye(9, dtype=np.float32)[4])


@pytest.mark.parametrize(
    ("levels", "dilations", "pixel", "message"),
    [
        ([], [], (0, 0), "0 levels"),
        ([(9, 4, 4)], [1, 2], (0, 0), "1 levels"),
        ([(9, 4, 4), (9, 5, 4)], [1, 2], (0, 0), "different sizes"),
        ([(9, 4, 4)], [1], (4, 0), "outside"),
        ([(9, 4, 4)], [1], (-1, 0), "outside"),
    ],
)
def test_receptive_gain_refuses(levels: Any, dilations: Any, pixel: tuple[int, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        receptive_gain([np.ones(shape, np.float32) for shape in levels], dilations, pixel)
