"""Limits of one request, of one session and of all visitors, and the error of a request that is refused.

docs/serving.md repeats the numbers, and a test compares them.
"""

from __future__ import annotations

from dataclasses import dataclass

from viz.errors import VizError

MIB = 2**20


@dataclass(frozen=True)
class Limits:
    """Limits of the page.

    Attributes:
        json_bytes: body of a request that is not an upload.
        upload_bytes: body of an upload: one picture and the form around it.
        file_bytes: one uploaded picture.
        files: files per upload.
        uploads: concurrent uploads of all visitors.
        connections: open connections; beyond that the oldest idle one is closed.
        head_seconds: time for a complete request head; the connection is closed after it.
        stall_seconds: time without data after which a request body is given up.
        session_jobs: unanswered jobs per session. session_name: characters of a session's name.
        jobs: unanswered jobs of all sessions.
        orphan_seconds: time after which the jobs of a session without a listener are dropped.
        requests: concurrent requests; every open page holds one or two.
        stored_bytes: uploads and exports on disk; the oldest are removed first.
        log_bytes, log_seconds: bytes that are logged in so many seconds.
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


class RefusedError(VizError):
    """A request that is not served.

    Attributes:
        status: HTTP status of the response.
    """

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status
