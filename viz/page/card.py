"""Model cards on the page."""

from __future__ import annotations

from viz.models.catalogue import Catalogue
from viz.models.paths import bundled


def card_markdown(catalogue: Catalogue, name: str) -> str:
    """Markdown of a model's card: the written card of a bundled model, or what is known of another checkpoint."""
    card = catalogue.cards.get(name) or catalogue.seen.get(name)
    if card is None:
        return (
            f"**{name}** is a checkpoint file from the operator's folder. Its configuration is read from its keys when "
            "it is first used. Its accuracy was not measured here."
        )
    written = bundled("checkpoints") / f"{card.name}.md"
    if card.origin == "bundled" and written.is_file():
        return written.read_text(encoding="utf-8")
    lines = [f"**{card.title}**", card.task, f"Source: {card.source}. Licence: {card.licence}.", *card.notes]
    if card.deviations:
        lines.append("Where code and paper differ:\n\n" + "\n".join(f"- {d}" for d in card.deviations))
    if card.sha256:
        lines.append(f"sha256 `{card.sha256}`")
    return "\n\n".join(line for line in lines if line)
