"""The catalogue: names to networks. Bundled models, and published checkpoints that the operator's folder holds."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from functools import cached_property
from pathlib import Path

from viz.errors import CheckpointError, ModelError, VizError
from viz.models.backbone import load_lite0
from viz.models.cards import ModelCard, read_cards
from viz.models.networks.base import StepNetwork
from viz.models.paths import bundled
from viz.picture import text_name

CHECKPOINT_SUFFIXES = (".pth", ".pt", ".tar", ".safetensors", ".ckpt", ".bin")


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


class Catalogue:
    """Names that can be loaded.

    Args:
        folder: the operator's folder with published checkpoint files, each offered under its file name.

    Raises:
        ModelError: the folder does not exist.
    """

    def __init__(self, folder: Path | None = None) -> None:
        if folder is not None and not folder.is_dir():
            raise ModelError(f"The models folder {text_name(str(folder))} does not exist.")
        self.folder = folder
        # Cards of models that have been loaded once, by name: a brought file is known only then.
        self.seen: dict[str, ModelCard] = {}

    @cached_property
    def bundled(self) -> dict[str, ModelCard]:
        """Cards of the models that ship."""
        return read_cards(bundled("checkpoints"))

    @property
    def files(self) -> dict[str, Path]:
        """Checkpoint files in the operator's folder by the name they are offered under, which is text in any case."""
        if self.folder is None:
            return {}
        found: dict[str, Path] = {}
        for path in sorted(self.folder.iterdir()):
            # A Mac keeps what other disks cannot hold of a file beside it, as ._NAME.
            if path.suffix.lower() in CHECKPOINT_SUFFIXES and not path.name.startswith(".") and path.is_file():
                whole = text_name(path.name)
                name = re.sub(r"\.(pth|pt|tar|safetensors|ckpt|bin)", "", whole, flags=re.IGNORECASE)
                name, number = (name if name not in self.bundled and name not in found else whole), 2
                while name in found:  # names that differ in bytes which are no text
                    name, number = f"{whole} ({number})", number + 1
                found[name] = path
        return found

    @property
    def names(self) -> list[str]:
        """All names, bundled first."""
        return [*self.bundled, *self.files]

    def build(self, model: str | Path) -> tuple[ModelCard, StepNetwork]:
        """The card and the network of a name or of a checkpoint path.

        Raises:
            ModelError: neither a known name nor a file. CheckpointError: a file that cannot be used.
        """
        if isinstance(model, str):
            if model in self.bundled:
                card = self.bundled[model]
                if card.network not in BUILDERS:
                    raise ModelError(f"This version cannot build the network {card.network!r} of {card.name}.")
                return card, BUILDERS[card.network](card)
            if model in self.files:
                return self._published(self.files[model], model)
        path = Path(model)
        if path.is_file():
            return self._published(path, text_name(path.name))
        if path.suffix or len(path.parts) > 1:
            raise CheckpointError(f"There is no file {text_name(path.name)}.")
        raise ModelError(f"There is no model {text_name(str(model))!r}; there are: {', '.join(self.names)}.")

    def _published(self, path: Path, name: str) -> tuple[ModelCard, StepNetwork]:
        from viz.models.published import load_published_model

        try:
            card, network = load_published_model(path)
        except CheckpointError:
            raise
        except VizError as error:
            raise CheckpointError(str(error)) from None
        self.seen[name] = replace(card, name=name)
        return self.seen[name], network
