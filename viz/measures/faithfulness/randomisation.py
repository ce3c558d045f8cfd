"""Model randomisation: does the map change when the network's weights become random?

Source: Adebayo, Gilmer, Muelly, Goodfellow, Hardt, Kim, "Sanity Checks for Saliency Maps", NeurIPS 2018
(arXiv 1810.03292): cascading from the classifier down, and each block on its own.
"""

from __future__ import annotations

import copy
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from viz.errors import VizError
from viz.measures.codec import plain
from viz.measures.faithfulness.blocks import Block, blocks_of
from viz.measures.faithfulness.control import Control
from viz.measures.faithfulness.options import MODES, QUICK, How, Mode, Options
from viz.measures.faithfulness.passes import Passes, probability
from viz.measures.faithfulness.similarity import Similarity, similarity
from viz.measures.faithfulness.sources import Source


@dataclass(frozen=True)
class Stage:
    """One state of the network: `blocks` with random weights, the map's `similarity` with that of the trained network,
    and the `probability` of the class."""

    mode: Mode
    blocks: tuple[str, ...]
    similarity: Similarity
    probability: float

    @property
    def name(self) -> str:
        """Such as ``cascading: classifier .. stage 5`` or ``independent: head``."""
        ends = self.blocks[:1] if len(self.blocks) == 1 else (self.blocks[0], self.blocks[-1])
        return f"{self.mode}: {' .. '.join(ends)}"


@dataclass(frozen=True)
class Randomisation(Control):
    """The control of one map of `cells` cells."""

    control: str = field(default="randomisation", init=False)
    source: str
    class_index: int
    step: int
    how: How
    seed: int
    cells: int
    stages: tuple[Stage, ...]

    @property
    def chance(self) -> float:
        """Absolute rank correlation that 5 % of pairs of maps of as many independent cells exceed. Neighbouring cells
        are correlated, so real maps exceed it more often."""
        return float(1.96 / max(1, self.cells - 1) ** 0.5)

    def numbers(self) -> Iterator[tuple[str, str, float]]:
        for s in self.stages:
            for measure in ("spearman", "spearman_abs", "ssim"):
                yield s.name, measure, getattr(s.similarity, measure)

    def to_json(self) -> dict[str, Any]:
        return super().to_json() | {"chance": plain(self.chance)}


def randomise(network: nn.Module, block: Block, seed: int, how: How = "normal") -> None:
    """Randomise the parameters of a block in place; use it on a copy.

    ``normal`` draws weights of two or more axes with the tensor's own mean and standard deviation, so that signals
    neither vanish nor explode, and shuffles the others; ``shuffle`` shuffles all. Single numbers and running statistics
    are kept.
    """
    held = dict(network.named_parameters())
    with torch.no_grad():
        for name in block.parameters:
            p = held[name]
            # Its own seed: the same weights whichever blocks were randomised before.
            generator = torch.Generator().manual_seed((seed << 32) + zlib.crc32(name.encode()))
            old = p.detach().float().cpu()
            if how == "normal" and p.ndim >= 2 and p.numel() > 1:
                new = old.mean() + old.std() * torch.randn(old.shape, generator=generator)
            else:
                new = old.flatten()[torch.randperm(old.numel(), generator=generator)].reshape(old.shape)
            p.copy_(new.to(p))


def randomisation(
    passes: Passes,
    x: Tensor,
    classes: Tensor,
    sources: Sequence[Source],
    *,
    options: Options = QUICK,
    progress: Callable[[float, str], None] | None = None,
) -> list[list[Randomisation]]:
    """For each map, one result per picture. Everything happens on a deep copy of the network.

    Args:
        x: (N, 3, h, w). classes: (N,), kept while the weights change.
        options: its modes are ``cascading`` (from the top down) and ``independent`` (one block at a time).

    Raises:
        VizError: an unknown mode.
    """
    if any(mode not in MODES for mode in options.modes):
        raise VizError(f"Unknown mode of a randomisation among {options.modes}. Choose from: {', '.join(MODES)}.")
    x = passes.placed(x)
    blocks = blocks_of(passes.network)
    with passes.alone():
        network = copy.deepcopy(passes.network)
    trained = {name: p.detach().clone() for name, p in network.named_parameters()}
    on_copy = passes.of_copy(network)
    before = [source(network, x, classes) for source in sources]
    stages: list[list[list[Stage]]] = [[[] for _ in range(len(x))] for _ in sources]
    plan: list[tuple[Mode, tuple[Block, ...]]] = []
    for mode in options.modes:
        plan += [(mode, blocks[: i + 1] if mode == "cascading" else (b,)) for i, b in enumerate(blocks)]
    for done, (mode, chosen) in enumerate(plan):
        if progress:
            progress(done / len(plan), f"{mode}, {chosen[-1].name}")
        with torch.no_grad():
            for name, parameter in network.named_parameters():
                parameter.copy_(trained[name])
        for block in chosen:
            randomise(network, block, options.seed, options.how)
        p = probability(on_copy.logits(x), classes)
        names = tuple(b.name for b in chosen)
        for source, maps, of_source in zip(sources, before, stages, strict=True):
            for item, (old, new) in enumerate(zip(maps, source(network, x, classes), strict=True)):
                of_source[item].append(Stage(mode, names, similarity(old, new), float(p[item])))
    head = (passes.step, options.how, options.seed)
    return [
        [
            Randomisation(source.name, int(classes[i]), *head, int(maps[i].numel()), tuple(found))
            for i, found in enumerate(of_source)
        ]
        for source, maps, of_source in zip(sources, before, stages, strict=True)
    ]
