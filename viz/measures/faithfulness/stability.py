"""Stability: what small noise on the input does to the map and to the answer; Captum's two metrics beside it.

Sources: sensitivity_max and infidelity: Yeh, Hsieh, Suggala, Inouye, Ravikumar, NeurIPS 2019 (arXiv 1901.09392), as
`captum.metrics` computes them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from viz.measures.faithfulness.orders import fill
from viz.measures.faithfulness.passes import Passes, probability
from viz.measures.faithfulness.results import Row, mean_of, plain, row
from viz.measures.faithfulness.similarity import similarity
from viz.measures.faithfulness.sources import Source
from viz.plotting import import_matplotlib


@dataclass(frozen=True)
class Noise:
    """Noise of one strength.

    Attributes:
        sigma: deviation in units of 0..255. draws: how many.
        spearman: mean rank correlation of the map with that of the clean picture; least: the smallest of the draws.
        probability_change: mean absolute change of the probability of the class. best_kept: share of draws whose best
            class is that of the clean picture.
    """

    sigma: float
    draws: int
    spearman: float
    least: float
    probability_change: float
    best_kept: float


@dataclass(frozen=True)
class Stability:
    """The control of one map.

    Attributes:
        noises: one entry a strength.
        sensitivity_max: largest relative change (L2) of the map over random inputs within `radius` (units of 0..255,
            every value at once), 0 is none. NaN where the map is 0 everywhere or no number.
        unexplained: share of the squared change of the class's logit under removed squares that the map, times the
            best single factor, leaves unexplained: infidelity over the mean squared change. 0: the map predicts it all;
            1: it predicts none. NaN where the logit does not change at all.
        infidelity: Captum's, normalised by that best factor, in squared logits.
    """

    source: str
    class_index: int
    step: int
    noises: tuple[Noise, ...]
    radius: float
    sensitivity_max: float
    infidelity: float
    unexplained: float

    def rows(self) -> list[Row]:
        """All numbers, one a row."""
        found = []
        for n in self.noises:
            for measure in ("spearman", "least", "probability_change", "best_kept"):
                found.append(row("stability", self.source, f"noise {n.sigma:g}", measure, getattr(n, measure)))
        for measure in ("sensitivity_max", "infidelity", "unexplained"):
            found.append(row("stability", self.source, "captum", measure, getattr(self, measure)))
        return found

    def to_json(self) -> dict[str, Any]:
        """Plain values; what is no number is None."""
        return {"control": "stability", **plain(self)}


def stability(
    passes: Passes,
    x: Tensor,
    class_index: int,
    sources: Sequence[Source],
    std: Sequence[float],
    *,
    sigmas: Sequence[float] = (4.0, 16.0),
    draws: int = 8,
    radius: float = 4.0,
    samples: int = 16,
    seed: int = 0,
) -> list[Stability]:
    """Stability of several maps of one picture.

    Args:
        x: (1, 3, h, w). std: what one network unit is in units of 0..255, per channel.
        sigmas: strengths of Gaussian noise, units of 0..255. draws: of each.
        radius: of the uniform noise of sensitivity_max, units of 0..255. samples: of Captum's metrics.
    """
    import_matplotlib()  # Captum does
    x = passes.placed(x)
    unit = torch.tensor(std, dtype=torch.float32).view(1, 3, 1, 1).to(x)
    one = torch.tensor([class_index])
    many = one.expand(draws)
    clean = passes.logits(x)
    before = [passes.maps(s, x, one)[0] for s in sources]
    found: list[list[Noise]] = [[] for _ in sources]
    for sigma in sigmas:
        generator = torch.Generator().manual_seed(seed)
        noisy = x + sigma / unit * torch.randn((draws, *x.shape[1:]), generator=generator).to(x)
        logits = passes.logits(noisy)
        change = float((probability(logits, many) - probability(clean, one)).abs().mean())
        kept = float((logits.argmax(dim=1) == clean.argmax(dim=1)).double().mean())
        for source, old, entries in zip(sources, before, found, strict=True):
            values = [similarity(old, new).spearman for new in passes.maps(source, noisy, many)]
            good = [v for v in values if math.isfinite(v)]
            entries.append(Noise(sigma, draws, mean_of(values), min(good, default=math.nan), change, kept))
    out = []
    for source, old, entries in zip(sources, before, found, strict=True):
        sensitivity = _sensitivity(passes, source, x, one, radius=radius / unit, samples=samples, seed=seed)
        infidelity, share = _infidelity(passes, old, x, one, samples=samples, seed=seed)
        out.append(
            Stability(source.name, class_index, passes.step, tuple(entries), radius, sensitivity, infidelity, share)
        )
    return out


def _sensitivity(
    passes: Passes, source: Source, x: Tensor, one: Tensor, *, radius: Tensor, samples: int, seed: int
) -> float:
    from captum.metrics import sensitivity_max

    clean = passes.maps(source, x, one)
    if not bool(torch.isfinite(clean).all()) or not bool(clean.abs().sum() > 0):
        return math.nan
    generator = torch.Generator().manual_seed(seed)

    def explain(inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return (passes.maps(source, inputs[0], one.expand(len(inputs[0]))),)

    def perturb(inputs: tuple[Tensor, ...], _: float) -> tuple[Tensor, ...]:
        batch = inputs[0]
        return (batch + radius * (2 * torch.rand(batch.shape, generator=generator).to(batch) - 1),)

    found = sensitivity_max(
        explain, x, perturb_func=perturb, n_perturb_samples=samples, max_examples_per_batch=min(passes.batch, samples)
    )
    return float(found[0])


def _infidelity(
    passes: Passes, heat: Tensor, x: Tensor, one: Tensor, *, samples: int, seed: int
) -> tuple[float, float]:
    """(infidelity, share unexplained); perturbations put squares of the picture to its mean colour."""
    from captum.metrics import infidelity

    if not bool(torch.isfinite(heat).all()):
        return math.nan, math.nan
    size = (int(x.shape[2]), int(x.shape[3]))
    fine = F.interpolate(heat[None, None], size=size, mode="bilinear", align_corners=False)
    # Captum wants one number for each input value; a cell's is shared by its pixels and their three channels.
    attributions = (fine * (heat.numel() / fine.numel() / 3)).expand_as(x).to(x)
    other = fill(x, "mean")
    generator = torch.Generator().manual_seed(seed)
    answers: list[Tensor] = []

    def perturb(batch: Tensor) -> tuple[Tensor, Tensor]:
        mask = torch.stack([_square(size, generator) for _ in range(len(batch))])[:, None].to(batch)
        return mask.expand_as(batch), torch.where(mask > 0, other, batch)

    def forward(batch: Tensor) -> Tensor:
        logits = passes.logits(batch)[:, one[0]]
        answers.append(logits)
        return logits.to(x)

    value = float(
        infidelity(
            forward,
            perturb,
            x,
            attributions,
            n_perturb_samples=samples,
            max_examples_per_batch=min(passes.batch, samples),
            normalize=True,
        )[0]
    )
    # Captum asks for the changed and the unchanged inputs in turn; the order of the two does not matter here.
    change = torch.cat([a - b for a, b in zip(answers[::2], answers[1::2], strict=True)])
    power = float(change.pow(2).mean())
    return value, max(0.0, value / power) if power > 0 else math.nan


def _square(size: tuple[int, int], generator: torch.Generator) -> Tensor:
    """(h, w) of 0 and 1: one square of a fifth to a half of the side, anywhere inside."""
    side = int(min(size) * (0.2 + 0.3 * float(torch.rand((), generator=generator))))
    top, left = (int(torch.randint(0, s - side + 1, (), generator=generator)) for s in size)
    mask = torch.zeros(size)
    mask[top : top + side, left : left + side] = 1
    return mask
