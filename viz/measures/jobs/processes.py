"""The processes of one run: a single one, or many under ``torchrun`` on one or several machines.

Only text is exchanged (finished chunks, their lines), so gloo is enough. With GPUs, NCCL is opened as well, and a final
sum over it shows that all processes took part.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist

from viz.errors import VizError

# The slowest process may still be at its last chunks while the others wait.
PATIENCE = timedelta(hours=24)


@dataclass(frozen=True)
class Processes:
    """This process: `rank` of `world` processes, `local` rank on its own machine. A single process is 0 of 1."""

    rank: int = 0
    world: int = 1
    local: int = 0

    @property
    def first(self) -> bool:
        """Whether this process writes the results."""
        return self.rank == 0

    def everyone(self, value: Any) -> list[Any]:
        """The values of all processes, in order of rank."""
        if self.world == 1:
            return [value]
        out: list[Any] = [None] * self.world
        dist.all_gather_object(out, value)
        return out

    def total(self, count: int, device: torch.device) -> int:
        """Sum of a number over the processes, through NCCL on GPUs."""
        if self.world == 1:
            return count
        number = torch.tensor([count], dtype=torch.int64, device=device if device.type == "cuda" else "cpu")
        dist.all_reduce(number)
        return int(number.item())

    def device(self, asked: str) -> str:
        """The device of this process: with several processes, ``auto`` and ``cuda`` mean the GPU of its local rank."""
        if asked in ("auto", "cuda") and self.world > 1 and torch.cuda.is_available():
            return f"cuda:{self.local % torch.cuda.device_count()}"
        return asked


def whoami() -> Processes:
    """This process, from the variables that ``torchrun`` sets.

    Raises:
        VizError: a variable is not a whole number, or the rank is out of range.
    """
    if "RANK" not in os.environ or "WORLD_SIZE" not in os.environ:
        return Processes()
    try:
        found = Processes(*(int(os.environ.get(name, "0")) for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK")))
    except ValueError:
        raise VizError("RANK, WORLD_SIZE and LOCAL_RANK must be whole numbers, as torchrun sets them.") from None
    if not 0 <= found.rank < found.world:
        raise VizError(f"RANK {found.rank} must be at least 0 and less than WORLD_SIZE {found.world}.")
    return found


@contextmanager
def joined(device: str = "auto") -> Iterator[Processes]:
    """Connect to the other processes while the block runs; a single process connects to nothing."""
    me = whoami()
    if me.world == 1:
        yield me
        return
    cuda = torch.cuda.is_available() and device != "cpu"
    if cuda:
        torch.cuda.set_device(me.local % torch.cuda.device_count())
    dist.init_process_group("cpu:gloo,cuda:nccl" if cuda else "gloo", timeout=PATIENCE)
    try:
        yield me
    finally:
        dist.destroy_process_group()
