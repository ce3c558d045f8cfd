"""Settings of the C library's allocator: commands keep freed memory for the next batch, the page returns it.

All functions return whether they took effect, which is on Linux with glibc alone. Results do not depend on them.
"""

from __future__ import annotations

import ctypes
import sys
from typing import Any

# Names and numbers of glibc's malloc.h.
_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -2, -3, -8
_MIB = 2**20


def keep_memory() -> bool:
    """Keep freed blocks of up to 32 MiB for the rest of the process, for commands over data sets.

    A network frees and requests the same megabytes with every picture. If each block were returned, the kernel would
    have to clear its pages again, which takes a third of the time of an evaluation (benchmarks/README.md).
    """
    return _set(((_MMAP_THRESHOLD, 32 * _MIB), (_TRIM_THRESHOLD, 2048 * _MIB - 1), (_TOP_PAD, 64 * _MIB)))


def share_memory() -> bool:
    """Let all threads started from now on share one heap, for the page before it starts its threads.

    By default glibc gives threads their own heaps, and no thread can use what another freed: a page with several
    visitors would hold the peak of each.
    """
    # Blocks of up to 32 MiB are reused within one computation; `give_back` returns them after it.
    return _set(((_ARENA_MAX, 1), (_MMAP_THRESHOLD, 32 * _MIB), (_TRIM_THRESHOLD, 64 * _MIB)))


def give_back() -> bool:
    """Return freed memory to the system now; otherwise gigabytes stay after many passes with gradients.

    This takes about a millisecond if little was freed, and a few hundred per gigabyte (benchmarks/README.md).
    """
    trim = _function("malloc_trim", ctypes.c_size_t)
    return trim is not None and bool(trim(0))


def _set(wanted: tuple[tuple[int, int], ...]) -> bool:
    mallopt = _function("mallopt", ctypes.c_int, ctypes.c_int)
    if mallopt is None:
        return False
    done = [mallopt(name, value) == 1 for name, value in wanted]
    return all(done)


def _function(name: str, *arguments: Any) -> Any:
    """A function of the C library that returns an int, or None if it does not exist (musl, macOS, Windows)."""
    if not sys.platform.startswith("linux"):
        return None
    try:
        found = getattr(ctypes.CDLL(None), name)
    except (OSError, AttributeError):
        return None
    found.argtypes, found.restype = arguments, ctypes.c_int
    return found
