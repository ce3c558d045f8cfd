"""Spectral normalisation with the key names of `torch.nn.utils.spectral_norm`, as a computation instead of hooks.

Method: Miyato, Kataoka, Koyama, Yoshida, "Spectral Normalization for Generative Adversarial Networks", ICLR 2018.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class SpectralConv2d(nn.Module):
    """A convolution without bias whose weight is divided by its largest singular value; padding by reflection.

    The value is estimated as u^T W v; training improves u and v by one power iteration per pass. Keys ``weight_orig``,
    ``weight_u``, ``weight_v`` are those of `torch.nn.utils.spectral_norm`, without its hooks.
    """

    def __init__(self, inputs: int, outputs: int, kernel_size: int, *, stride: int = 1, dilation: int = 1) -> None:
        super().__init__()
        weight = torch.empty(outputs, inputs, kernel_size, kernel_size)
        nn.init.kaiming_uniform_(weight, a=math.sqrt(5))
        register_spectral(self, weight)
        self.stride, self.dilation, self.padding = stride, dilation, dilation * (kernel_size // 2)

    def forward(self, x: Tensor) -> Tensor:
        p = self.padding
        if p:
            x = F.pad(x, (p, p, p, p), mode="reflect")
        return F.conv2d(x, spectral_weight(self), stride=self.stride, dilation=self.dilation)


def register_spectral(module: nn.Module, weight: Tensor) -> None:
    """Give `module` the parameter ``weight_orig`` and the buffers ``weight_u`` (rows,) and ``weight_v`` (columns,)."""
    module.weight_orig = nn.Parameter(weight)
    rows = weight.detach().flatten(1)
    u, v = (F.normalize(torch.randn(n), dim=0) for n in rows.shape)
    for _ in range(15):
        u, v = _power_iteration(rows, u)
    module.register_buffer("weight_u", u)
    module.register_buffer("weight_v", v)


def _power_iteration(rows: Tensor, u: Tensor) -> tuple[Tensor, Tensor]:
    v = F.normalize(rows.t() @ u, dim=0)
    return F.normalize(rows @ v, dim=0), v


def spectral_weight(module: nn.Module) -> Tensor:
    """The normalised weight of a module that `register_spectral` prepared; rows are the first axis."""
    weight, u, v = (getattr(module, name) for name in ("weight_orig", "weight_u", "weight_v"))
    # Low precision would be too coarse for an estimate that divides every weight.
    with torch.autocast(weight.device.type, enabled=False):
        rows = weight.flatten(1)
        if module.training:
            with torch.no_grad():
                next_u, next_v = _power_iteration(rows, u)
                u.copy_(next_u)
                v.copy_(next_v)
            u, v = next_u, next_v
        normalised: Tensor = weight / torch.dot(u, rows @ v)
        return normalised
