"""Model cards: a JSON file, and a page of Markdown made from it.

The text of a card (title, task, deviations, limits) is written by hand in its JSON file in ``checkpoints/``; the
commands add the measured values and write both files again.
"""

from __future__ import annotations

import json
import math
import platform
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from recipes.readings import Figures
from viz.models.reading import Checkpoint, read_checkpoint

Card = dict[str, Any]
WORDS = Path(__file__).parents[1] / "checkpoints"
# Seed of the bundled weights.
SHIPPED = 0
MEASURED_ON = "On pictures never trained on and not used for choices; 95 % bootstrap intervals."


def versions() -> dict[str, str]:
    """Versions of the software that the figures depend on."""
    return {"python": platform.python_version(), "torch": torch.__version__, "numpy": np.__version__}


def bar(what: str, asked: float, measured: float) -> dict[str, Any]:
    """A bar: the required value, the measured one and whether it is met; None if nothing was measured."""
    known = math.isfinite(measured)
    return {
        "bar": what,
        "at_least": round(asked, 4),
        "measured": round(measured, 4) if known else None,
        "met": measured >= asked if known else None,
    }


def listed(figures: Figures) -> list[dict[str, Any]]:
    """Figures as a flat list of rows: set, name, value, interval, n."""
    return [{"set": group, "name": name, **f} for group, rows in figures.items() for name, f in rows.items()]


def ship(weights: Path, folder: Path, name: str) -> Checkpoint:
    """Copy a weights file into the folder of the cards."""
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / f"{name}.safetensors"
    shutil.copyfile(weights, target)
    target.chmod(0o644)
    return read_checkpoint(target)


def words_of(name: str) -> Card:
    """The card in ``checkpoints/``, for its text."""
    card: Card = json.loads((WORDS / f"{name}.json").read_text())
    return card


def module_card(file: Checkpoint, figures: Figures, facts: Mapping[str, Any], measured: Mapping[str, Any]) -> Card:
    """The card of a trained module.

    Args:
        file: the bundled one. figures: of its seed. facts: of the data. measured: further entries: bars, curve, costs.
    """
    card = words_of(file.name.removesuffix(".safetensors"))
    updated = {
        "sha256": file.sha256,
        "bytes": file.size,
        "data": {"folders": card["data"]["folders"], **facts},
        "recipe": json.loads(str(file.metadata["recipe"])),
        "seed": SHIPPED,
        "minutes": float(file.metadata["minutes"]),
        "versions": versions(),
        "figures": listed(figures),
    }
    return card | updated | dict(measured)


def write_card(folder: Path, card: Card, page: Iterable[str]) -> None:
    """Write both files; `page` is the card's page, block by block."""
    (folder / f"{card['name']}.json").write_text(json.dumps(card, indent=1) + "\n")
    (folder / f"{card['name']}.md").write_text("\n\n".join(page) + "\n")


def grid(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table."""
    lines = ["|" + "".join(f" {h} |" if h else " |" for h in head), "|" + " --- |" * len(head)]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)])


def bullets(items: Iterable[str]) -> str:
    """A list."""
    return "\n".join(f"- {item}" for item in items)


def folders_of(card: Card) -> list[str]:
    """Name and licence of the folders of pictures."""
    return [f"{d['name']}: {d['licence']}" for d in card["data"]["folders"]]


def pairs(values: Mapping[str, Any]) -> str:
    """``key value; key value``."""
    return "; ".join(f"{k} {v}" for k, v in values.items())


def said(met: bool | None) -> str:
    """Whether a bar is met, in words."""
    return "not measured" if met is None else "met" if met else "MISSED"


def bar_row(one: Mapping[str, Any]) -> list[str]:
    """A bar's cells in a table."""
    return [one["bar"], str(one["at_least"]), str(one["measured"]), said(one["met"])]


def figure_tables(card: Card, titles: Mapping[str, str], words: Mapping[str, str]) -> list[str]:
    """A title and a table of the figures for each set in `titles`; `words` explains the names of figures."""

    found = []
    for group, title in titles.items():
        rows = {words.get(f["name"]) or name_in_words(f["name"]): f for f in card["figures"] if f["set"] == group}
        found += [f"### {title}", figure_table(rows)]
    return found


def figure_table(rows: Mapping[str, Mapping[str, float]]) -> str:
    """A table of figures by name."""
    head = ["figure", "value", "95 %", "n"]
    cells = [
        [name, f"{f['value']:.3f}", f"{f['low']:.3f} to {f['high']:.3f}", f"{f['n']:.0f}"] for name, f in rows.items()
    ]
    return grid(head, cells)


def earlier(history: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Figures of earlier weights under the same name, and why they were not enough."""
    for one in history:
        yield f"## Weights before these, as of commit {one['commit']}"
        yield f"{one['why']} Their file had the sha256 `{one['sha256']}`."
        yield figure_table({f["figure"]: f for f in one["figures"]})


def name_in_words(name: str) -> str:
    """A figure's name in words: ``box_iou_0.5_step1`` reads "box at IoU 0.5 (...), step 1"."""
    if name.startswith("box_iou_"):
        delta, _, step = name.removeprefix("box_iou_").partition("_step")
        return f"box at IoU {delta} (cross-validated threshold), step {step}"
    return name.replace("_", " ")
