"""Conditional kernels: the same numbers as unfold, forward and backward."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from viz.families.local import kernel_prediction, local


def _unfolded(kernels: Tensor, x: Tensor, dilation: int) -> Tensor:
    n, c, h, w = x.shape
    side = int(kernels.shape[1] ** 0.5)
    taps = F.unfold(x, side, dilation=dilation, padding=dilation * (side // 2)).view(n, c, side * side, h, w)
    return (taps * kernels[:, None]).sum(dim=2)


@pytest.mark.parametrize("dilation", [1, 2, 4, 8])
@pytest.mark.parametrize("shape", [(2, 5, 7, 6), (1, 3, 4, 9), (1, 2, 1, 3), (3, 1, 20, 17)])
@pytest.mark.parametrize("taps", [1, 9, 25])
def test_same_as_unfold_forward_and_backward(shape: tuple[int, ...], taps: int, dilation: int) -> None:
    torch.manual_seed(dilation)
    x = torch.randn(shape, dtype=torch.float64, requires_grad=True)
    kernels = torch.randn(shape[0], taps, *shape[2:], dtype=torch.float64, requires_grad=True)
    ours, theirs = local(kernels, x, dilation), _unfolded(kernels, x, dilation)
    torch.testing.assert_close(ours, theirs)
    up = torch.randn_like(ours)
    for a, b in zip(
        torch.autograd.grad(ours, (kernels, x), up), torch.autograd.grad(theirs, (kernels, x), up), strict=True
    ):
        torch.testing.assert_close(a, b)


def test_gradcheck_and_channels_last() -> None:
    torch.manual_seed(0)
    x = torch.randn(2, 3, 4, 5, dtype=torch.float64, requires_grad=True)
    kernels = torch.randn(2, 9, 4, 5, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda k, v: local(k, v, 2), (kernels, x))
    assert torch.autograd.gradcheck(lambda k: local(k, x.detach(), 1), (kernels,))
    last = x.detach().contiguous(memory_format=torch.channels_last)
    out = local(kernels, last, 2)
    assert out.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(out, local(kernels, x, 2))


def test_centre_tap_alone_is_the_identity_and_taps_are_row_major() -> None:
    x = torch.arange(12.0).view(1, 1, 3, 4)
    delta = torch.zeros(1, 9, 3, 4)
    delta[:, 4] = 1
    assert torch.equal(local(delta, x, 3), x)
    right = torch.zeros(1, 9, 3, 4)
    right[:, 5] = 1
    assert torch.equal(local(right, x)[0, 0, :, :3], x[0, 0, :, 1:]) and local(right, x)[0, 0, :, 3].eq(0).all()
    up = torch.zeros(1, 9, 3, 4)
    up[:, 1] = 1
    assert torch.equal(local(up, x)[0, 0, 1:], x[0, 0, :2]) and local(up, x)[0, 0, 0].eq(0).all()


def test_prediction_keeps_the_size() -> None:
    convolution = kernel_prediction(6, kernels=2, dilation=4)
    assert convolution(torch.randn(1, 6, 5, 7)).shape == (1, 18, 5, 7)
    assert convolution.bias is not None


@pytest.mark.parametrize(
    ("kernels", "x", "dilation", "word"),
    [
        ((1, 8, 3, 3), (1, 2, 3, 3), 1, "taps"),
        ((1, 4, 3, 3), (1, 2, 3, 3), 1, "taps"),
        ((2, 9, 3, 3), (1, 2, 3, 3), 1, "do not fit"),
        ((1, 9, 3, 4), (1, 2, 3, 3), 1, "do not fit"),
        ((1, 9, 3, 3), (2, 3, 3), 1, "do not fit"),
        ((1, 9, 3, 3), (1, 2, 3, 3), 0, "dilation"),
    ],
)
def test_what_does_not_fit_is_refused(kernels: tuple[int, ...], x: tuple[int, ...], dilation: int, word: str) -> None:
    with pytest.raises(ValueError, match=word):
        local(torch.zeros(kernels), torch.zeros(x), dilation)
