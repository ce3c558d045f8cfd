"""Orders of pixels by a map, and fills for removed pixels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor

from viz.errors import VizError

Unit = Literal["pixels", "cells"]
Baseline = Literal["mean", "grey", "blurred"]
# Standard deviation of the blur as a share of the input's side: 10 pixels at 224.
BLUR = 10 / 224


def order_of(heat: Tensor, size: tuple[int, int], unit: Unit = "pixels", seed: int = 0) -> Tensor:
    """Position of each pixel in the order of removal, strongest first: int64 (h, w), 0 .. h*w - 1.

    Args:
        heat: (h', w') map. Non-finite values come last.
        size: of the input. unit: ``pixels`` interpolates the map to the input first (bilinear); ``cells`` removes
            whole cells, the pixels of a cell in random order.
        seed: for the random order of equal values (row order would favour the upper left).

    Raises:
        VizError: an unknown unit.
    """
    if unit not in get_args(Unit):
        raise VizError(f"Unknown unit {unit!r}. Choose one of: {', '.join(get_args(Unit))}.")
    finite = torch.isfinite(heat)
    values = torch.where(finite, heat, heat[finite].min() if finite.any() else torch.zeros(())).double()
    lost = (~finite).double()
    generator = torch.Generator().manual_seed(seed)
    if unit == "cells":  # equal cells are ordered as a whole
        values = _ranked(values - lost * (values.max() - values.min() + 1), generator).double()
        lost = torch.zeros_like(lost)
    how = {"mode": "bilinear", "align_corners": False} if unit == "pixels" else {"mode": "nearest-exact"}
    fine = F.interpolate(torch.stack([values, lost])[None], size=size, **how)[0]  # type: ignore[arg-type]
    fine = torch.where(fine[1] > 1e-9, torch.full_like(fine[0], float("-inf")), fine[0])
    ascending = _ranked(fine, generator)
    return fine.numel() - 1 - ascending


def _ranked(values: Tensor, generator: torch.Generator) -> Tensor:
    """Rank of each value from 0, smallest first; ties are broken at random."""
    flat = values.flatten()
    shuffled = torch.randperm(flat.numel(), generator=generator)
    sequence = shuffled[torch.argsort(flat[shuffled], stable=True)]
    places = torch.empty_like(sequence)
    places[sequence] = torch.arange(flat.numel())
    return places.reshape(values.shape)


def random_map(shape: Sequence[int], seed: int) -> Tensor:
    """A map (h, w) of independent uniform values."""
    return torch.rand(tuple(shape), generator=torch.Generator().manual_seed(seed))


def removed(order: Tensor, fractions: tuple[float, ...]) -> Tensor:
    """The first pixels of the order for each fraction, bool (K, 1, h, w)."""
    counts = torch.tensor([round(f * order.numel()) for f in fractions])
    return (order[None] < counts[:, None, None])[:, None]


def fill(x: Tensor, baseline: Baseline) -> Tensor:
    """Values for removed pixels, of the shape of x (1, 3, h, w).

    ``mean`` is the picture's own mean colour, ``grey`` an input of 0 (the mean colour of the preprocessing, as in
    RISE), ``blurred`` the picture under a Gaussian of 10 pixels at 224 (RISE's kernel of 11 pixels leaves most objects
    recognisable; the start of the curve shows what is left).

    Raises:
        VizError: an unknown baseline.
    """
    if baseline == "mean":
        return x.mean(dim=(2, 3), keepdim=True).expand_as(x)
    if baseline == "grey":
        return torch.zeros_like(x)
    if baseline == "blurred":
        return blurred(x, BLUR * min(x.shape[2:]))
    raise VizError(f"Unknown baseline {baseline!r}. Choose one of: {', '.join(get_args(Baseline))}.")


def blurred(x: Tensor, sigma: float) -> Tensor:
    """x (N, C, h, w) blurred by a Gaussian with that standard deviation in pixels; edges are replicated."""
    reach = max(1, round(3 * sigma))
    axis = torch.arange(-reach, reach + 1, dtype=x.dtype, device=x.device)
    bell = torch.exp(-(axis**2) / (2 * sigma**2))
    bell = bell / bell.sum()
    n, c, h, w = x.shape
    y = F.pad(x.reshape(n * c, 1, h, w), (0, 0, reach, reach), mode="replicate")
    y = F.pad(F.conv2d(y, bell[None, None, :, None]), (reach, reach, 0, 0), mode="replicate")
    return F.conv2d(y, bell[None, None, None, :]).reshape(n, c, h, w)
