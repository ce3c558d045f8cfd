"""The catalogue of the models that can be loaded. Reading it needs no torch; `viz.models.build` makes the networks."""

from __future__ import annotations

import re
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from viz.core.card import ModelCard
from viz.errors import CheckpointError, ModelError
from viz.models.cards import read_cards
from viz.models.paths import bundled
from viz.picture import text_name

if TYPE_CHECKING:
    from viz.models.networks.base import StepNetwork

CHECKPOINT_SUFFIXES = (".pth", ".pt", ".tar", ".safetensors", ".ckpt", ".bin")


class Catalogue:
    """The models that can be loaded, by name.

    Args:
        folder: the operator's folder. Published checkpoint files in it are offered under their file name; model cards
            (.json, as in checkpoints/) under the card's name, with the weights file that the card names.

    Raises:
        ModelError: the folder does not exist.
    """

    def __init__(self, folder: Path | None = None) -> None:
        if folder is not None and not folder.is_dir():
            raise ModelError(f"The models folder {text_name(str(folder))} does not exist.")
        self.folder = folder
        # Cards of loaded models, by name: a checkpoint file without a card is identified only when it is loaded.
        self.seen: dict[str, ModelCard] = {}

    @cached_property
    def bundled(self) -> dict[str, ModelCard]:
        """Cards of the bundled models."""
        return read_cards(bundled("checkpoints"))

    @cached_property
    def own(self) -> dict[str, ModelCard]:
        """Cards in the operator's folder, by name.

        Raises:
            ModelError: a card that cannot be read or has the name of a bundled model.
        """
        read = {} if self.folder is None else read_cards(self.folder, strict=False)
        found = {name: replace(card, origin="own") for name, card in read.items()}
        for name in found:
            if name in self.bundled:
                raise ModelError(f"The card {name} in the models folder has the name of a bundled model; rename it.")
        return found

    @property
    def cards(self) -> dict[str, ModelCard]:
        """All cards by name, bundled ones first."""
        return self.bundled | self.own

    @property
    def files(self) -> dict[str, Path]:
        """Checkpoint files in the operator's folder by the name they are offered under, always valid text."""
        if self.folder is None:
            return {}
        found: dict[str, Path] = {}
        described = {card.file for card in self.own.values()}
        for path in sorted(self.folder.iterdir()):
            # macOS puts a file ._NAME beside NAME on disks that cannot store its metadata.
            skipped = path.name.startswith(".") or path.name in described
            if path.suffix.lower() in CHECKPOINT_SUFFIXES and not skipped and path.is_file():
                whole = text_name(path.name)
                name = re.sub(r"\.(pth|pt|tar|safetensors|ckpt|bin)", "", whole, flags=re.IGNORECASE)
                name, number = (name if name not in self.cards and name not in found else whole), 2
                while name in found:  # names that differ only in bytes that are not text
                    name, number = f"{whole} ({number})", number + 1
                found[name] = path
        return found

    @property
    def names(self) -> list[str]:
        """All names, bundled first."""
        return [*self.cards, *self.files]

    def build(self, model: str | Path) -> tuple[ModelCard, StepNetwork]:
        """The card and the network of a name or of a checkpoint path.

        Raises:
            ModelError: neither a known name nor a file. CheckpointError: a file that cannot be used.
        """
        if isinstance(model, str):
            if model in self.cards:
                from viz.models.build import network_of

                folder = self.folder if self.folder is not None and model in self.own else bundled("checkpoints")
                return self.cards[model], network_of(self.cards[model], folder)
            if model in self.files:
                return self._published(self.files[model], model)
        path = Path(model)
        if path.is_file():
            return self._published(path, text_name(path.name))
        if path.suffix or len(path.parts) > 1:
            raise CheckpointError(f"The file {text_name(path.name)} does not exist.")
        raise ModelError(f"Unknown model {text_name(str(model))!r}; choose one of: {', '.join(self.names)}.")

    def _published(self, path: Path, name: str) -> tuple[ModelCard, StepNetwork]:
        from viz.models.published import load_published_model

        card, network = load_published_model(path)
        self.seen[name] = replace(card, name=name)
        return self.seen[name], network
