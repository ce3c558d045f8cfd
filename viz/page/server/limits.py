"""What one request, one session and all visitors together may take; docs/serving.md repeats it and a test compares."""

from __future__ import annotations

from dataclasses import dataclass

MIB = 2**20


@dataclass(frozen=True)
class Limits:
    """Bounds of the page.

    Attributes:
        json_bytes: body of a request that is no upload.
        upload_bytes: body of an upload: one picture, and what surrounds it.
        file_bytes: one uploaded picture.
        files: files of one upload.
        uploads: uploads that come in at the same time, of all visitors.
        connections: open ones; of those that ask for nothing the oldest goes first.
        head_seconds: a connection on which no head of a request comes whole for that long is closed.
        stall_seconds: a body that brings nothing for that long is given up.
        session_jobs: unanswered jobs of one session; session_name: characters of a session's name.
        jobs: unanswered jobs of all sessions.
        orphan_seconds: jobs of a session to which nobody listens are dropped after that time.
        requests: requests that are answered at the same time; open pages count, each holds one or two.
        stored_bytes: uploads and exports on the disk; the oldest go first.
        log_bytes, log_seconds: what the log takes of a burst of messages.
    """

    json_bytes: int = 256 * 1024
    upload_bytes: int = 41 * MIB
    file_bytes: int = 40 * MIB
    files: int = 4
    uploads: int = 8
    connections: int = 768
    head_seconds: float = 20.0
    stall_seconds: float = 30.0
    session_jobs: int = 48
    session_name: int = 64
    jobs: int = 512
    orphan_seconds: float = 60.0
    requests: int = 512
    stored_bytes: int = 2048 * MIB
    log_bytes: int = 64 * 1024
    log_seconds: float = 60.0
