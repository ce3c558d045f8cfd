"""A task of the runner that counts."""

from __future__ import annotations

from typing import Any

from viz.measures.jobs.rows import Stale


class Numbers:
    """A task whose row is the chunk's number; it can stop in the middle."""

    def __init__(self, count: int = 7, stop_at: int | None = None) -> None:
        self.count, self.stop_at, self.ran = count, stop_at, list[int]()

    def request(self) -> dict[str, Any]:
        return {"kind": "numbers", "count": self.count}

    def chunks(self) -> int:
        return self.count

    def size(self, chunk: int) -> int:
        return 2

    def run(self, chunk: int) -> list[dict[str, Any]]:
        if chunk == self.stop_at:
            raise KeyboardInterrupt
        self.ran.append(chunk)
        return [{"i": chunk}]

    def check(self, chunk: int, rows: list[dict[str, Any]]) -> Stale:
        return Stale()
