"""``searchlight serve``: start the page."""

from __future__ import annotations

import argparse
from typing import Any

from viz.cli.options import RUN, add


def add_serve(commands: Any) -> None:
    """Add the command to a parser's commands."""
    p = commands.add_parser(
        "serve", help="start the page", description="Start the page and open it in a browser, as python app.py does."
    )
    add(p, "--host", "--port", "--no-browser", "--allow-host", "--allow-frame", *RUN)
    p.set_defaults(run=_serve)


def _serve(args: argparse.Namespace) -> int:
    from viz.page.serve import serve  # its parameters are the options

    serve(**{name: value for name, value in vars(args).items() if name not in ("command", "run")})
    return 0
