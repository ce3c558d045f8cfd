"""PAKA: the original constructors' arguments mapped onto ours, and the inpainting encoder that stacks four of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tests.parity.case import Case, NotUnderstoodError
from viz.families.paka.module import GuidedPAKA2d, PAKA2d, PAKA3x3
from viz.families.paka.spectral import SpectralConv2d

_SIZES = ("in_channels", "out_channels", "kernel_size", "stride", "padding", "dilation")
CLASSES = ("PAKA2d", "PAKA3x3", "GuidedPAKA2d", "Encoder")


def constructor(case: Case) -> Callable[[], nn.Module]:
    """What builds our module; the published class is told by the manifest's class or else by its keys and inputs."""
    case.only("build", {"class", "args", "kwargs"})
    kind = case.build.get("class")
    if kind not in (None, *CLASSES):
        raise NotUnderstoodError(f"class {kind!r}")
    first = next(iter(case.shapes), "")
    if kind == "Encoder" or first.startswith("layer1."):
        _arguments(case, ())
        return Encoder
    if kind == "GuidedPAKA2d" or "guide_ch" in case.inputs:
        return _guided(_arguments(case, (*_SIZES, "bias", "norm", "activation")))
    if kind == "PAKA3x3" or first.startswith("conv."):
        k = {"stride": 1, "dilation": 1, **_arguments(case, ("in_channels", "out_channels", "stride", "dilation"))}
        return lambda: PAKA3x3(k["in_channels"], k["out_channels"], stride=k["stride"], dilation=k["dilation"])
    if any(key.startswith("conv_c.0.conv.") for key in case.shapes):
        k = _sizes(_arguments(case, (*_SIZES, "bias")))
        return lambda: PAKA2d(**k, form="spectral")
    return _reducing(_arguments(case, (*_SIZES, "r", "bias", "norm", "activation", "batchnorm_after_each_branch")))


def _reducing(given: dict[str, Any]) -> Callable[[], nn.Module]:
    given.pop("norm", None)  # accepted and without effect in the original
    if given.pop("activation", None):
        raise NotUnderstoodError("an activation inside the reduction form")
    derived, reduction = "batchnorm_after_each_branch" in given, given.pop("r", 4)
    batch_norm = bool(given.pop("batchnorm_after_each_branch", False))
    k = _sizes(given)
    form = "derived" if derived else "reduction"
    return lambda: PAKA2d(**k, form=form, reduction=reduction, batch_norm=batch_norm)  # type: ignore[arg-type]


def _guided(given: dict[str, Any]) -> Callable[[], nn.Module]:
    for name in ("norm", "activation"):
        if given.pop(name, None):
            raise NotUnderstoodError(f"a guided form with {name}")
    k = _sizes(given)
    return lambda: GuidedPAKA2d(**k)


def _arguments(case: Case, known: tuple[str, ...]) -> dict[str, Any]:
    args, kwargs = case.build.get("args") or [], case.build.get("kwargs") or {}
    named = {**dict(zip(known, args, strict=False)), **kwargs}
    unknown = set(named) - set(known)
    if unknown or len(args) > len(known) or len(named) != len(args) + len(kwargs):
        raise NotUnderstoodError(f"arguments {sorted(unknown) or args}")
    return named


def _sizes(given: dict[str, Any]) -> dict[str, Any]:
    """Without the padding, for which only one value works."""
    k = {"kernel_size": 3, "stride": 1, "dilation": 1, "bias": False, **given}
    only = k["dilation"] * (k["kernel_size"] // 2)
    if k.pop("padding", only) != only:
        raise NotUnderstoodError(f"padding {given['padding']} where only {only} keeps the size")
    return k


class _Downsample(nn.Module):
    """Two spectral 3x3 convolutions, the second with stride 2, ELU after each."""

    def __init__(self, inputs: int, width: int, outputs: int) -> None:
        super().__init__()
        self.conv1 = nn.ModuleDict({"conv": SpectralConv2d(inputs, width, 3)})
        self.conv2 = nn.ModuleDict({"conv": SpectralConv2d(width, outputs, 3, stride=2)})

    def forward(self, x: Tensor) -> Tensor:
        return F.elu(self.conv2["conv"](F.elu(self.conv1["conv"](x))))


class Encoder(nn.Module):
    """Three stages of stride 2, then PAKA3x3 256 to 256 with dilations 2, 4, 8, 16 in series, ELU after each."""

    def __init__(self) -> None:
        super().__init__()
        self.layer1 = _Downsample(4, 32, 64)
        self.layer2 = _Downsample(64, 64, 128)
        self.layer3 = _Downsample(128, 128, 256)
        for i in range(1, 5):
            self.add_module(f"dcl{i}", PAKA3x3(256, 256, dilation=2**i))

    def forward(self, x: Tensor) -> Tensor:
        for stage in self.children():
            x = F.elu(stage(x)) if isinstance(stage, PAKA3x3) else stage(x)
        return x


def set_singular_vectors(module: nn.Module) -> None:
    """After the fill: u = filled u / |u| and v = W^T u / |W^T u| in every spectral module."""
    for part in module.modules():
        if "weight_u" in dict(part.named_buffers(recurse=False)):
            weight, u = part.get_parameter("weight_orig"), part.get_buffer("weight_u")
            u.div_(torch.linalg.vector_norm(u))
            v = weight.flatten(1).t() @ u
            part.get_buffer("weight_v").copy_(v / torch.linalg.vector_norm(v))
