"""Shared parts of all commands: values of options, picture files, messages to the user."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from viz.cli.options import ATTRIBUTION
from viz.errors import PictureError, VizError
from viz.models import DEFAULT_MODEL

if TYPE_CHECKING:
    from viz.core.methods import AttributionOptions
    from viz.run.engine import Model


def model_named(args: argparse.Namespace) -> str | Path | None:
    """The value of ``--model``, or of its earlier spelling."""
    if args.model and args.checkpoint:
        usage("Use either --model or --checkpoint, not both.")
    return Path(args.checkpoint) if args.checkpoint else args.model


def load_model(args: argparse.Namespace) -> Model:
    """The model of ``--model``, or the default one."""
    from viz.run.engine import load

    name = model_named(args) or DEFAULT_MODEL
    return load(name, args.device, args.geometry, precision=args.precision, models=args.models)


def attribution_options(args: argparse.Namespace) -> AttributionOptions:
    """The options of the attribution methods; a value out of range ends the program."""
    from viz.core.methods import AttributionOptions

    try:
        return AttributionOptions(**given(args, ATTRIBUTION))
    except VizError as error:
        usage(str(error))


def given(args: argparse.Namespace, names: Iterable[str]) -> dict[str, Any]:
    """The options that were given, by name."""
    return {name: value for name in names if (value := getattr(args, name)) is not None}


def say(message: object) -> None:
    """Print one line for the user on stderr, apart from the results."""
    print(f"searchlight: {message}", file=sys.stderr)


def usage(message: str) -> NoReturn:
    """Report a usage error and end the program."""
    say(message)
    raise SystemExit(2)


def pictures_of(named: Iterable[str], out: str | None = None) -> list[Path]:
    """The picture files named, or found in the folders named, in a fixed order without duplicates.

    Skipped files are reported.
    """
    from viz.picture_files import pictures_below, skipped

    found: dict[str, Path] = {}
    others: dict[str, Path] = {}
    for item in named:
        inside: Sequence[Path] = (Path(item),)
        if Path(item).is_dir():
            below = pictures_below(Path(item), None if out is None else Path(out))
            inside = below.pictures
            others |= {os.path.realpath(p): p for p in below.others}
            for note in below.notes:
                say(note)
            if not inside:
                why = f"; {skipped(below.others)}" if below.others else ""
                raise PictureError(f"The folder {item} contains no pictures{why}.")
        for one in inside:
            found.setdefault(os.path.realpath(one), one)
    # A file that was also named itself is not skipped.
    if left := [path for real, path in others.items() if real not in found]:
        say(f"{skipped(left)}.")
    return list(found.values())
