"""Plain values of results: JSON without NaN, and long rows of numbers."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any

from viz.measures.jobs.rows import Row

__all__ = ["DIGITS", "Row", "mean_of", "plain", "row"]
DIGITS = 6


def plain(value: Any) -> Any:
    """A result as JSON values: dataclasses as objects, numbers rounded to 6 digits, what is no number as None."""
    if is_dataclass(value) and not isinstance(value, type):
        return {f.name: plain(getattr(value, f.name)) for f in fields(value)}
    if isinstance(value, bool | int | str) or value is None:
        return value
    if isinstance(value, float):
        return round(value, DIGITS) if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    return [plain(v) for v in value]


def row(control: str, source: str, variant: str, measure: str, value: float) -> Row:
    """One number of one control; `source` is empty where the control reads no map."""
    return {"control": control, "source": source, "variant": variant, "measure": measure, "value": float(value)}


def mean_of(values: list[float] | tuple[float, ...]) -> float:
    """Mean of the finite values, NaN where there is none."""
    good = [v for v in values if math.isfinite(v)]
    return sum(good) / len(good) if good else math.nan
