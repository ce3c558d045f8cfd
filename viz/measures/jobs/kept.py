"""What of an earlier run is kept: its request must be the same one, and each of its rows must pass the task's check."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

Row = dict[str, Any]
# What a request's entry decides, for the sentence that refuses another request.
_WORDS = {
    "versions": "versions of Searchlight or its libraries",
    "device": "device",
    "model": "model or checkpoint file",
    "models": "models or checkpoint files",
    "data": "pictures in the data set",
}


@dataclass(frozen=True)
class Check:
    """What the rows of a finished chunk are worth today.

    Attributes:
        whole: they are what the task wrote there. changed: pictures that are not what they were made from.
        shared: something that all rows are made with has changed.
    """

    whole: bool = True
    changed: frozenset[str] = frozenset()
    shared: bool = False

    @property
    def good(self) -> bool:
        """Whether they can be kept."""
        return self.whole and not self.changed and not self.shared


Checker = Callable[[int, list[Row]], Check]


@dataclass
class Forgotten:
    """What was taken away from a journal, beside failed rows.

    Attributes:
        damaged: lines. changed: pictures. shared: see `Check`. outdated: all rows, of a version without digests.
    """

    damaged: int = 0
    changed: set[str] = field(default_factory=set)
    shared: bool = False
    outdated: bool = False

    def words(self) -> list[str]:
        """Sentences for the user; none where nothing was taken away."""
        said = []
        if self.outdated:
            said.append("Finished rows of an earlier version hold no digests of their files; all are measured again.")
        if self.damaged:
            what = "1 line" if self.damaged == 1 else f"{self.damaged} lines"
            said.append(f"{what} of finished rows cannot be used (damaged or altered); that part is measured again.")
        if len(self.changed) == 1:
            said.append("1 picture, its mask or its annotation changed since the last run: it is measured again.")
        elif self.changed:
            count = len(self.changed)
            said.append(
                f"{count} pictures, their masks or annotations changed since the last run: they are measured again."
            )
        if self.shared:
            said.append("All rows share values made of all pictures (mean gates), so all are measured again.")
        return said


def request_key(request: dict[str, Any]) -> str:
    """A short name of what was asked for: the same for the same request only."""
    return sha256(json.dumps(request, sort_keys=True, ensure_ascii=True).encode()).hexdigest()[:16]


def without_digests(old: Any, request: Row) -> bool:
    """Whether a folder's request is the same one, of a version whose rows held no digests of their files."""
    if not isinstance(old, dict) or "rows" in old or "rows" not in request:
        return False
    return _differing(old, request) <= {"data", "rows"}


def _differing(old: Row, request: Row) -> set[str]:
    """Entries in which two requests differ."""
    texts = [{k: json.dumps(v, sort_keys=True) for k, v in one.items()} for one in (old, request)]
    return {k for k in {*old, *request} if texts[0].get(k) != texts[1].get(k)}


def differences(old: Any, request: Row) -> str:
    """In which way a folder's request is another one, in words."""
    names = sorted(_differing(old, request)) if isinstance(old, dict) else []
    return " and ".join(dict.fromkeys(_WORDS.get(name, "options") for name in names)) or "options"
