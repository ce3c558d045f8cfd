"""How a browser test waits on a machine of any speed: for states of the page, never for a time."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from importlib import import_module
from typing import Any

import pytest
from playwright.sync_api import Page, Request, expect

# Milliseconds. No test is right because something took less than this: it only ends a test that would wait for ever.
PATIENCE = 45_000
# For a computation of hundreds of passes, which may get a small share of the processor.
LONG = 10 * PATIENCE
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

# Which events the page has asked for and has no answer to. That a stream of answers is open says nothing: after a quick
# answer the host may open one that stays until the next event.
EVENTS = """() => {
  window.awaited = new Set();
  const early = new Set(); // answers that came before the number of their event
  const native = window.fetch;
  const answered = (id) => window.awaited.delete(id) || early.add(id);
  const listen = async (stream) => {
    const lines = stream.pipeThrough(new TextDecoderStream()).getReader();
    let rest = "";
    for (;;) {
      const { done, value } = await lines.read();
      if (done) return;
      const parts = (rest + value).split("\\n");
      rest = parts.pop();
      for (const part of parts) {
        const message = part.startsWith("data:") ? JSON.parse(part.slice(5)) : {};
        if (message.msg === "process_completed") answered(message.event_id);
      }
    }
  };
  window.fetch = async (...asked) => {
    const url = String(asked[0].url || asked[0]);
    const answer = await native(...asked);
    if (url.includes("/queue/join") && answer.ok) {
      const id = (await answer.clone().json()).event_id;
      early.delete(id) || window.awaited.add(id);
    }
    if (!url.includes("/queue/data") || !answer.body) return answer;
    const [theirs, ours] = answer.body.tee();
    listen(ours).catch(() => {}); // ended by the page
    return new Response(theirs, answer);
  };
}"""


class Traffic:
    """What a page asks of its server, and whether all of it has been answered.

    Args:
        config: of the page's `Blocks`; it says which events follow the one that shows a picture.
    """

    def __init__(self, page: Page, config: dict[str, Any]) -> None:
        self.page = page
        self.urls: list[str] = []
        self.functions: list[int] = []
        self._open: set[Request] = set()
        self._first, self._followers = followers_of(config)
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
        """Nothing is under way, and all that follows the last showing of a picture has been asked for."""
        last = {function: i for i, function in enumerate(self.functions)}
        begun = last.get(self._first)
        followed = begun is None or all(last.get(f, -1) > begun for f in self._followers)
        return followed and not self._open and not self.page.evaluate("() => window.awaited.size")

    def settle(self) -> None:
        """Wait until the page has all its answers and has drawn them."""
        while True:
            until(self.page, lambda: self.answered, lambda: f"open: {[r.url for r in self._open]}, {self.functions}")
            before = len(self.urls)
            # What an answer sets off is asked for and drawn before the second of two frames.
            self.page.evaluate("() => new Promise(r => requestAnimationFrame(() => requestAnimationFrame(r)))")
            if self.answered and len(self.urls) == before:
                return


def followers_of(config: dict[str, Any]) -> tuple[int, set[int]]:
    """The function that shows a picture, and those that run after it."""
    events = config["dependencies"]
    viewer = next(c["id"] for c in config["components"] if c["props"].get("elem_id") == "viewer")
    first = next(e["id"] for e in events if e["trigger_mode"] == "always_last" and viewer in e["outputs"])
    after: set[int] = set()
    for event in events:  # in the order in which they were wired, so that a follower's followers come later
        if event["trigger_after"] == first or event["trigger_after"] in after:
            after.add(event["id"])
    return first, after


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


def hold_until_stopped(patch: pytest.MonkeyPatch, tab: str, signs: int = 3) -> None:
    """Keep a tab's computation where it is after some signs of progress, until the visitor stops it.

    However fast the machine computes and however slowly it shows a button, the button is pressed while it computes.
    """
    module = import_module(tab)
    telling = module.telling

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

    patch.setattr(module, "telling", held)
