"""How a browser test waits on a machine of any speed: for states of the page, never for a time."""

from __future__ import annotations

import gc
import json
import shutil
import time
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import BrowserContext, Page, Request, expect, sync_playwright

from viz.core.methods import DEFAULT_OPTIONS
from viz.measures.faithfulness.report import QUICK
from viz.page import running

# Milliseconds. No test is right because something took less than this: it only ends a test that would wait for ever.
PATIENCE = 240_000
# For a computation of hundreds of passes, which may get a small share of the processor.
LONG = 3 * PATIENCE
expect.set_options(timeout=PATIENCE)

# Notices leave the page after some seconds; a test that comes late still wants to know what they said.
NOTICES = """() => {
  window.noticed = [];
  new MutationObserver((records) => {
    for (const record of records)
      for (const node of record.addedNodes) {
        if (!(node instanceof Element)) continue;
        const bodies = [...node.querySelectorAll("[data-testid=toast-body]")];
        if (node.matches("[data-testid=toast-body]")) bodies.push(node);
        window.noticed.push(...bodies);
      }
  }).observe(document, { childList: true, subtree: true });
}"""

# What of the server's functions the page has asked for and has no answer to, and what it owes: an answer sets that off,
# and it has not been asked for yet. That a stream of answers is open says nothing: the host may open
# one after a quick answer that stays until the next event.
EVENTS = """() => {
  const awaited = new Map(); // event: function
  const early = new Map(); // answers that came before the number of their event
  const owed = new Set();
  window.pending = () => [...awaited.values(), ...owed];
  const follows = (d, asked, answer) => d.backend_fn && (
    d.trigger_after === asked && (answer.success || !d.trigger_only_on_success)
    || d.targets.some(([id, event]) => event === "change" && answer.output.changed_state_ids?.includes(id)));
  const answered = (asked, answer) => {
    for (const d of window.gradio_config.dependencies) if (follows(d, asked, answer)) owed.add(d.id);
  };
  const completed = (answer) => {
    const event = answer.event_id;
    if (!awaited.has(event)) return early.set(event, answer);
    answered(awaited.get(event), answer);
    awaited.delete(event);
  };
  // Sees each answer before the page does.
  const listening = () => {
    const decoder = new TextDecoder();
    let rest = "";
    return new TransformStream({ transform(chunk, control) {
      const lines = (rest + decoder.decode(chunk, { stream: true })).split("\\n");
      rest = lines.pop();
      for (const line of lines) {
        const message = line.startsWith("data:") ? JSON.parse(line.slice(5)) : {};
        if (message.msg === "process_completed") completed(message);
      }
      control.enqueue(chunk);
    } });
  };
  const native = window.fetch;
  window.fetch = async (...asked) => {
    const url = String(asked[0].url || asked[0]);
    const queued = url.includes("/queue/join"), direct = url.includes("/run/predict");
    const called = queued || direct ? JSON.parse(asked[1].body).fn_index : null;
    if (called !== null) owed.delete(called);
    const answer = await native(...asked);
    if (direct && answer.ok) answered(called, { success: true, output: await answer.clone().json() });
    if (queued && answer.ok) {
      const event = (await answer.clone().json()).event_id;
      awaited.set(event, called);
      if (early.has(event)) completed(early.get(event));
      early.delete(event);
    }
    if (!url.includes("/queue/data") || !answer.body) return answer;
    return new Response(answer.body.pipeThrough(listening()), answer);
  };
}"""


FLAGS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--process-per-site", "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--js-flags=--no-script-streaming",  # it compiles a script for each page, though their process has it compiled
]  # fmt: skip


def chromium_path() -> str:
    for name in ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome"):
        found = shutil.which(name)
        if found:
            return found
    raise RuntimeError("Install Chromium: the browser tests drive it.")


class Chrome:
    """A Chromium whose pages of one kind of device are tabs of one window: they share a process, which has the page's
    scripts compiled already when the second one is opened."""

    def __enter__(self) -> Chrome:
        self._driver = sync_playwright().start()
        self._browser = self._driver.chromium.launch(executable_path=chromium_path(), args=FLAGS, timeout=PATIENCE)
        self._contexts: dict[str, BrowserContext] = {}
        return self

    def __exit__(self, *_: object) -> None:
        self._browser.close()
        self._driver.stop()

    def context(self, url: str, **device: Any) -> BrowserContext:
        """The window of a kind of device, for pages of a server."""
        key = f"{url} {sorted(device.items())}"
        if key not in self._contexts:
            made = self._browser.new_context(accept_downloads=True, **device)
            made.set_default_timeout(PATIENCE)
            for script in (NOTICES, EVENTS):
                made.add_init_script(f"({script})()")
            # A small page that stays open, and with it the process.
            made.new_page().goto(url + "theme.css")
            self._contexts[key] = made
        return self._contexts[key]


class Traffic:
    """What a page asks of its server, and whether all of it has been answered."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.urls: list[str] = []
        self.functions: list[int] = []
        self._open: set[Request] = set()
        page.on("request", self._asked)
        page.on("requestfinished", self._answered)
        page.on("requestfailed", self._answered)

    def _asked(self, request: Request) -> None:
        if "/heartbeat" in request.url:  # the host's own sign of life, which never ends
            return
        self.urls.append(request.url)
        if "/queue/data" not in request.url:  # see `EVENTS`
            self._open.add(request)
        function = function_of(request)
        if function is not None:
            self.functions.append(function)

    def _answered(self, request: Request) -> None:
        self._open.discard(request)

    @property
    def answered(self) -> bool:
        """Nothing is under way, and all that an answer sets off has been asked for."""
        return not self._open and not self.page.evaluate("() => window.pending().length")

    def _told(self) -> str:
        pending = self.page.evaluate("() => window.pending()")
        return f"open: {[r.url for r in self._open]}, pending: {pending}, asked: {self.functions}"

    def settle(self) -> None:
        """Wait until the page has all its answers and has drawn them."""
        while True:
            until(self.page, lambda: self.answered, self._told)
            before = len(self.urls)
            # What an answer sets off is asked for and drawn before the second of two frames.
            self.page.evaluate("() => new Promise(r => requestAnimationFrame(() => requestAnimationFrame(r)))")
            if self.answered and len(self.urls) == before:
                return


def function_of(request: Request) -> int | None:
    """Which of the page's functions a request asks for."""
    if request.method != "POST" or not request.url.split("?")[0].endswith(("/queue/join", "/run/predict")):
        return None
    number = json.loads(request.post_data or "{}").get("fn_index")
    return number if isinstance(number, int) else None


def until(page: Page, true: Callable[[], bool], told: Callable[[], str] = lambda: "") -> None:
    """Wait until something is true that the page cannot say itself."""
    deadline = time.monotonic() + PATIENCE / 1000
    while not true():
        if time.monotonic() > deadline:
            raise AssertionError(f"Waited {PATIENCE // 1000} seconds; {told()}.")
        page.wait_for_timeout(20)  # lets the page's events in


def compute_quickly(patch: pytest.MonkeyPatch) -> None:
    """Fewer passes for every attribution and control at its usual options, asked for by the page or by Python."""
    fewer: list[tuple[Any, dict[str, Any]]] = [
        (DEFAULT_OPTIONS, {"n_steps": 4, "stride": 32}),
        (QUICK, {"points": 3, "road_points": 2, "seeds": 1, "draws": 2, "samples": 2}),
    ]
    for options, values in fewer:
        for name, value in values.items():
            patch.setitem(vars(options), name, value)


def hold_until_stopped(patch: pytest.MonkeyPatch, signs: int = 3) -> None:
    """Keep a computation where it is after some signs of progress, until the visitor stops it.

    However fast the machine computes and however slowly it shows a button, the button is pressed while it computes.
    """
    telling = running.telling

    def held(progress: Any, check: Callable[[], None]) -> Callable[[float, str], None]:
        tell, told = telling(progress, check), 0

        def wait(share: float, words: str) -> None:
            nonlocal told
            tell(share, words)
            told += 1
            deadline = time.monotonic() + PATIENCE / 1000
            while told >= signs and time.monotonic() < deadline:
                check()
                time.sleep(0.02)

        return wait

    patch.setattr(running, "telling", held)


def all_ended() -> bool:
    """Whether all visitors' computations come to an end."""
    deadline = time.monotonic() + PATIENCE / 1000
    while time.monotonic() < deadline:
        if not any(len(found) for found in gc.get_objects() if type(found) is running.Running):
            return True
        time.sleep(0.1)
    return False
