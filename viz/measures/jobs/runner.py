"""Run a long task chunk by chunk: streaming, resumable, on one process or many, with the same rows in every case.

A `Task` knows how many chunks it has and makes the rows of one. What makes the result independent of the number of
processes and of interruptions is a rule for tasks: the rows of a chunk depend on the request and the chunk's number
alone (a chunk is one batch, so that the network sees the same neighbours however the work is shared).
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import torch

from viz.errors import VizError
from viz.measures.jobs.journal import Journal, throw_away
from viz.measures.jobs.kept import Checker, Forgotten, Row
from viz.measures.jobs.processes import Processes

_log = logging.getLogger(__name__)
# Lines sent at once to the first process when machines share no disk.
SENT_AT_ONCE = 256
# A full sentence a picture, not the text of a whole page.
LONGEST_REASON = 300


def reason_of(error: Exception) -> str:
    """Why a picture could not be used, as its row keeps it."""
    return str(error)[:LONGEST_REASON]


class Task(Protocol):
    """What is done with each chunk.

    Rows are plain JSON values without NaN. A picture that fails gives a row that says so; it never ends the run.
    """

    def request(self) -> dict[str, Any]:
        """Plain values that decide the rows: models with their sha256, data with their fingerprint, options."""
        ...

    def chunks(self) -> int:
        """How many there are, numbered from 0."""
        ...

    def size(self, chunk: int) -> int:
        """How many pictures the chunk has, for the progress bar."""
        ...

    def run(self, chunk: int) -> list[Row]:
        """The rows of one chunk."""
        ...


Progress = Callable[[int], None]
Begin = Callable[[int, int], Progress]


def run(
    task: Task,
    folder: Path,
    *,
    processes: Processes | None = None,
    device: torch.device | None = None,
    begin: Begin | None = None,
    check: Checker | None = None,
) -> Journal:
    """Do all chunks that are not done yet and return the journal, which on the first process then holds every row.

    Args:
        folder: of the journal. The same call goes on where an earlier one was stopped.
        processes: who this process is; default alone.
        device: where the networks live, for the last sum over the processes.
        begin: called once with (pictures of this process's share that are left, pictures done before); returns what
            is called with the number of pictures after each chunk.
        check: what the rows of an earlier run are worth today; default, all that are whole are kept. What is measured
            again is logged as a warning.

    Raises:
        VizError: the folder cannot be used, or holds a run with another request.
    """
    me = processes or Processes()
    journal = Journal(folder, task.request(), me.rank)
    try:
        everything = range(task.chunks())
        _forget(journal, me, check)
        held = me.everyone(sorted(journal.done() & set(everything)))
        done = set().union(*held)
        left = [c for c in everything if c not in done]
        mine = left[me.rank :: me.world]
        count = sum(task.size(c) for c in done)
        progress = begin(sum(task.size(c) for c in mine), count) if begin else None
        for chunk in mine:
            journal.add(chunk, task.run(chunk))
            if progress:
                progress(task.size(chunk))
        me.total(len(mine), device or torch.device("cpu"))
        _collect(journal, me, set(everything))
        if me.first and not journal.done() >= set(everything):
            raise VizError(f"Rows in {folder} went missing while the run was at work; run the same command again.")
    finally:
        journal.close()
    return journal


def _forget(journal: Journal, me: Processes, check: Checker | None) -> None:
    """Take away what must be done again, on every machine, before anybody counts what is done."""
    gone = []
    # Machines may share no disk: the first process of each cleans its folder. Where they share one, the others find
    # nothing more to take away.
    for turn in (me.first, me.local == 0 and not me.first):
        gone += me.everyone(journal.forget(check) if turn else Forgotten())
    if me.first:
        changed = set().union(*(g.changed for g in gone))
        found = Forgotten(sum(g.damaged for g in gone), changed, any(g.shared for g in gone))
        found.outdated = journal.outdated or any(g.outdated for g in gone)
        for sentence in found.words():
            _log.warning("%s", sentence)


def start_over(folder: Path, me: Processes) -> None:
    """Delete the finished rows of an earlier run, on every machine, before anybody reads them.

    Raises:
        VizError: another run is at work there.
    """
    # Machines may share a disk: where the first process has been, the others find nothing more to delete.
    for turn in (me.first, me.local == 0 and not me.first):
        if turn:
            throw_away(folder)
        me.everyone(None)


def _collect(journal: Journal, me: Processes, wanted: set[int]) -> None:
    """Bring to the first process the lines that it does not find in its own folder (machines may share no disk)."""
    if me.world == 1:
        return
    # Everyone is past its last chunk here, so what the first process sees now is all that it shares.
    have = me.everyone(sorted(journal.done() & wanted))
    missing = wanted - set(have[0])
    owner: dict[int, int] = {}
    for rank, chunks in enumerate(have):
        for chunk in chunks:
            if chunk in missing:
                owner.setdefault(chunk, rank)
    mine = sorted(c for c, rank in owner.items() if rank == me.rank)
    most = max(Counter(owner.values()).values(), default=0)
    rounds = -(-most // SENT_AT_ONCE)
    for i in range(rounds):
        lines = list(journal.lines(mine[i * SENT_AT_ONCE : (i + 1) * SENT_AT_ONCE]))
        sent = me.everyone(lines)
        if me.first:
            for line in (one for part in sent for one in part):
                journal.write(line)
