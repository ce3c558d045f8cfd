"""The command line: ``searchlight COMMAND``, the same as ``python -m viz COMMAND``.

Exit codes: 0 done, 1 something could not be done (one sentence on stderr says what), 2 wrong use, 130 interrupted.
Each command imports what it needs when it runs: ``--help`` answers at once.
"""

from __future__ import annotations

import argparse
import io
import logging
import sys
from collections.abc import Sequence

from viz import __version__
from viz.cli.compare import add_compare
from viz.cli.evaluate import add_evaluate
from viz.cli.faithfulness import add_faithfulness
from viz.cli.figure import add_figure
from viz.cli.models import add_models
from viz.cli.options import say
from viz.cli.serve import add_serve
from viz.cli.trace import add_trace
from viz.errors import VizError

_COMMANDS = (add_models, add_trace, add_figure, add_compare, add_evaluate, add_faithfulness, add_serve)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program on a list of arguments (default: those of the process) and return its exit code."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        # A file name that the terminal's encoding lacks must not end the program; stderr does the same.
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
        # The reader of a pipe left (as in `searchlight models | head`): nothing to complain about.
        sys.stderr.close()
        return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="searchlight",
        description="Show what attention modules inside CNNs really do to a picture, step by step.",
    )
    parser.add_argument("--version", action="version", version=f"searchlight {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    for add_command in _COMMANDS:
        add_command(commands)
    return parser
