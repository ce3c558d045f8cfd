"""All that the golden data needs from inside the package and from other tests' helpers. When something moves, this file
is edited and no other.

Everything else goes through the outer doors: the command line, ``import viz`` and the running page.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

import viz
from tests.family_models import NAMES, family_model
from tests.localization_data import write_dataset
from tests.tiny import scene, tiny_model
from viz.core.record import Record
from viz.files import as_json_bytes
from viz.run.export import trace_json, trace_npz

if TYPE_CHECKING:
    from tests.page.browser.people import Visitor

# Networks that no door loads by a name.
NETS = ("tiny", *(f"vivid-{family}" for family in NAMES))
ROOT = Path(__file__).parents[2]
ASSETS = ROOT / "assets"
BUNDLED = ("lite0", "lite0-tdam", "lite0-psa", "lite0-ema", "lite0-vista", "lite0-paka")


def net(name: str) -> viz.Model:
    """One of `NETS` as a loaded model."""
    return tiny_model() if name == "tiny" else family_model(name.removeprefix("vivid-"))


def drawn_picture(name: str) -> NDArray[np.uint8]:
    """A picture for one of `NETS` that is made of numbers: uint8 (H, W, 3)."""
    return scene() if name == "tiny" else scene(240, 320)


def write_trace(trace: viz.Trace, base: Path) -> None:
    """The files that ``searchlight trace`` writes, for a trace of any model: BASE.npz and BASE.json."""
    base.with_suffix(".npz").write_bytes(trace_npz(trace))
    base.with_suffix(".json").write_bytes(as_json_bytes(trace_json(trace)))


def write_json(data: Any, path: Path) -> None:
    """Plain values as the package writes them."""
    path.write_bytes(as_json_bytes(data))


def gates(trace: viz.Trace) -> Iterator[tuple[Record, viz.Heatmap]]:
    """Every captured value of a trace that is a map over places, and it as a map."""
    for record in trace.records:
        if record.kind == "spatial":
            yield record, trace.heatmap(record.name, record.step)


def write_pictures(folder: Path) -> Path:
    """A data set of six drawn pictures with boxes and masks."""
    return write_dataset(folder, 6, splits=("val",))


def write_checkpoint(folder: Path) -> Path:
    """A published TD-ResNet-18 with random weights, as the authors' script writes it."""
    from tests.page.browser.people import PUBLISHED, write_published

    write_published(folder)
    return folder / f"{PUBLISHED}.pth.tar"


def chromium() -> str | None:
    """The Chromium that draws, or None."""
    names = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
    return next((found for name in names if (found := shutil.which(name))), None)


@contextmanager
def visitors(models: Path, script: str) -> Iterator[Any]:
    """A function that opens the running page in a real Chromium, and one that opens an empty page there.

    Args:
        models: an empty folder. script: runs on every page before its own scripts.
    """
    from tests.page.browser.people import Server, Visitor
    from tests.page.browser.visiting import Chrome

    server = Server(models, [])
    try:
        with Chrome() as chrome:
            # Pages of one server are tabs of one window, which keeps the script.
            context = chrome.context(server.url)
            context.add_init_script(script)

            def visit() -> Visitor:
                return Visitor(chrome, server)

            yield visit, context.new_page
    finally:
        server.close()
