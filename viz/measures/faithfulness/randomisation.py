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

from viz.capture.probe import probes_of
from viz.errors import VizError
from viz.measures.codec import plain
from viz.measures.faithfulness.control import MODES, QUICK, Control, How, Mode, Options
from viz.measures.faithfulness.passes import Passes, probability
from viz.measures.faithfulness.similarity import Similarity, similarity
from viz.measures.faithfulness.sources import Source
from viz.models.networks.base import StepNetwork
from viz.models.networks.efficientnet_lite import LITE0_STAGES, TAPPED_BLOCKS, EfficientNetLite0
from viz.models.networks.lite0_attended import Lite0Attended
from viz.models.networks.td_resnet import TDResNet


@dataclass(frozen=True)
class Block:
    """Parameters that belong together, by their full names."""

    name: str
    parameters: tuple[str, ...]


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


def blocks_of(network: StepNetwork) -> tuple[Block, ...]:
    """All parameters of a network in blocks, from the classifier down; the attention module is placed where it acts.

    Unknown networks are split into their children, the last one first.
    """
    if isinstance(network, TDResNet):
        order = ["fc", "layer4", "attention", "layer3", "layer2", "layer1"]
    elif isinstance(network, EfficientNetLite0) or isinstance(getattr(network, "backbone", None), EfficientNetLite0):
        order = _lite0_order(network)
    else:
        order = [name for name, _ in reversed(list(network.named_children()))]
    attention = attention_paths(network)
    found: dict[str, list[str]] = {name: [] for name in order}
    for name, _ in network.named_parameters():
        found.setdefault(_block_of(name, network, attention), []).append(name)
    words = {"fc": "classifier", "conv1": "stem"}
    return tuple(Block(words.get(name, name), tuple(held)) for name, held in found.items() if held)


def attention_paths(network: StepNetwork) -> tuple[str, ...]:
    """Paths of the attention modules: the outermost modules that hold probes."""
    paths = sorted({name.rpartition(".")[0] for name in probes_of(network)} - {""})
    return tuple(p for p in paths if not any(p.startswith(f"{other}.") for other in paths if other != p))


def _block_of(name: str, network: StepNetwork, attention: Sequence[str]) -> str:
    if name == "scale" or any(name.startswith(f"{path}.") for path in attention):
        return "attention"
    name = name.removeprefix("backbone.")
    first, _, rest = name.partition(".")
    if isinstance(network, TDResNet):
        return "conv1" if first == "bn1" else first
    if first == "_blocks":
        return _stage_names()[int(rest.partition(".")[0])]
    return {"_fc": "classifier", "_conv_head": "head", "_bn1": "head", "_conv_stem": "stem", "_bn0": "stem"}.get(
        first, first
    )


def _stage_names() -> list[str]:
    return [f"stage {number}" for number, stage in enumerate(LITE0_STAGES, 1) for _ in range(stage.repeats)]


def _lite0_order(network: StepNetwork) -> list[str]:
    stages = _stage_names()
    order = ["classifier", "head", *dict.fromkeys(reversed(stages)), "stem"]
    if isinstance(network, Lite0Attended):
        order.insert(order.index(stages[TAPPED_BLOCKS[-1]]), "attention")
    elif network.family:
        order.insert(2, "attention")
    return order


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
