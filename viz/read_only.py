"""Arrays that stay read-only in another process: numpy forgets the flag when an array is pickled or copied."""

from __future__ import annotations

from typing import Any

import numpy as np


class ReadOnlyArrays:
    """Base of dataclasses whose arrays, also those in tuples, are read-only from the start and in every copy."""

    def __post_init__(self) -> None:
        _lock(vars(self))

    def __setstate__(self, state: dict[str, Any]) -> None:
        _lock(state)
        self.__dict__.update(state)


def _lock(values: dict[str, Any]) -> None:
    for value in values.values():
        for array in value if isinstance(value, tuple) else (value,):
            if isinstance(array, np.ndarray):
                array.setflags(write=False)
