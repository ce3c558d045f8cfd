"""Comparisons of many pictures: one table over all of them; failures are reported and counted."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from viz.errors import CheckpointError, ModelError, NotFiniteError, ProbeError, VizError
from viz.figures.comparison.build import Comparison
from viz.figures.comparison.tables import SUMMARY_FIELDS, rows_from_json, summary
from viz.files import csv_text
from viz.picture import Picture, open_picture, text_name

SUMMARY = "summary"
SUFFIX = "-agreement"


@dataclass
class Folder:
    """What has been compared so far.

    Attributes:
        rows: of every comparison, see `viz.figures.comparison.tables.rows_from_json`. done: compared pictures.
        failed: (file name, reason) of each picture that could not be compared.
    """

    rows: list[dict[str, Any]] = field(default_factory=list)
    done: int = 0
    failed: list[tuple[str, str]] = field(default_factory=list)

    def add(self, data: Mapping[str, Any]) -> None:
        """Add a comparison as `Comparison.to_json` gives it: made now, or read from an earlier run's file."""
        self.rows += rows_from_json(data)
        self.done += 1

    def fail(self, path: Path, error: VizError) -> None:
        """Count a picture that could not be compared.

        Raises:
            ModelError, ProbeError, CheckpointError: the request is wrong, so every picture would fail. An answer that
                is not finite is this picture's fault.
        """
        if not isinstance(error, NotFiniteError) and isinstance(error, ModelError | ProbeError | CheckpointError):
            raise error
        self.failed.append((text_name(path.name), str(error)))

    def to_json(self) -> dict[str, Any]:
        """Counts, failures, and mean, standard deviation and number of pictures of every measure."""
        return {
            "pictures": self.done + len(self.failed),
            "compared": self.done,
            "failed": [{"picture": name, "reason": reason} for name, reason in self.failed],
            "spread": "standard deviation over the pictures (n - 1)",
            "rows": summary(self.rows),
        }

    def to_csv(self) -> str:
        """One line for each step and pair."""
        return csv_text(summary(self.rows), SUMMARY_FIELDS)


def compare_folder(pictures: Sequence[str | Path], run: Callable[[Picture], Comparison]) -> Folder:
    """Compare picture after picture; those that cannot be compared are counted with their reason.

    Args:
        pictures: files.
        run: makes one comparison of an opened picture, e.g. ``lambda p: viz.compare(p, models, engine=engine)``.

    Raises:
        ModelError, ProbeError, CheckpointError: what was asked for does not exist.
    """
    folder = Folder()
    for item in pictures:
        try:
            folder.add(run(open_picture(Path(item))).to_json())
        except VizError as error:
            folder.fail(Path(item), error)
    return folder


def stems(pictures: Sequence[Path]) -> list[str]:
    """A file name for each picture, such that no two files collide (also on disks that ignore case)."""
    taken = {SUMMARY, SUMMARY + SUFFIX}
    out = []
    for path in pictures:
        first = text_name(path.stem)
        stem, number = first, 2
        while {stem.casefold(), (stem + SUFFIX).casefold()} & taken:
            stem, number = f"{first}-{number}", number + 1
        taken |= {stem.casefold(), (stem + SUFFIX).casefold()}
        out.append(stem)
    return out


def request_key(values: dict[str, Any]) -> str:
    """A short key of a request; files of an earlier run with the same key are kept."""
    return hashlib.sha256(json.dumps(values, sort_keys=True, default=str).encode()).hexdigest()[:16]
