"""PAKA: the adaptive convolution against a naive one, its forms, probes, edits and refusals."""

from __future__ import annotations

import copy
import io
import itertools
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from tests.parity.case import filled
from tests.parity.runner import FIXTURES, Verdict, run_case
from viz.capture.probe import capture, edited, probes_of
from viz.errors import ProbeError
from viz.families.paka import conv as paka_conv
from viz.families.paka.conv import adaptive_conv2d, attention, kernel_attention
from viz.families.paka.module import AdaptiveConv2d, GuidedPAKA2d, PAKA2d, PAKA3x3

Operands = tuple[Tensor, Tensor, Tensor, Tensor, Tensor]


def naive(operands: Operands, stride: int, dilation: int, gain: Tensor | None = None) -> NDArray[np.float64]:
    """The sum as it is written down, one output pixel and tap at a time."""
    x, weight, channel, tap, bias = (t.detach().double().numpy() for t in operands)
    n, c, height, width = x.shape
    outputs, per_output, taps = weight.shape[:3]
    k = int(taps**0.5)
    rows, columns = int(np.ceil(height / stride)), int(np.ceil(width / stride))
    y = np.zeros((n, outputs, rows, columns))
    for i, row, column, j in itertools.product(range(n), range(rows), range(columns), range(taps)):
        down = stride * row + dilation * (j // k - k // 2)
        right = stride * column + dilation * (j % k - k // 2)
        if not (0 <= down < height and 0 <= right < width):
            continue
        a = 1 + np.tanh(channel[i, :, row, column] + tap[i, j, row, column])
        seen = a * x[i, :, down, right]
        if gain is not None:
            seen = seen * float(gain[i, j, row, column])
        w = weight[:, :, j].reshape(outputs, per_output)
        y[i, :, row, column] += w[:, 0] * seen if per_output == 1 and c > 1 else w @ seen
    return y + bias[:, None, None]


@dataclass(frozen=True)
class Shape:
    x: tuple[int, int, int, int]
    outputs: int
    k: int = 3
    stride: int = 1
    dilation: int = 1
    depthwise: bool = False

    @property
    def grid(self) -> tuple[int, int]:
        return -(-self.x[2] // self.stride), -(-self.x[3] // self.stride)

    def draw(self, scale: float = 1.0) -> Operands:
        """Operands in float64, logits times `scale`."""
        torch.manual_seed(sum(self.x) + self.k + self.stride)
        n, c = self.x[:2]
        weight = torch.randn(self.outputs, 1 if self.depthwise else c, self.k**2, 1, 1)
        channel, tap = scale * torch.randn(n, c, *self.grid), scale * torch.randn(n, self.k**2, *self.grid)
        values = (torch.randn(self.x), weight, channel, tap, torch.randn(self.outputs))
        return values[0].double(), values[1].double(), values[2].double(), values[3].double(), values[4].double()


SHAPES = [
    Shape((2, 5, 7, 6), 4),
    Shape((1, 4, 9, 7), 3, stride=2),
    Shape((2, 3, 8, 9), 2, k=5, stride=2, dilation=2),
    Shape((1, 3, 5, 11), 6, stride=3, dilation=4),
    Shape((2, 1, 4, 5), 2),
    Shape((3, 4, 7, 5), 4, stride=2, dilation=2, depthwise=True),
    Shape((2, 6, 6, 6), 6, k=5, depthwise=True),
    Shape((2, 3, 4, 4), 3, k=1),
    Shape((1, 2, 1, 1), 2),
]
SMALL_SHAPES = [
    Shape((2, 2, 3, 4), 3),
    Shape((1, 2, 5, 4), 2, stride=2, dilation=2),
    Shape((1, 1, 3, 3), 2, k=5),
    Shape((2, 2, 4, 3), 2, stride=2, depthwise=True),
]


@pytest.mark.parametrize("scratch", [1 << 19, 64])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_equals_the_naive_sum(monkeypatch: pytest.MonkeyPatch, shape: Shape, scratch: int) -> None:
    # A small scratch buffer cuts the work into single rows.
    monkeypatch.setattr(paka_conv, "SCRATCH", scratch)
    operands = shape.draw()
    how: dict[str, Any] = {"stride": shape.stride, "dilation": shape.dilation}
    out = adaptive_conv2d(*operands, **how)
    assert out.shape[2:] == shape.grid
    np.testing.assert_allclose(out.numpy(), naive(operands, **how), rtol=0, atol=1e-12)
    gain = torch.rand_like(operands[3]) + 0.5
    np.testing.assert_allclose(
        adaptive_conv2d(*operands, **how, gain=gain).numpy(), naive(operands, **how, gain=gain), rtol=0, atol=1e-12
    )


@pytest.mark.parametrize("scale", [1.0, 60.0])  # the second saturates
@pytest.mark.parametrize("shape", SMALL_SHAPES, ids=str)
def test_gradcheck(monkeypatch: pytest.MonkeyPatch, shape: Shape, scale: float) -> None:
    monkeypatch.setattr(paka_conv, "SCRATCH", 100)
    operands = tuple(t.requires_grad_() for t in shape.draw(scale))

    def run(*values: Tensor) -> Tensor:
        return adaptive_conv2d(*values, stride=shape.stride, dilation=shape.dilation)

    assert torch.autograd.gradcheck(run, operands)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_gradients_equal_those_of_the_plain_path(shape: Shape) -> None:
    operands = [t.requires_grad_() for t in shape.draw()]
    how: dict[str, Any] = {"stride": shape.stride, "dilation": shape.dilation}
    fast = adaptive_conv2d(*operands, **how)
    plain_path = adaptive_conv2d(*operands, **how, gain=torch.ones_like(operands[3]))
    weights = torch.randn_like(fast)
    for ours, theirs in zip(
        torch.autograd.grad(fast, operands, weights), torch.autograd.grad(plain_path, operands, weights), strict=True
    ):
        torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("needed", range(4))
def test_a_single_gradient_equals_that_of_all(needed: int) -> None:
    operands = Shape((2, 4, 6, 5), 3).draw()
    everything = [t.clone().requires_grad_() for t in operands]
    expected = torch.autograd.grad(adaptive_conv2d(*everything).square().sum(), everything)
    alone = list(operands)
    alone[needed] = operands[needed].clone().requires_grad_()
    (grad,) = torch.autograd.grad(adaptive_conv2d(*alone).square().sum(), alone[needed])
    torch.testing.assert_close(grad, expected[needed])


def test_the_backward_pass_is_not_differentiable() -> None:
    operands = [t.requires_grad_() for t in Shape((1, 2, 4, 4), 2).draw()]
    (grad,) = torch.autograd.grad(adaptive_conv2d(*operands).square().sum(), operands[0], create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        torch.autograd.backward(grad.sum())


@pytest.mark.parametrize("logit", [0.0, 5.0, 30.0, 39.9, 41.0, 200.0, 1e30])
@pytest.mark.parametrize("sign", [1, -1])
def test_large_opposite_logits_stay_exact(logit: float, sign: int) -> None:
    x, weight, channel, tap, bias = (t.float() for t in Shape((1, 3, 5, 5), 2).draw())
    channel, tap = torch.full_like(channel, sign * logit), torch.full_like(tap, -sign * logit)
    tap[:, 4] = sign * logit
    operands = (x, weight, channel, tap, bias)
    np.testing.assert_allclose(adaptive_conv2d(*operands).numpy(), naive(operands, 1, 1), atol=2e-5)


def test_a_bad_logit_is_not_hidden() -> None:
    x, weight, channel, tap, bias = Shape((1, 3, 5, 5), 2).draw()
    tap[0, 4, 2, 2] = torch.nan
    out = adaptive_conv2d(x, weight, channel, tap, bias)
    assert out[0, :, 2, 2].isnan().all() and int(out.isnan().sum()) == 2


def test_layouts_and_precisions() -> None:
    operands = tuple(t.float() for t in Shape((2, 8, 9, 7), 4).draw())
    expected = adaptive_conv2d(*operands)
    last = tuple(t.contiguous(memory_format=torch.channels_last) if t.ndim == 4 else t for t in operands)
    torch.testing.assert_close(adaptive_conv2d(*last), expected)
    # An expanded gradient has no memory of its own.
    x = operands[0].clone().requires_grad_()
    (grad,) = torch.autograd.grad(adaptive_conv2d(x, *operands[1:]).sum(), x)
    (same,) = torch.autograd.grad(adaptive_conv2d(x, *operands[1:]), x, torch.ones_like(expected))
    torch.testing.assert_close(grad, same)
    half = adaptive_conv2d(*(t.bfloat16() for t in operands))
    assert half.dtype == torch.bfloat16
    torch.testing.assert_close(half.float(), expected, atol=0.1, rtol=0.02)


@pytest.mark.parametrize("form", ["reduction", "derived", "spectral"])
def test_modules_run_in_bfloat16_and_under_autocast(form: Any) -> None:
    torch.manual_seed(0)
    module = PAKA2d(8, 6, form=form, dilation=2).eval()
    x = torch.randn(2, 8, 9, 7)
    expected = module(x)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        mixed = module(x)
    assert mixed.dtype == torch.float32
    torch.testing.assert_close(mixed, expected, atol=0.05, rtol=0.05)
    low = copy.deepcopy(module).bfloat16()(x.bfloat16())
    assert low.dtype == torch.bfloat16
    torch.testing.assert_close(low.float(), expected, atol=0.05, rtol=0.05)


def test_attention_and_its_mean(monkeypatch: pytest.MonkeyPatch) -> None:
    _, _, channel, tap, _ = Shape((2, 5, 6, 4), 3).draw()
    full = attention(channel, tap)
    assert full.shape == (2, 5, 9, 6, 4)
    torch.testing.assert_close(full[:, 2, 7], 1 + torch.tanh(channel[:, 2] + tap[:, 7]))
    for scratch in (1 << 19, 30):
        monkeypatch.setattr(paka_conv, "SCRATCH", scratch)
        torch.testing.assert_close(kernel_attention(channel, tap), full.mean(dim=1))
    torch.testing.assert_close(kernel_attention(80 * channel, 80 * tap), attention(80 * channel, 80 * tap).mean(dim=1))
    ready = channel.requires_grad_(), tap.requires_grad_()
    torch.testing.assert_close(kernel_attention(*ready), full.mean(dim=1))
    assert torch.autograd.gradcheck(kernel_attention, (channel[:, :2, :2, :2], tap[..., :2, :2]))
    assert kernel_attention(channel.bfloat16(), tap.bfloat16()).dtype == torch.float32


def plain(module: AdaptiveConv2d, x: Tensor) -> Tensor:
    """Ordinary convolution with the module's weights."""
    k, d = module.kernel_size, module.dilation
    weight = module.kernel().reshape(module.out_channels, -1, k, k)
    return F.conv2d(x, weight, module.bias, module.stride, d * (k // 2), d, module.groups)


@pytest.mark.parametrize(
    "arguments",
    [
        {"form": "spectral"},
        {"form": "spectral", "stride": 2, "dilation": 2, "bias": True},
        {"form": "spectral", "kernel_size": 5, "spectral_weight": True},
        {"form": "reduction", "zero_init": True, "dilation": 3},
        {"form": "derived", "zero_init": True, "groups": 8, "bias": True},
    ],
)
def test_a_kernel_attention_of_exactly_1_is_plain_convolution(arguments: dict[str, Any]) -> None:
    torch.manual_seed(1)
    module = PAKA2d(8, 8, **arguments).eval()
    x = torch.randn(2, 8, 11, 9)
    with torch.inference_mode(), capture(module) as sink:
        out = module(x)
        expected = plain(module, x)
    seen = {tap.label: v for tap, _, v in sink.batches}
    assert torch.equal(seen["kernel_attention"], torch.ones_like(seen["kernel_attention"]))
    torch.testing.assert_close(out, expected, atol=1e-5, rtol=1e-5)


def test_the_reduction_form_is_not_plain_at_the_start() -> None:
    torch.manual_seed(1)
    module = PAKA2d(32, 8).eval()
    x = torch.randn(1, 32, 8, 8)
    assert (module(x) - plain(module, x)).abs().max() > 0.05


@pytest.mark.parametrize("form", ["reduction", "derived", "spectral"])
@pytest.mark.parametrize(("size", "stride", "dilation"), [((8, 8), 2, 1), ((9, 7), 2, 1), ((11, 10), 3, 2)])
def test_strides_and_odd_sizes(form: Any, size: tuple[int, int], stride: int, dilation: int) -> None:
    torch.manual_seed(2)
    module = PAKA2d(8, 5, form=form, stride=stride, dilation=dilation, bias=True).eval()
    for parameter in module.parameters():  # also those that start at zero
        nn.init.normal_(parameter, std=0.3)
    x = torch.randn(2, 8, *size)
    with torch.inference_mode():
        out = module(x)
        channel, tap = module.logits(x)
        assert module.bias is not None
        expected = naive((x, module.kernel(), channel, tap, module.bias), stride, dilation)
    assert out.shape == (2, 5, -(-size[0] // stride), -(-size[1] // stride))
    np.testing.assert_allclose(out.numpy(), expected, atol=1e-4)


def test_tap_logits_see_the_dilation_only_where_they_should() -> None:
    x = torch.zeros(1, 8, 11, 11)
    x[0, :, 5, 5] = 1
    for form, reach in (("reduction", 1), ("derived", 3)):
        torch.manual_seed(0)
        module = PAKA2d(8, 8, form=form, dilation=3)  # type: ignore[arg-type]
        _, tap = module.logits(x)
        changed = (tap - tap[..., :1, :1]).abs().amax(dim=(0, 1)) > 1e-6
        assert set(changed.nonzero()[:, 0].tolist()) <= {5 - reach, 5, 5 + reach}
        assert changed[5 - reach, 5 - reach]


KEYS = {
    "reduction": {
        "weight": (6, 8, 9, 1, 1),
        "conv_c.0.weight": (2, 8, 1, 1),
        "conv_c.0.bias": (2,),
        "conv_c.2.weight": (8, 2, 1, 1),
        "conv_c.2.bias": (8,),
        "conv_d.0.weight": (2, 8, 3, 3),
        "conv_d.0.bias": (2,),
        "conv_d.2.weight": (9, 2, 1, 1),
        "conv_d.2.bias": (9,),
    },
    "spectral": {
        "weight": (6, 8, 9, 1, 1),
        "conv_c.0.conv.weight_orig": (8, 8, 1, 1),
        "conv_c.0.conv.weight_u": (8,),
        "conv_c.0.conv.weight_v": (8,),
        "conv_c.2.conv.weight": (8, 8, 1, 1),
        "conv_d.0.conv.weight_orig": (8, 8, 3, 3),
        "conv_d.0.conv.weight_u": (8,),
        "conv_d.0.conv.weight_v": (72,),
        "conv_d.2.conv.weight": (9, 8, 1, 1),
    },
}


@pytest.mark.parametrize("form", ["reduction", "spectral"])
def test_keys_and_shapes(form: Any) -> None:
    assert {k: tuple(v.shape) for k, v in PAKA2d(8, 6, form=form).state_dict().items()} == KEYS[form]
    assert set(PAKA2d(8, 6, form=form, bias=True).state_dict()) == {*KEYS[form], "bias"}


def test_keys_of_the_other_modules() -> None:
    wrapped = {k: tuple(v.shape) for k, v in PAKA3x3(8, 6).state_dict().items()}
    inner = {k: v for k, v in KEYS["spectral"].items() if k != "weight"}
    inner |= {"weight_orig": (6, 8, 9, 1, 1), "weight_u": (6,), "weight_v": (72,)}
    assert wrapped == {f"conv.{k}": v for k, v in inner.items()}
    assert set(GuidedPAKA2d(8, 6).state_dict()) == {"weight"}
    normalised = set(PAKA2d(8, 6, form="derived", batch_norm=True).state_dict())
    statistics = {f"{n}.3.{s}" for n in ("conv_c", "conv_d") for s in ("weight", "bias", "running_mean", "running_var")}
    assert normalised == {
        *KEYS["reduction"],
        *statistics,
        "conv_c.3.num_batches_tracked",
        "conv_d.3.num_batches_tracked",
    }


def test_parameters_at_256_channels() -> None:
    with torch.device("meta"):
        assert sum(p.numel() for p in PAKA2d(256, 256).parameters()) == 589_824 + 33_088 + 148_105


def test_spectral_weight_follows_torch() -> None:
    torch.manual_seed(0)
    ours = PAKA3x3(6, 4, dilation=2)
    theirs = nn.Conv2d(6, 6, 3, padding=2, dilation=2, padding_mode="reflect", bias=False)
    theirs = torch.nn.utils.spectral_norm(theirs)
    first = ours.get_submodule("conv.conv_d.0.conv")
    weight, u = first.get_parameter("weight_orig"), first.get_buffer("weight_u")
    theirs.load_state_dict(first.state_dict())
    x = torch.randn(2, 6, 9, 8)
    for train in (False, True, True, False):
        ours.train(train)
        theirs.train(train)
        a, b = first(x), theirs(x)
        torch.testing.assert_close(a, b)
        torch.testing.assert_close(u, theirs.get_buffer("weight_u"))
    (grad,) = torch.autograd.grad(a.square().sum(), weight)
    (other,) = torch.autograd.grad(b.square().sum(), theirs.get_parameter("weight_orig"))
    torch.testing.assert_close(grad, other)
    for _ in range(50):
        ours.train()(x)
    largest = torch.linalg.matrix_norm(ours.eval().conv.kernel().flatten(1), ord=2)
    assert largest.item() == pytest.approx(1, abs=1e-3)
    again = copy.deepcopy(ours)
    torch.testing.assert_close(again(x), ours(x))
    file = io.BytesIO()
    torch.save(ours.state_dict(), file)
    file.seek(0)
    fresh = PAKA3x3(6, 4, dilation=2).eval()
    fresh.load_state_dict(torch.load(file, weights_only=True), strict=True)
    assert torch.equal(fresh(x), ours(x))


def test_guided() -> None:
    torch.manual_seed(0)
    norm = nn.BatchNorm2d(4).eval()
    nn.init.constant_(norm.bias, -0.5)
    module = GuidedPAKA2d(6, 4, bias=True, norm=norm, activation=F.relu)
    x, channel, tap = torch.randn(2, 6, 7, 5), torch.randn(2, 6, 7, 5), torch.randn(2, 9, 7, 5)
    assert module.bias is not None
    expected = torch.from_numpy(naive((x, module.weight, channel, tap, module.bias), 1, 1)).float()
    torch.testing.assert_close(module(x, channel, tap), F.relu(norm(expected)), atol=1e-5, rtol=1e-5)
    with pytest.raises(ValueError, match="tap_logits must be"):
        module(x, channel, tap[:, :4])


def _random(form: Any = "reduction", **arguments: Any) -> PAKA2d:
    torch.manual_seed(3)
    module = PAKA2d(8, 6, form=form, **arguments).eval()
    for branch in (module.conv_c, module.conv_d):
        for parameter in branch.parameters():
            nn.init.normal_(parameter, std=0.5)
    return module


def test_probes() -> None:
    module = nn.Sequential(_random(stride=2), PAKA3x3(6, 8))
    x = torch.randn(2, 8, 9, 7)
    with torch.inference_mode(), capture(module) as sink:
        module(x)
    assert set(probes_of(module)) == {
        f"{path}.{label}" for path in ("0", "1.conv") for label in ("channel_logits", "tap_logits", "kernel_attention")
    }
    records = {r.name: r for r in sink.records(1)}
    assert {n: (r.kind, r.values.shape, r.bounds, r.neutral) for n, r in records.items() if n.startswith("0.")} == {
        "0.channel_logits": ("joint", (8, 5, 4), (-np.inf, np.inf), None),
        "0.tap_logits": ("kernel", (9, 5, 4), (-np.inf, np.inf), None),
        "0.kernel_attention": ("kernel", (9, 5, 4), (0.0, 2.0), None),
    }
    a = 1 + np.tanh(records["0.channel_logits"].values[:, None] + records["0.tap_logits"].values[None])
    np.testing.assert_allclose(records["0.kernel_attention"].values, a.mean(axis=0), atol=1e-6)
    assert all(r.step == 1 and r.family == "paka" for r in records.values())
    with torch.inference_mode(), capture(module) as sink:
        module[0](x, 3)
    assert {r.step for r in sink.records()} == {3}


def test_the_mean_is_made_only_when_somebody_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    module, x, made = _random(), torch.randn(1, 8, 6, 6), []

    def counted(channel: Tensor, tap: Tensor) -> Tensor:
        made.append(1)
        return kernel_attention(channel, tap)

    monkeypatch.setattr("viz.families.paka.module.kernel_attention", counted)
    with torch.inference_mode():
        free = module(x)
        with capture(module, ["tap_logits"]):
            module(x)
        with edited(module, {"tap_logits": lambda v, _: v}):
            module(x)
        assert not made
        with capture(module) as sink:
            watched = module(x)
    assert len(made) == 1 and len(sink.batches) == 3
    assert torch.equal(free, watched)


def test_edits_of_the_logits_act() -> None:
    module, x = _random(), torch.randn(2, 8, 7, 6)
    with torch.inference_mode():
        with edited(module, {"channel_logits": lambda v, _: 0 * v, "tap_logits": lambda v, _: 0 * v}):
            torch.testing.assert_close(module(x), plain(module, x), atol=1e-5, rtol=1e-5)
        with edited(module, {"tap_logits": lambda v, _: v - 1e4}):
            assert torch.equal(module(x), torch.zeros(2, 6, 7, 6))


def test_edits_of_the_kernel_attention_act() -> None:
    module, x = _random(bias=True), torch.randn(2, 8, 7, 6)
    with torch.inference_mode():
        free = module(x)
        assert module.bias is not None
        with edited(module, {"kernel_attention": lambda v, _: v}):
            assert torch.equal(module(x), free)
        with edited(module, {"kernel_attention": lambda v, _: 1 * v}):
            torch.testing.assert_close(module(x), free, atol=1e-5, rtol=1e-5)
        with edited(module, {"kernel_attention": lambda v, _: 0 * v}):
            torch.testing.assert_close(module(x), module.bias[:, None, None].expand_as(free))

        def one_tap(value: Tensor, step: int) -> Tensor:
            value = value.clone()
            value[:, 2] = 0
            return value

        channel, tap = module.logits(x)
        gain = torch.ones_like(tap)
        gain[:, 2] = 0
        expected = naive((x, module.weight, channel, tap, module.bias), 1, 1, gain)
        with edited(module, {"kernel_attention": one_tap}):
            np.testing.assert_allclose(module(x).numpy(), expected, atol=1e-5)
            # A capture inside an edit sees what is used.
            with capture(module) as sink:
                module(x)
    assert sink.batches[-1][2][:, 2].abs().max() == 0
    with pytest.raises(ProbeError), edited(module, {"kernel_gate": lambda v, _: v}):
        pass


def test_without_channel_differences_an_edit_of_1_is_plain_convolution() -> None:
    module, x = _random(), torch.randn(1, 8, 7, 6)
    nn.init.zeros_(module.conv_c[2].weight)  # type: ignore[arg-type]
    nn.init.zeros_(module.conv_c[2].bias)  # type: ignore[arg-type]
    with torch.inference_mode(), edited(module, {"kernel_attention": lambda v, _: torch.ones_like(v)}):
        torch.testing.assert_close(module(x), plain(module, x), atol=1e-5, rtol=1e-5)


def test_gradients_pass_an_edit() -> None:
    module, x = _random(), torch.randn(1, 8, 5, 5)
    with edited(module, {"kernel_attention": lambda v, _: 0.5 * v}):
        module(x).square().sum().backward()
    half = module.weight.grad
    module.zero_grad()
    module(x).square().sum().backward()
    assert half is not None and module.weight.grad is not None
    torch.testing.assert_close(half, module.weight.grad / 4, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"kernel_size": 4}, "odd"),
        ({"stride": 0}, "stride"),
        ({"dilation": 0}, "dilation"),
        ({"groups": 2}, "groups"),
        ({"form": "fast"}, "form must be one of"),
        ({"reduction": 16}, "too few"),
        ({"batch_norm": True}, "derived"),
    ],
)
def test_what_cannot_be_built_is_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        PAKA2d(8, 8, **arguments)


def test_reflection_needs_a_map_larger_than_the_dilation() -> None:
    module = PAKA2d(4, 4, form="spectral", dilation=4).eval()
    assert module(torch.randn(1, 4, 5, 5)).shape == (1, 4, 5, 5)
    with pytest.raises(ValueError, match="dilation 4 needs at least 5x5"):
        module(torch.randn(1, 4, 4, 9))


@pytest.mark.parametrize(
    ("x", "weight", "channel", "tap"),
    [
        ((1, 4, 6), (2, 4, 9), (1, 4, 6, 6), (1, 9, 6, 6)),
        ((1, 4, 6, 6), (2, 3, 9), (1, 4, 6, 6), (1, 9, 6, 6)),
        ((1, 4, 6, 6), (2, 1, 9), (1, 4, 6, 6), (1, 9, 6, 6)),
        ((1, 4, 6, 6), (2, 4, 8), (1, 4, 6, 6), (1, 8, 6, 6)),
        ((1, 4, 6, 6), (2, 4, 4), (1, 4, 6, 6), (1, 4, 6, 6)),
        ((1, 4, 6, 6), (2, 4, 9), (1, 4, 3, 3), (1, 9, 6, 6)),
        ((1, 4, 6, 6), (2, 4, 9), (1, 1, 6, 6), (1, 9, 6, 6)),
        ((1, 4, 6, 6), (2, 4, 9), (1, 4, 6, 6), (1, 25, 6, 6)),
        ((0, 4, 6, 6), (2, 4, 9), (0, 4, 6, 6), (0, 9, 6, 6)),
    ],
)
def test_shapes_that_do_not_fit_are_refused(
    x: tuple[int, ...], weight: tuple[int, ...], channel: tuple[int, ...], tap: tuple[int, ...]
) -> None:
    with pytest.raises(ValueError, match=r"must|fit|empty"):
        adaptive_conv2d(torch.zeros(x), torch.zeros(weight), torch.zeros(channel), torch.zeros(tap))


def test_modules_can_be_printed() -> None:
    text = repr(PAKA2d(8, 6, form="spectral", stride=2, dilation=2))
    assert "8, 6, kernel_size=3, stride=2, dilation=2, bias=False" in text


def _changed_case(folder: Path, name: str, change: Callable[[dict[str, Any]], None]) -> Verdict:
    source = FIXTURES / "paka" / f"{name}.json"
    manifest = json.loads(source.read_text())
    change(manifest)
    (folder / source.name).write_text(json.dumps(manifest))
    shutil.copy(source.with_suffix(".npz"), folder)
    return run_case(folder / source.name)


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("paka_det_k3_d2_bias", lambda m: m["build"]["kwargs"].update(padding=1)),
        ("paka_det_k3_d2_bias", lambda m: m["build"]["kwargs"].update(surprise=1)),
        ("paka_det_k3_d2_bias", lambda m: m["build"].update({"class": "PAKA9d"})),
        ("paka_guided_k3", lambda m: m["build"]["kwargs"].update(norm="GN")),
        ("paka_inp_PAKA3x3_d2", lambda m: m.update(call={"mode": "fast"})),
        ("paka_inp_k3_s1_d4", lambda m: m["inputs"].update(y={"seed": 1, "shape": [1]})),
    ],
)
def test_a_case_that_says_something_unknown_is_not_understood(
    tmp_path: Path, name: str, change: Callable[[dict[str, Any]], None]
) -> None:
    assert _changed_case(tmp_path, name, change).status == "not understood"


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("paka_det_k3_d2_bias", lambda m: m["build"]["kwargs"].update(dilation=1, padding=1)),
        ("paka_derived_k3_s1_d2", lambda m: m["build"]["kwargs"].pop("batchnorm_after_each_branch")),
        ("paka_det_k3_d2_bias", lambda m: m["build"]["kwargs"].update(r=2)),
        ("paka_inp_PAKA3x3_d2", lambda m: m.pop("after_fill")),
        ("paka_guided_k3", lambda m: m["inputs"]["guide_sp"].update(seed=84)),
    ],
)
def test_another_case_fails(tmp_path: Path, name: str, change: Callable[[dict[str, Any]], None]) -> None:
    assert _changed_case(tmp_path, name, change).status == "failed"


def test_a_derived_case_with_batch_normalisation_is_understood(tmp_path: Path) -> None:
    kwargs = {"in_channels": 8, "out_channels": 6, "kernel_size": 5, "stride": 2, "padding": 4, "dilation": 2}
    module = PAKA2d(8, 6, 5, form="derived", stride=2, dilation=2, reduction=2, batch_norm=True).eval()
    shapes = {k: list(v.shape) for k, v in module.state_dict().items()}
    module.load_state_dict({k: filled(k, tuple(s)) for k, s in shapes.items()})
    x = torch.from_numpy(np.random.RandomState(5).standard_normal((2, 8, 9, 6)).astype(np.float32))
    with torch.inference_mode():
        channel, tap = module.logits(x)
        out = naive((x, module.weight, channel, tap, torch.zeros(6)), 2, 2)
    a = attention(channel, tap).numpy()
    arrays = {"out": out.astype(np.float32), "attention.first4": a[:, :4], "attention_mean_over_taps": a.mean(axis=2)}
    manifest = {
        "name": "made",
        "family": "paka",
        "kind": "module",
        "build": {"kwargs": {**kwargs, "r": 2, "bias": False, "batchnorm_after_each_branch": True}},
        "inputs": {"x": {"seed": 5, "shape": [2, 8, 9, 6]}},
        "tolerance": 1e-5,
        "state_dict": shapes,
        "arrays": {k: list(v.shape) for k, v in arrays.items()},
    }
    (tmp_path / "made.json").write_text(json.dumps(manifest))
    np.savez(tmp_path / "made.npz", **arrays)
    verdict = run_case(tmp_path / "made.json")
    assert verdict.status == "ok", verdict.line()
