"""What the controls are made of: own means, orders without a favourite corner, random maps, noise and fills."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

import viz.measures.faithfulness.curves as curves_module
from tests.corner import SIDE, bright, oracle, passes_of, zero
from viz.capture.probe import Probe, edited
from viz.core.record import GROUP_MAPS, MAP, VECTOR
from viz.measures.faithfulness.control import Options
from viz.measures.faithfulness.curves import curves
from viz.measures.faithfulness.gates import flat_edits
from viz.measures.faithfulness.passes import probability
from viz.measures.faithfulness.removal import NOISE, fill, impute, order_of, random_map
from viz.models.networks.base import StepNetwork, StepOutput


class Holder(StepNetwork):
    """Passes given values past one probe of each kind."""

    def __init__(self) -> None:
        super().__init__()
        self.probe_channel_gate = Probe("psa", VECTOR, "channel_gate")
        self.probe_spatial_gate = Probe("psa", MAP, "spatial_gate")
        self.probe_group_gate = Probe("ema", GROUP_MAPS, "group_gate")

    def forward_steps(self, x: Tensor, steps: int | None = None) -> list[StepOutput]:
        raise NotImplementedError

    def class_weights(self) -> Tensor:
        raise NotImplementedError


@pytest.mark.parametrize(
    ("label", "shape", "kept"),
    [("channel_gate", (2, 5), 1), ("spatial_gate", (2, 3, 4), 1), ("group_gate", (2, 5, 3, 4), 2)],
)
def test_flat_keeps_how_much_each_picture_and_channel_lets_through(
    label: str, shape: tuple[int, ...], kept: int
) -> None:
    network = Holder()
    value = torch.rand(shape, generator=torch.Generator().manual_seed(0))
    with edited(network, flat_edits(network, [label])):
        flat = getattr(network, f"probe_{label}")(value, 1)
    assert flat.shape == value.shape
    # One number for each picture, and for each channel of a joint gate.
    own = value.flatten(kept).mean(dim=kept, keepdim=True)
    assert torch.allclose(flat.flatten(kept), own.expand_as(value.flatten(kept)), atol=1e-6)
    if label == "group_gate":
        assert not torch.allclose(flat[:, 0], flat[:, 1], atol=1e-3)


# orders


def test_ties_favour_no_corner_and_change_with_the_seed() -> None:
    orders = torch.stack([order_of(torch.zeros(4, 4), (8, 8), seed=s).flatten() for s in range(200)])
    forwards = torch.arange(64)
    assert all(sorted(o.tolist()) == forwards.tolist() for o in orders[:3])
    assert not any(torch.equal(o, forwards) or torch.equal(o, forwards.flip(0)) for o in orders)
    assert len({tuple(o.tolist()) for o in orders}) == 200
    # Over many seeds every pixel comes in the middle: 31.5, with a deviation of the mean of 18.5 / sqrt(200).
    assert float((orders.float().mean(dim=0) - 31.5).abs().max()) < 5 * 18.5 / 200**0.5
    assert torch.equal(order_of(torch.zeros(4, 4), (8, 8), seed=5), order_of(torch.zeros(4, 4), (8, 8), seed=5))


def test_equal_cells_and_the_pixels_of_a_cell_come_in_random_order() -> None:
    heat = torch.tensor([[1.0, 1.0], [0.0, 0.0]])
    orders = [order_of(heat, (4, 4), "cells", seed=s) for s in range(40)]
    upper_left_first = sum(bool((o[:2, :2] < 4).all()) for o in orders)
    assert 8 <= upper_left_first <= 32
    inner = {tuple(o[:2, :2].flatten().argsort().tolist()) for o in orders}
    assert len(inner) > 10


# random maps


def recorded_maps(monkeypatch: pytest.MonkeyPatch) -> list[Tensor]:
    made: list[Tensor] = []

    def record(shape: Sequence[int], seed: int) -> Tensor:
        made.append(random_map(shape, seed))
        return made[-1]

    monkeypatch.setattr(curves_module, "random_map", record)
    return made


def test_random_maps_differ_by_seed_and_by_picture_and_come_again(monkeypatch: pytest.MonkeyPatch) -> None:
    passes, maps = passes_of(), {"oracle": oracle()}
    made = recorded_maps(monkeypatch)
    pictures = bright(2)
    found = [
        curves(passes, pictures[i : i + 1], 0, maps, ["deletion"], options=Options(points=4, seeds=3, seed=seed))[0]
        for i, seed in ((0, 0), (1, 0), (0, 0), (0, 1))
    ]
    assert len(made) == 12 and all(m.shape == oracle().shape for m in made)
    first, other, again, reseeded = (made[i : i + 3] for i in (0, 3, 6, 9))
    different = [*first, *other, *reseeded]
    assert all(not torch.equal(a, b) for i, a in enumerate(different) for b in different[:i])
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert len({c.probability for c in found[0].random}) == 3
    assert found[0].random == found[2].random


def test_a_random_map_is_uniform_and_as_coarse_as_the_map_beside_it() -> None:
    made = random_map((60, 70), 3)
    assert made.shape == (60, 70) and float(made.min()) >= 0 and float(made.max()) < 1
    assert float(made.mean()) == pytest.approx(0.5, abs=0.02) and float(made.std()) == pytest.approx(0.2887, abs=0.01)


# imputation and fills


def test_imputed_pixels_carry_noise_of_the_papers_size() -> None:
    assert NOISE == 0.01
    x = torch.full((1, 3, 40, 40), 0.25)
    missing = torch.zeros(1, 1, 40, 40, dtype=torch.bool)
    missing[:, :, 5:35, 5:35] = True
    noise = (impute(x, missing) - impute(x, missing, noise=0.0))[missing.expand_as(x)]
    assert float(noise.std()) == pytest.approx(0.01, rel=0.06) and abs(float(noise.mean())) < 1e-3


@pytest.mark.parametrize("control", ["road_morf", "road_lerf"])
def test_road_curves_are_made_with_noise(control: Any) -> None:
    falling = torch.linspace(1, 0, SIDE * SIDE).reshape(SIDE, SIDE)  # from either end it comes to the object

    def found(**more: float) -> Any:
        options = Options(road_points=4, seeds=1, **more)
        return curves(passes_of(), bright(), 0, {"m": falling}, [control], options=options)[0]

    usual, clean, loud = found(), found(noise=0.0), found(noise=1.0)
    assert usual == found(noise=0.01)
    small, large = (
        sum(abs(a - b) for a, b in zip(one.curve.probability, clean.curve.probability, strict=True))
        for one in (usual, loud)
    )
    assert 0 < small < large


def test_each_fill_is_what_it_is_called() -> None:
    x = (
        torch.rand(1, 3, 24, 24, generator=torch.Generator().manual_seed(0))
        + torch.tensor([0.0, 1.0, -2.0])[:, None, None]
    )
    mean = fill(x, "mean")
    assert torch.allclose(mean, x.mean(dim=(2, 3), keepdim=True).expand_as(x))
    assert mean.std(dim=(2, 3)).abs().max() < 1e-6 and len({round(v, 3) for v in mean[0, :, 0, 0].tolist()}) == 3
    assert not fill(x, "grey").any()
    soft = fill(x, "blurred")
    assert torch.allclose(soft.mean(dim=(2, 3)), x.mean(dim=(2, 3)), atol=0.05)
    assert float(soft.std(dim=(2, 3)).max()) < 0.5 * float(x.std(dim=(2, 3)).min()) and soft.std() > 0


def test_deletion_puts_the_pictures_own_mean_colour() -> None:
    passes, x, few = passes_of(), bright(), Options(points=4, seeds=1)
    every = curves(passes, x, 0, {"m": oracle()}, ["deletion", "insertion", "road_morf", "road_lerf"], options=few)
    assert [r.baseline for r in every] == ["mean", "blurred", "imputed", "imputed"]
    made = every[0]
    covered = x.mean(dim=(2, 3), keepdim=True).expand(1, 3, SIDE, SIDE)
    wanted = float(probability(passes.logits(covered), zero())[0])
    assert made.curve is not None and made.curve.probability[-1] == pytest.approx(wanted)
    grey = float(probability(passes.logits(torch.zeros_like(x)), zero())[0])
    assert abs(grey - wanted) > 0.01
    chosen = curves(passes, x, 0, {"m": oracle()}, ["deletion"], options=replace(few, deletion="grey"))[0]
    assert chosen.curve is not None and chosen.curve.probability[-1] == pytest.approx(grey)
