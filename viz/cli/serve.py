"""``searchlight serve``: the page."""

from __future__ import annotations

import argparse
from typing import Any

from viz.cli.options import add_run_options


def add_serve(commands: Any) -> None:
    """Add the command to a parser's commands."""
    p = commands.add_parser(
        "serve", help="start the page", description="Start the page and open it in a browser, as python app.py does."
    )
    p.add_argument("--host", default="127.0.0.1", help="address to listen on; default 127.0.0.1, this machine only")
    p.add_argument("--port", type=int, metavar="N", help="port; default: the first free one from 7860")
    p.add_argument("--no-browser", action="store_true", help="do not open a browser")
    p.add_argument(
        "--allow-host",
        action="append",
        default=[],
        metavar="NAME",
        help="additional host name to answer to, such as that of a reverse proxy; may be repeated",
    )
    p.add_argument(
        "--allow-frame",
        action="append",
        default=[],
        metavar="ORIGIN",
        help="origin whose pages may embed this one in a frame, such as a notebook server's; may be repeated",
    )
    add_run_options(p)
    p.set_defaults(run=_serve)


def _serve(args: argparse.Namespace) -> int:
    from viz.page.serve import serve

    serve(
        host=args.host,
        port=args.port,
        models=args.models,
        device=args.device,
        precision=args.precision,
        open_browser=not args.no_browser,
        allow_hosts=args.allow_host,
        allow_frames=args.allow_frame,
    )
    return 0
