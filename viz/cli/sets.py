"""Shared parts of the commands over data sets: output files, samples, reports, the progress bar."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from viz.cli.common import say, usage
from viz.errors import VizError
from viz.files import as_text_bytes, write_whole

if TYPE_CHECKING:
    from viz.datasets import Dataset
    from viz.measures.jobs.runner import Begin

# Finished rows stand beside the result: RESULT.json.rows.
ROWS_SUFFIX = ".rows"


def check_outputs(args: argparse.Namespace) -> None:
    """Refuse unusable output files before hours of work."""
    for name, ending in (("json", ".json"), ("csv", ".csv"), ("latex", ".tex"), ("markdown", ".md"), ("html", ".html")):
        path = getattr(args, name, None)
        if path is None:
            continue
        if Path(path).suffix.lower() != ending:
            usage(f"--{name} must end in {ending}.")
        if not Path(path).absolute().parent.is_dir():
            usage(f"The folder of --{name} {path} does not exist.")
        if Path(path).is_dir():
            usage(f"--{name} {path} is a folder.")


def open_data(args: argparse.Namespace, split: str | None) -> Dataset:
    """``--limit`` samples of the data set of ``--data``; the reported split is without those of ``--leave-out``."""
    from viz.datasets import open_dataset
    from viz.measures.localization.run import some_of

    found = open_dataset(Path(args.data), split, layout=args.layout)
    if args.leave_out and split == args.split:
        found = found.without(args.leave_out)
    return found if args.limit is None else some_of(found, args.limit)


def write_reports(args: argparse.Namespace, kinds: Iterable[str], make: Callable[[str], str]) -> int:
    """Write the reports that the options named `kinds` ask for. One that fails costs neither the others nor the result.

    Args:
        args: their ``json`` is the result's file, which is already saved. make: the text of a kind of report.

    Returns:
        The exit code: 1 if a report failed.
    """
    code = 0
    for kind in kinds:
        name = getattr(args, kind)
        if name is None:
            continue
        try:
            write_whole(Path(name), as_text_bytes(make(kind)))
            print(name)
        except Exception as error:  # whatever it is, hours of work are in the result's file
            why = str(error) if isinstance(error, VizError) else f"{name} could not be made ({type(error).__name__})."
            say(f"{why} The result itself is complete: {args.json}")
            code = 1
    return code


@contextmanager
def progress_bar(title: str | None, *, shown: bool) -> Iterator[Begin]:
    """A progress bar for `viz.measures.jobs.runner.run`, closed at the end."""
    from tqdm import tqdm

    bars: list[Any] = []

    def begin(left: int, done: int) -> Callable[[int], None]:
        if done and shown:
            say(f"resuming after {done} finished pictures.")
        bar = tqdm(total=left, unit="picture", desc=title, disable=not shown, smoothing=0.1)
        bars.append(bar)
        return bar.update  # type: ignore[no-any-return]

    try:
        yield begin
    finally:
        for bar in bars:
            bar.close()
