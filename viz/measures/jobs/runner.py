"""Run a long task chunk by chunk: resumable, on one process or many, with the same rows in every case."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable
from functools import cached_property, lru_cache, partial
from pathlib import Path
from typing import Any

import torch

from viz.errors import VizError
from viz.measures.jobs.journal import Journal, throw_away
from viz.measures.jobs.processes import Processes
from viz.measures.jobs.rows import MADE_FROM, ROWS_FORM, Row, Stale, is_sealed, request_key, sealed
from viz.run.engine import versions

_log = logging.getLogger(__name__)
# Lines sent at once to the first process when machines share no disk.
SENT_AT_ONCE = 256
# Room for a sentence, but not for a whole page.
LONGEST_REASON = 300
# Identifies a row: numbers of model, data set and sample, or fewer of them from the end.
Place = tuple[int, ...]
Progress = Callable[[int], None]
Begin = Callable[[int, int], Progress]


def reason_of(error: Exception) -> str:
    """Why a picture could not be used, as its row stores it."""
    return str(error)[:LONGEST_REASON]


class Task(ABC):
    """A measurement over the samples of data sets, in chunks numbered from 0.

    The rows of a chunk depend on the request and the chunk's number alone, so the result depends neither on the number
    of processes nor on interruptions. A chunk is one batch: the network sees the same neighbours however the work is
    shared. Rows are plain JSON values without NaN. A picture that fails gives a row with the reason (``failed``) and
    never ends the run.

    Args:
        kind: of the task, part of the request. device: kind of device of the networks.

    Attributes:
        NAMES: entries of a row that identify it, in the order of a `Place`.
    """

    NAMES: tuple[str, ...] = ("i",)

    def __init__(self, kind: str, device: str) -> None:
        self._kind, self._device = kind, device
        # Each file is read once, not once for each model.
        self._now = lru_cache(maxsize=None)(self.made_from)

    @abstractmethod
    def asked_for(self) -> Row:
        """What decides the rows besides versions and device, as plain values."""

    @abstractmethod
    def chunks(self) -> int:
        """Number of chunks."""

    @abstractmethod
    def places(self, chunk: int) -> list[Place]:
        """Places of the chunk's rows, in order."""

    @abstractmethod
    def read(self, place: Place) -> Any:
        """What a row is measured from.

        Raises:
            VizError: the picture cannot be used; the row stores the reason.
        """

    @abstractmethod
    def measured(self, chunk: int, read: list[Any]) -> list[Row]:
        """The rows of what was read, in any order, not sealed."""

    @abstractmethod
    def made_from(self, sample: Place) -> str:
        """Digest of what a row would be made from now, whatever the model."""

    @abstractmethod
    def picture(self, place: Place) -> str:
        """The picture that a row belongs to; several rows may share one."""

    def shared(self) -> Row:
        """Entries that all rows have in common now."""
        return {}

    def request(self) -> Row:
        """Plain values that decide the rows."""
        # Sums differ in their last digits between libraries and devices: rows of two must not be mixed.
        common = {"kind": self._kind, "rows": ROWS_FORM, "versions": versions(), "device": self._device}
        return common | self.asked_for()

    @cached_property
    def key(self) -> str:
        """The request's key; it is part of every row's seal."""
        return request_key(self.request())

    def size(self, chunk: int) -> int:
        """Number of pictures in the chunk."""
        return len(self.places(chunk))

    def run(self, chunk: int) -> list[Row]:
        """The rows of one chunk."""
        rows: list[Row] = []
        read = []
        places = self.places(chunk)
        for place in places:
            try:
                read.append(self.read(place))
            except VizError as error:
                rows.append({"i": place[-1], "failed": reason_of(error)})
        rows = sorted(rows + (self.measured(chunk, read) if read else []), key=lambda row: int(row["i"]))
        heads = [dict(zip(self.NAMES, place, strict=True)) for place in places]
        return [sealed(head | row, self.key) for head, row in zip(heads, rows, strict=True)]

    def check(self, chunk: int, rows: list[Row]) -> Stale:
        """Whether rows of an earlier run are what this task wrote, from the files as they are now."""
        places = self.places(chunk) if 0 <= chunk < self.chunks() else []
        found = [tuple(row.get(name) for name in self.NAMES) for row in rows]
        if not places or found != places or not all(is_sealed(row, self.key) for row in rows):
            return Stale(damaged=1)
        changed = {p for p, row in zip(places, rows, strict=True) if row.get(MADE_FROM) != self._now(p[-2:])}
        shared = self.shared()
        return Stale(
            changed=frozenset(map(self.picture, changed)),
            shared=any(row.get(name) != value for row in rows for name, value in shared.items()),
        )


def run(
    task: Task,
    folder: Path,
    *,
    processes: Processes | None = None,
    device: torch.device | None = None,
    begin: Begin | None = None,
) -> Journal:
    """Run all chunks that are not finished yet. On the first process the returned journal holds every row.

    Rows of an earlier run that are no longer valid are measured again and logged as a warning.

    Args:
        folder: of the journal. The same call resumes an interrupted run.
        processes: default one process.
        device: of the networks, for the final sum over the processes.
        begin: called once with the numbers of pictures that are left to this process and that were finished before;
            returns what is called with the number of pictures after each chunk.

    Raises:
        VizError: the folder cannot be used, or holds a run with another request.
    """
    me = processes or Processes()
    journal = Journal(folder, task.request(), me.rank)
    try:
        everything = range(task.chunks())
        _forget(journal, me, task)
        done = set[int]().union(*me.everyone(journal.done() & set(everything)))
        mine = [c for c in everything if c not in done][me.rank :: me.world]
        count = sum(task.size(c) for c in done)
        progress = begin(sum(task.size(c) for c in mine), count) if begin else None
        for chunk in mine:
            journal.add(chunk, task.run(chunk))
            if progress:
                progress(task.size(chunk))
        me.total(len(mine), device or torch.device("cpu"))
        _collect(journal, me, set(everything))
        if me.first and not journal.done() >= set(everything):
            raise VizError(f"Rows in {folder} disappeared during the run; run the same command again.")
    finally:
        journal.close()
    return journal


def _forget(journal: Journal, me: Processes, task: Task) -> None:
    """Remove what must be measured again, on every machine, before anyone counts what is finished."""
    found = _by_machine(me, partial(journal.forget, task.check))
    if me.first:
        for sentence in sum(found, Stale()).words():
            _log.warning("%s", sentence)


def start_over(folder: Path, me: Processes) -> None:
    """Delete the finished rows of an earlier run, on every machine, before anyone reads them.

    Raises:
        VizError: another run is using the folder.
    """
    _by_machine(me, partial(throw_away, folder))


def _by_machine(me: Processes, work: Callable[[], Any]) -> list[Any]:
    """Results of what the first process of each machine does: machines may share no disk. The first process of all goes
    first; where machines share a disk, the others find nothing left to do."""
    found = []
    for turn in (me.first, me.local == 0 and not me.first):
        found += [one for one in me.everyone(work() if turn else None) if one is not None]
    return found


def _collect(journal: Journal, me: Processes, wanted: set[int]) -> None:
    """Send the first process the lines that are missing from its own folder (machines may share no disk)."""
    if me.world == 1:
        return
    # Everyone is past its last chunk here, so what the first process sees now is all that it shares.
    have = me.everyone(sorted(journal.done() & wanted))
    missing = wanted - set(have[0])
    owner: dict[int, int] = {}
    for rank, chunks in enumerate(have):
        for chunk in missing & set(chunks):
            owner.setdefault(chunk, rank)
    mine = sorted(c for c, rank in owner.items() if rank == me.rank)
    most = max(Counter(owner.values()).values(), default=0)
    for i in range(0, most, SENT_AT_ONCE):
        sent = me.everyone(list(journal.lines(mine[i : i + SENT_AT_ONCE])))
        if me.first:
            for line in (one for part in sent for one in part):
                journal.write(line)
