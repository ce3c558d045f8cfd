"""Starting and stopping the page: its own folder, its own server, no request to anywhere."""

from __future__ import annotations

import logging
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
from types import TracebackType
from typing import Any

import fastapi
import gradio as gr
import uvicorn
from starlette.middleware import Middleware

from viz.errors import FileError, VizError
from viz.page.server.access import Access
from viz.page.server.answers import Answers
from viz.page.server.connections import Connection
from viz.page.server.guard import Guard
from viz.page.server.jobs import Jobs
from viz.page.server.limits import Limits
from viz.page.server.messages import say_what_is_seen
from viz.page.server.modules import module_route
from viz.page.server.storage import entries
from viz.run.engine import Engine, pick_device

FIRST_PORT, PORTS = 7860, 100
_ANYWHERE = ("0.0.0.0", "::")
log = logging.getLogger(__name__)


@dataclass
class Running:
    """A page that runs.

    Attributes:
        url: where. engine: what it runs on. page: the Blocks. folder: of uploads and exports; goes with `close`.
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
        """Stay until the page stops."""
        while self._thread.is_alive():
            self._thread.join(timeout=1)

    def __enter__(self) -> Running:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
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
    """Start a page in a thread of its own.

    Args:
        build: makes the page over the engine; called when the page's folder is there.
        host: address to listen on, with or without the brackets of IPv6.
        port: None takes the first free one from `FIRST_PORT`, 0 any free one.
        access: who may ask; default the machine itself, and the address that a visitor reached.
        look: theme and style sheet, for Gradio.

    Raises:
        VizError: no such device, an address that cannot be listened on, no room for the folder.
    """
    access, limits = access or Access(), limits or Limits()
    pick_device(engine.device)
    listening = listen(host, port)
    try:
        folder = Path(tempfile.mkdtemp(prefix="searchlight-")).resolve()
    except OSError:
        listening.close()
        raise FileError("The system's temporary folder cannot be written to; set TMPDIR to one that can.") from None
    before = os.environ.get("GRADIO_TEMP_DIR")
    _set_folder(str(folder))
    page = build(engine)
    page.state_session_capacity = 200
    # Gradio would put all past events in a table after each one, for a page of statistics that is off.
    page._queue.compute_analytics_summary = lambda records: {}  # type: ignore[method-assign]
    say_what_is_seen(page._queue)
    app = fastapi.FastAPI(openapi_url=None, docs_url=None, redoc_url=None, routes=[module_route()])
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
    # Only a page that "has launched" makes Gradio check the files that it is asked to hand out.
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
    """Tell Gradio where uploads and exports go: by its variable, and where it read that when it was imported."""
    from gradio import routes

    if folder is None:
        os.environ.pop("GRADIO_TEMP_DIR", None)
    else:
        os.environ["GRADIO_TEMP_DIR"] = folder
        routes.DEFAULT_TEMP_DIR = folder


def listen(host: str, port: int | None) -> socket.socket:
    """A socket that listens.

    Raises:
        VizError: no such address, or no port of it is free.
    """
    if port is not None and not 0 <= port <= 65535:
        raise VizError(f"{port} is not a port; choose one from 1 to 65535.")
    bare = host.strip().removeprefix("[").removesuffix("]")
    try:
        family, _, _, _, place = socket.getaddrinfo(
            bare, 0, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE if bare else 0
        )[0]
    except (OSError, UnicodeError):
        raise VizError(f"{host!r} is not an address of this machine; use 127.0.0.1, ::1 or 0.0.0.0.") from None
    for number in [port] if port is not None else range(FIRST_PORT, FIRST_PORT + PORTS):
        # Named TCP, so that asyncio sends at once: the two parts of an answer otherwise wait 40 ms for each other.
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


def _url(listening: socket.socket, host: str) -> str:
    number = listening.getsockname()[1]
    bare = host.strip().removeprefix("[").removesuffix("]")
    if bare in _ANYWHERE:
        bare = "localhost"
    return f"http://{f'[{bare}]' if ':' in bare else bare}:{number}/"
