"""The mean-field updates of our VISTA variant as plain functions; `inferred.py` explains their use.

Shapes: energy (N, C, h, w), T channel vectors (N, T, C) of mean 1 and T spatial maps (N, T, h, w); parameters (T,), the
prior (T, C). All are differentiable, and the ranks are independent.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

_EPS = 1e-6


def power(x: Tensor) -> Tensor:
    """Root mean square of each picture, (N, C, h, w) to (N, 1, 1, 1), never 0."""
    return (x.square().mean(dim=(1, 2, 3), keepdim=True) + _EPS).sqrt()


def standardised(x: Tensor) -> Tensor:
    """Mean 0 and standard deviation 1 over each picture."""
    cells = x.permute(0, 2, 3, 1)  # one fused operation, in the memory order of the features
    return F.layer_norm(cells, cells.shape[1:], eps=_EPS).permute(0, 3, 1, 2)


def update_maps(energy: Tensor, vectors: Tensor, scale: Tensor, bias: Tensor) -> Tensor:
    """m[p] = sigmoid(scale * mean_c v[c] E[c,p] + bias), (N, T, h, w) in 0..1."""
    support = vectors @ energy.flatten(2) / energy.shape[1]
    return torch.sigmoid(scale[:, None] * support + bias[:, None]).reshape(*support.shape[:2], *energy.shape[2:])


def update_vectors(energy: Tensor, maps: Tensor, tau: Tensor, prior: Tensor) -> Tensor:
    """v[c] = C softmax_c(tau * mean_p m[p] E[c,p] + prior[c]), (N, T, C), positive with mean 1."""
    support = maps.flatten(2) @ energy.flatten(2).transpose(1, 2) / (energy.shape[2] * energy.shape[3])
    return energy.shape[1] * torch.softmax(tau[:, None] * support + prior, dim=2)


def outer_sum(vectors: Tensor, maps: Tensor) -> Tensor:
    """a = sum_t v^t (x) m^t, (N, C, h, w), channels last in memory; as a matrix (C, h*w) of rank at most T."""
    cells = maps.flatten(2).transpose(1, 2) @ vectors
    return cells.reshape(len(cells), *maps.shape[2:], cells.shape[2]).permute(0, 3, 1, 2)


def objective(
    energy: Tensor, vectors: Tensor, maps: Tensor, *, scale: Tensor, bias: Tensor, tau: Tensor, prior: Tensor
) -> Tensor:
    """The objective J (N, T) of both updates: agreement of position and channel, plus entropies, prior and bias.

    J = sum_cp (v[c]/C) m[p] E[c,p] + (1/scale) sum_p (H(m[p]) + bias m[p])
        + (P/tau) (H(v/C) + sum_c prior[c] v[c]/C), H the entropy in nats.
    """
    share = vectors / energy.shape[1]
    m = maps.flatten(2)
    agreement = (share * (m @ energy.flatten(2).transpose(1, 2))).sum(dim=2)
    of_map = (torch.special.entr(m) + torch.special.entr(1 - m) + bias[:, None] * m).sum(dim=2)
    of_vector = (torch.special.entr(share) + prior * share).sum(dim=2)
    return agreement + of_map / scale + of_vector * m.shape[2] / tau
