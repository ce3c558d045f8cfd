"""Limits that VISTA's documentation states as numbers, tested as numbers and not against the module's own constants."""

from __future__ import annotations

import math

import pytest
import torch

from viz.families.vista.inferred import InferredMessage


def test_the_prior_stays_within_one_and_a_half() -> None:
    message = InferredMessage(6, 4, rank=2, dilation=1, sharpness=2.0, strength=1.0)
    with torch.no_grad():
        message.prior_raw.copy_(torch.tensor([1e6, -1e6, 0.0, 1.0, -1.0, 0.5]).expand(2, -1))
        prior, vectors = message.prior(), message.first_vectors(1)
    assert float(prior.max()) == 1.5 and float(prior.min()) == -1.5
    assert prior[:, 3].tolist() == pytest.approx([1.5 * math.tanh(1.0)] * 2)
    # Before any evidence no channel weighs more than exp(3) times another; after it exp(2 * sharpness + 3).
    assert float(vectors.max() / vectors.min()) == pytest.approx(math.exp(3.0), rel=1e-5)


def test_channels_weigh_at_most_exp_of_twice_the_sharpness_and_three() -> None:
    torch.manual_seed(0)
    message = InferredMessage(6, 4, rank=2, dilation=1, sharpness=2.0, strength=1.0)
    with torch.no_grad():
        message.prior_raw.mul_(1e6)
        message.temperature_logit.fill_(50.0)
        message.observation.weight.mul_(1e4)
        parts = [torch.randn(1, n, 7, 7) for n in (6, 4, 6, 4)]
        _, vectors = message(message.send(*parts), message.first_vectors(1), 1)
    ratio = float((vectors.amax(2) / vectors.amin(2)).max())
    assert math.exp(3.0) < ratio <= math.exp(2 * 2.0 + 3.0) * (1 + 1e-5)
