"""The Compare tab as a person uses it: a real Chromium, bundled models, files that are opened afterwards."""

from __future__ import annotations

import base64
import csv
import io
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from playwright.sync_api import expect

import viz
from tests.page.browser.people import ASSETS, BROKEN, FOLDER, PHONE, PUBLISHED, Server, Visitor
from tests.page.browser.visiting import LONG, PATIENCE, Chrome, all_ended, hold_until_stopped
from viz.core.heatmap import overlay
from viz.figures.comparison import Comparison, compare

pytestmark = pytest.mark.browser

BOTH = ["lite0", "lite0-tdam"]
GATE = "searchlight.spatial_gate"


class Comparer(Visitor):
    """A visitor who compares."""

    def open_tab(self) -> None:
        self.page.get_by_role("tab", name="Compare").click()
        expect(self.page.locator("#compare-start")).to_be_visible()

    def tick(self, *names: str) -> None:
        for box in self.page.locator("#compare-models input[type=checkbox]").all():
            name = box.locator("xpath=ancestor::label").inner_text().strip()
            box.set_checked(name in names)

    def compare(self, *names: str) -> None:
        self.tick(*names)
        before = self.page.get_attribute(".cmp", "data-key")
        self.page.click("#compare-start")
        self.page.wait_for_function(
            "(k) => (document.querySelector('.cmp').dataset.key || null) !== k", arg=before, timeout=LONG
        )
        self.traffic.settle()

    def also(self, *methods: str) -> None:
        for box in self.page.locator("#compare-also input[type=checkbox]").all():
            words = box.locator("xpath=ancestor::label").inner_text()
            box.set_checked(any(words.startswith(m) for m in methods))

    def pick(self, name: str, value: str) -> None:
        self.page.select_option(f".cmp-{name}", value)
        self.settle()

    def panel(self, index: int) -> NDArray[np.uint8]:
        uri = self.page.evaluate("(i) => document.querySelectorAll('.cmp-base')[i].toDataURL('image/png')", index)
        return np.asarray(Image.open(io.BytesIO(base64.b64decode(uri.split(",")[1]))).convert("RGB"))

    def table(self, name: str) -> list[list[str]]:
        return [line.split("\t") for line in self.page.locator(f".cmp-{name} tbody tr").all_inner_texts()]


@pytest.fixture
def person(browser: Chrome, server: Server) -> Iterator[Comparer]:
    with Comparer(browser, server) as someone:
        yield someone


class Stayer(Comparer):
    """One who stays for several tests: each says what it compares, and sets what else it needs."""

    compared: tuple[str, ...] = ()

    def see(self, name: str, *models: str) -> None:
        """A comparison as it is when it is new: class maps with their boxes at the last step."""
        if f" {name} ·" not in self.text(".sl-about"):
            self.upload(ASSETS / name)
        self.open_tab()
        if self.compared != (name, *models):
            self.compare(*models)
            self.compared = (name, *models)
        self.page.check(".cmp-showbox")
        for select in self.page.locator(".cmp-map:visible").all():
            select.select_option("cam")
        for control, value in (("scale", "shared"), ("palette", "inferno"), ("interp", "bilinear")):
            self.pick(control, value)
        self.page.select_option(".cmp-class", index=0)
        for control, number in (("opacity", 55), ("threshold", 50)):
            self.page.locator(f".cmp-{control}").evaluate(
                "(e, v) => { e.value = v; e.dispatchEvent(new Event('input')); }", str(number)
            )
        self.page.click(".cmp-clear")
        self.page.focus(".cmp-grid")
        self.page.keyboard.press("End")
        self.settle()


@pytest.fixture(scope="module")
def staying(browser: Chrome, server: Server) -> Iterator[Stayer]:
    with Stayer(browser, server) as someone:
        yield someone


@pytest.fixture
def stayer(staying: Stayer) -> Iterator[Stayer]:
    yield staying
    staying.went_well()


def python(server: Server, name: str, models: list[str], maps: Any = None, **options: Any) -> Comparison:
    return compare(ASSETS / name, models, maps, engine=server.engine, **options)


def pair_rows(made: Comparison, step: int) -> list[list[str]]:
    rows = []
    boxes = made.box_iou(step)
    for i in range(len(made.columns)):
        for j in range(i + 1, len(made.columns)):
            found = made.agreements[step - 1][i][j]
            numbers = [found.spearman, found.top_iou, found.top_share]
            shown = ["none" if np.isnan(v) else f"{v:.3f}" for v in numbers]
            last = "none" if np.isnan(boxes[i, j]) else f"{boxes[i, j]:.3f}"
            names = f"{made.columns[i].trace.card.name} and {made.columns[j].trace.card.name}"
            rows.append([names, *shown, f"{found.rows} x {found.columns}", last])
    return rows


def same_numbers(shown: list[list[str]], wanted: list[list[str]]) -> None:
    """Equal words; numbers to the last digit shown, which the browser may round the other way."""
    assert [r[0] for r in shown] == [r[0] for r in wanted]
    for line, expected in zip(shown, wanted, strict=True):
        for a, b in zip(line[1:], expected[1:], strict=True):
            if "x" in b or "none" in b:
                assert a == b
            else:
                assert float(a) == pytest.approx(float(b), abs=0.0011)


def take(person: Comparer, kind: str, folder: Path) -> dict[str, Path]:
    before = person.page.locator("#compare-files a").all_inner_texts()
    person.page.click(f".cmp-exports [data-format={kind}]")
    wanted = person.page.locator(f"#compare-files a[download$='.{kind}']")
    expect(wanted.first).to_be_visible()
    assert before != person.page.locator("#compare-files a").all_inner_texts()
    return person.take_home("#compare-files a", folder)


@pytest.mark.parametrize("name", ["flower.jpg", "china.jpg"])
def test_the_tables_are_pythons(stayer: Stayer, server: Server, name: str) -> None:
    stayer.see(name, *BOTH, PUBLISHED)
    label = stayer.page.locator(".cmp-class option").first.inner_text()
    assert label == server.engine.trace(viz.open_picture(ASSETS / name), "lite0").top(-1, 1)[0].label
    made = python(server, name, [*BOTH, PUBLISHED])
    assert len({c.trace.geometry.seen for c in made.columns}) == 2, "the published model crops in another way"
    for step in (made.steps, 1):
        stayer.page.locator(".cmp-step").evaluate(
            "(e, v) => { e.value = v; e.dispatchEvent(new Event('input')); }", str(step)
        )
        stayer.settle()
        same_numbers(stayer.table("pairs"), pair_rows(made, step))
        for i, row in enumerate(stayer.table("boxes")):
            box = made.box_of(i, step)
            assert box is not None and [int(v) for v in row[1:5]] == list(box.xyxy)
    assert "different parts of the picture" in stayer.text(".cmp-notes")
    # Other maps: a gate has no value at the first step, and everything says so.
    maps = ["cam", GATE, "cam"]
    stayer.page.locator(".cmp-map").nth(1).select_option(GATE)
    stayer.settle()
    made = python(server, name, [*BOTH, PUBLISHED], maps)
    same_numbers(stayer.table("pairs"), pair_rows(made, 1))
    assert "no value of this map here" in stayer.page.locator(".cmp-says").nth(1).inner_text()
    assert "no value at this step" in stayer.text(".cmp-notes")
    stayer.page.click(".cmp-next")
    stayer.settle()
    same_numbers(stayer.table("pairs"), pair_rows(made, 2))


def test_one_cursor_for_all_and_no_request(stayer: Stayer, server: Server) -> None:
    stayer.see("china.jpg", *BOTH, PUBLISHED)
    stayer.traffic.settle()
    stayer.requests.clear()
    forwards = server.engine.forwards
    frame = stayer.page.locator(".cmp-frame").nth(2)
    frame.scroll_into_view_if_needed()
    size = frame.bounding_box()
    assert size is not None
    made = python(server, "china.jpg", [*BOTH, PUBLISHED])
    height, width = made.picture.size
    for x, y in ((0.5, 0.5), (0.42, 0.3), (0.03, 0.5)):
        stayer.page.mouse.move(size["x"] + x * size["width"], size["y"] + y * size["height"])
        stayer.settle()
        shown = [v.inner_text() for v in stayer.page.locator(".cmp-value").all()]
        for text, column in zip(shown, made.columns, strict=True):
            heat = column.heatmaps[-1]
            assert heat is not None
            value = heat.at((height, width), "cells")[int(y * height), int(x * width)]
            if np.isnan(value):
                assert text == "outside the crop"
            else:
                assert float(text.split()[0]) == pytest.approx(float(value), rel=2e-3)
    assert "outside the crop" in stayer.text(".cmp-readout")
    stayer.page.mouse.move(5, 5)
    stayer.page.focus(".cmp-grid")
    for key in ("Home", "ArrowRight", "ArrowRight", "ArrowLeft", "Shift+ArrowUp", "Shift+ArrowLeft"):
        stayer.page.keyboard.press(key)
    stayer.settle()
    assert stayer.page.get_attribute(".cmp", "data-step") == "2"
    assert stayer.text(".cmp-readout").startswith(f"x {width // 2 - width // 40}, y ")
    for name, value in (("scale", "each"), ("palette", "diverging"), ("interp", "cells"), ("scale", "shared")):
        stayer.pick(name, value)
    stayer.page.select_option(".cmp-class", index=1)
    for name in ("opacity", "threshold"):
        stayer.page.locator(f".cmp-{name}").evaluate("(e) => { e.value = 70; e.dispatchEvent(new Event('input')); }")
    stayer.settle()
    assert [u for u in stayer.requests if "heartbeat" not in u] == []
    assert server.engine.forwards == forwards


def test_exports(stayer: Stayer, server: Server, tmp_path: Path) -> None:
    stayer.see("china.jpg", *BOTH, PUBLISHED)
    stayer.page.locator(".cmp-map").nth(1).select_option(GATE)
    stayer.pick("scale", "each")
    stayer.page.select_option(".cmp-class", index=1)
    label = stayer.page.input_value(".cmp-class")
    for key, value in (("x0", 100), ("y0", 50), ("x1", 400), ("y1", 300)):
        stayer.page.fill(f".cmp-own [data-k={key}]", str(value))
    stayer.page.keyboard.press("Tab")
    stayer.settle()
    made = python(
        server,
        "china.jpg",
        [*BOTH, PUBLISHED],
        ["cam", GATE, "cam"],
        class_index=label,
        scale="each",
        box=(100, 50, 400, 300),
    )
    assert json.loads(take(stayer, "json", tmp_path)[".json"].read_text()) == json.loads(json.dumps(made.to_json()))
    text = take(stayer, "csv", tmp_path)[".csv"].read_text()
    assert text == made.to_csv() and len(list(csv.DictReader(io.StringIO(text)))) == made.steps * 6
    files = take(stayer, "pdf", tmp_path)
    assert set(files) == {".pdf", ".json", ".npz", ".tex"}
    assert files[".pdf"].read_bytes() == made.to_figure(interpolation="bilinear", boxes="class_maps").to_bytes("pdf")
    fonts = subprocess.run(["pdffonts", str(files[".pdf"])], capture_output=True, text=True, check=True).stdout
    assert "Type 3" not in fonts and "TrueType" in fonts
    subprocess.run(["pdftoppm", "-r", "150", "-png", str(files[".pdf"]), str(tmp_path / "page")], check=True)
    page = np.asarray(Image.open(next(tmp_path.glob("page*.png"))).convert("RGB")).astype(float)
    assert page.std() > 20, "the page of the PDF is blank"
    for kind, magic in (("svg", b"<?xml"), ("png", b"\x89PNG")):
        assert take(stayer, kind, tmp_path)[f".{kind}"].read_bytes().startswith(magic)


SIX = [*BOTH, "vivid-psa", "vivid-ema", "vivid-vista", "vivid-paka"]


def test_six_families_with_their_own_maps(stayer: Stayer, server: Server, tmp_path: Path) -> None:
    stayer.see("coffee.jpg", *SIX)
    same_numbers(stayer.table("pairs"), pair_rows(python(server, "coffee.jpg", SIX), 3))
    maps = ["cam"]
    for i in range(1, 6):
        select = stayer.page.locator(".cmp-map").nth(i)
        values = [o.get_attribute("value") for o in select.locator("option").all()]
        assert len(values) > 1
        # The last one offered: derived maps and single channels come last.
        select.select_option(values[1 if i == 1 else -1])
        maps.append(str(values[1 if i == 1 else -1]))
    stayer.settle()
    made = python(server, "coffee.jpg", SIX, maps)
    for step in (3, 2, 1):
        same_numbers(stayer.table("pairs"), pair_rows(made, step))
        for i, row in enumerate(stayer.table("boxes")):
            box = made.box_of(i, step)
            assert row[1:5] == (["none", "", "", ""] if box is None else [str(v) for v in box.xyxy])
        stayer.page.click(".cmp-prev")
        stayer.settle()
    pdf = take(stayer, "pdf", tmp_path)[".pdf"]
    assert pdf.read_bytes() == made.to_figure(interpolation="bilinear", boxes="class_maps").to_bytes("pdf")
    if FOLDER:
        stayer.page.screenshot(path=f"{FOLDER}/compare-six.png", full_page=True)
        (Path(FOLDER) / "compare-six.pdf").write_bytes(pdf.read_bytes())


@pytest.mark.parametrize("scale", ["shared", "each"])
def test_panels_equal_pythons_overlay(stayer: Stayer, server: Server, scale: Any) -> None:
    stayer.see("coffee.jpg", *BOTH)
    stayer.page.uncheck(".cmp-showbox")
    stayer.pick("scale", scale)
    stayer.page.locator(".cmp-map").nth(1).select_option(GATE)
    stayer.page.locator(".cmp-opacity").evaluate("(e) => { e.value = 100; e.dispatchEvent(new Event('input')); }")
    for maps in (["cam", GATE], ["cam", "cam"]):
        stayer.page.locator(".cmp-map").nth(1).select_option(maps[1])
        made = python(server, "coffee.jpg", BOTH, maps, scale=scale)
        for how in ("cells", "bilinear", "bicubic"):
            stayer.pick("interp", how)
            for i, column in enumerate(made.columns):
                drawn = stayer.panel(i)
                heat = column.heatmaps[-1]
                assert heat is not None
                wanted = overlay(np.zeros_like(drawn), heat, made.scale(i), opacity=1, interpolation=how)  # type: ignore[arg-type]
                rows, columns = heat.geometry.seen_pixels(drawn.shape[:2])
                difference = np.abs(drawn.astype(float) - wanted.astype(float))[rows, columns]
                # Rounding may take the neighbouring colour, no more.
                assert difference.max() <= 6 and difference.mean() < 0.1, (maps, how, i)
    low, high = (made.scale(1).low, made.scale(1).high)
    ends = stayer.page.locator(".cmp-ends").last.inner_text().split()
    assert [float(v) for v in ends] == pytest.approx([low, high], rel=1e-3)
    assert stayer.page.locator(".cmp-bars .cmp-lut").count() == (1 if scale == "shared" else 0)


def test_own_box(stayer: Stayer, server: Server) -> None:
    stayer.see("coffee.jpg", *BOTH)
    assert stayer.table("boxes")[0][-1] == "draw one"
    for key, value in (("x0", 40), ("y0", 30), ("x1", 300), ("y1", 9999)):
        stayer.page.fill(f".cmp-own [data-k={key}]", str(value))
    stayer.page.keyboard.press("Tab")
    stayer.settle()
    made = python(server, "coffee.jpg", BOTH)
    height, width = made.picture.size
    wanted = python(server, "coffee.jpg", BOTH, box=(40, 30, 300, height)).user_iou()
    assert [float(r[-1]) for r in stayer.table("boxes")] == pytest.approx(wanted.tolist(), abs=6e-4)
    stayer.page.check(".cmp-draw")
    frame = stayer.page.locator(".cmp-frame").nth(1)
    frame.scroll_into_view_if_needed()
    size = frame.bounding_box()
    assert size is not None
    stayer.page.mouse.move(size["x"] + 0.2 * size["width"], size["y"] + 0.25 * size["height"])
    stayer.page.mouse.down()
    stayer.page.mouse.move(size["x"] + 0.6 * size["width"], size["y"] + 0.75 * size["height"], steps=4)
    stayer.page.mouse.up()
    stayer.settle()
    drawn = [int(stayer.page.input_value(f".cmp-own [data-k={k}]")) for k in ("x0", "y0", "x1", "y1")]
    assert drawn == pytest.approx([0.2 * width, 0.25 * height, 0.6 * width, 0.75 * height], abs=3)
    stayer.page.click(".cmp-clear")
    stayer.settle()
    assert stayer.table("boxes")[0][-1] == "draw one"


def test_boxes_drawn_behind_another_tab_stay_lines(stayer: Stayer) -> None:
    stayer.see("coffee.jpg", *BOTH)
    stayer.page.get_by_role("tab", name="Channels").click()
    expect(stayer.page.locator(".cmp-grid")).to_be_hidden()
    stayer.page.locator(".cmp-showbox").evaluate("(e) => e.dispatchEvent(new Event('input', { bubbles: true }))")
    stayer.page.locator(".cmp-step").evaluate("(e) => { e.value = 1; e.dispatchEvent(new Event('input')); }")
    stayer.settle()
    covered = stayer.page.evaluate(
        """() => [...document.querySelectorAll('.cmp-over')].map((c) => {
            const data = c.getContext('2d').getImageData(0, 0, c.width, c.height).data;
            return data.filter((v, i) => i % 4 === 3 && v > 0).length / (c.width * c.height);
        })"""
    )
    assert len(covered) == len(BOTH) and all(0 < share < 0.1 for share in covered), covered


def forbid(*_: Any, **__: Any) -> Any:
    raise AssertionError("computed again")


def test_attributions_are_pythons_and_computed_once(
    person: Comparer, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    person.upload(ASSETS / "rocket.jpg")
    person.open_tab()
    offered = person.page.locator("#compare-also label").all_inner_texts()
    assert offered[0].strip() == "Grad-CAM" and any("slow: 50 passes" in t for t in offered)
    assert not any(box.is_checked() for box in person.page.locator("#compare-also input").all())
    person.compare(*BOTH)
    picture = viz.open_picture(ASSETS / "rocket.jpg")
    assert server.engine.trace(picture, "lite0").attributions == (), "nothing is computed that nobody asked for"
    assert person.page.locator(".cmp-samemaprow").is_hidden()
    person.also("Grad-CAM", "guided")
    person.compare(*BOTH)
    person.pick("samemap", "guided_backprop")
    made = python(server, "rocket.jpg", BOTH, "guided_backprop")
    for step in (3, 2, 1):
        same_numbers(person.table("pairs"), pair_rows(made, step))
        person.page.click(".cmp-prev")
        person.settle()
    person.pick("samemap", "gradcam")
    made = python(server, "rocket.jpg", BOTH, "gradcam")
    same_numbers(person.table("pairs"), pair_rows(made, 1))
    said = person.text(".cmp-explain")
    assert "Grad-CAM: part of the logit" in said and "own logit of the same class" in said
    # A saved grid is what the screen shows: the panels have no boxes by default.
    files = take(person, "pdf", tmp_path)
    assert files[".pdf"].read_bytes() == made.to_figure(interpolation="bilinear", boxes="class_maps").to_bytes("pdf")
    assert made.to_figure(boxes="class_maps").to_bytes("png", 60) == made.to_figure(boxes=False).to_bytes("png", 60)
    # Another class is computed when asked for, not before.
    second = person.page.locator(".cmp-class option").nth(1).inner_text()
    assert person.page.locator(".cmp-ask").is_hidden()
    person.pick("class", second)
    assert "not computed for this class" in person.page.locator(".cmp-says").first.inner_text()
    held = {n: len(server.engine.trace(picture, n).attributions) for n in BOTH}
    assert held == {"lite0": 2, "lite0-tdam": 6}
    person.page.click(".cmp-ask")
    person.page.wait_for_function("(c) => document.querySelector('.cmp').dataset.more === c", arg=second)
    person.settle()
    assert person.page.locator(".cmp-ask").is_hidden()
    other = python(server, "rocket.jpg", BOTH, "gradcam", class_index=second)
    same_numbers(person.table("pairs"), pair_rows(other, 1))
    # All is held now: Compare again, the same class again and the tables need no pass.
    monkeypatch.setattr("viz.run.model.attribute", forbid)
    assert take(person, "csv", tmp_path)[".csv"].read_text() == other.to_csv()
    person.also("Grad-CAM")
    person.compare(*BOTH)
    assert person.page.input_value(".cmp-map >> nth=0") == "gradcam"
    assert person.notices() == []


def test_stop_ends_the_thread_and_the_next_computation_works(
    person: Comparer, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    person.upload(ASSETS / "chelsea.jpg")
    person.open_tab()
    person.tick(*BOTH)
    person.also("occlusion")
    expect(person.page.locator("#compare-stop")).to_be_hidden()
    hold_until_stopped(monkeypatch)
    person.page.click("#compare-start")
    person.page.click("#compare-stop")
    person.told("Stopped")
    expect(person.page.locator("#compare-start")).to_be_visible()
    expect(person.page.locator("#compare-stop")).to_be_hidden()
    assert all_ended()
    lock = server.engine.model("lite0")._lock
    assert lock.acquire(timeout=PATIENCE / 1000), "the thread still works on the model"
    lock.release()
    picture = viz.open_picture(ASSETS / "chelsea.jpg")
    monkeypatch.undo()
    kept = server.engine.trace(picture, "lite0").attributions
    assert len(kept) <= 1 and not server.engine.trace(picture, "lite0-tdam").attributions
    assert person.page.get_attribute(".cmp", "data-state") == "empty"
    person.also("Grad-CAM")
    person.compare(*BOTH)
    same_numbers(person.table("pairs"), pair_rows(python(server, "chelsea.jpg", BOTH), 3))


def test_nothing_yet_and_what_cannot_be_done(person: Comparer) -> None:
    person.open_tab()
    assert "press Compare" in person.text(".cmp-empty")
    person.page.click("#compare-start")
    person.told("Choose a picture first.")


def test_one_model_and_a_broken_one(person: Comparer) -> None:
    person.upload(ASSETS / "coffee.jpg")
    person.open_tab()
    person.tick("lite0")
    person.page.click("#compare-start")
    person.told("Choose 2 to 6 models, not 1.")
    # The broken one is told and left out; the others are compared.
    person.compare(*BOTH, BROKEN)
    person.told(f"{BROKEN}: ")
    toasts = " ".join(person.notices())
    assert f"{BROKEN}: " in toasts and "/" not in toasts
    assert person.page.get_attribute(".cmp", "data-models") == " ".join(BOTH)
    # With one left nothing is compared, and what was there stays.
    person.tick("lite0", BROKEN)
    person.page.click("#compare-start")
    person.told("Fewer than two models are left")
    assert person.page.get_attribute(".cmp", "data-models") == " ".join(BOTH)


def test_a_new_picture_above_is_said(stayer: Stayer) -> None:
    stayer.see("coffee.jpg", *BOTH)
    assert stayer.page.locator(".cmp-stale").is_hidden()
    stayer.upload(ASSETS / "rocket.jpg")
    expect(stayer.page.locator(".cmp-stale")).to_be_visible()
    assert "coffee.jpg" in stayer.text(".cmp-about")
    stayer.compare(*BOTH)
    stayer.compared = ("rocket.jpg", *BOTH)
    assert "rocket.jpg" in stayer.text(".cmp-about")
    assert stayer.page.locator(".cmp-stale").is_hidden()


def test_phone(browser: Chrome, server: Server) -> None:
    with Comparer(browser, server, **PHONE) as phone:
        phone.upload(ASSETS / "china.jpg")
        phone.open_tab()
        phone.compare(*BOTH, PUBLISHED)
        frames = [f.bounding_box() for f in phone.page.locator(".cmp-frame").all()]
        assert all(f is not None for f in frames)
        left = [round(f["x"]) for f in frames if f is not None]
        assert left[0] == left[2] != left[1], "two columns"
        assert all(f["width"] > 125 for f in frames if f is not None)
        # Tables scroll by themselves.
        assert phone.beyond_the_edge(".cmp, .cmp :not(table, table *), #compare-models") == []
        assert phone.too_small_to_touch(".cmp button, .cmp select") == []
        if FOLDER:
            phone.page.screenshot(path=f"{FOLDER}/compare-phone.png", full_page=True)


def test_desktop(stayer: Stayer) -> None:
    stayer.see("china.jpg", *BOTH, PUBLISHED)
    stayer.page.locator(".cmp-map").nth(1).select_option(GATE)
    before = stayer.page.viewport_size
    assert before is not None
    stayer.page.set_viewport_size({"width": 1280, "height": 900})
    for scheme in ("light", "dark"):
        stayer.page.evaluate("(dark) => document.body.classList.toggle('dark', dark)", scheme == "dark")
        box = stayer.page.locator(".cmp-frame").first.bounding_box()
        assert box is not None
        stayer.page.locator(".cmp-frame").first.hover()
        assert stayer.page.evaluate("() => document.documentElement.scrollWidth") <= 1280
        if FOLDER:
            stayer.page.screenshot(path=f"{FOLDER}/compare-{scheme}.png", full_page=True)
    stayer.page.evaluate("() => document.body.classList.remove('dark')")
    stayer.page.set_viewport_size(before)


def test_the_page_carries_no_object_of_ours(server: Server) -> None:
    """A class name of the grid that is also a Gradio property would replace it by a listener, and with that every
    visit of the page would copy the engine."""

    def strange(value: Any) -> list[Any]:
        if isinstance(value, dict):
            return [v for one in value.values() for v in strange(one)]
        if isinstance(value, list | tuple):
            return [v for one in value for v in strange(one)]
        plain = isinstance(value, str | int | float | bool | type(None))
        return [] if plain or getattr(value, "__module__", "").startswith("gradio.") else [value]

    assert strange(server.running.page.config["components"]) == []
