"""What comes late on the page: refusals, answers to an older picture, uploads in between; and files of any name.

The page's speed decides nothing here: an answer or a request is held until what shall overtake it has come.
"""

from __future__ import annotations

import base64
import re
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

import pytest
from playwright.sync_api import Route, expect

import viz
from tests.page.browser.people import ASSETS, BROKEN, PUBLISHED, Server, Visitor
from tests.page.browser.visiting import PATIENCE, Chrome, compute_quickly, function_of, until
from viz.page.app import sample_paths
from viz.page.session import Turns

pytestmark = pytest.mark.browser

INPUT = "#picture input[type=file]"


class Hasty(Visitor):
    """A visitor who does not wait for answers."""

    def __init__(self, browser: Chrome, server: Server, **device: Any) -> None:
        self.server = server
        super().__init__(browser, server, **device)

    def choose_file(self, path: Path) -> None:
        self.page.set_input_files(INPUT, str(path))

    def see(self, name: str) -> None:
        """Choose a picture, which may be the one that is shown."""
        self.choose_file(ASSETS / name)
        self.holds(name)
        self.shows(name)
        self.traffic.settle()
        self.said_nothing()

    def holds(self, name: str) -> None:
        """Wait until the input shows an uploaded file."""
        self.page.wait_for_selector(f"#picture img[src$='/{name}']", state="attached")

    def holds_nothing(self) -> None:
        expect(self.page.locator("#picture img")).to_have_count(0)

    def shows(self, name: str) -> None:
        """Wait until the viewer shows a picture, or a model."""
        expect(self.page.locator(".sl-about")).to_contain_text(name)

    def refused(self, words: str) -> None:
        """Wait until the viewer says why a file is not shown."""
        expect(self.page.locator(".sl-banner")).to_contain_text(words)

    def said_nothing(self) -> None:
        expect(self.page.locator(".sl-banner")).to_be_hidden()

    def only_insertion(self) -> None:
        """Choose the one control that takes few passes."""
        for label in self.page.locator("#faithfulness-parts label").all():
            label.locator("input").set_checked("Insertion" in label.inner_text())

    def hold_refusal(self) -> Callable[[], None]:
        """Keep back whatever a refusal asks of the server, until the returned function is called."""
        config: dict[str, Any] = self.server.running.page.config
        held: list[Route] = []
        asked = {d["id"] for d in config["dependencies"] if any(event == "refused" for _, event in d["targets"])}
        assert asked

        def keep(route: Route) -> None:
            if function_of(route.request) in asked:
                held.append(route)
            else:
                route.continue_()

        self.page.route("**/gradio_api/**", keep)

        def release() -> None:
            self.page.unroute("**/gradio_api/**", keep)
            for route in held:
                route.continue_()

        return release

    def hold_uploads(self) -> list[Route]:
        """Keep back the files that are chosen from now on; gives what lets each go on."""
        held: list[Route] = []

        def keep(route: Route) -> None:  # Playwright marks what it is given, which a list's own method does not bear
            held.append(route)

        self.page.route(re.compile(r"/upload\?"), keep)
        return held


@pytest.fixture
def person(browser: Chrome, server: Server) -> Iterator[Hasty]:
    with Hasty(browser, server) as someone:
        yield someone


@pytest.fixture(scope="module")
def staying(browser: Chrome, server: Server) -> Iterator[Hasty]:
    with Hasty(browser, server) as someone:
        yield someone


@pytest.fixture
def stayer(staying: Hasty) -> Iterator[Hasty]:
    """One who stays for several tests."""
    yield staying
    staying.went_well()
    assert staying.notices() == []


class Gate:
    """Holds the calls of a function that are asked about, from their beginning until it is opened."""

    def __init__(self, patch: pytest.MonkeyPatch, target: str, stops: Callable[..., bool]) -> None:
        function = resolve_name(target)
        self.waiting, self.opened = threading.Event(), threading.Event()

        def gated(*arguments: Any, **more: Any) -> Any:
            if stops(*arguments, **more):
                self.waiting.set()
                assert self.opened.wait(PATIENCE / 1000)
            return function(*arguments, **more)

        patch.setattr(target, gated)

    def reached(self, person: Visitor) -> None:
        until(person.page, self.waiting.is_set)


@pytest.fixture
def bad(tmp_path: Path) -> Path:
    path = tmp_path / "text.jpg"
    path.write_bytes(b"this is not a picture")
    return path


# ---------------------------------------------------------------- a refusal, and what comes right after it


def test_a_picture_chosen_right_after_a_refusal_is_shown(person: Hasty, bad: Path) -> None:
    release = person.hold_refusal()
    person.choose_file(bad)
    person.refused("not a picture")
    person.choose_file(ASSETS / "coffee.jpg")
    person.holds("coffee.jpg")
    release()
    person.shows("coffee.jpg")
    person.traffic.settle()
    person.said_nothing()
    person.holds("coffee.jpg")


def test_a_sample_clicked_right_after_a_refusal_is_shown(person: Hasty, bad: Path) -> None:
    release = person.hold_refusal()
    person.choose_file(bad)
    person.refused("not a picture")
    person.page.click("#samples button >> nth=2")
    name = Path(sample_paths()[2]).name
    person.holds(name)
    release()
    person.shows(name)
    person.traffic.settle()
    person.said_nothing()
    person.holds(name)


def test_a_refused_file_leaves_the_input_each_time(person: Hasty, bad: Path, tmp_path: Path) -> None:
    person.upload(ASSETS / "coffee.jpg")
    empty = tmp_path / "empty.png"
    empty.write_bytes(b"")
    for path, words in ((bad, "not a picture"), (empty, "is empty"), (bad, "not a picture"), (bad, "not a picture")):
        person.choose_file(path)
        person.holds_nothing()
        person.traffic.settle()
        person.refused(words)
        person.holds_nothing()
        person.shows("coffee.jpg")


def test_a_refusal_asks_for_nothing_else(person: Hasty, bad: Path) -> None:
    """What is shown stays, so no tab has anything to follow."""
    person.upload(ASSETS / "coffee.jpg")
    followed = len(set(person.traffic.functions))
    person.traffic.functions.clear()
    person.choose_file(bad)
    person.refused("not a picture")
    person.traffic.settle()
    person.holds_nothing()
    assert followed > 5 and len(set(person.traffic.functions)) == 1


def test_a_refusal_while_the_next_file_is_uploaded(person: Hasty, bad: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gate = Gate(monkeypatch, "viz.page.app.open_picture", lambda path: path.name == bad.name)
    person.choose_file(bad)
    gate.reached(person)
    uploads = person.hold_uploads()
    person.choose_file(ASSETS / "flower.jpg")
    until(person.page, lambda: bool(uploads))
    gate.opened.set()
    person.refused("not a picture")
    uploads[0].continue_()
    person.shows("flower.jpg")
    person.traffic.settle()
    person.said_nothing()
    person.holds("flower.jpg")


def test_a_model_that_cannot_be_opened_does_not_take_the_picture(person: Hasty) -> None:
    person.choose_model(BROKEN)
    person.choose_file(ASSETS / "coffee.jpg")
    expect(person.page.locator(".sl-banner")).to_be_visible()
    person.traffic.settle()
    person.holds("coffee.jpg")
    person.choose_model("lite0")
    person.shows("coffee.jpg")
    person.said_nothing()


# ---------------------------------------------------------------- a newer picture or model, an older answer


def test_the_model_chosen_last_is_shown(person: Hasty, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two models are chosen while a file is uploaded, and the first takes longer than the second."""
    gate = Gate(monkeypatch, "viz.page.app.trace_of", lambda shown, *_: shown.model == PUBLISHED)
    uploads = person.hold_uploads()
    person.choose_file(ASSETS / "china.jpg")
    person.choose_model(PUBLISHED)
    person.choose_model("lite0")
    until(person.page, lambda: bool(uploads))
    uploads[0].continue_()
    gate.reached(person)
    person.page.wait_for_selector(".sl[data-state=shown]")
    gate.opened.set()
    person.traffic.settle()
    assert person.page.input_value("#model input") == "lite0"
    assert "TD-ResNet" not in person.text(".sl-about")


def test_the_picture_that_came_last_is_drawn(person: Hasty) -> None:
    """The browser decodes the first picture after the second."""
    person.page.evaluate(
        """() => {
          const Real = window.Image;
          window.late = [];
          window.Image = function () {
            const image = new Real(), first = !window.late.length;
            Object.defineProperty(image, "onload", { set(call) {
              if (first) window.late.push(call); else image.addEventListener("load", call);
            } });
            return image;
          };
        }"""
    )
    person.choose_file(ASSETS / "coffee.jpg")
    person.page.wait_for_function("() => window.late.length === 1")
    person.upload(ASSETS / "chelsea.jpg")
    person.page.evaluate("() => window.late[0]()")
    person.shows("chelsea.jpg")


def test_a_slow_preview_does_not_stand_for_a_newer_picture(person: Hasty, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second picture while the tabs still follow the first: every tab follows it, too."""
    drawn: list[str] = []

    def stops(trace: Any, **_: Any) -> bool:
        drawn.append(trace.picture.name)
        return drawn == ["coffee.jpg"]

    gate = Gate(monkeypatch, "viz.page.figure_tab.figure", stops)
    person.page.get_by_role("tab", name="Figure").click()
    person.choose_file(ASSETS / "coffee.jpg")
    gate.reached(person)
    before = person.key
    person.choose_file(ASSETS / "rocket.jpg")
    person.page.wait_for_function("(k) => document.querySelector('.sl').dataset.key !== k", arg=before)
    gate.opened.set()
    person.traffic.settle()
    assert drawn[0] == "coffee.jpg" and drawn[-1] == "rocket.jpg"
    preview = person.page.locator("#preview img")
    shown = preview.get_attribute("src")
    for palette in ("viridis", "fits the map"):
        person.page.locator("#figure-palette input").click()
        person.page.locator("li[role=option]", has_text=palette).click()
        person.traffic.settle()
    assert drawn[-2:] == ["rocket.jpg"] * 2 and preview.get_attribute("src") == shown


def test_the_preview_is_drawn_when_it_is_seen(person: Hasty, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[str] = []

    def noted(trace: Any, **more: Any) -> Any:
        drawn.append(trace.picture.name)
        return viz.figure(trace, **more)

    monkeypatch.setattr("viz.page.figure_tab.figure", noted)
    preview, seen = person.page.locator("#preview img"), ""
    for count, name in enumerate(("coffee.jpg", "rocket.jpg")):
        person.page.get_by_role("tab", name="Channels").click()
        person.upload(ASSETS / name)
        assert len(drawn) == count, "nobody sees it"
        person.page.get_by_role("tab", name="Figure").click()
        until(person.page, lambda: len(drawn) == count + 1)  # noqa: B023
        person.traffic.settle()
        assert drawn[-1] == name and preview.get_attribute("src") != seen
        seen = preview.get_attribute("src") or ""


def test_every_tab_follows_the_newest_picture(person: Hasty, monkeypatch: pytest.MonkeyPatch) -> None:
    """All tabs still work on the first picture while the second one is shown."""
    gates = [
        Gate(monkeypatch, f"viz.page.{name.lower()}_tab.{name}Tab.trace", held_first())
        for name in ("Channels", "Attribution", "Faithfulness", "Figure")
    ]
    person.choose_file(ASSETS / "coffee.jpg")
    for gate in gates:
        gate.reached(person)
    person.page.wait_for_selector(".sl[data-state=shown]")
    before, first = person.key, person.text(".sl-top button >> nth=0").split("\n")[0]
    person.choose_file(ASSETS / "rocket.jpg")
    person.page.wait_for_function("(k) => document.querySelector('.sl').dataset.key !== k", arg=before)
    best = person.text(".sl-top button >> nth=0").split("\n")[0]
    for gate in gates:
        gate.opened.set()
    person.traffic.settle()
    assert best != first
    for name in ("Attribution", "Faithfulness"):
        person.page.get_by_role("tab", name=name).click()
        assert best in person.page.locator(f"#{name.lower()}-class input").input_value(), name


def held_first() -> Callable[..., bool]:
    """True for the first call alone."""
    calls: list[None] = []

    def first(*_: Any) -> bool:
        calls.append(None)
        return len(calls) == 1

    return first


@pytest.mark.parametrize(
    ("tab", "held"),
    [
        ("Compare", "viz.page.compare_tab.compare_message"),
        ("Attribution", "viz.page.attribution_tab.attribution_message"),
    ],
)
def test_a_grid_of_the_picture_before_says_so(
    person: Hasty, tab: str, held: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    person.upload(ASSETS / "coffee.jpg")
    gate = Gate(monkeypatch, held, lambda *_, **__: True)
    person.page.get_by_role("tab", name=tab).click()
    person.page.click(f"#{tab.lower()}-start")
    gate.reached(person)
    before = person.key
    person.choose_file(ASSETS / "rocket.jpg")
    person.page.wait_for_function("(k) => document.querySelector('.sl').dataset.key !== k", arg=before)
    gate.opened.set()
    person.page.wait_for_selector(f"#{tab.lower()}-grid .cmp[data-state=shown]")
    person.traffic.settle()
    assert "coffee.jpg" in person.text(f"#{tab.lower()}-grid .cmp-about")
    expect(person.page.locator(f"#{tab.lower()}-grid .cmp-stale")).to_contain_text("has changed")


def test_numbers_of_the_picture_before_do_not_stay(person: Hasty, monkeypatch: pytest.MonkeyPatch) -> None:
    compute_quickly(monkeypatch)
    person.upload(ASSETS / "coffee.jpg")
    person.page.get_by_role("tab", name="Faithfulness").click()
    person.only_insertion()
    gate = Gate(monkeypatch, "viz.page.faithfulness_tab.faithful", lambda *_, **__: True)
    person.page.click("#faithfulness-start")
    gate.reached(person)
    before = person.key
    person.choose_file(ASSETS / "rocket.jpg")
    person.page.wait_for_function("(k) => document.querySelector('.sl').dataset.key !== k", arg=before)
    gate.opened.set()
    expect(person.page.locator("#faithfulness-start")).to_be_visible()
    person.traffic.settle()
    expect(person.page.locator("#faithfulness-result")).to_have_count(0)
    expect(person.page.locator("#faithfulness-files")).to_have_count(0)
    # Measured for what is above, they stay.
    person.only_insertion()  # a new picture brings the usual controls back
    person.page.click("#faithfulness-start")
    expect(person.page.locator("#faithfulness-files")).to_be_visible()
    person.traffic.settle()
    expect(person.page.locator("#faithfulness-result")).to_contain_text("rocket.jpg")


def test_a_refusal_leaves_measured_numbers(person: Hasty, bad: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    compute_quickly(monkeypatch)
    person.upload(ASSETS / "coffee.jpg")
    person.page.get_by_role("tab", name="Faithfulness").click()
    person.only_insertion()
    person.page.click("#faithfulness-start")
    expect(person.page.locator("#faithfulness-files")).to_be_visible()
    person.choose_file(bad)
    person.refused("not a picture")
    person.traffic.settle()
    expect(person.page.locator("#faithfulness-result")).to_contain_text("coffee.jpg")
    expect(person.page.locator("#faithfulness-files")).to_be_visible()


def test_turns() -> None:
    turns = Turns()
    second = turns.begin("a", 2)
    other = turns.begin("b", 1)
    assert second() and other()
    first = turns.begin("a", 1)  # it came later, but was asked earlier
    assert not first() and second()
    third = turns.begin("a", 3)
    assert not second() and third() and other()
    turns.leave("a")
    assert not third() and other()


# ---------------------------------------------------------------- files of any name


def picture_of(data: bytes, name: str, folder: Path) -> Path:
    path = folder / name
    path.write_bytes(data)
    return path


def drop(person: Hasty, path: Path) -> None:
    """Drag a file, or a folder, from the desktop on the picture input."""
    session = person.context.new_cdp_session(person.page)
    area = person.page.locator("#picture").bounding_box()
    assert area is not None
    at = {"x": area["x"] + area["width"] / 2, "y": area["y"] + area["height"] / 2}
    data = {"items": [], "files": [str(path)], "dragOperationsMask": 1}
    for kind in ("dragEnter", "dragOver", "drop"):
        session.send("Input.dispatchDragEvent", {"type": kind, "data": data, **at})
    session.detach()


# A file that was copied in a folder, as Ctrl+V hands it over.
PASTE = """([name, text]) => {
  const data = new DataTransfer();
  data.items.add(new File([Uint8Array.from(atob(text), (c) => c.charCodeAt(0))], name));
  document.body.dispatchEvent(new ClipboardEvent("paste", { bubbles: true, cancelable: true, clipboardData: data }));
}"""


def paste(person: Hasty, path: Path) -> None:
    person.page.evaluate(PASTE, [path.name, base64.b64encode(path.read_bytes()).decode()])


def choose(person: Hasty, path: Path) -> None:
    person.choose_file(path)


GIVEN = {"chosen": choose, "dropped": drop, "pasted": paste}
JPEG = (ASSETS / "rocket.jpg").read_bytes()
HEIC = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(64)


# Each kind of name into an empty input, and in place of a picture of another kind of name.
NAMES = [("photo", "IMG.JPG", "scan.jfif", "notes"), ("IMG.PNG", "photo.dat", "x.jpg.download", "photo.webp")]
REFUSED = [
    ("photo.heic", HEIC, "HEIC pictures cannot be read here; convert the picture to JPEG or PNG."),
    ("notes.txt", b"milk, bread", "This is not a picture that can be read; use JPEG"),
    ("photo", HEIC, "HEIC pictures cannot be read here; convert the picture to JPEG or PNG."),
    ("film.mp4", b"\0\0\0\x18ftypisom" + bytes(64), "This is not a picture that can be read; use JPEG"),
    ("drawing", b'<svg xmlns="http://www.w3.org/2000/svg"/>', "export the drawing as PNG"),
    ("cut", JPEG[: len(JPEG) // 2], "The picture is damaged or cut off"),
]


@pytest.mark.parametrize("given", GIVEN)
@pytest.mark.parametrize("names", NAMES, ids=["first without ending", "first with ending"])
def test_a_picture_of_any_name_is_shown(
    stayer: Hasty, given: str, names: tuple[str, ...], bad: Path, tmp_path: Path
) -> None:
    stayer.choose_file(bad)
    stayer.refused("not a picture")
    stayer.holds_nothing()
    stayer.traffic.settle()
    image = stayer.page.locator("#picture img")
    for name in names:
        GIVEN[given](stayer, picture_of(JPEG, name, tmp_path))
        stayer.shows(f" {name} ·")
        stayer.traffic.settle()
        stayer.said_nothing()
        # In the input, too, although the server cannot name its kind.
        until(stayer.page, lambda: bool(image.evaluate("(e) => e.complete && e.naturalWidth > 0")))


@pytest.mark.parametrize("given", GIVEN)
def test_a_wrong_file_of_any_name_is_refused_in_one_sentence(stayer: Hasty, given: str, tmp_path: Path) -> None:
    stayer.see("coffee.jpg")
    for name, data, words in REFUSED:
        GIVEN[given](stayer, picture_of(data, name, tmp_path))
        stayer.refused(words)
        stayer.holds_nothing()
        stayer.traffic.settle()
        stayer.shows("coffee.jpg")


def test_a_dropped_folder_is_refused_in_one_sentence(stayer: Hasty, tmp_path: Path) -> None:
    stayer.see("coffee.jpg")
    drop(stayer, tmp_path)
    stayer.refused("A folder cannot be shown; drop one picture.")
    stayer.holds("coffee.jpg")


def test_a_copied_picture_is_pasted_with_the_keyboard(person: Hasty) -> None:
    person.context.grant_permissions(["clipboard-read", "clipboard-write"])
    person.page.evaluate(
        """async (text) => {
          const bytes = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
          const bitmap = await createImageBitmap(new Blob([bytes], { type: "image/jpeg" }));
          const canvas = new OffscreenCanvas(bitmap.width, bitmap.height);
          canvas.getContext("2d").drawImage(bitmap, 0, 0);
          const blob = await canvas.convertToBlob({ type: "image/png" });
          await navigator.clipboard.write([new ClipboardItem({ "image/png": blob })]);
        }""",
        base64.b64encode(JPEG).decode(),
    )
    person.page.keyboard.press("Control+V")
    person.page.wait_for_selector(".sl[data-state=shown]")
    person.traffic.settle()
    person.shows("image.png")
    height, width = viz.open_picture(ASSETS / "rocket.jpg").size
    person.shows(f"{width} x {height}")
