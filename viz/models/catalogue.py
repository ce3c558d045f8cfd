"""The catalogue: which models can be loaded. Reading it needs no torch; `viz.models.build` makes the networks."""

from __future__ import annotations

import re
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from viz.core.card import ModelCard
from viz.errors import CheckpointError, ModelError, VizError
from viz.models.cards import read_cards
from viz.models.paths import bundled
from viz.picture import text_name

if TYPE_CHECKING:
    from viz.models.networks.base import StepNetwork

CHECKPOINT_SUFFIXES = (".pth", ".pt", ".tar", ".safetensors", ".ckpt", ".bin")


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
                from viz.models.build import network_of

                return self.bundled[model], network_of(self.bundled[model])
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

        try:
            card, network = load_published_model(path)
        except CheckpointError:
            raise
        except VizError as error:
            raise CheckpointError(str(error)) from None
        self.seen[name] = replace(card, name=name)
        return self.seen[name], network
