"""Similarity of two maps of one picture: rank correlation, with and without sign, and structural similarity."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from viz.measures.agreement import spearman
from viz.measures.faithfulness.removal import blurred

SSIM_SIDE = 64
SSIM_SIGMA = 1.5


@dataclass(frozen=True)
class Similarity:
    """Two maps compared cell by cell; NaN where one of them is constant or not finite.

    `spearman` of the values and `spearman_abs` of their absolute values, -1 to 1; `ssim` of both maps scaled to 0..1
    and interpolated to 64 x 64, at most 1.
    """

    spearman: float
    spearman_abs: float
    ssim: float


def similarity(a: Tensor, b: Tensor) -> Similarity:
    """Similarity of two maps (h, w) of one size."""
    if not bool(torch.isfinite(a).all() and torch.isfinite(b).all()):
        return Similarity(math.nan, math.nan, math.nan)
    x, y = a.numpy(), b.numpy()
    return Similarity(spearman(x, y), spearman(abs(x), abs(y)), ssim(a, b))


def ssim(a: Tensor, b: Tensor) -> float:
    """Mean structural similarity of two maps (h, w), NaN where one is constant.

    Source: Wang, Bovik, Sheikh, Simoncelli, IEEE TIP 13 (2004): Gaussian window of deviation 1.5, K1 0.01, K2 0.03.
    Each map is scaled to 0..1 by its own range first, as maps are shown. Few cells interpolated to 64 x 64 are smooth,
    so the number is higher than for two unrelated photographs.
    """
    if bool(a.min() == a.max()) or bool(b.min() == b.max()):
        return math.nan
    x, y = (_shown(m.double()) for m in (a, b))
    mean_x, mean_y = blurred(x, SSIM_SIGMA), blurred(y, SSIM_SIGMA)
    var_x, var_y = blurred(x * x, SSIM_SIGMA) - mean_x**2, blurred(y * y, SSIM_SIGMA) - mean_y**2
    both = blurred(x * y, SSIM_SIGMA) - mean_x * mean_y
    c1, c2 = 0.01**2, 0.03**2
    top = (2 * mean_x * mean_y + c1) * (2 * both + c2)
    return float((top / ((mean_x**2 + mean_y**2 + c1) * (var_x + var_y + c2))).mean())


def _shown(m: Tensor) -> Tensor:
    unit = (m - m.min()) / (m.max() - m.min())
    return F.interpolate(unit[None, None], size=(SSIM_SIDE, SSIM_SIDE), mode="bilinear", align_corners=False)
