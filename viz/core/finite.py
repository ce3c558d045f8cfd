"""Values that are not finite: a pass that overflowed is an error or a note, never a number and never a 0.

Without an answer there is nothing to explain: `check_answer` raises. Other values are kept as they are, drawn as no
data, and named in the notes of whatever shows them.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from viz.errors import NotFiniteError

# Further values are counted, not named.
MOST_NAMED = 6


def finite(value: float | None) -> float | None:
    """The value for JSON, which has no infinity and no NaN: None where it is not finite."""
    return None if value is None or not math.isfinite(value) else float(value)


def missing(values: NDArray[np.floating]) -> int:
    """How many of the values are NaN or infinite."""
    return int(values.size - np.isfinite(values).sum())


def cause(precision: str) -> str:
    """What makes a pass overflow, and what to do, in a sentence."""
    if precision == "float32":
        return "The pass overflowed, although every weight is finite: are these the weights of this network?"
    return f"The pass overflowed in {precision}; use float32."


def check_answer(logits: NDArray[np.floating], model: str, precision: str) -> None:
    """Refuse an answer that is not finite.

    Args:
        logits: of all steps. model: its name. precision: number format of the pass.

    Raises:
        NotFiniteError: with a sentence that says how many values, and what to do.
    """
    lost = missing(logits)
    if lost:
        raise NotFiniteError(
            f"The answer of {model} on this picture is not finite ({lost} of {logits.size} logits). {cause(precision)}"
        )


def notes_on(named: Iterable[tuple[str, NDArray[np.floating]]], precision: str) -> tuple[str, ...]:
    """Sentences on values that are not finite; none where all are.

    Args:
        named: what the values are, in words, and the values.
    """
    lost = [(name, missing(values), values.size) for name, values in named]
    lost = [(name, count, size) for name, count, size in lost if count]
    if not lost:
        return ()
    said = [f"{name}: {count} of {size} values are not finite." for name, count, size in lost[:MOST_NAMED]]
    if len(lost) > MOST_NAMED:
        said.append(f"{len(lost) - MOST_NAMED} further captured values are not finite.")
    return (*said, f"Where a value is not finite, nothing is drawn. {cause(precision)}")
