"""Model randomisation: does the map change when the network's weights become random?

Source: Adebayo, Gilmer, Muelly, Goodfellow, Hardt, Kim, "Sanity Checks for Saliency Maps", NeurIPS 2018
(arXiv 1810.03292): cascading from the classifier down, and each block on its own.
"""

from __future__ import annotations

import copy
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from viz.errors import VizError
from viz.measures.faithfulness.blocks import Block, blocks_of
from viz.measures.faithfulness.passes import Passes, probability
from viz.measures.faithfulness.results import Row, plain, row
from viz.measures.faithfulness.similarity import Similarity, similarity
from viz.measures.faithfulness.sources import Source

Mode = Literal["cascading", "independent"]
MODES: tuple[Mode, ...] = ("cascading", "independent")
How = Literal["normal", "shuffle"]


@dataclass(frozen=True)
class Stage:
    """One state of the network: `blocks` whose weights are random, the map's `similarity` with the trained network's,
    and the `probability` that the randomised network gives the class."""

    mode: Mode
    blocks: tuple[str, ...]
    similarity: Similarity
    probability: float

    @property
    def name(self) -> str:
        """As in ``cascading: classifier .. stage 5`` or ``independent: head``."""
        ends = self.blocks[:1] if len(self.blocks) == 1 else (self.blocks[0], self.blocks[-1])
        return f"{self.mode}: {' .. '.join(ends)}"


@dataclass(frozen=True)
class Randomisation:
    """The control of one map: `cells` of the map tell how far chance reaches (see `chance`)."""

    source: str
    class_index: int
    step: int
    how: How
    seed: int
    cells: int
    stages: tuple[Stage, ...]

    @property
    def chance(self) -> float:
        """Absolute rank correlation that 5 % of pairs of maps of as many independent cells exceed; neighbouring cells
        depend on each other, so real maps reach further by chance."""
        return float(1.96 / max(1, self.cells - 1) ** 0.5)

    def rows(self) -> list[Row]:
        """Three similarities a stage."""
        return [
            row("randomisation", self.source, s.name, measure, getattr(s.similarity, measure))
            for s in self.stages
            for measure in ("spearman", "spearman_abs", "ssim")
        ]

    def to_json(self) -> dict[str, Any]:
        """Plain values; what is no number is None."""
        return {"control": "randomisation", **plain(self), "chance": plain(self.chance)}


def randomise(network: nn.Module, block: Block, seed: int, how: How = "normal") -> None:
    """Make the parameters of a block random, in place: only ever on a copy.

    ``normal`` draws weights of two or more axes anew with the tensor's own mean and deviation, so that signals neither
    die nor explode, and shuffles the others; ``shuffle`` shuffles all. A parameter of a single number has nothing to
    shuffle and stays, and so do running statistics.
    """
    held = dict(network.named_parameters())
    with torch.no_grad():
        for name in block.parameters:
            p = held[name]
            # A seed of its own: the same weights whichever blocks were made random before.
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
    modes: Sequence[Mode] = MODES,
    how: How = "normal",
    seed: int = 0,
    progress: Callable[[float, str], None] | None = None,
) -> list[list[Randomisation]]:
    """For each source, one result a picture.

    Args:
        x: (N, 3, h, w). classes: (N,), kept while the weights change.
        modes: ``cascading`` from the top down, ``independent`` one block at a time.

    The network of `passes` is never touched: everything happens on one deep copy.

    Raises:
        VizError: an unknown mode.
    """
    if any(mode not in MODES for mode in modes):
        raise VizError(f"The modes of a randomisation are {' and '.join(MODES)}.")
    x = passes.placed(x)
    blocks = blocks_of(passes.network)
    with passes.alone():
        network = copy.deepcopy(passes.network)
    trained = {name: p.detach().clone() for name, p in network.named_parameters()}
    on_copy = passes.of_copy(network)
    before = [source(network, x, classes) for source in sources]
    stages: list[list[list[Stage]]] = [[[] for _ in range(len(x))] for _ in sources]
    plan: list[tuple[Mode, tuple[Block, ...]]] = []
    for mode in modes:
        plan += [(mode, blocks[: i + 1] if mode == "cascading" else (b,)) for i, b in enumerate(blocks)]
    for done, (mode, chosen) in enumerate(plan):
        if progress:
            progress(done / len(plan), f"{mode}, {chosen[-1].name}")
        _restore(network, trained)
        for block in chosen:
            randomise(network, block, seed, how)
        p = probability(on_copy.logits(x), classes)
        names = tuple(b.name for b in chosen)
        for source, maps, of_source in zip(sources, before, stages, strict=True):
            for item, (old, new) in enumerate(zip(maps, source(network, x, classes), strict=True)):
                of_source[item].append(Stage(mode, names, similarity(old, new), float(p[item])))
    return [
        [
            Randomisation(source.name, int(classes[i]), passes.step, how, seed, int(maps[i].numel()), tuple(found))
            for i, found in enumerate(of_source)
        ]
        for source, maps, of_source in zip(sources, before, stages, strict=True)
    ]


def _restore(network: nn.Module, trained: dict[str, Tensor]) -> None:
    with torch.no_grad():
        for name, p in network.named_parameters():
            p.copy_(trained[name])
