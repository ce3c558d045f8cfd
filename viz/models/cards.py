"""Model cards: reading them, and class names. Bundled cards are the JSON files in ``checkpoints/``."""

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
from viz.errors import ModelError, VizError
from viz.geometry import Preprocessing

MAX_CARD = 1 << 20


def card_from_json(text: str, file: str = "") -> ModelCard:
    """A card from its JSON file; unknown keys are ignored. Numbers stay as they are written, e.g. 127 and not 127.0.

    Args:
        file: its name, for messages.

    Raises:
        ModelError: a key is missing or has a wrong type or value.
    """
    try:
        data = json.loads(text)
        known = {k: v for k, v in data.items() if k in ModelCard.__dataclass_fields__}
        raw = known.pop("preprocessing", {})
        allowed = {k: v for k, v in raw.items() if k in Preprocessing.__dataclass_fields__}
        values: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in allowed.items()}
        for key in ("labels", "deviations", "notes", "figures"):
            known[key] = tuple(known.get(key, ()))
        card = ModelCard(preprocessing=Preprocessing(**values), **known)
        texts = (card.name, card.title, card.network, card.output, card.file or "", card.family or "", *card.labels)
        if not all(isinstance(text, str) for text in texts) or type(card.steps) is not int:
            raise TypeError
        return card
    except (ValueError, TypeError, AttributeError, LookupError, RecursionError, VizError) as error:
        kind = type(error).__name__
        raise ModelError(f"The model card {file} cannot be read ({kind}); correct its entries.") from None


@cache
def imagenet_labels() -> tuple[str, ...]:
    """The 1000 ImageNet class names in the usual order (0 = tench); the two ambiguous names include their synset."""
    rows = list(csv.DictReader(io.StringIO(files("viz.models").joinpath("imagenet1k.csv").read_text())))
    names = Counter(r["name"] for r in rows)
    return tuple(r["name"] if names[r["name"]] == 1 else f"{r['name']} ({r['synset']})" for r in rows)


def labels_for(classes: int) -> tuple[str, ...]:
    """Class names of a classifier with that many outputs: ImageNet's for 1000, else numbers."""
    return imagenet_labels() if classes == 1000 else tuple(f"class {i}" for i in range(classes))


def _is_card(text: str) -> bool:
    try:
        data = json.loads(text)
    except (ValueError, RecursionError):
        return False
    return isinstance(data, dict) and {"name", "title", "network"} <= set(data)


def read_cards(folder: Path, *, strict: bool = True) -> dict[str, ModelCard]:
    """All cards of a folder, by name, in a fixed order (plain networks first).

    Args:
        strict: False skips JSON files that are not cards.
    """
    small = [path for path in sorted(folder.glob("*.json")) if path.stat().st_size <= MAX_CARD]
    texts = {path.name: path.read_text(encoding="utf-8", errors="replace") for path in small}
    cards = [card_from_json(text, name) for name, text in texts.items() if strict or _is_card(text)]
    return {card.name: card for card in sorted(cards, key=lambda c: (c.family is not None, c.name))}
