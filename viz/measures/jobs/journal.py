"""The journal of a long run: finished chunks as lines of JSON, so that a killed run loses at most the current chunk.

A folder holds ``request.json`` and one ``part-KEY-RANK.jsonl`` per process. Each line is one chunk with a checksum. A
line that was cut off is dropped when the run resumes; a chunk that occurs twice counts once. The next run repeats a
chunk with a failed row (``failed``), as its picture may be back, and one that the task's check refuses: its rows are
not what was written, or its files changed (see `viz.measures.jobs.rows`).
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from pydantic import TypeAdapter, ValidationError

from viz.errors import FileError, VizError
from viz.measures.jobs.rows import Checker, Row, Stale, differences, request_key, without_digests

# Characters of a line's checksum.
_CHECKSUM = 8
# Number and rows of a chunk.
Chunk = tuple[int, list[Row]]
_CHUNK: TypeAdapter[Chunk] = TypeAdapter(Chunk)


def line_of(chunk: int, rows: list[Row]) -> str:
    """One finished chunk as a line.

    Raises:
        ValueError: a number that is not finite.
    """
    body = json.dumps([chunk, rows], separators=(",", ":"), allow_nan=False)
    return f"{zlib.crc32(body.encode()):08x} {body}\n"


def read_line(line: str) -> Chunk | None:
    """The chunk of a line; None where it is cut off or damaged."""
    check, _, body = line.rstrip("\n").partition(" ")
    if not line.endswith("\n") or f"{zlib.crc32(body.encode()):08x}" != check:
        return None
    try:
        return _CHUNK.validate_json(body, strict=True)
    except ValidationError:
        return None


def _locked(path: Path) -> IO[bytes] | None:
    """An open file that locks its folder until it is closed; None where files cannot be locked."""
    try:
        import fcntl
    except ImportError:
        return None
    file = path.open("ab")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        raise VizError(f"Another run is using {path.parent}; wait for it, or write to another file.") from None
    except OSError:  # some network disks have no locks
        file.close()
        return None
    return file


@contextmanager
def _or(sentence: str) -> Iterator[None]:
    """Turn a failure of the disk into an error with that sentence."""
    try:
        yield
    except OSError:
        raise FileError(sentence) from None


def throw_away(folder: Path) -> None:
    """Delete what a run wrote and nothing else.

    Raises:
        VizError: another run is using the folder; nothing is deleted.
    """
    written = [*folder.glob("part-*.jsonl"), folder / "request.json"]
    if not any(path.exists() for path in written):
        return
    lock = _locked(folder / "lock")
    try:
        with _or(f"The finished rows in {folder} cannot be deleted; check its permissions."):
            for path in written:
                path.unlink(missing_ok=True)
    finally:
        if lock is not None:
            lock.close()


class Journal:
    """The journal of one run in one folder.

    Args:
        folder: created if it does not exist.
        request: plain values that decide the results. A folder with another request is refused.
        rank: of this process, which alone writes its part.

    Raises:
        FileError: the folder cannot be used. VizError: it belongs to another request, or another run is using it.

    Attributes:
        outdated: whether the folder held rows of an earlier version, which are ignored.
    """

    def __init__(self, folder: Path, request: Row, rank: int = 0) -> None:
        self.folder, self.rank = folder, rank
        self.key, self.outdated = request_key(request), False
        self._file: IO[str] | None = None
        self._lock: IO[bytes] | None = None
        self._full = f"The folder {folder} cannot be written to; check the free space."
        text = json.dumps({"key": self.key, "request": request}, indent=1, sort_keys=True, ensure_ascii=True)
        head = folder / "request.json"
        try:
            with _or(f"The folder {folder} cannot be used; check its permissions and the free space."):
                folder.mkdir(parents=True, exist_ok=True)
                if rank == 0:
                    self._lock = _locked(folder / "lock")
                known = json.loads(head.read_text(encoding="utf-8")) if head.is_file() else None
                self._check(known, request)
                if known is None or self.outdated:
                    # Complete or absent, even when several processes write it at once.
                    draft = folder / f"request.{rank}.tmp"
                    draft.write_text(text, encoding="utf-8")
                    draft.replace(head)
        except (ValueError, RecursionError):
            raise VizError(f"{head} is damaged; start over with --fresh, or write to another file.") from None

    def _check(self, known: Any, request: Row) -> None:
        if known is None or (isinstance(known, dict) and known.get("key") == self.key):
            return
        old = known.get("request") if isinstance(known, dict) else None
        self.outdated = without_digests(old, request)
        if not self.outdated:
            raise VizError(
                f"{self.folder} holds finished rows of a run with other {differences(old, request)}; start over with "
                "--fresh, or write to another file."
            )

    def _parts(self) -> list[Path]:
        """Existing parts of this request, in order."""
        return sorted(self.folder.glob(f"part-{self.key}-*.jsonl"))

    def _lines(self, path: Path) -> Iterator[tuple[str, Chunk | None]]:
        """The lines of a part and their chunks."""
        with (
            _or(f"{path} cannot be read; start over with --fresh, or write to another file."),
            # A damaged byte must affect its own line only: the checksum finds it.
            path.open(encoding="utf-8", newline="\n", errors="replace") as file,
        ):
            for line in file:
                yield line, read_line(line)

    def _chunks(self) -> Iterator[tuple[str, int, list[Row]]]:
        """Line, number and rows of every intact chunk once, part by part; the order depends on the processes."""
        seen: set[int] = set()
        for path in self._parts():
            for line, read in self._lines(path):
                if read is not None and read[0] not in seen:
                    seen.add(read[0])
                    yield line, *read

    def forget(self, check: Checker | None = None) -> Stale:
        """Remove every line that must be measured again: with a failed row, damaged, or refused by `check`; and all
        lines of a chunk that occurs with different rows.

        Returns:
            What was removed besides failed rows.

        Raises:
            FileError: the parts cannot be read or written.
        """
        gone = Stale(outdated=self.outdated)
        kept: dict[int, str] = {}
        ambiguous: set[int] = set()
        for path in self._parts():
            for line, read in self._lines(path):
                if read is None:
                    gone += Stale(damaged=1)
                elif not any("failed" in row for row in read[1]):
                    found = Stale() if check is None else check(*read)
                    gone += found
                    if not found and kept.setdefault(read[0], line[:_CHECKSUM]) != line[:_CHECKSUM]:
                        ambiguous.add(read[0])
        wanted = {chunk: checksum for chunk, checksum in kept.items() if chunk not in ambiguous}
        with _or(self._full):
            for path in self._parts():
                self._keep_only(path, wanted)
        return gone + Stale(damaged=len(ambiguous))

    def _keep_only(self, path: Path, wanted: Mapping[int, str]) -> None:
        """Rewrite a part with the wanted lines (checksum by chunk), unless it holds no others."""
        draft = path.with_suffix(f".{self.rank}.tmp")
        dropped = False
        with draft.open("w", encoding="utf-8", newline="\n") as file:
            for line, read in self._lines(path):
                if read is not None and wanted.get(read[0]) == line[:_CHECKSUM]:
                    file.write(line)
                else:
                    dropped = True
        if dropped:
            draft.replace(path)
        else:
            draft.unlink()

    def done(self) -> set[int]:
        """The chunks whose rows are here and intact."""
        return {chunk for _, chunk, _ in self._chunks()}

    def rows(self) -> Iterator[Row]:
        """Every row once, part by part."""
        for _, _, rows in self._chunks():
            yield from rows

    def lines(self, chunks: Iterable[int]) -> Iterator[str]:
        """The lines of some chunks, for another process."""
        wanted = set(chunks)
        return (line for line, chunk, _ in self._chunks() if chunk in wanted)

    def add(self, chunk: int, rows: list[Row]) -> None:
        """Write a finished chunk. Once this returns, killing the process cannot lose it."""
        self.write(line_of(chunk, rows))

    def write(self, line: str) -> None:
        """Write a line as `line_of` made it.

        Raises:
            FileError: the disk is full, or the folder is gone.
        """
        with _or(self._full):
            if self._file is None:
                path = self.folder / f"part-{self.key}-{self.rank:05d}.jsonl"
                self._file = path.open("a", encoding="utf-8", newline="\n")
            self._file.write(line)
            self._file.flush()

    def close(self) -> None:
        """Close this process's part and release the folder's lock."""
        file, self._file = self._file, None
        lock, self._lock = self._lock, None
        try:
            with _or(self._full):
                if file is not None:
                    file.close()
        finally:
            if lock is not None:
                lock.close()
