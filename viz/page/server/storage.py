"""Room on the disk: when uploads and exports take too much of it, the oldest go."""

from __future__ import annotations

import shutil
from pathlib import Path


def entries(folder: Path) -> frozenset[str]:
    """Names of what lies in the page's folder, such as the samples that the page put there when it was built."""
    return frozenset(p.name for p in folder.iterdir())


def make_room(folder: Path, limit: int, keep: frozenset[str]) -> int:
    """Remove the oldest entries of a folder until the rest takes at most `limit` bytes; the newest one stays.

    Args:
        keep: names that never go.

    Returns:
        How many were removed.
    """
    found: list[tuple[float, int, Path]] = []
    for path in folder.iterdir():
        if path.name in keep:
            continue
        try:
            inside = [path] if path.is_file() else [p for p in path.rglob("*") if p.is_file()]
            found.append((path.stat().st_mtime, sum(p.stat().st_size for p in inside), path))
        except OSError:  # another request removed it
            continue
    found.sort()
    total, removed = sum(size for _, size, _ in found), 0
    for _, size, path in found[:-1]:
        if total <= limit:
            break
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
        total, removed = total - size, removed + 1
    return removed
