"""Memory that a long run needs again for the next batch stays with the process."""

from __future__ import annotations

import ctypes
import sys

# Names and numbers of glibc's malloc.h.
_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD = -1, -2, -3
_MIB = 2**20


def keep_memory() -> bool:
    """Let the C library keep freed blocks of up to 32 MiB, for the rest of the process.

    A network frees and asks for the same megabytes with every picture. Given back each time, every page of them must be
    cleared by the kernel again, which takes a third of the time of an evaluation (benchmarks/README.md). For programs
    that do nothing else, such as the commands over data sets; results do not depend on it.

    Returns:
        Whether it was done: on Linux with glibc alone.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    mallopt.argtypes, mallopt.restype = [ctypes.c_int, ctypes.c_int], ctypes.c_int
    wanted = ((_MMAP_THRESHOLD, 32 * _MIB), (_TRIM_THRESHOLD, 2048 * _MIB - 1), (_TOP_PAD, 64 * _MIB))
    done = [mallopt(name, value) == 1 for name, value in wanted]
    return all(done)
