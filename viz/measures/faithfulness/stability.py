"""Stability: how small noise on the input changes the map and the answer, and two of Captum's metrics.

Sources: sensitivity_max and infidelity: Yeh, Hsieh, Suggala, Inouye, Ravikumar, NeurIPS 2019 (arXiv 1901.09392), as
`captum.metrics` computes them.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor

from viz.measures.faithfulness.control import QUICK, Control, Options
from viz.measures.faithfulness.passes import Passes, probability
from viz.measures.faithfulness.removal import fill
from viz.measures.faithfulness.similarity import similarity
from viz.measures.faithfulness.sources import Source
from viz.plotting import import_matplotlib


@dataclass(frozen=True)
class Noise:
    """Noise of one strength.

    Attributes:
        sigma: standard deviation in units of 0..255. draws: number of draws.
        spearman: mean rank correlation of the map with that of the clean picture. least: the smallest one.
        probability_change: mean absolute change of the class's probability. best_kept: share of draws with the best
            class of the clean picture.
    """

    sigma: float
    draws: int
    spearman: float
    least: float
    probability_change: float
    best_kept: float


@dataclass(frozen=True)
class Stability(Control):
    """The control of one map.

    Attributes:
        noises: one entry per strength.
        sensitivity_max: largest relative change (L2) of the map over random inputs within `radius` (units of 0..255,
            for every value); 0 is none. NaN where the map is 0 everywhere or not finite.
        unexplained: share of the squared change of the class's logit under removed squares that the map, times the
            best single factor, does not explain: infidelity over the mean squared change, 0 to 1. NaN where the logit
            does not change.
        infidelity: Captum's, normalised by that best factor, in squared logits.
    """

    control: str = field(default="stability", init=False)
    source: str
    class_index: int
    step: int
    noises: tuple[Noise, ...]
    radius: float
    sensitivity_max: float
    infidelity: float
    unexplained: float

    def numbers(self) -> Iterator[tuple[str, str, float]]:
        for n in self.noises:
            for measure in ("spearman", "least", "probability_change", "best_kept"):
                yield f"noise {n.sigma:g}", measure, getattr(n, measure)
        for measure in ("sensitivity_max", "infidelity", "unexplained"):
            yield "captum", measure, getattr(self, measure)


def stability(
    passes: Passes,
    x: Tensor,
    class_index: int,
    sources: Sequence[Source],
    std: Sequence[float],
    *,
    options: Options = QUICK,
) -> list[Stability]:
    """Stability of several maps of one picture.

    Args:
        x: (1, 3, h, w). std: one network unit in units of 0..255, per channel.
    """
    import_matplotlib()  # Captum does
    x = passes.placed(x)
    unit = torch.tensor(std, dtype=torch.float32).view(1, 3, 1, 1).to(x)
    draws, one = options.draws, torch.tensor([class_index])
    many = one.expand(draws)
    clean = passes.logits(x)
    before = [passes.maps(s, x, one)[0] for s in sources]
    found: list[list[Noise]] = [[] for _ in sources]
    for sigma in options.sigmas:
        generator = torch.Generator().manual_seed(options.seed)
        noisy = x + sigma / unit * torch.randn((draws, *x.shape[1:]), generator=generator).to(x)
        logits = passes.logits(noisy)
        change = float((probability(logits, many) - probability(clean, one)).abs().mean())
        kept = float((logits.argmax(dim=1) == clean.argmax(dim=1)).double().mean())
        for source, old, entries in zip(sources, before, found, strict=True):
            values = [similarity(old, new).spearman for new in passes.maps(source, noisy, many)]
            good = [v for v in values if math.isfinite(v)]
            mean = sum(good) / len(good) if good else math.nan
            entries.append(Noise(sigma, draws, mean, min(good, default=math.nan), change, kept))
    out = []
    for source, old, entries in zip(sources, before, found, strict=True):
        sensitivity = _sensitivity(passes, source, x, one, radius=options.radius / unit, options=options)
        metrics = (options.radius, sensitivity, *_infidelity(passes, old, x, one, options))
        out.append(Stability(source.name, class_index, passes.step, tuple(entries), *metrics))
    return out


def _sensitivity(passes: Passes, source: Source, x: Tensor, one: Tensor, *, radius: Tensor, options: Options) -> float:
    from captum.metrics import sensitivity_max

    clean = passes.maps(source, x, one)
    if not bool(torch.isfinite(clean).all()) or not bool(clean.abs().sum() > 0):
        return math.nan
    generator = torch.Generator().manual_seed(options.seed)

    def explain(inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return (passes.maps(source, inputs[0], one.expand(len(inputs[0]))),)

    def perturb(inputs: tuple[Tensor, ...], _: float) -> tuple[Tensor, ...]:
        batch = inputs[0]
        return (batch + radius * (2 * torch.rand(batch.shape, generator=generator).to(batch) - 1),)

    sizes = {"n_perturb_samples": options.samples, "max_examples_per_batch": min(passes.batch, options.samples)}
    return float(sensitivity_max(explain, x, perturb_func=perturb, **sizes)[0])


def _infidelity(passes: Passes, heat: Tensor, x: Tensor, one: Tensor, options: Options) -> tuple[float, float]:
    """(infidelity, share unexplained); perturbations fill squares of the picture with its mean colour."""
    from captum.metrics import infidelity

    if not bool(torch.isfinite(heat).all()):
        return math.nan, math.nan
    size = (int(x.shape[2]), int(x.shape[3]))
    fine = F.interpolate(heat[None, None], size=size, mode="bilinear", align_corners=False)
    # Captum wants one number per input value; a cell's value is shared by its pixels and their three channels.
    attributions = (fine * (heat.numel() / fine.numel() / 3)).expand_as(x).to(x)
    other = fill(x, "mean")
    generator = torch.Generator().manual_seed(options.seed)
    answers: list[Tensor] = []

    def perturb(batch: Tensor) -> tuple[Tensor, Tensor]:
        mask = torch.stack([_square(size, generator) for _ in range(len(batch))])[:, None].to(batch)
        return mask.expand_as(batch), torch.where(mask > 0, other, batch)

    def forward(batch: Tensor) -> Tensor:
        logits = passes.logits(batch)[:, one[0]]
        answers.append(logits)
        return logits.to(x)

    sizes = {"n_perturb_samples": options.samples, "max_examples_per_batch": min(passes.batch, options.samples)}
    value = float(infidelity(forward, perturb, x, attributions, **sizes, normalize=True)[0])
    # Captum calls the changed and the unchanged inputs in turn; the order of the two does not matter here.
    change = torch.cat([a - b for a, b in zip(answers[::2], answers[1::2], strict=True)])
    power = float(change.pow(2).mean())
    return value, max(0.0, value / power) if power > 0 else math.nan


def _square(size: tuple[int, int], generator: torch.Generator) -> Tensor:
    """(h, w) of 0 and 1: a square of a fifth to a half of the shorter side, anywhere inside."""
    side = int(min(size) * (0.2 + 0.3 * float(torch.rand((), generator=generator))))
    top, left = (int(torch.randint(0, s - side + 1, (), generator=generator)) for s in size)
    mask = torch.zeros(size)
    mask[top : top + side, left : left + side] = 1
    return mask
