"""Starting and stopping the page: its own folder, its own server, no request to any other machine."""

from __future__ import annotations

import os
import shutil
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import fastapi
import gradio as gr
import uvicorn
from gradio import routes
from starlette.middleware import Middleware

from viz.errors import FileError, VizError
from viz.page.server.access import Access
from viz.page.server.answers import Answers
from viz.page.server.connections import Connection
from viz.page.server.files import entries
from viz.page.server.guard import Guard
from viz.page.server.jobs import Jobs, send_visible_only
from viz.page.server.limits import Limits
from viz.page.server.modules import MODULE_ROUTE
from viz.run.engine import Engine, pick_device

FIRST_PORT, PORTS = 7860, 100
_ANYWHERE = ("0.0.0.0", "::")


@dataclass
class Running:
    """A running page.

    Attributes:
        url: address. engine: what it runs on. page: the Blocks. folder: of uploads and exports, removed by `close`.
    """

    url: str
    engine: Engine
    page: gr.Blocks
    folder: Path
    _server: uvicorn.Server = field(repr=False)
    _thread: threading.Thread = field(repr=False)
    _before: str | None = field(repr=False)

    def close(self) -> None:
        """Stop the page and remove its folder. A second call does nothing."""
        self._server.should_exit = True
        self._thread.join(timeout=10)
        self.page.is_running = False
        _set_folder(self._before)
        shutil.rmtree(self.folder, ignore_errors=True)

    def wait(self) -> None:
        """Wait until the page stops."""
        while self._thread.is_alive():
            self._thread.join(timeout=1)

    def __enter__(self) -> Running:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def start(
    build: Callable[[Engine], gr.Blocks],
    engine: Engine,
    host: str = "127.0.0.1",
    port: int | None = None,
    *,
    access: Access | None = None,
    limits: Limits | None = None,
    **look: Any,
) -> Running:
    """Start a page in its own thread.

    Args:
        build: makes the page for the engine; called once the page's folder exists.
        host: address to listen on, with or without the brackets of IPv6.
        port: None takes the first free one from `FIRST_PORT`, 0 any free one.
        access: who may send requests; default this machine, and the address that a visitor reached.
        look: theme and style sheet, for Gradio.

    Raises:
        VizError: unknown device, an address that cannot be listened on, or no room for the folder.
    """
    access, limits = access or Access(), limits or Limits()
    pick_device(engine.device)
    listening = listen(host, port)
    try:
        folder = Path(tempfile.mkdtemp(prefix="searchlight-")).resolve()
    except OSError:
        listening.close()
        raise FileError("The system's temporary folder is not writable; set TMPDIR to one that is.") from None
    before = os.environ.get("GRADIO_TEMP_DIR")
    _set_folder(str(folder))
    page = build(engine)
    page.state_session_capacity = 200
    # Gradio would tabulate all past events after each one, for a page of statistics that is off.
    page._queue.compute_analytics_summary = lambda records: {}  # type: ignore[method-assign]
    send_visible_only(page._queue)
    app = fastapi.FastAPI(openapi_url=None, docs_url=None, redoc_url=None, routes=[MODULE_ROUTE])
    gr.mount_gradio_app(
        app,
        page,
        path="/",
        footer_links=[],
        run_history=False,
        app_kwargs={"middleware": [Middleware(Answers, folder=folder, frames=access.frames)]},
        allowed_paths=[],
        show_error=False,
        max_file_size=limits.file_bytes,
        ssr_mode=False,
        enable_monitoring=False,
        pwa=False,
        mcp_server=False,
        **look,
    )
    # Gradio checks the files that it serves only for a page that "has launched".
    page.has_launched = True
    guard = Guard(app, folder, access, limits, Jobs(page._queue, limits), page.fns, entries(folder))
    config = uvicorn.Config(
        guard,
        http=partial(Connection, limits=limits),  # type: ignore[arg-type]
        ws="none",
        lifespan="on",
        log_level="warning",
        server_header=False,
        timeout_graceful_shutdown=2,
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True, name="page")
    running = Running(_url(listening, host), engine, page, folder, server, thread, before)
    thread.start()
    while not server.started:
        if not thread.is_alive():
            running.close()
            raise VizError("The page could not start; the log above says why.")
        time.sleep(0.01)
    return running


def _set_folder(folder: str | None) -> None:
    """Set Gradio's folder of uploads and exports: its variable, and the copy that Gradio made of it when imported."""
    if folder is None:
        os.environ.pop("GRADIO_TEMP_DIR", None)
    else:
        os.environ["GRADIO_TEMP_DIR"] = folder
        routes.DEFAULT_TEMP_DIR = folder


def listen(host: str, port: int | None) -> socket.socket:
    """Return a listening socket.

    Raises:
        VizError: unknown address, or no port of it is free.
    """
    if port is not None and not 0 <= port <= 65535:
        raise VizError(f"{port} is not a port; choose one from 1 to 65535.")
    bare = bare_host(host)
    flags = socket.AI_PASSIVE if bare else 0
    try:
        family, _, _, _, place = socket.getaddrinfo(bare, 0, type=socket.SOCK_STREAM, flags=flags)[0]
    except (OSError, UnicodeError):
        raise VizError(f"{host!r} is not an address of this machine; use 127.0.0.1, ::1 or 0.0.0.0.") from None
    for number in [port] if port is not None else range(FIRST_PORT, FIRST_PORT + PORTS):
        # Named TCP, so that asyncio sends at once. Otherwise the two parts of a response wait 40 ms for each other.
        made = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        try:
            if sys.platform != "win32":  # there it would let two pages share a port
                made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            made.bind((place[0], number, *place[2:]))
            made.listen(128)
        except OSError:
            made.close()
            continue
        return made
    tried = f"port {port}" if port is not None else f"any port from {FIRST_PORT} to {FIRST_PORT + PORTS - 1}"
    raise VizError(f"The page cannot listen on {host}, {tried}; choose another with --host and --port.")


def bare_host(host: str) -> str:
    """An address without the brackets of IPv6."""
    return host.strip().removeprefix("[").removesuffix("]")


def _url(listening: socket.socket, host: str) -> str:
    number = listening.getsockname()[1]
    bare = "localhost" if bare_host(host) in _ANYWHERE else bare_host(host)
    return f"http://{f'[{bare}]' if ':' in bare else bare}:{number}/"
