"""The golden data: kept as JSON with one entry a line, compared entry by entry."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np

from tests.golden.entries import Entries
from tests.golden.measure import TOLERANCE

HERE = Path(__file__).parent
Kind = Literal["values", "records"]


@dataclass
class Golden:
    """Entries by case, and where they were made.

    Attributes:
        fingerprint: see `tests.golden.machine`. commit: whose code and generator made them.
    """

    cases: dict[str, Entries] = field(default_factory=dict)
    fingerprint: dict[str, str] = field(default_factory=dict)
    commit: str = ""


@dataclass(frozen=True)
class Difference:
    """One entry that is not as it was.

    Attributes:
        kind: ``values`` must never differ; ``records`` may, by a commit of its own.
        what: ``changed``, ``lost``, ``new`` or ``renamed``.
    """

    case: str
    entry: str
    kind: Kind
    what: str

    def __str__(self) -> str:
        return f"{self.kind}: {self.case}: {self.entry}: {self.what}"


def save(golden: Golden, folder: Path = HERE, *, rows_of: Iterable[str] = ()) -> None:
    """Write the data.

    Args:
        rows_of: cases whose arrays are also kept in short, for a comparison that is not exact.
    """
    kinds: tuple[Kind, ...] = ("values", "records")
    for kind in kinds:
        _write(folder / f"{kind}.json", {name: getattr(of, kind) for name, of in golden.cases.items()})
    _write(folder / "made.json", {"commit": golden.commit, "fingerprint": golden.fingerprint})
    short = {f"{case}/{name}": row for case in rows_of for name, row in golden.cases[case].rows.items()}
    names = sorted(short)
    rows = np.array([short[n] for n in names], np.float32)
    np.savez_compressed(folder / "short.npz", names=np.array(names), rows=rows)


def _write(path: Path, data: object) -> None:
    path.write_text(json.dumps(data, indent=0, ensure_ascii=False, sort_keys=True) + "\n", encoding="utf-8")


def load(folder: Path = HERE) -> Golden:
    """The stored data."""
    values, records, made = (
        json.loads((folder / f"{name}.json").read_text(encoding="utf-8")) for name in ("values", "records", "made")
    )
    found = {name: Entries(values.get(name, {}), records.get(name, {})) for name in values.keys() | records.keys()}
    with np.load(folder / "short.npz") as short:
        for full, row in zip(short["names"], short["rows"], strict=True):
            # A case's name has no point, and the file's, which comes next, has one.
            case = next(c for c in found if str(full).startswith(f"{c}/"))
            found[case].rows[str(full)[len(case) + 1 :]] = [float(v) for v in row]
    return Golden(found, made["fingerprint"], made["commit"])


# ---------------------------------------------------------------- comparing


def differences(case: str, ours: Entries, golden: Entries) -> list[Difference]:
    """What differs of one case, exactly."""
    return [*_values(case, ours.values, golden.values), *_records(case, ours.records, golden.records)]


def _records(case: str, ours: Mapping[str, str], golden: Mapping[str, str]) -> list[Difference]:
    found = [Difference(case, n, "records", "new") for n in ours if n not in golden]
    for name, was in golden.items():
        if ours.get(name) != was:
            found.append(Difference(case, name, "records", "changed" if name in ours else "lost"))
    return found


def _values(case: str, ours: Mapping[str, str], golden: Mapping[str, str]) -> list[Difference]:
    """Names of arrays belong to the record: a value that is there under another name in the same file is no other one.

    A value whose old name is still there counts as changed: two that changed places are two wrong values. Only names
    that end in a number say nothing but a place.
    """
    found = []
    left = Counter((_file(n), h) for n, h in ours.items() if golden.get(n) != h)
    taken = set()
    for name, was in golden.items():
        if ours.get(name) == was:
            continue
        if (name not in ours or "#" in name) and left[_file(name), was]:
            left[_file(name), was] -= 1
            taken.add((_file(name), was))
            found.append(Difference(case, name, "records", "renamed"))
        else:
            found.append(Difference(case, name, "values", "changed" if name in ours else "lost"))
    for name, now in ours.items():
        if name not in golden and (_file(name), now) not in taken:
            found.append(Difference(case, name, "records", "new"))
    return found


def _file(name: str) -> str:
    return name.partition(": ")[0]


def far(case: str, ours: Entries, golden: Entries) -> list[Difference]:
    """What differs of the arrays that are kept in short by more than rounding does; for machines of another kind."""
    found = []
    for name, row in golden.rows.items():
        if name not in ours.rows:
            found.append(Difference(case, name, "values", "lost"))
        elif not _near(np.array(ours.rows[name]), np.array(row)):
            found.append(Difference(case, name, "values", "changed"))
    return found


def _near(ours: np.ndarray, golden: np.ndarray) -> bool:
    if ours[0] != golden[0] or (np.isfinite(ours) != np.isfinite(golden)).any():
        return False
    finite = np.isfinite(golden[1:])
    size = max(float(np.abs(golden[1:][finite]).max(initial=0)), 1e-6)
    return float(np.abs(ours[1:] - golden[1:])[finite].max(initial=0)) <= TOLERANCE * size
