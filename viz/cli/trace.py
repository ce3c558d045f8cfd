"""``searchlight trace``: write every captured value of pictures to files."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from viz.cli.common import load_model, pictures_of, say
from viz.cli.options import add_model_options
from viz.errors import FileError, VizError
from viz.files import as_json_bytes, make_folder, write_whole


def add_trace(commands: Any) -> None:
    """Add the command to a parser's commands."""
    p = commands.add_parser(
        "trace",
        help="write all captured values of pictures as .npz and .json",
        description="Run a model on pictures. For each, write all captured values (.npz) and an index of them (.json).",
    )
    p.add_argument("pictures", nargs="+", metavar="PICTURE", help="picture files, or folders (searched recursively)")
    p.add_argument("--out", required=True, metavar="DIR", help="output folder; created if it does not exist")
    add_model_options(p)
    p.set_defaults(run=_trace)


def _trace(args: argparse.Namespace) -> int:
    pictures = pictures_of(args.pictures, args.out)
    out = make_folder(args.out)
    model = load_model(args)
    from tqdm import tqdm

    from viz.run.export import trace_json, trace_npz

    failed: list[tuple[Path, VizError]] = []
    noted: list[tuple[Path, str]] = []
    # No progress bar for one picture.
    bar = tqdm(list(zip(pictures, stems(pictures), strict=True)), unit="picture", disable=len(pictures) < 2)
    for path, stem in bar:
        try:
            trace = model.trace(path)
            write_whole(out / f"{stem}.npz", trace_npz(trace))
            write_whole(out / f"{stem}.json", as_json_bytes(trace_json(trace)))
            noted += [(path, note) for note in trace.notes]
        except FileError:
            raise  # the next picture would fail as well
        except VizError as error:
            failed.append((path, error))
    for path, why in (*noted, *failed):
        say(f"{path}: {why}")
    if failed:
        say(f"{len(failed)} of {len(pictures)} pictures could not be traced.")
    return 1 if failed else 0


def stems(pictures: Sequence[Path]) -> list[str]:
    """A file name for each picture: its stem, numbered where several share one (also on disks that ignore case)."""
    taken: set[str] = set()
    out = []
    for path in pictures:
        stem, number = path.stem, 2
        while stem.casefold() in taken:
            stem, number = f"{path.stem}-{number}", number + 1
        taken.add(stem.casefold())
        out.append(stem)
    return out
