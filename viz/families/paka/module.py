"""PAKA: pixel adaptive kernel attention, a convolution whose kernel is rescaled at every pixel.

Paper: Sagong, Yeo, Jung, Ko, "Content-aware Directed Propagation Network with Pixel Adaptive Kernel Attention", arXiv
2107.13144. Two published forms, with their key names: ``reduction`` is that of SUMIN97/GuidedPAKA@beff4b1,
``panopticfcn/paka.py`` (and ``guidedpaka.py`` beside it: logits from outside); ``spectral`` that of
Forty-lock/Inpainting_AIHub@c2fd8f5, ``ops.py``, by the paper's first author. ``derived`` is not published as such: it
is the reduction form with its commented-out lines on stride, dilation and batch normalisation.

Deviations: the output has ceil(H / stride) rows also where the originals fail (the reduction form with a stride, the
spectral form with a stride and an odd size); padding follows from kernel and dilation, the only value that works there;
the sum is computed without holding patches and attention in full (`conv.py`).
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable
from functools import partial
from typing import Literal, TypedDict, Unpack, get_args

import torch
from torch import Tensor, nn

from viz.capture.probe import Probe, listening
from viz.core.record import CHANNEL_MAPS, KERNEL
from viz.families.paka.conv import adaptive_conv2d, kernel_attention
from viz.families.paka.spectral import SpectralConv2d, register_spectral, spectral_weight

Form = Literal["reduction", "derived", "spectral"]

# The smallest normal float32: never divide by a mean attention of 0.
_SMALLEST = 2.0**-126


class ConvOptions(TypedDict, total=False):
    """Keyword arguments of `AdaptiveConv2d`."""

    stride: int
    dilation: int
    bias: bool
    groups: int
    spectral_weight: bool


class AdaptiveConv2d(nn.Module):
    """The operation alone, with its weights and probes; the logits are given or come from a subclass.

    y[o, p] = bias[o] + sum over c, j of weight[o, c, j] * A[c, j, p] * x[c, s p + d offset_j], A = 1 + tanh(D + C).
    A = 1 everywhere is plain convolution.

    Args:
        in_channels: C.
        out_channels: O.
        kernel_size: k, odd.
        stride: s; the output has ceil(H / s) rows.
        dilation: d.
        bias: whether to add a bias.
        groups: 1, or C for a depthwise kernel (then O = C).
        spectral_weight: spectral normalisation of the weight itself (keys ``weight_orig``, ``weight_u``, ``weight_v``).

    Raises:
        ValueError: an invalid size.

    Probes: ``channel_logits`` (C, h, w) and ``tap_logits`` (k*k, h, w), the two summands before tanh;
    ``kernel_attention`` (k*k, h, w), the mean of A over the channels, computed only when it is captured or edited. An
    edit of ``kernel_attention`` scales A by the ratio of the returned mean to the true one, per tap and pixel, equally
    in all channels: the mean becomes the returned value, 0 switches a tap off, and the ratios between channels stay.
    Single channels may leave the range 0..2.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int = 3,
        *,
        stride: int = 1,
        dilation: int = 1,
        bias: bool = False,
        groups: int = 1,
        spectral_weight: bool = False,
    ) -> None:
        super().__init__()
        if kernel_size < 1 or kernel_size % 2 == 0:
            raise ValueError(f"kernel_size must be odd, not {kernel_size}")
        if stride < 1 or dilation < 1:
            raise ValueError(f"stride and dilation must be 1 or more, not {stride} and {dilation}")
        if groups != 1 and not groups == in_channels == out_channels:
            raise ValueError(f"groups must be 1, or equal to both channel counts, not {groups}")
        self.in_channels, self.out_channels = in_channels, out_channels
        self.kernel_size, self.stride, self.dilation, self.groups = kernel_size, stride, dilation, groups
        weight = torch.empty(out_channels, in_channels // groups, kernel_size**2, 1, 1)
        nn.init.kaiming_uniform_(weight, a=math.sqrt(5))
        self.spectral_weight = spectral_weight
        if spectral_weight:
            register_spectral(self, weight)
        else:
            self.weight = nn.Parameter(weight)
        self.bias = nn.Parameter(torch.empty(out_channels)) if bias else None
        if self.bias is not None:
            bound = 1 / math.sqrt(weight[0].numel())
            nn.init.uniform_(self.bias, -bound, bound)
        probe = partial(Probe, "paka", dilation=dilation, stride=stride)
        self.probe_channel_logits = probe(CHANNEL_MAPS, "channel_logits", unit="logit")
        self.probe_tap_logits = probe(KERNEL, "tap_logits", unit="logit")
        unit = "mean factor on the weights"
        self.probe_kernel_attention = probe(KERNEL, "kernel_attention", bounds=(0.0, 2.0), unit=unit, middle=1.0)

    def kernel(self) -> Tensor:
        """The weight (O, C / groups, k*k, 1, 1) in use, normalised if it is spectral."""
        return spectral_weight(self) if self.spectral_weight else self.weight

    def convolve(self, x: Tensor, channel_logits: Tensor, tap_logits: Tensor, step: int = 1) -> Tensor:
        """The operation on x (N, C, H, W) with logits (N, C, h, w) and (N, k*k, h, w)."""
        channel_logits = self.probe_channel_logits(channel_logits, step)
        tap_logits = self.probe_tap_logits(tap_logits, step)
        gain = None
        if listening(self.probe_kernel_attention):
            mean = kernel_attention(channel_logits, tap_logits)
            returned = self.probe_kernel_attention(mean, step)
            if returned is not mean:
                gain = returned / mean.clamp_min(_SMALLEST)
        strides = {"stride": self.stride, "dilation": self.dilation}
        return adaptive_conv2d(x, self.kernel(), channel_logits, tap_logits, self.bias, **strides, gain=gain)

    def extra_repr(self) -> str:
        names = [name for name in ("stride", "dilation", "groups") if getattr(self, name) != 1]
        options = "".join(f", {name}={getattr(self, name)}" for name in names)
        bias = "" if self.bias is not None else ", bias=False"
        return f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}{options}{bias}"


class PAKA2d(AdaptiveConv2d):
    """Pixel adaptive kernel attention with logits inferred from its own input.

    - ``reduction``: C = 1x1, ReLU, 1x1; D = 3x3 (dilation 1), ReLU, 1x1 to k*k; width C / reduction, with biases.
    - ``derived``: the same, with `dilation` in the 3x3 and an optional batch normalisation at the end of each branch.
    - ``spectral``: the same shapes at full width, no biases, spectral normalisation on the first convolutions, zeros in
      the last, and a 3x3 with `dilation` that pads by reflection. A is 1 everywhere at the start.

    The first convolution of each branch has the stride; the 3x3 is 3x3 whatever the `kernel_size`.

    Args:
        in_channels, out_channels, kernel_size, options: see `AdaptiveConv2d`.
        form: see above.
        reduction: r, for the forms that reduce.
        batch_norm: for the derived form.
        zero_init: zeros in the last convolution of both branches, so that A = 1 at the start (always in the spectral
            form).

    Raises:
        ValueError: an unknown form, fewer channels than the reduction; in `forward`, a map that is too small for
            padding by reflection (spectral form: H and W must exceed the dilation).
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int = 3,
        *,
        form: Form = "reduction",
        reduction: int = 4,
        batch_norm: bool = False,
        zero_init: bool = False,
        **options: Unpack[ConvOptions],
    ) -> None:
        super().__init__(in_channels, out_channels, kernel_size, **options)
        if form not in get_args(Form):
            raise ValueError(f"form must be one of {get_args(Form)}, not {form!r}")
        if batch_norm and form != "derived":
            raise ValueError("batch_norm needs the derived form")
        self.form: Form = form
        taps = kernel_size**2
        if form == "spectral":
            self.conv_c = _spectral_branch(in_channels, in_channels, 1, self.stride, 1)
            self.conv_d = _spectral_branch(in_channels, taps, 3, self.stride, self.dilation)
        else:
            width = in_channels // reduction
            if width < 1:
                raise ValueError(f"{in_channels} channels are too few for a reduction by {reduction}")
            reach = self.dilation if form == "derived" else 1
            pointwise = nn.Conv2d(in_channels, width, 1, stride=self.stride)
            around = nn.Conv2d(in_channels, width, 3, stride=self.stride, padding=reach, dilation=reach)
            self.conv_c = _reducing_branch(pointwise, in_channels, batch_norm)
            self.conv_d = _reducing_branch(around, taps, batch_norm)
            if zero_init:
                for branch in (self.conv_c, self.conv_d):
                    nn.init.zeros_(branch[2].weight)  # type: ignore[arg-type]
                    nn.init.zeros_(branch[2].bias)  # type: ignore[arg-type]

    def logits(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Channel logits (N, C, h, w) and tap logits (N, k*k, h, w) of x (N, C, H, W)."""
        if self.form == "spectral" and min(x.shape[2:]) <= self.dilation:
            raise ValueError(
                f"a map of {x.shape[2]}x{x.shape[3]} is too small for padding by reflection: "
                f"dilation {self.dilation} needs at least {self.dilation + 1}x{self.dilation + 1}"
            )
        return self.conv_c(x), self.conv_d(x)

    def forward(self, x: Tensor, step: int = 1) -> Tensor:
        """x (N, C, H, W) to (N, O, ceil(H / stride), ceil(W / stride)); `step` is that of the records."""
        return self.convolve(x, *self.logits(x), step)


class PAKA3x3(nn.Module):
    """The spectral form with k = 3 as the inpainting network wraps it: keys start with ``conv.``, no bias, and the
    weight itself is spectrally normalised.

    Args:
        in_channels, out_channels, stride, dilation: see `PAKA2d`.
    """

    def __init__(self, in_channels: int, out_channels: int, *, stride: int = 1, dilation: int = 1) -> None:
        super().__init__()
        self.conv = PAKA2d(
            in_channels, out_channels, form="spectral", stride=stride, dilation=dilation, spectral_weight=True
        )

    def forward(self, x: Tensor, step: int = 1) -> Tensor:
        """x (N, C, H, W) to (N, O, ceil(H / stride), ceil(W / stride))."""
        return self.conv(x, step)


class GuidedPAKA2d(AdaptiveConv2d):
    """The same operation with both logits from another source, e.g. from a second image or another head.

    Args:
        in_channels, out_channels, kernel_size, options: see `AdaptiveConv2d`.
        norm: applied to the result, if any. activation: applied last, if any.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int = 3,
        *,
        norm: nn.Module | None = None,
        activation: Callable[[Tensor], Tensor] | None = None,
        **options: Unpack[ConvOptions],
    ) -> None:
        super().__init__(in_channels, out_channels, kernel_size, **options)
        self.norm = norm
        self.activation = activation

    def forward(self, x: Tensor, channel_guide: Tensor, tap_guide: Tensor, step: int = 1) -> Tensor:
        """x (N, C, H, W), logits (N, C, h, w) and (N, k*k, h, w) to (N, O, h, w), h = ceil(H / stride)."""
        out = self.convolve(x, channel_guide, tap_guide, step)
        if self.norm is not None:
            out = self.norm(out)
        return out if self.activation is None else self.activation(out)


def _spectral_branch(channels: int, outputs: int, kernel_size: int, stride: int, dilation: int) -> nn.Sequential:
    last = nn.Conv2d(channels, outputs, 1, bias=False)
    nn.init.zeros_(last.weight)
    first = SpectralConv2d(channels, channels, kernel_size, stride=stride, dilation=dilation)
    # The original keys have a further ``conv`` in them.
    inner, outer = (nn.Sequential(OrderedDict(conv=layer)) for layer in (first, last))
    return nn.Sequential(inner, nn.ReLU(), outer)


def _reducing_branch(first: nn.Conv2d, outputs: int, batch_norm: bool) -> nn.Sequential:
    layers: list[nn.Module] = [first, nn.ReLU(), nn.Conv2d(first.out_channels, outputs, 1)]
    if batch_norm:
        layers.append(nn.BatchNorm2d(outputs))
    return nn.Sequential(*layers)
