"""The command line: ``searchlight COMMAND``, the same as ``python -m viz COMMAND``.

Exit codes: 0 success, 1 failure (one sentence on stderr says why), 2 usage error, 130 interrupted.
Each command imports what it needs when it runs, so that ``--help`` answers at once.
"""

from __future__ import annotations

import argparse
import io
import logging
import sys
from collections.abc import Sequence
from importlib import import_module
from pkgutil import iter_modules

from viz.cli.common import say
from viz.errors import VizError
from viz.version import __version__

# In the order in which a new user needs them; others follow by name.
_FIRST = ("models", "trace", "figure", "compare", "evaluate", "faithfulness", "serve")


def command_names() -> list[str]:
    """Names of the commands: the files of this folder with a function ``add_NAME``."""
    files = {
        m.name: import_module(f"viz.cli.{m.name}")
        for m in iter_modules(import_module(__package__).__path__)
        if m.name != "program"
    }
    found = sorted(name for name, module in files.items() if hasattr(module, f"add_{name}"))
    return [n for n in _FIRST if n in found] + [n for n in found if n not in _FIRST]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program on a list of arguments (default: those of the process) and return its exit code."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        # A file name that the terminal cannot encode must not end the program; stderr escapes such names by default.
        sys.stdout.reconfigure(errors="backslashreplace")
    parser = _parser()
    args = parser.parse_args(arguments)
    if args.command is None:
        parser.print_help()
        return 2
    logging.basicConfig(level=logging.WARNING, format="searchlight: %(message)s")
    try:
        return int(args.run(args))
    except VizError as error:
        say(error)
        return 1
    except KeyboardInterrupt:
        say("interrupted.")
        return 130
    except BrokenPipeError:
        # The reader closed the pipe, as in `searchlight models | head`: not an error.
        sys.stderr.close()
        return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="searchlight",
        description="Show what attention modules inside CNNs do to a picture, step by step.",
    )
    parser.add_argument("--version", action="version", version=f"searchlight {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    for name in command_names():
        getattr(import_module(f"viz.cli.{name}"), f"add_{name}")(commands)
    return parser
