"""Values that are not finite: an overflow becomes an error or a note, never a number.

If the answer is not finite, `check_answer` raises. Other values are kept, drawn as missing, and reported in the notes.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from viz.errors import NotFiniteError

# Further values are only counted.
MOST_NAMED = 6


def finite(value: float | None) -> float | None:
    """The value for JSON: None if it is not finite."""
    return None if value is None or not math.isfinite(value) else float(value)


def missing(values: NDArray[np.floating]) -> int:
    """The number of values that are NaN or infinite."""
    return int(values.size - np.isfinite(values).sum())


def cause(precision: str) -> str:
    """A sentence on why a pass overflowed, and what to do."""
    if precision == "float32":
        return "The pass overflowed, although every weight is finite: are these the weights of this network?"
    return f"The pass overflowed in {precision}; use float32."


def check_answer(answer: NDArray[np.floating], model: str, precision: str, what: str = "logits") -> None:
    """Refuse the answer of all steps if it is not finite.

    Args:
        model: its name. precision: number format of the pass. what: kind of the values.

    Raises:
        NotFiniteError: with the number of values that are not finite.
    """
    lost = missing(answer)
    if lost:
        raise NotFiniteError(
            f"The answer of {model} on this picture is not finite ({lost} of {answer.size} {what}). {cause(precision)}"
        )


def notes_on(named: Iterable[tuple[str, NDArray[np.floating]]], precision: str) -> tuple[str, ...]:
    """Sentences on values that are not finite; `named` has the values with their names."""
    lost = [
        f"{name}: {count} of {values.size} values are not finite."
        for name, values in named
        if (count := missing(values))
    ]
    if not lost:
        return ()
    if len(lost) > MOST_NAMED:
        lost[MOST_NAMED:] = [f"{len(lost) - MOST_NAMED} further captured values are not finite."]
    return (*lost, f"Where a value is not finite, nothing is drawn. {cause(precision)}")
