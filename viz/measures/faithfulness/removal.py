"""Removal of pixels: their order by a map, and what replaces them (fills, or noisy linear imputation).

Source of the imputation: Rong, Leemann, Borisov, Kasneci, Kasneci, "A Consistent and Efficient Evaluation Strategy for
Attribution Methods", ICML 2022 (ROAD, arXiv 2202.00449). Removed pixels become weighted means of their neighbours,
solved jointly: weights 1/6 for the four direct neighbours and 1/12 for the diagonal ones, renormalised at the edge of
the picture, and small Gaussian noise on the imputed pixels.

The linear system is symmetric and positive definite (a graph Laplacian with the kept pixels as its boundary). It is
solved by conjugate gradients with a multilevel preconditioner, for many masks and all channels at once.
"""

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
# Of the imputation.
NOISE = 0.01
TOLERANCE = 3e-4
MOST_ITERATIONS = 400


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


def neighbours(y: Tensor) -> Tensor:
    """Weighted sum over the eight neighbours of each pixel, 0 beyond the edge; y (..., h, w)."""
    rows = y * 2
    rows[..., 1:, :] += y[..., :-1, :]
    rows[..., :-1, :] += y[..., 1:, :]
    both = rows * 2
    both[..., :, 1:] += rows[..., :, :-1]
    both[..., :, :-1] += rows[..., :, 1:]
    # The outer product of (1, 2, 1) with itself gives the pixel itself weight 4.
    return (both - 4 * y) / 12


def _start(x: Tensor, known: Tensor) -> Tensor:
    """A smooth initial guess: each pixel takes the mean of the kept pixels in the smallest square that has any."""
    values, weight = x * known, known
    levels = []
    while True:
        levels.append((values, weight))
        if min(values.shape[2:]) == 1:
            break
        values, weight = (F.avg_pool2d(v, 2, ceil_mode=True) for v in (values, weight))
    guess = levels[-1][0].sum(dim=(2, 3), keepdim=True) / levels[-1][1].sum(dim=(2, 3), keepdim=True)
    guess = guess.expand_as(levels[-1][0])
    for values, weight in reversed(levels):
        guess = F.interpolate(guess, size=values.shape[2:], mode="bilinear", align_corners=False)
        guess = torch.where(weight > 0, values / weight.clamp_min(1e-12), guess)
    return guess


_HAT = ((0.25, 0.5, 0.25), (0.5, 1.0, 0.5), (0.25, 0.5, 0.25))


def _coarser(y: Tensor) -> Tensor:
    """Values weighted by hat functions on every second row and column; (M, 1, h, w)."""
    return F.conv2d(y, torch.tensor(_HAT).to(y)[None, None], stride=2, padding=1)


def _finer(y: Tensor, size: Sequence[int]) -> Tensor:
    """The transpose of `_coarser`: hat functions with these heights, on a grid of that size."""
    extra = [s - (2 * c - 1) for s, c in zip(size, y.shape[2:], strict=True)]
    return F.conv_transpose2d(y, torch.tensor(_HAT).to(y)[None, None], stride=2, padding=1, output_padding=extra)


def _free(lost: Tensor) -> list[Tensor]:
    """For each coarser grid, 1 where the whole hat function lies on removed pixels."""
    found, weight, most = [], lost, torch.ones_like(lost[:1])
    while min(weight.shape[2:]) > 2:
        weight, most = _coarser(weight), _coarser(most)
        free = (weight >= most * (1 - 1e-5)).to(lost)
        if not bool(free.any()):
            break
        found.append(free)
    return found


def _preconditioned(residual: Tensor, degree: Tensor, free: Sequence[Tensor]) -> Tensor:
    """The residual over the diagonal, plus its corrections on all coarser grids, so that large holes need as few
    iterations as small ones (Bramble, Pasciak, Xu, Mathematics of Computation 55, 1990; a hat's energy is about 1)."""
    out = residual / degree
    k, c, h, w = residual.shape
    levels = [residual.reshape(k * c, 1, h, w)]
    for _ in free:
        levels.append(_coarser(levels[-1]))
    total: Tensor | None = None
    for values, mask in zip(reversed(levels[1:]), reversed(free), strict=True):
        own = values * mask.repeat_interleave(c, dim=0)
        total = own if total is None else own + _finer(total, own.shape[2:])
    return out if total is None else out + _finer(total, (h, w)).reshape(residual.shape)


def impute(x: Tensor, missing: Tensor, *, noise: float = NOISE, seed: int = 0, tolerance: float = TOLERANCE) -> Tensor:
    """x (K, C, h, w) with the missing pixels imputed; the others are unchanged, bit for bit.

    Args:
        x: pictures, in network units. missing: bool (K, 1, h, w).
        noise: standard deviation of the noise on imputed pixels, in network units. seed: of that noise.
        tolerance: of the residual, relative to the right-hand side.

    Raises:
        VizError: all pixels of a picture are missing.
    """
    if bool(missing.flatten(1).all(dim=1).any()):
        raise VizError("Nothing can be imputed where all pixels are removed; leave out the fraction 1.")
    lost = missing.to(x)
    known = 1 - lost
    degree = neighbours(torch.ones_like(x[:1, :1]))
    right = lost * neighbours(x * known)

    def apply(y: Tensor) -> Tensor:
        return lost * (degree * y - neighbours(y))

    filled = lost * _start(x, known)
    residual = right - apply(filled)
    free = _free(lost)
    direction = scaled = _preconditioned(residual, degree, free)
    power = (residual * scaled).sum(dim=(2, 3), keepdim=True)
    goal = tolerance * right.pow(2).sum(dim=(2, 3), keepdim=True).sqrt().clamp_min(1e-12)
    for _ in range(MOST_ITERATIONS):
        if bool((residual.pow(2).sum(dim=(2, 3), keepdim=True).sqrt() <= goal).all()):
            break
        moved = apply(direction)
        step = power / (direction * moved).sum(dim=(2, 3), keepdim=True).clamp_min(1e-30)
        filled = filled + step * direction
        residual = residual - step * moved
        scaled = _preconditioned(residual, degree, free)
        after = (residual * scaled).sum(dim=(2, 3), keepdim=True)
        direction = scaled + after / power.clamp_min(1e-30) * direction
        power = after
    if noise:
        generator = torch.Generator().manual_seed(seed)
        filled = filled + noise * torch.randn(x.shape, generator=generator).to(x)
    return torch.where(missing, filled, x)
