"""A visitor of the Attribution tab."""

from __future__ import annotations

from typing import Any

from playwright.sync_api import Locator, expect

from tests.page.browser.people import LOOPBACK, Server, Visitor
from tests.page.browser.visiting import LONG, Chrome, until


class Asker(Visitor):
    """A visitor who asks for attributions."""

    def __init__(self, browser: Chrome, server: Server, **device: Any) -> None:
        super().__init__(browser, server, **device)
        self.page.on("console", lambda m: self.errors.append(f"{m.text} {m.location}") if m.type == "error" else None)

    def open_tab(self, name: str = "Attribution") -> None:
        self.page.get_by_role("tab", name="Channels").scroll_into_view_if_needed()
        tab = self.page.get_by_role("tab", name=name)
        menu = self.page.locator(".overflow-menu > button")
        until(self.page, lambda: tab.is_visible() or menu.is_visible())
        if tab.is_visible():
            tab.click()
        else:  # a narrow page keeps the others behind a button
            menu.click()
            self.page.locator(".overflow-dropdown button", has_text=name).click()
        expect(self.page.locator(f"#{name.lower()}-start")).to_be_visible()

    def tick(self, *words: str) -> None:
        for label in self.page.locator("#attribution-methods label").all():
            text = label.inner_text()
            label.locator("input").set_checked(any(w in text for w in words))

    def pick_layer(self, words: str) -> None:
        self.page.click("#attribution-layers input")
        self.page.get_by_role("option", name=words, exact=True).click()
        self.page.keyboard.press("Escape")

    @property
    def grid(self) -> Locator:
        return self.page.locator("#attribution-grid .cmp")

    def compute(self) -> None:
        key = "document.querySelector('#attribution-grid .cmp').dataset.key"
        before = self.page.evaluate(f"() => {key} || null")
        self.page.click("#attribution-start")
        self.page.wait_for_function(f"(k) => ({key} || null) !== k", arg=before, timeout=LONG)
        self.traffic.settle()

    def table(self, name: str) -> list[list[str]]:
        rows = self.grid.locator(f".cmp-{name} tbody tr").all_inner_texts()
        return [line.split("\t") for line in rows]

    def step_to(self, step: int) -> None:
        self.grid.locator(".cmp-step").evaluate(
            "(e, v) => { e.value = v; e.dispatchEvent(new Event('input')); }", str(step)
        )
        self.settle()

    def went_well(self) -> None:
        super().went_well()
        inside = ("data:", "blob:")
        assert [u for u in self.requests if not u.startswith(inside) and not any(a in u for a in LOOPBACK)] == []
