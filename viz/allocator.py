"""What the C library does with freed memory: a command keeps it for the next batch, the page gives it back."""

from __future__ import annotations

import ctypes
import sys
from typing import Any

# Names and numbers of glibc's malloc.h.
_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -2, -3, -8
_MIB = 2**20


def keep_memory() -> bool:
    """Let the C library keep freed blocks of up to 32 MiB, for the rest of the process.

    A network frees and asks for the same megabytes with every picture. Given back each time, every page of them must be
    cleared by the kernel again, which takes a third of the time of an evaluation (benchmarks/README.md). For programs
    that do nothing else, such as the commands over data sets; results do not depend on it.

    Returns:
        Whether it was done: on Linux with glibc alone.
    """
    return _set(((_MMAP_THRESHOLD, 32 * _MIB), (_TRIM_THRESHOLD, 2048 * _MIB - 1), (_TOP_PAD, 64 * _MIB)))


def share_memory() -> bool:
    """Let all threads started from now on share one heap, for the rest of the process.

    glibc otherwise gives threads heaps of their own, and what one thread freed no other can use: a page with several
    visitors would hold the peak of each. For the page, before it starts its threads; results do not depend on it.

    Returns:
        Whether it was done: on Linux with glibc alone.
    """
    # Blocks of up to 32 MiB are used again within one computation; `give_back` returns them after it.
    return _set(((_ARENA_MAX, 1), (_MMAP_THRESHOLD, 32 * _MIB), (_TRIM_THRESHOLD, 64 * _MIB)))


def give_back() -> bool:
    """Return freed memory to the system now; without it gigabytes stay after many passes with gradients.

    It takes about a millisecond where little was freed, and a few hundred for a gigabyte (benchmarks/README.md).

    Returns:
        Whether there was memory to return: on Linux with glibc alone.
    """
    trim = _function("malloc_trim")
    if trim is None:
        return False
    trim.argtypes, trim.restype = [ctypes.c_size_t], ctypes.c_int
    return bool(trim(0))


def _set(wanted: tuple[tuple[int, int], ...]) -> bool:
    mallopt = _function("mallopt")
    if mallopt is None:
        return False
    mallopt.argtypes, mallopt.restype = [ctypes.c_int, ctypes.c_int], ctypes.c_int
    done = [mallopt(name, value) == 1 for name, value in wanted]
    return all(done)


def _function(name: str) -> Any:
    """A function of the C library, or None where it has none of that name (musl, macOS, Windows)."""
    if not sys.platform.startswith("linux"):
        return None
    try:
        return getattr(ctypes.CDLL(None), name)
    except (OSError, AttributeError):
        return None
