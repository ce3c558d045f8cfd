"""Golden cases of the page: what a real Chromium is sent and what it draws.

All names of the page's elements stand in this file. A message is whatever JSON the page's scripts parse that holds
maps, models or a plot, however it came. Canvases are read as their RGBA values: those of the maps are values; all
others, whose lines depend on the layout, are records.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tests.golden.cases import Case, Tools
from tests.golden.entries import pixels
from tests.golden.inside import ASSETS, BUNDLED, NETS, visitors

# Of the list of maps, evenly spread: all would take minutes.
MAPS_SHOWN = 6
MAPS = ".sl-base, .cmp-base"
MESSAGES = """(() => {
  const parse = JSON.parse, kinds = [["maps"], ["models"], ["add"], ["data", "layout"]];
  window.goldenMessages = new Set();
  JSON.parse = (text, ...more) => {
    const found = parse(text, ...more);
    if (found && typeof found === "object" && kinds.some((keys) => keys.every((key) => key in found)))
      window.goldenMessages.add(String(text));
    return found;
  };
})()"""
CANVASES = """([all, maps]) => [...document.querySelectorAll(all)].filter((c) => c.width && c.offsetParent).map((c) => {
  const data = c.getContext("2d").getImageData(0, 0, c.width, c.height).data;
  let text = "";
  for (let i = 0; i < data.length; i += 32768) text += String.fromCharCode(...data.subarray(i, i + 32768));
  return { map: c.matches(maps), width: c.width, height: c.height, data: btoa(text) };
})"""
# How a map may be drawn, as the controls of the viewer say it.
LOOKS: tuple[dict[str, str], ...] = (
    {"interp": "cells", "palette": "viridis", "scale": "image"},
    {"interp": "bicubic", "palette": "cividis", "scale": "raw"},
    {"interp": "bilinear", "palette": "grey", "scale": "steps"},
)


def cases() -> list[Case]:
    """The cases."""
    found: list[tuple[str, Callable[[Path, Tools], None]]] = []
    for model in BUNDLED:
        found.append((f"page/viewer/{model}", partial(_viewer, model, "clutter.jpg")))
    for model in NETS[1:]:
        found.append((f"page/viewer/{model}", partial(_viewer, model, "coffee.jpg")))
    found.append(("page/looks", _looks))
    for model in ("lite0-tdam", "lite0-psa", "vivid-ema", "vivid-vista"):
        found.append((f"page/channels/{model}", partial(_channels, model)))
    for models in (("lite0", "lite0-tdam"), ("lite0-psa", "lite0-ema", "vivid-vista", "vivid-paka")):
        found.append((f"page/compare/{'+'.join(models)}", partial(_compare, models)))
    for model in ("lite0", "lite0-tdam", "vivid-psa"):
        found.append((f"page/attribution/{model}", partial(_attribution, model)))
    return [Case(name, fill) for name, fill in found]


class Pages:
    """The running page, opened by one visitor after the other."""

    def __init__(self, visit: Callable[[], Any], blank: Callable[[], Any]) -> None:
        self._visit, self._blank = visit, blank

    @classmethod
    @contextmanager
    def opened(cls, models: Path) -> Iterator[Pages]:
        """The server and the browser, while the block runs."""
        with visitors(models, MESSAGES) as opening:
            yield cls(*opening)

    @contextmanager
    def showing(self, model: str, picture: str) -> Iterator[Guest]:
        """A visitor who sees a model's answer to a picture."""
        with self._visit() as person:
            if person.page.input_value("#model input") != model:
                person.choose_model(model)
            person.upload(ASSETS / picture)
            yield Guest(person)

    def draw(self, path: Path) -> NDArray[np.uint8]:
        """An SVG as Chromium draws it: uint8 (H, W, 4)."""
        uri = "data:image/svg+xml;base64," + base64.b64encode(path.read_bytes()).decode()
        page = self._blank()
        try:
            page.set_content(f'<style>body {{ margin: 0 }}</style><img src="{uri}">')
            page.evaluate("() => document.querySelector('img').decode()")
            return pixels(page.locator("img").screenshot())
        finally:
            page.close()


class Guest:
    """One visitor, and what the page has got and drawn for them."""

    def __init__(self, person: Any) -> None:
        self.person = person
        self.page = person.page

    def messages(self, folder: Path, name: str) -> None:
        """Write what has come since the last time, in the order in which it came."""
        self.person.traffic.settle()
        texts = self.page.evaluate("() => { const t = [...goldenMessages]; goldenMessages.clear(); return t; }")
        for number, text in enumerate(texts, 1):
            (folder / f"{name}-{number}.json").write_text(text, encoding="utf-8")

    def canvases(self, folder: Path, name: str, *, others: bool = True) -> None:
        """Write every canvas that can be seen: each one with a map, and all others together, where they are wanted."""
        self.person.settle()
        rest = b""
        for number, one in enumerate(self.page.evaluate(CANVASES, ["canvas" if others else MAPS, MAPS]), 1):
            rgba = np.frombuffer(base64.b64decode(one["data"]), np.uint8).reshape(one["height"], one["width"], 4)
            if one["map"]:
                np.save(folder / f"{name}-{number}.npy", rgba)
            else:
                rest += rgba.tobytes()
        if rest:
            (folder / f"{name}-others.rgba").write_bytes(rest)

    def set(self, selector: str, value: object) -> None:
        """Move a slider."""
        self.page.locator(selector).evaluate(
            "(e, v) => { e.value = v; e.dispatchEvent(new Event('input', { bubbles: true })); }", str(value)
        )
        self.person.settle()

    def options(self, selector: str) -> list[str]:
        """What a list offers."""
        found: list[str] = self.page.locator(f"{selector} option").evaluate_all("(all) => all.map((o) => o.value)")
        return found

    def open_tab(self, name: str) -> None:
        """Open one of the tabs."""
        self.page.get_by_role("tab", name=name, exact=True).click()
        self.person.traffic.settle()

    def tick(self, group: str, words: tuple[str, ...]) -> None:
        """Choose the boxes of a group whose words begin like this."""
        for label in self.page.locator(f"{group} label:has(input[type=checkbox])").all():
            text = label.inner_text().strip()
            label.locator("input").set_checked(any(text == w or text.startswith(f"{w} ") for w in words))

    def press(self, button: str, grid: str) -> None:
        """Press a button and wait until a grid shows something else."""
        key = f"(document.querySelector('{grid} .cmp').dataset.key || null)"
        before = self.page.evaluate(f"() => {key}")
        self.page.click(button)
        self.page.wait_for_function(f"(k) => {key} !== k", arg=before)
        self.person.traffic.settle()


def _viewer(model: str, picture: str, folder: Path, tools: Tools) -> None:
    """The message, and the canvas at every stop, then with some maps of the list."""
    with tools.pages.showing(model, picture) as guest:
        guest.messages(folder, "message")
        for stop in range(1, int(guest.page.get_attribute(".sl", "data-stops") or 1) + 1):
            guest.set(".sl-step", stop)
            guest.canvases(folder, f"stop-{stop}")
        offered = guest.options(".sl-map")
        for number, name in enumerate(offered[:: max(1, len(offered) // MAPS_SHOWN)], 1):
            guest.person.choose("map", name)
            guest.canvases(folder, f"map-{number}", others=False)


def _looks(folder: Path, tools: Tools) -> None:
    """Interpolations, palettes, scales and opacities."""
    with tools.pages.showing("lite0-tdam", "panda.jpg") as guest:
        guest.person.choose("map", "cam")
        for number, look in enumerate(LOOKS, 1):
            for control, value in look.items():
                guest.person.choose(control, value)
            for opacity in (30, 100):
                guest.set(".sl-opacity", opacity)
                guest.canvases(folder, f"look-{number}-{opacity}")


def _channels(model: str, folder: Path, tools: Tools) -> None:
    """The plot, and the map of the strongest channel."""
    with tools.pages.showing(model, "coffee.jpg") as guest:
        guest.open_tab("Channels")
        guest.page.wait_for_selector("#channel-plot .js-plotly-plot")
        guest.messages(folder, "shown")
        if guest.page.locator("#pick label").count():
            guest.page.locator("#pick label").first.click()
            guest.page.wait_for_function("() => goldenMessages.size > 0")
            guest.messages(folder, "channel")
            guest.canvases(folder, "channel")


def _grid(guest: Guest, grid: str, folder: Path) -> None:
    guest.messages(folder, "message")
    last = int(guest.page.get_attribute(f"{grid} .cmp-step", "max") or 1)
    for step in range(1, last + 1):
        guest.set(f"{grid} .cmp-step", step)
        guest.canvases(folder, f"step-{step}")


def _compare(models: tuple[str, ...], folder: Path, tools: Tools) -> None:
    with tools.pages.showing("lite0", "clutter.jpg") as guest:
        guest.open_tab("Compare")
        guest.messages(folder, "viewer")
        guest.tick("#compare-models", models)
        guest.tick("#compare-also", ("Grad-CAM",))
        guest.press("#compare-start", "#compare-grid")
        _grid(guest, "#compare-grid", folder)


def _attribution(model: str, folder: Path, tools: Tools) -> None:
    with tools.pages.showing(model, "coffee.jpg") as guest:
        guest.open_tab("Attribution")
        guest.messages(folder, "viewer")
        guest.tick("#attribution-methods", ("Grad-CAM", "guided backpropagation"))
        guest.press("#attribution-start", "#attribution-grid")
        _grid(guest, "#attribution-grid", folder)
