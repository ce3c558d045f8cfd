"""Arrays in rows of JSON: small, exact, and read back as they were."""

from __future__ import annotations

import base64
import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray


def pack_bits(values: NDArray[np.bool_]) -> str:
    """Booleans of any shape, eight a byte."""
    return base64.b64encode(np.packbits(values.ravel()).tobytes()).decode()


def unpack_bits(text: str, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """The inverse of `pack_bits`."""
    count = int(np.prod(shape))
    bits = np.unpackbits(np.frombuffer(base64.b64decode(text), np.uint8), count=count)
    return bits.astype(bool).reshape(shape)


def pack_shares(values: NDArray[np.float64]) -> str:
    """Values from 0 to 1 in steps of 1/255: for ordering, not for counting."""
    return base64.b64encode(np.rint(values * 255).astype(np.uint8).tobytes()).decode()


def unpack_shares(text: str) -> NDArray[np.float64]:
    """The inverse of `pack_shares`, as float64 (L,)."""
    return np.frombuffer(base64.b64decode(text), np.uint8) / 255.0


def pack_counts(values: NDArray[np.integer[Any]]) -> str:
    """Whole numbers below 2**32, mostly zeros."""
    return base64.b64encode(zlib.compress(values.astype("<u4").tobytes(), 6)).decode()


def unpack_counts(text: str, shape: tuple[int, ...]) -> NDArray[np.int64]:
    """The inverse of `pack_counts`."""
    data = zlib.decompress(base64.b64decode(text))
    return np.frombuffer(data, "<u4").astype(np.int64).reshape(shape)
