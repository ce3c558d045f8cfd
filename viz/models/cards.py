"""Model cards: what the catalogue says of a model. Bundled cards are the JSON files in ``checkpoints/``."""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from viz.core.card import ModelCard
from viz.errors import ModelError
from viz.geometry import Preprocessing


def card_from_json(text: str) -> ModelCard:
    """A card from its JSON file; keys that a card does not have are left out.

    Raises:
        ModelError: a key is missing or of a wrong type.
    """
    try:
        data = json.loads(text)
        known = {k: v for k, v in data.items() if k in ModelCard.__dataclass_fields__}
        raw = known.pop("preprocessing", {})
        allowed = {k: v for k, v in raw.items() if k in Preprocessing.__dataclass_fields__}
        values: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in allowed.items()}
        for key in ("deviations", "notes", "figures"):
            known[key] = tuple(known.get(key, ()))
        return ModelCard(preprocessing=Preprocessing(**values), **known)
    except (ValueError, TypeError, AttributeError, KeyError) as error:
        raise ModelError(f"A model card cannot be read ({type(error).__name__}); install Searchlight again.") from None


@cache
def imagenet_labels() -> tuple[str, ...]:
    """The 1000 ImageNet class names in the usual order (0 = tench); the two double names carry their synset."""
    rows = list(csv.DictReader(io.StringIO(files("viz.models").joinpath("imagenet1k.csv").read_text())))
    names = Counter(r["name"] for r in rows)
    return tuple(r["name"] if names[r["name"]] == 1 else f"{r['name']} ({r['synset']})" for r in rows)


def labels_for(classes: int) -> tuple[str, ...]:
    """Class names of a classifier with that many outputs: ImageNet's for 1000, numbers otherwise."""
    return imagenet_labels() if classes == 1000 else tuple(f"class {i}" for i in range(classes))


def read_cards(folder: Path) -> dict[str, ModelCard]:
    """All cards of a folder, by name, in a fixed order (plain networks first)."""
    cards = [card_from_json(path.read_text()) for path in sorted(folder.glob("*.json"))]
    return {card.name: card for card in sorted(cards, key=lambda c: (c.family is not None, c.name))}
