"""Torch's global settings while Searchlight computes, independent of the caller's.

A record states the number format of its pass, and a loaded model is reused. While they run, public functions therefore
leave the caller's ``inference_mode``, ``no_grad``, ``autocast``, default device and default dtype.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import torch

# The process that imported this module. A forked child lacks the OpenMP threads that were started before the fork, and
# a computation with more than one thread would wait for them forever.
_PROCESS = os.getpid()
_AUTOCAST = ("cpu", "cuda", "mps", "xpu")


class _DefaultFloat32:
    """Keeps the default dtype float32 while at least one thread is inside; torch has one for the whole process."""

    def __init__(self) -> None:
        self._lock, self._inside, self._before = threading.Lock(), 0, torch.float32

    @contextmanager
    def __call__(self) -> Iterator[None]:
        with self._lock:
            if self._inside == 0:
                self._before = torch.get_default_dtype()
                if self._before != torch.float32:
                    torch.set_default_dtype(torch.float32)
            self._inside += 1
        try:
            yield
        finally:
            with self._lock:
                self._inside -= 1
                if self._inside == 0 and self._before != torch.float32:
                    torch.set_default_dtype(self._before)


_default_float32 = _DefaultFloat32()


@contextmanager
def plain_torch() -> Iterator[None]:
    """Leave the caller's settings while the block runs; also a decorator (``@plain_torch()``).

    In a forked process torch is limited to one thread for good.
    """
    if os.getpid() != _PROCESS and torch.get_num_threads() > 1:
        torch.set_num_threads(1)
    with ExitStack() as stack:
        stack.enter_context(torch.inference_mode(False))
        stack.enter_context(torch.enable_grad())
        for kind in _AUTOCAST:
            if torch.is_autocast_enabled(kind):
                stack.enter_context(torch.autocast(kind, enabled=False))
        if torch.empty(0).device.type != "cpu":
            stack.enter_context(torch.device("cpu"))
        stack.enter_context(_default_float32())
        yield
