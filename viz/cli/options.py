"""What the commands share: options of a run, pictures named on the command line, refusal of wrong use."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NoReturn

from viz.errors import PictureError

PRECISIONS = ("float32", "bfloat16", "float16")
GEOMETRIES = ("center_crop", "squash", "letterbox")


def add_run_options(p: argparse.ArgumentParser) -> None:
    p.add_argument("--models", metavar="DIR", help="folder with further checkpoint files")
    p.add_argument("--device", default="auto", help="auto (default: CUDA when there), cpu, cuda, cuda:1, ...")
    p.add_argument("--precision", choices=PRECISIONS, default="float32", help="of the forward pass")


def usage(message: str) -> NoReturn:
    print(f"searchlight: {message}", file=sys.stderr)
    raise SystemExit(2)


def pictures_of(given: Iterable[str], out: str | None = None) -> list[Path]:
    """The files named, and those below the folders named, each once, in a fixed order; what is left out is told."""
    from viz.picture_files import pictures_below, skipped

    found: dict[str, Path] = {}
    others: dict[str, Path] = {}
    for item in given:
        inside: Sequence[Path] = (Path(item),)
        if Path(item).is_dir():
            below = pictures_below(Path(item), None if out is None else Path(out))
            inside = below.pictures
            others |= {os.path.realpath(p): p for p in below.others}
            for note in below.notes:
                print(f"searchlight: {note}", file=sys.stderr)
            if not inside:
                why = f"; {skipped(below.others)}" if below.others else ""
                raise PictureError(f"There are no pictures in {item}{why}.")
        for one in inside:
            found.setdefault(os.path.realpath(one), one)
    # One that was named itself is not skipped.
    if left := [path for real, path in others.items() if real not in found]:
        print(f"searchlight: {skipped(left)}.", file=sys.stderr)
    return list(found.values())
