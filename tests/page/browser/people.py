"""The page in this process and the people who use it, for the browser tests."""

from __future__ import annotations

import argparse
import base64
import io
import os
import re
import traceback
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from playwright.sync_api import Locator, Page, expect
from playwright.sync_api import TimeoutError as TimedOut

from tests.dense import offer_dense
from tests.family_models import offer_families
from tests.page.browser.visiting import Chrome, Traffic
from viz.models.networks.td_resnet import TDResNet, released_config
from viz.models.paths import bundled
from viz.page.app import build, look
from viz.page.server.start import start
from viz.run.engine import Engine

ASSETS = bundled("assets")
LOOPBACK = ("127.", "::1", "localhost")
# What is offered beside the bundled models and the families' random networks.
PUBLISHED, BROKEN = "TD_RNet18_t2_m2_joint", "broken"
# A folder for screenshots to look at; none are taken without it.
FOLDER = os.environ.get("SEARCHLIGHT_SCREENSHOTS", "")
PHONE: dict[str, Any] = {"size": (390, 844), "has_touch": True, "is_mobile": True}


class Server:
    """The page in this process, with what a folder of models holds and the families' random networks.

    Attributes:
        reached: every address that this process tried to reach.
    """

    def __init__(self, models: Path, reached: list[str]) -> None:
        write_published(models)
        (models / f"{BROKEN}.pth").write_bytes(b"no checkpoint")
        self.engine = Engine(device="cpu", models=models, max_models=20)
        offer_families(self.engine)
        offer_dense(self.engine)
        self.reached = reached
        # The page says nothing of an error inside a function that is not meant for a person; the host prints it.
        self.failures: list[str] = []
        self._print = traceback.print_exc
        traceback.print_exc = self._failed
        self.running = start(build, self.engine, port=0, **look())
        self.url = self.running.url

    def forget(self) -> None:
        """Drop all traces: what one file of tests has looked at is new to the next."""
        with self.engine._lock:
            self.engine._traces.clear()
            self.engine._held = 0

    def close(self) -> None:
        self.running.close()
        traceback.print_exc = self._print

    def _failed(self, *args: Any, **more: Any) -> None:
        self.failures.append(traceback.format_exc())
        self._print(*args, **more)


def write_published(folder: Path) -> None:
    """A file as the authors' script writes them, with random weights."""
    torch.manual_seed(0)
    state = {f"module.{k}": v for k, v in TDResNet(released_config(18)).state_dict().items()}
    saved = {"epoch": 1, "arch": "tdresnet18", "state_dict": state, "args": argparse.Namespace(lr=0.1), "version": 2}
    torch.save(saved, folder / f"{PUBLISHED}.pth.tar")


class Visitor:
    """One person at the page: collects page errors and every request."""

    def __init__(
        self,
        browser: Chrome,
        server: Server,
        *,
        size: tuple[int, int] = (1360, 1000),
        scheme: Literal["light", "dark"] = "light",
        **device: Any,
    ) -> None:
        self.server = server
        self.context = browser.context(server.url, **device)
        self.page: Page = self.context.new_page()
        self.page.set_viewport_size({"width": size[0], "height": size[1]})
        self.page.emulate_media(color_scheme=scheme)
        self.traffic = Traffic(self.page)
        self.requests: list[str] = []
        self.errors: list[str] = []
        self.page.on("request", lambda r: self.requests.append(r.url))
        self.page.on("pageerror", lambda e: self.errors.append(str(e)))
        self.page.goto(f"{server.url}?__theme={scheme}")
        self.page.wait_for_selector(".sl")
        self.page.wait_for_selector("#samples button")
        self.page.wait_for_selector("#picture input[type=file]", state="attached")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Leave the page; a test that passed must have seen no error on it."""
        self.page.close()
        if kind is None:
            self.went_well()

    def went_well(self) -> None:
        """Nothing went wrong so far, on the page and on the server."""
        assert self.errors == []
        assert self.server.failures == []

    def upload(self, path: Path | str) -> None:
        """Choose a file that will be shown, and wait until the whole page knows of it."""
        before = self.key
        self.page.set_input_files("#picture input[type=file]", str(path))
        self.shown_after(before, Path(path).name)

    def choose_model(self, name: str) -> None:
        self.page.click("#model input")
        self.page.get_by_role("option", name=name, exact=True).click()

    def take_home(self, selector: str, folder: Path) -> dict[str, Path]:
        """Download all that the links lead to; by ending."""
        links = self.page.locator(selector)
        expect(links.first).to_be_visible()
        found = {}
        for link in links.all():
            with self.page.expect_download() as download:
                link.click()
            target = folder / download.value.suggested_filename
            download.value.save_as(target)
            found[target.suffix] = target
        return found

    def shown_after(self, before: str, what: str = "What was asked for") -> None:
        """Wait until something else than before is shown, and all that follows has come."""
        try:
            self.page.wait_for_function("(k) => (document.querySelector('.sl').dataset.key || '') !== k", arg=before)
        except TimedOut:
            asked = [u for u in self.requests if any(w in u for w in ("upload", "queue", "heartbeat"))]
            told = f"{what} did not appear; errors {self.errors}, banner {self.said}, requests {asked}."
            raise AssertionError(told) from None
        self.traffic.settle()

    @property
    def said(self) -> str | None:
        """The sentence that the viewer shows about a refused file."""
        return self.page.get_attribute(".sl", "data-error")

    def settle(self) -> None:
        """Wait until nothing is queued for drawing."""
        self.page.evaluate("() => new Promise(r => requestAnimationFrame(() => requestAnimationFrame(r)))")

    def notices(self) -> list[str]:
        """What the page has told in passing so far."""
        told: list[str] = self.page.evaluate("() => window.noticed.map((e) => e.textContent)")
        return told

    def told(self, words: str) -> None:
        """Wait until the page has told something in passing."""
        self.page.wait_for_function("(w) => window.noticed.some((e) => e.textContent.includes(w))", arg=words)

    @property
    def key(self) -> str:
        return self.page.get_attribute(".sl", "data-key") or ""

    @property
    def step(self) -> int:
        return int(self.page.get_attribute(".sl", "data-step") or 0)

    def beyond_the_edge(self, selector: str) -> list[str]:
        """What is seen of a selector and ends right of the screen."""
        found: list[str] = self.page.evaluate(
            "([s, width]) => [...document.querySelectorAll(s)].filter(e => e.offsetParent"
            " && e.getBoundingClientRect().right > width + 0.5).map(e => e.outerHTML.slice(0, 80))",
            [selector, self.page.viewport_size["width"]],  # type: ignore[index]
        )
        return found

    def too_small_to_touch(self, selector: str) -> list[str]:
        """What is seen of a selector and is less than 44 pixels high or wide."""
        found: list[str] = self.page.evaluate(
            "(s) => [...document.querySelectorAll(s)].filter(e => e.offsetParent"
            " && (e.offsetHeight < 44 || e.offsetWidth < 44)).map(e => e.outerHTML.slice(0, 80))",
            selector,
        )
        return found

    def text(self, selector: str) -> str:
        return self.page.locator(selector).inner_text()

    def choose(self, name: str, value: str) -> None:
        self.page.select_option(f".sl-{name}", value)
        self.settle()

    def set_range(self, name: str, value: float) -> None:
        self.page.locator(f".sl-{name}").evaluate(
            "(e, v) => { e.value = v; e.dispatchEvent(new Event('input', { bubbles: true })); }", str(value)
        )
        self.settle()

    def canvas(self) -> NDArray[np.uint8]:
        uri = self.page.evaluate("() => document.querySelector('.sl-base').toDataURL('image/png')")
        return np.asarray(Image.open(io.BytesIO(base64.b64decode(uri.split(",")[1]))).convert("RGB"))

    def rows(self) -> list[list[str]]:
        return [re.split(r"\t", line) for line in self.page.locator(".sl-table tbody tr").all_inner_texts()]


def boxes_overlap(a: Locator, b: Locator) -> bool:
    p, q = a.bounding_box(), b.bounding_box()
    if p is None or q is None:
        return False
    return (
        p["x"] < q["x"] + q["width"] - 1
        and q["x"] < p["x"] + p["width"] - 1
        and p["y"] < q["y"] + q["height"] - 1
        and q["y"] < p["y"] + p["height"] - 1
    )


# WCAG contrast of the viewer's texts against the first ground that is not transparent.
CONTRAST = """() => {
  const lin = x => (x /= 255) <= 0.03928 ? x / 12.92 : ((x + 0.055) / 1.055) ** 2.4;
  const lum = c => { const v = c.map(lin); return 0.2126 * v[0] + 0.7152 * v[1] + 0.0722 * v[2]; };
  const parse = s => (s.match(/[\\d.]+/g) || []).map(Number);
  const ground = e => { for (; e; e = e.parentElement) { const c = parse(getComputedStyle(e).backgroundColor);
                        if (c.length === 3 || c[3] > 0.9) return c; } return [255, 255, 255]; };
  const out = [];
  for (const e of document.querySelectorAll('.sl *')) {
    if (!e.offsetParent || ![...e.childNodes].some(n => n.nodeType === 3 && n.textContent.trim())) continue;
    const a = lum(parse(getComputedStyle(e).color).slice(0, 3)), b = lum(ground(e).slice(0, 3));
    out.push([e.className || e.tagName, (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05)]);
  }
  return out;
}"""
