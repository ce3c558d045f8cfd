"""Networks of the models that ship, built from their cards."""

from __future__ import annotations

from collections.abc import Callable

from viz.core.card import ModelCard
from viz.errors import ModelError
from viz.models.backbone import load_lite0
from viz.models.networks.base import StepNetwork
from viz.models.paths import bundled


def _lite0(card: ModelCard) -> StepNetwork:
    return load_lite0()


def _lite0_tdam(card: ModelCard) -> StepNetwork:
    from viz.models.modules import load_lite0_tdam

    if card.file is None:
        raise ModelError(f"The card of {card.name} names no checkpoint file; install Searchlight again.")
    return load_lite0_tdam(bundled("checkpoints") / card.file, card.sha256)


def _lite0_family(card: ModelCard) -> StepNetwork:
    from viz.models.modules import load_lite0_family

    if card.file is None or card.family is None:
        raise ModelError(f"The card of {card.name} names no checkpoint file or family; install Searchlight again.")
    return load_lite0_family(bundled("checkpoints") / card.file, card.sha256, card.family)


# A new bundled network is one line here and one card in checkpoints/.
BUILDERS: dict[str, Callable[[ModelCard], StepNetwork]] = {
    "efficientnet_lite0": _lite0,
    "lite0_tdam": _lite0_tdam,
    "lite0_family": _lite0_family,
}


def network_of(card: ModelCard) -> StepNetwork:
    """The network of a bundled model, with its weights.

    Raises:
        ModelError: a card of another version. CheckpointError: a file that cannot be used.
    """
    if card.network not in BUILDERS:
        raise ModelError(f"This version cannot build the network {card.network!r} of {card.name}.")
    return BUILDERS[card.network](card)
