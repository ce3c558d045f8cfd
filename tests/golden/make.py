"""Makes cases and tells of each how it went."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterable
from fnmatch import fnmatch
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.golden.cases import Case, GoldenError, Tools, cases
from tests.golden.entries import Entries, entries_of
from tests.golden.machine import one_thread

Tell = Callable[[str], None]


def chosen(only: Iterable[str]) -> list[Case]:
    """The cases whose names fit one of the patterns, or hold it; all where there is no pattern.

    Raises:
        GoldenError: a pattern that fits none.
    """
    patterns, known = list(only), cases()
    fitting = {p: [c.name for c in known if p in c.name or fnmatch(c.name, p)] for p in patterns}
    for pattern, names in fitting.items():
        if not names:
            raise GoldenError(f"No case fits {pattern!r}.")
    return [c for c in known if not patterns or any(c.name in names for names in fitting.values())]


def make(asked: Iterable[Case], *, drawn: bool = True, tell: Tell = lambda line: None) -> dict[str, Entries]:
    """Entries by case.

    Args:
        drawn: draw SVG in Chromium, too. tell: gets a line for each case.
    """
    todo, found = list(asked), {}
    with one_thread(), Tools() as tools:
        for number, case in enumerate(todo, 1):
            started, used = time.monotonic(), time.process_time()
            found[case.name] = one = _one(case, tools, drawn=drawn)
            took, busy = time.monotonic() - started, time.process_time() - used
            counts = f"{len(one.values)} values, {len(one.records)} records"
            tell(f"[{number}/{len(todo)}] {case.name}: {counts}, {took:.1f} s ({busy:.1f} s of this process)")
    return found


def _one(case: Case, tools: Tools, *, drawn: bool) -> Entries:
    with TemporaryDirectory() as folder:
        path = Path(folder).resolve()
        case.fill(path, tools)
        gc.collect()
        has_svg = any(path.rglob("*.svg"))
        return entries_of(path, {path: "FOLDER", **tools.places}, tools.draw if drawn and has_svg else None)
