"""The blocks of a network from top to bottom, by the names of their parameters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from viz.capture.probe import probes_of
from viz.models.networks.base import StepNetwork
from viz.models.networks.efficientnet_lite import LITE0_STAGES, TAPPED_BLOCKS, EfficientNetLite0
from viz.models.networks.lite0_attended import Lite0Attended
from viz.models.networks.td_resnet import TDResNet


@dataclass(frozen=True)
class Block:
    """Parameters that belong together, by their full names."""

    name: str
    parameters: tuple[str, ...]


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
