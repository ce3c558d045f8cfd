"""The page as a program: start it, print its address, wait until it is stopped."""

from __future__ import annotations

import logging
import signal
import sys
import threading
import webbrowser
from collections.abc import Iterable

import PIL

from viz.allocator import share_memory
from viz.errors import VizError
from viz.page.app import build, look
from viz.page.server.access import Access
from viz.page.server.limits import Limits
from viz.page.server.log import bounded_stderr
from viz.page.server.start import bare_host, start
from viz.run.engine import Engine, Precision

log = logging.getLogger(__name__)
# In older versions a crafted JPEG overflows the heap (CVE-2026-112403) and a tiled TIFF is read past its end
# (CVE-2026-112395).
SAFE_PILLOW = 13


def serve(
    host: str = "127.0.0.1",
    port: int | None = None,
    *,
    models: str | None = None,
    device: str = "auto",
    precision: Precision = "float32",
    open_browser: bool = False,
    allow_hosts: Iterable[str] = (),
    allow_frames: Iterable[str] = (),
) -> None:
    """Start the page and wait until it is stopped.

    Args:
        host: address to listen on; the default reaches this machine only.
        port: None takes the first free one from 7860.
        models: folder with published checkpoints that visitors may choose.
        device, precision: for every model.
        open_browser: open the page in the default browser.
        allow_hosts: accepted host names besides this machine's own: those of a proxy in front of it.
        allow_frames: origins whose pages may embed this one in a frame, such as a notebook's.

    Raises:
        VizError: an argument that cannot be used, in one sentence.
    """
    access = Access.of(allow_hosts, allow_frames)
    _check_pillow(host)
    share_memory()
    engine = Engine(device, precision, models)
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # so that the page's folder is removed then, too
    # Only this user can read the folder of uploads and exports. It is removed when the page stops.
    with bounded_stderr(Limits()), start(build, engine, host, port, access=access, **look()) as page:
        print(f"Searchlight runs at {page.url} (stop with Ctrl+C)", flush=True)  # noqa: T201 - what a person waits for
        if open_browser:
            webbrowser.open(page.url)
        page.wait()


def _check_pillow(host: str) -> None:
    """Refuse to serve other machines with an image decoder that has known holes, as Gradio's requirement may install.

    On this machine only, the page warns and starts: every command opens the user's own files.
    """
    if int(PIL.__version__.partition(".")[0]) >= SAFE_PILLOW:
        return
    bare = bare_host(host)
    problem = (
        f"the JPEG and TIFF decoders of Pillow {PIL.__version__} have known security holes;"
        f' install a fixed version with: python -m pip install --no-deps "pillow>={SAFE_PILLOW}".'
    )
    if not Access().answers_to(f"[{bare}]" if ":" in bare else bare, None):
        raise VizError(f"The page is not served to other machines: {problem}")
    log.warning("Open no pictures from strangers: %s", problem)
