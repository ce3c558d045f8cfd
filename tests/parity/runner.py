"""Runs one case and judges it: the largest relative error over its arrays against its tolerance."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from tests.parity.case import Case, MismatchError, NotUnderstoodError, read_case
from tests.parity.families import FAMILIES

FIXTURES = Path(__file__).parents[1] / "fixtures" / "parity"
# An argmax over pixels may turn where two scores are all but equal.
ARGMAX_SHARE = 0.001


@dataclass(frozen=True)
class Verdict:
    """`status` is ``ok``, ``failed`` or ``not understood``; `error` the largest relative error, `where` its array."""

    case: str
    status: str
    error: float = float("nan")
    where: str = ""
    reason: str = ""

    def line(self) -> str:
        number = "" if np.isnan(self.error) else f"{self.error:.2e}"
        detail = " ".join(part for part in (self.where, self.reason) if part)
        return f"{self.status:<14} {number:>8}  {self.case}  {detail}".rstrip()


def find_cases(directory: Path) -> list[Path]:
    """Every JSON file below a directory, in order."""
    return sorted(directory.rglob("*.json"))


def run_case(path: Path) -> Verdict:
    """The verdict on one manifest; never raises."""
    try:
        case = read_case(path)
        label = f"{case.family}/{case.name}"
    except (NotUnderstoodError, MismatchError) as error:
        status = "not understood" if isinstance(error, NotUnderstoodError) else "failed"
        return Verdict(str(path), status, reason=str(error))
    try:
        evaluate = FAMILIES.get(case.family)
        if evaluate is None:
            raise NotUnderstoodError(f"family {case.family!r}")
        with torch.inference_mode():
            produced = evaluate(case)
        return _judge(case, label, produced)
    except NotUnderstoodError as error:
        return Verdict(label, "not understood", reason=str(error))
    except MismatchError as error:
        return Verdict(label, "failed", reason=str(error))
    except Exception as error:  # a crash is a failed case, not the end of the run
        return Verdict(label, "failed", reason=f"{type(error).__name__}: {error}".splitlines()[0])


def _judge(case: Case, label: str, produced: Mapping[str, NDArray[Any]]) -> Verdict:
    absent = [name for name in case.expected if name not in produced]
    if absent:
        raise NotUnderstoodError(f"{len(absent)} array(s) such as {absent[0]!r}")
    judged = [
        (*compare(name, np.asarray(produced[name]), expected, case.tolerance), name)
        for name, expected in case.expected.items()
    ]
    beyond = [entry for entry in judged if entry[0] > entry[1]]
    error, _, where = max(beyond or judged)
    if beyond:
        return Verdict(label, "failed", error, where, f"({len(beyond)} of {len(judged)} arrays beyond)")
    return Verdict(label, "ok", error, where, f"(tolerance {case.tolerance:g}, {len(judged)} arrays)")


def compare(name: str, ours: NDArray[Any], theirs: NDArray[Any], tolerance: float) -> tuple[float, float]:
    """Error of an array and what is allowed; a difference in shape or a non-finite value is an infinite error.

    Floating point: ``max |difference| / max |expected|``. Integers must be equal: the error is the share that differs.
    """
    if ours is theirs:  # an input that the case starts from; it may hold NaN on purpose
        return 0.0, tolerance
    if ours.shape != theirs.shape or (theirs.dtype.kind in "iub") != (ours.dtype.kind in "iub"):
        return float("inf"), tolerance
    if theirs.size == 0:
        return 0.0, tolerance
    if theirs.dtype.kind in "iub":
        share = float((ours.astype(np.int64) != theirs.astype(np.int64)).mean())
        return share, ARGMAX_SHARE if name.endswith("argmax") and theirs.ndim > 1 else 0.0
    difference = float(np.abs(ours.astype(np.float64) - theirs.astype(np.float64)).max())
    scale = float(np.abs(theirs.astype(np.float64)).max())
    if difference == 0 and np.isfinite(scale):
        return 0.0, tolerance
    finite = np.isfinite(difference) and np.isfinite(scale) and scale > 0
    return difference / scale if finite else float("inf"), tolerance
