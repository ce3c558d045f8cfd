"""The table of mutants: ``*.toml`` beside this file."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
FILES = ("named.toml", "further.toml")


@dataclass(frozen=True)
class Mutant:
    """One fault.

    Attributes:
        name: unique. file: path from the root. old: a text that occurs exactly once in it. new: what takes its place.
        tests: pytest's arguments (files, node ids) that must fail.
    """

    name: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]


def mutants() -> tuple[Mutant, ...]:
    """All mutants, in the order of the table."""
    rows = [row for name in FILES for row in tomllib.loads((Path(__file__).parent / name).read_text())["mutant"]]
    return tuple(Mutant(r["name"], r["file"], r["old"], r["new"], tuple(r["tests"])) for r in rows)
