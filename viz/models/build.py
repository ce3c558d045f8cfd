"""Networks built from their cards: those on frozen Lite0, and any file of `viz.models.networks` by its name."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules

from viz.core.card import ModelCard
from viz.errors import CheckpointError, ModelError
from viz.models import networks
from viz.models.backbone import lite0_state, load_lite0
from viz.models.networks.base import StepNetwork
from viz.models.networks.lite0_attended import FrozenLite0
from viz.models.networks.lite0_families import build_family
from viz.models.networks.lite0_tdam import build_tdam
from viz.models.reading import Checkpoint, read_checkpoint

# Networks whose file holds an attention module alone; the backbone comes from its package.
_ON_LITE0 = ("lite0_tdam", "lite0_family")


def network_of(card: ModelCard, folder: Path) -> StepNetwork:
    """The network of a card with its weights; networks on Lite0 are in evaluation mode.

    Args:
        folder: where the card's weights file lies.

    Raises:
        ModelError: a card that cannot be used. CheckpointError: a file that cannot be used.
    """
    if card.network == "efficientnet_lite0":
        return load_lite0()
    if card.network in _ON_LITE0:
        return _on_lite0(card, _checkpoint(card, folder))
    known = {m.name for m in iter_modules(networks.__path__)}
    module = import_module(f"viz.models.networks.{card.network}") if card.network in known else None
    if not hasattr(module, "build"):
        raise ModelError(f"This version cannot build the network {card.network[:60]!r} of {card.name}.")
    try:
        network: StepNetwork = module.build(**card.arguments)  # type: ignore[union-attr]
    except (TypeError, ValueError) as error:
        raise ModelError(f"The card of {card.name} has invalid arguments for its network: {error}.") from None
    checkpoint = _checkpoint(card, folder)
    try:
        network.load_state_dict(dict(checkpoint.state), strict=True)
    except RuntimeError as error:
        # The first problem of PyTorch's list.
        problem = str(error).partition("\n\t")[2].partition("\n")[0] or str(error)
        raise CheckpointError(f"{checkpoint.name} does not fit the network of {card.name}: {problem[:200]}") from None
    return network


def _on_lite0(card: ModelCard, checkpoint: Checkpoint) -> FrozenLite0:
    config = str(checkpoint.metadata.get("config", ""))
    if card.network == "lite0_tdam":
        network: FrozenLite0 = build_tdam(config)
    else:
        network = build_family(config)
        if network.family != card.family:
            raise CheckpointError(
                f"{checkpoint.name} holds a module of {network.family}, but the family of its card is {card.family}."
            )
    network.backbone.load_state_dict(lite0_state(), strict=True)
    network.load_module_state(checkpoint.state)
    return network.eval()


def _checkpoint(card: ModelCard, folder: Path) -> Checkpoint:
    """The card's weights file. Only its name counts: a card must not lead out of its folder."""
    if card.file is None:
        raise ModelError(f"The card of {card.name} names no weights file.")
    checkpoint = read_checkpoint(folder / Path(card.file).name)
    # Only cards of the user's own networks may leave the hash out.
    if checkpoint.sha256 != card.sha256 and (card.sha256 or card.network in _ON_LITE0):
        raise CheckpointError(f"{checkpoint.name} is not the file that the card of {card.name} describes; restore it.")
    return checkpoint
