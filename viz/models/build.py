"""Networks built from their cards: those that ship, and any file of `viz.models.networks` by its name."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules

from viz.core.card import ModelCard
from viz.errors import CheckpointError, ModelError
from viz.models import networks
from viz.models.backbone import load_lite0
from viz.models.networks.base import StepNetwork
from viz.models.reading import read_checkpoint


def _lite0(card: ModelCard, folder: Path) -> StepNetwork:
    return load_lite0()


def _lite0_tdam(card: ModelCard, folder: Path) -> StepNetwork:
    from viz.models.modules import load_lite0_tdam

    return load_lite0_tdam(_weights(card, folder), card.sha256)


def _lite0_family(card: ModelCard, folder: Path) -> StepNetwork:
    from viz.models.modules import load_lite0_family

    if card.family is None:
        raise ModelError(f"The card of {card.name} names no family.")
    return load_lite0_family(_weights(card, folder), card.sha256, card.family)


# Networks of more than one file of weights. Any other is a file of `viz.models.networks` with a function `build`.
BUILDERS: dict[str, Callable[[ModelCard, Path], StepNetwork]] = {
    "efficientnet_lite0": _lite0,
    "lite0_tdam": _lite0_tdam,
    "lite0_family": _lite0_family,
}


def network_of(card: ModelCard, folder: Path) -> StepNetwork:
    """The network of a card, with its weights.

    Args:
        folder: where the card's file of weights lies.

    Raises:
        ModelError: a card of another version. CheckpointError: a file that cannot be used.
    """
    if card.network in BUILDERS:
        return BUILDERS[card.network](card, folder)
    known = {m.name for m in iter_modules(networks.__path__)}
    module = import_module(f"viz.models.networks.{card.network}") if card.network in known else None
    if not hasattr(module, "build"):
        raise ModelError(f"This version cannot build the network {card.network[:60]!r} of {card.name}.")
    try:
        network: StepNetwork = module.build(**card.arguments)  # type: ignore[union-attr]
    except (TypeError, ValueError) as error:
        raise ModelError(f"The card of {card.name} has arguments that its network does not take: {error}.") from None
    checkpoint = read_checkpoint(_weights(card, folder))
    if card.sha256 and checkpoint.sha256 != card.sha256:
        raise CheckpointError(f"{checkpoint.name} is not the file that the card of {card.name} describes.")
    try:
        network.load_state_dict(dict(checkpoint.state), strict=True)
    except RuntimeError as error:
        raise CheckpointError(f"{checkpoint.name} does not fit the network of {card.name}: {_first(error)}") from None
    return network


def _weights(card: ModelCard, folder: Path) -> Path:
    """The card's file of weights. Only its name counts: a card must not lead out of its folder."""
    if card.file is None:
        raise ModelError(f"The card of {card.name} names no file of weights.")
    return folder / Path(card.file).name


def _first(error: RuntimeError) -> str:
    """The first complaint of PyTorch's list."""
    return str(error).partition("\n\t")[2].partition("\n")[0][:200] or str(error)[:200]
