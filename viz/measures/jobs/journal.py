"""The journal of a long run: finished chunks as lines of JSON, so that a killed run loses at most the chunk in work.

A folder holds ``request.json`` (what was asked for) and one ``part-KEY-RANK.jsonl`` a process. Each line is one chunk
with a checksum; a line that a kill cut off is dropped when the run goes on, and a chunk that stands twice counts once.
A chunk with a failed row (``failed``) is done again by the next run: the picture may have come back. So is a chunk that
the task's own check refuses (see `localization.proof`): its rows are not what was written, or its files changed.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any

from viz.errors import FileError, VizError
from viz.measures.jobs.kept import Check, Checker, Forgotten, Row, differences, request_key, without_digests

# Characters of a line's checksum.
_CHECKSUM = 8


def line_of(chunk: int, rows: list[Row]) -> str:
    """One finished chunk as a line.

    Raises:
        ValueError: a value that is not a JSON number.
    """
    body = json.dumps([chunk, rows], separators=(",", ":"), allow_nan=False)
    return f"{zlib.crc32(body.encode()):08x} {body}\n"


def read_line(line: str) -> tuple[int, list[Row]] | None:
    """Chunk and rows of a line; None where it is cut off or damaged."""
    check, _, body = line.rstrip("\n").partition(" ")
    if not line.endswith("\n") or f"{zlib.crc32(body.encode()):08x}" != check:
        return None
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return None
    if not isinstance(found, list) or len(found) != 2:
        return None
    chunk, rows = found
    if isinstance(chunk, bool) or not isinstance(chunk, int) or not isinstance(rows, list):
        return None
    return (chunk, rows) if all(isinstance(row, dict) for row in rows) else None


def _locked(path: Path) -> IO[bytes] | None:
    """An open file that locks a folder until it is closed, or the process ends; None where files cannot be locked."""
    try:
        import fcntl
    except ImportError:
        return None
    file = path.open("ab")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        raise VizError(f"Another run is at work in {path.parent}; wait for it, or write to another file.") from None
    except OSError:  # some network disks have no locks
        file.close()
        return None
    return file


def throw_away(folder: Path) -> None:
    """Delete what a run wrote; a folder that was named by mistake keeps everything else.

    Raises:
        VizError: another run is at work there; nothing is deleted then.
    """
    written = [*folder.glob("part-*.jsonl"), folder / "request.json"]
    if not any(path.exists() for path in written):
        return
    lock = _locked(folder / "lock")
    try:
        for path in written:
            path.unlink(missing_ok=True)
    except OSError:
        raise FileError(f"The finished rows in {folder} cannot be deleted; may it be written to?") from None
    finally:
        if lock is not None:
            lock.close()


class Journal:
    """The journal of one run in one folder.

    Args:
        folder: made if it does not exist.
        request: plain values that decide the results. A folder that holds another request is refused.
        rank: of this process; it alone writes its part.

    Raises:
        FileError: the folder cannot be used. VizError: it belongs to another request, or another run is at work in it.

    Attributes:
        outdated: whether the folder held rows of an earlier version, which are left out.
    """

    def __init__(self, folder: Path, request: dict[str, Any], rank: int = 0) -> None:
        self.folder, self.rank = folder, rank
        self.key, self.outdated = request_key(request), False
        self._file: IO[str] | None = None
        self._lock: IO[bytes] | None = None
        text = json.dumps({"key": self.key, "request": request}, indent=1, sort_keys=True, ensure_ascii=True)
        head = folder / "request.json"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            if rank == 0:
                self._lock = _locked(folder / "lock")
            known = json.loads(head.read_text(encoding="utf-8")) if head.is_file() else None
            if known is not None and (not isinstance(known, dict) or known.get("key") != self.key):
                old = known.get("request") if isinstance(known, dict) else None
                self.outdated = without_digests(old, request)
                if not self.outdated:
                    raise VizError(
                        f"{folder} holds finished rows of a run with other {differences(old, request)}; start over "
                        "with --fresh, or write to another file."
                    )
            if known is None or self.outdated:
                # Whole or not at all, also when several processes write it at once.
                draft = folder / f"request.{rank}.tmp"
                draft.write_text(text, encoding="utf-8")
                draft.replace(head)
        except (ValueError, RecursionError):
            raise VizError(f"{head} is damaged; start over with --fresh, or write to another file.") from None
        except OSError:
            raise FileError(f"The folder {folder} cannot be used; is there space, and may it be written to?") from None

    def _part(self, rank: int) -> Path:
        return self.folder / f"part-{self.key}-{rank:05d}.jsonl"

    def _lines(self, path: Path) -> Iterator[str]:
        try:
            # A damaged byte must spoil its own line only: the checksum finds it.
            with path.open(encoding="utf-8", newline="\n", errors="replace") as file:
                yield from file
        except OSError:
            raise FileError(f"{path} cannot be read; start over with --fresh, or write to another file.") from None

    def parts(self) -> list[Path]:
        """All parts of this request that are there, in order."""
        return sorted(self.folder.glob(f"part-{self.key}-*.jsonl"))

    def forget(self, check: Checker | None = None) -> Forgotten:
        """Take away every line that must be done again: with a failed row, damaged, or refused by `check`; and all
        lines of a chunk that stands there with different rows.

        Returns:
            What was taken away beside failed rows.

        Raises:
            FileError: the parts cannot be read or written.
        """
        gone = Forgotten(outdated=self.outdated)
        kept: dict[int, str] = {}
        ambiguous: set[int] = set()
        for path in self.parts():
            for line in self._lines(path):
                chunk = self._kept(line, check, gone)
                if chunk is not None and kept.setdefault(chunk, line[:_CHECKSUM]) != line[:_CHECKSUM]:
                    ambiguous.add(chunk)
        gone.damaged += len(ambiguous)
        wanted = {chunk: start for chunk, start in kept.items() if chunk not in ambiguous}
        try:
            for path in self.parts():
                self._keep_only(path, wanted)
        except OSError:
            raise FileError(f"The folder {self.folder} cannot be written to; is there space?") from None
        return gone

    def _kept(self, line: str, check: Checker | None, gone: Forgotten) -> int | None:
        """The chunk of a line that is kept; None where it is not, and `gone` says why."""
        read = read_line(line)
        if read is None:
            gone.damaged += 1
            return None
        chunk, rows = read
        if any("failed" in row for row in rows):
            return None
        found = Check() if check is None else check(chunk, rows)
        gone.damaged += not found.whole
        gone.changed |= found.changed
        gone.shared |= found.shared
        return chunk if found.good else None

    def _keep_only(self, path: Path, wanted: Mapping[int, str]) -> None:
        """Rewrite a part with the lines that are wanted; one that holds no others is not touched."""
        draft = path.with_suffix(f".{self.rank}.tmp")
        dropped = False
        with draft.open("w", encoding="utf-8", newline="\n") as file:
            for line in self._lines(path):
                read = read_line(line)
                if read is not None and wanted.get(read[0]) == line[:_CHECKSUM]:
                    file.write(line)
                else:
                    dropped = True
        if dropped:
            draft.replace(path)
        else:
            draft.unlink()

    def done(self) -> set[int]:
        """The chunks whose rows are here, whole."""
        found = set()
        for path in self.parts():
            for line in self._lines(path):
                read = read_line(line)
                if read is not None:
                    found.add(read[0])
        return found

    def rows(self) -> Iterator[Row]:
        """Every row once, part by part; the order depends on who did which chunk."""
        seen: set[int] = set()
        for path in self.parts():
            for line in self._lines(path):
                read = read_line(line)
                if read is not None and read[0] not in seen:
                    seen.add(read[0])
                    yield from read[1]

    def lines(self, chunks: Iterable[int]) -> Iterator[str]:
        """The lines of the chunks that are wanted, for another process."""
        wanted = set(chunks)
        for path in self.parts():
            for line in self._lines(path):
                read = read_line(line)
                if read is not None and read[0] in wanted:
                    wanted.discard(read[0])
                    yield line

    def add(self, chunk: int, rows: list[Row]) -> None:
        """Write a finished chunk; when this returns, a kill cannot lose it."""
        self.write(line_of(chunk, rows))

    def write(self, line: str) -> None:
        """Write a line as `line_of` made it.

        Raises:
            FileError: the disk is full, or the folder is gone.
        """
        try:
            if self._file is None:
                self._file = self._part(self.rank).open("a", encoding="utf-8", newline="\n")
            self._file.write(line)
            self._file.flush()
        except OSError:
            raise FileError(f"The folder {self.folder} cannot be written to; is there space?") from None

    def close(self) -> None:
        """Close this process's part and let the folder go."""
        file, self._file = self._file, None
        lock, self._lock = self._lock, None
        try:
            if file is not None:
                file.close()
        except OSError:
            raise FileError(f"The folder {self.folder} cannot be written to; is there space?") from None
        finally:
            if lock is not None:
                lock.close()
