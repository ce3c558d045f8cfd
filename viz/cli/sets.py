"""What the commands over whole data sets share: options of attribution methods, finished rows, the progress bar."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from viz.cli.options import usage
from viz.errors import VizError

if TYPE_CHECKING:
    from viz.attribution import AttributionOptions
    from viz.datasets import Dataset
    from viz.measures.jobs.runner import Begin

# Finished rows stand beside the result: RESULT.json.rows.
ROWS_SUFFIX = ".rows"


def add_attribution_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of attribution methods, read by `attribution_options`."""
    how = parser.add_argument_group("attribution methods")
    how.add_argument("--ig-steps", type=int, default=50, metavar="N", help="of integrated gradients; default 50")
    how.add_argument("--window", type=int, default=32, metavar="PX", help="side of occlusion's window; default 32")
    how.add_argument("--stride", type=int, default=16, metavar="PX", help="of occlusion's window; default 16")
    how.add_argument("--baseline", choices=("mean", "black"), default="mean", help="what covers; default mean")


def add_choice_of_samples(group: Any) -> None:
    """Add the options that choose samples, read by `open_data`."""
    group.add_argument("--limit", type=int, metavar="N", help="only N samples, chosen by a hash of their names")
    group.add_argument(
        "--leave-out",
        nargs="+",
        metavar="ID",
        help="samples of the reported split to leave out, as paths in the data set",
    )


def attribution_options(args: argparse.Namespace) -> AttributionOptions:
    """The options of `add_attribution_options`; a value out of range ends the command with a sentence."""
    from viz.attribution import AttributionOptions

    try:
        return AttributionOptions(args.baseline, n_steps=args.ig_steps, window=args.window, stride=args.stride)
    except VizError as error:
        usage(str(error))


def open_data(args: argparse.Namespace, split: str | None) -> Dataset:
    """The data set of ``--data`` and ``--layout``, cut to ``--limit``; the reported split without ``--leave-out``."""
    from viz.datasets import open_dataset
    from viz.measures.localization.run import some_of

    found = open_dataset(Path(args.data), split, layout=args.layout)
    if args.leave_out and split == args.split:
        found = found.without(args.leave_out)
    return found if args.limit is None else some_of(found, args.limit)


def write_reports(result: Path, reports: Iterable[tuple[str, Callable[[], str]]]) -> int:
    """Write the reports of a result whose file is already there: one that fails costs neither it nor the others.

    Args:
        result: its file, for the sentence. reports: each report's file name, and what makes its text.

    Returns:
        The exit code: 1 where a report failed.
    """
    from viz.files import as_text_bytes, write_whole

    code = 0
    for name, make in reports:
        try:
            write_whole(Path(name), as_text_bytes(make()))
            print(name)
        except Exception as error:  # whatever it is, hours of work are in the result's file
            why = str(error) if isinstance(error, VizError) else f"{name} cannot be made ({type(error).__name__})."
            print(f"searchlight: {why} The result itself is complete: {result}", file=sys.stderr)
            code = 1
    return code


@contextmanager
def progress_bar(title: str | None, *, shown: bool) -> Iterator[Begin]:
    """Makes the bar with rate and remaining time of `viz.measures.jobs.runner.run`, and closes it."""
    from tqdm import tqdm

    bars: list[Any] = []

    def begin(left: int, done: int) -> Callable[[int], None]:
        if done and shown:
            print(f"searchlight: going on after {done} finished pictures.", file=sys.stderr)
        bar = tqdm(total=left, unit="picture", desc=title, disable=not shown, smoothing=0.1)
        bars.append(bar)
        return bar.update  # type: ignore[no-any-return]

    try:
        yield begin
    finally:
        for bar in bars:
            bar.close()
