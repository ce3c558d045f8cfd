"""The model card as the page shows it."""

from __future__ import annotations

from viz.zoo.catalogue import Catalogue
from viz.zoo.paths import bundled


def card_markdown(catalogue: Catalogue, name: str) -> str:
    """Markdown of a model's card: the written card of a bundled model, what is known of a brought file."""
    card = catalogue.bundled.get(name)
    if card is None:
        return (
            f"**{name}** is a checkpoint file from the operator's folder. Its configuration is read from its keys when "
            "it is first used; its accuracy was not measured here."
        )
    written = bundled("checkpoints") / f"{card.name}.md"
    if written.is_file():
        return written.read_text(encoding="utf-8")
    return f"**{card.title}**\n\n{card.task}\n\nLicence: {card.licence}. Source: {card.source}."
