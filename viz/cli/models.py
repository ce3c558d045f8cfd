"""``searchlight models``: list the models that can be loaded, from their cards; no network is built."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from viz.cli.options import add


def add_models(commands: Any) -> None:
    """Add the command to a parser's commands."""
    p = commands.add_parser("models", help="list the models", description="List the models that can be loaded.")
    p.add_argument("--json", action="store_true", help="print the full card of each model as JSON")
    add(p, "--models")
    p.set_defaults(run=_models)


def _models(args: argparse.Namespace) -> int:
    from viz.models.catalogue import Catalogue
    from viz.picture import text_name

    catalogue = Catalogue(Path(args.models) if args.models else None)
    if args.json:
        cards: list[dict[str, Any]] = [card.as_json() for card in catalogue.cards.values()]
        cards += [{"name": n, "origin": "published", "file": text_name(p.name)} for n, p in catalogue.files.items()]
        print(json.dumps(cards, indent=1, ensure_ascii=False))
        return 0
    rows = [("NAME", "FAMILY", "STEPS", "TITLE")]
    rows += [(c.name, c.family or "none", str(c.steps), c.title) for c in catalogue.cards.values()]
    rows += [(n, "?", "?", f"published checkpoint {text_name(p.name)}") for n, p in catalogue.files.items()]
    widths = [max(len(r[i]) for r in rows) for i in range(3)]
    for row in rows:
        print("  ".join([*(text.ljust(w) for text, w in zip(row, widths, strict=False)), row[3]]).rstrip())
    return 0
