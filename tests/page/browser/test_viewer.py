"""The page as a person uses it: a real Chromium, the bundled model, files that are opened afterwards."""

from __future__ import annotations

import json
import re
import subprocess
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import expect

import viz
from tests.page.browser.people import ASSETS, CONTRAST, LOOPBACK, PUBLISHED, Server, Visitor, boxes_overlap
from tests.page.browser.visiting import Chrome
from viz.core.heatmap import overlay, scale_for, symmetric
from viz.page.app import SAMPLES
from viz.page.payload import display_rgb

pytestmark = pytest.mark.browser


class Looker(Visitor):
    """One who stays for several tests: each looks at a picture and sets what it needs of the view.

    Chromium makes six connections to one server, and a page at work holds two: no more than three are open at a time.
    """

    def look_at(self, name: str, *, boxes: bool = False) -> None:
        if f" {name} ·" not in self.text(".sl-about"):
            self.upload(ASSETS / name)
        self.page.set_checked(".sl-showbox", boxes)
        for control, value in (
            ("map", "cam"),
            ("scale", "steps"),
            ("palette", "inferno"),
            ("interp", "bilinear"),
        ):
            self.choose(control, value)
        self.set_range("opacity", 55)


@pytest.fixture(scope="module")
def staying(browser: Chrome, server: Server) -> Iterator[Looker]:
    with Looker(browser, server) as person:
        yield person


@pytest.fixture
def looker(staying: Looker) -> Iterator[Looker]:
    yield staying
    staying.went_well()


def reference(server: Server, name: str) -> viz.Trace:
    return server.engine.trace(viz.open_picture(ASSETS / name), "lite0-tdam")


def test_from_upload_to_an_opened_pdf(visitor: Visitor, server: Server, tmp_path: Path) -> None:
    visitor.upload(ASSETS / "panda.jpg")
    trace = reference(server, "panda.jpg")
    assert visitor.page.get_attribute(".sl", "data-steps") == str(trace.steps)
    visitor.page.focus(".sl-frame")
    visitor.page.keyboard.press("Home")
    visitor.settle()
    assert visitor.step == 1
    assert trace.top(1, 1)[0].label in visitor.text(".sl-top")
    visitor.page.keyboard.press("ArrowRight")
    visitor.settle()
    assert visitor.step == 2
    assert trace.top(2, 1)[0].label in visitor.text(".sl-caption")

    visitor.page.get_by_role("tab", name="Figure").click()
    preview = visitor.page.locator("#preview img")
    expect(preview).to_be_visible()
    visitor.page.click("#make-figure")
    names = visitor.take_home("#figure-files a", tmp_path)
    assert {".pdf", ".json", ".npz", ".tex", ".zip"} <= set(names)
    assert len(zipfile.ZipFile(names[".zip"]).namelist()) == 4
    assert all(path.stem.startswith("panda-lite0-tdam") for path in names.values())

    record = json.loads(names[".json"].read_text())
    assert record["picture"]["sha256"] == trace.picture.sha256
    fonts = subprocess.run(["pdffonts", str(names[".pdf"])], capture_output=True, text=True, check=True).stdout
    assert "Type 3" not in fonts and "TrueType" in fonts
    subprocess.run(["pdftoppm", "-r", "120", "-png", str(names[".pdf"]), str(tmp_path / "page")], check=True)
    page = np.asarray(Image.open(next(tmp_path.glob("page*.png"))).convert("RGB")).astype(float)
    assert page.std() > 20, "the page of the PDF is blank"
    with np.load(names[".npz"]) as maps:
        assert any(np.allclose(maps[k], trace.class_map(1).native) for k in maps if maps[k].shape == (7, 7))


def test_same_picture_and_model_again_costs_no_forward(browser: Chrome, server: Server) -> None:
    with Visitor(browser, server) as first, Visitor(browser, server) as second:
        first.upload(ASSETS / "coffee.jpg")
        forwards = server.engine.forwards
        second.upload(ASSETS / "coffee.jpg")
        assert server.engine.forwards == forwards
        assert first.key == second.key


def test_two_people_do_not_disturb_each_other(browser: Chrome, server: Server) -> None:
    with Visitor(browser, server) as one, Visitor(browser, server) as two:
        one.page.set_input_files("#picture input[type=file]", str(ASSETS / "rocket.jpg"))
        two.page.set_input_files("#picture input[type=file]", str(ASSETS / "flower.jpg"))
        for person, name in ((one, "rocket.jpg"), (two, "flower.jpg")):
            person.page.wait_for_selector(".sl[data-state=shown]")
            person.settle()
            assert name in person.text(".sl-about")
            label = reference(server, name).top(-1, 1)[0].label
            assert label in person.text(".sl-caption")


@pytest.mark.parametrize("interpolation", ["cells", "bilinear", "bicubic"])
@pytest.mark.parametrize("name", ["chelsea.jpg", "moose.jpg"])
def test_canvas_equals_the_export(looker: Looker, server: Server, name: str, interpolation: str) -> None:
    looker.look_at(name)
    trace = reference(server, name)
    looker.choose("interp", interpolation)
    rgb = display_rgb(trace.picture)
    gate = trace.heatmap("spatial_gate", 2)
    steps = range(1, trace.steps + 1)
    best = {trace.top(t, 1)[0].class_index for t in steps}
    # One scale for all classes that the slider shows, over all steps: what an exported figure of these panels has.
    maps = [trace.class_map(t, c) for c in best for t in steps]
    shown = trace.class_map(2)
    cases = [
        ("cam", "steps", "inferno", 0.55, shown, scale_for(shown, "steps", together=maps)),
        (gate.name, "raw", "viridis", 0.8, gate, scale_for(gate, "raw")),
        (gate.name, "image", "grey", 1.0, gate, scale_for(gate, "image")),
    ]
    looker.page.locator(".sl-step").evaluate("(e) => { e.value = 2; e.dispatchEvent(new Event('input')); }")
    for value, mode, palette, opacity, heat, scale in cases:
        looker.choose("map", value)
        looker.choose("scale", mode)
        looker.choose("palette", palette)
        looker.set_range("opacity", 100 * opacity)
        drawn = looker.canvas().astype(float)
        wanted = overlay(
            rgb,
            heat,
            scale,
            palette_name=palette,
            opacity=opacity,
            interpolation=interpolation,  # type: ignore[arg-type]
        ).astype(float)
        assert drawn.shape == wanted.shape
        difference = np.abs(drawn - wanted)
        assert difference.mean() <= 2.0, (value, mode, palette, difference.mean())
        if opacity == 1.0:  # without the photo's JPEG in between the two agree to the last step of a colour
            rows, cols = heat.geometry.seen_pixels(rgb.shape[:2])
            assert difference[rows, cols].max() <= 3


def test_nothing_is_drawn_outside_what_the_network_saw(looker: Looker, server: Server) -> None:
    looker.look_at("china.jpg")
    looker.set_range("opacity", 100)
    trace = reference(server, "china.jpg")
    rows, cols = trace.geometry.seen_pixels()
    outside = np.ones(trace.picture.size, dtype=bool)
    outside[rows, cols] = False
    photo = trace.picture.rgb.astype(float)
    assert np.abs(looker.canvas().astype(float) - photo)[outside].mean() < 2
    assert np.abs(looker.canvas().astype(float) - photo)[~outside].mean() > 15


def test_stepping_and_looking_make_no_request_and_no_forward(visitor: Visitor, server: Server) -> None:
    visitor.upload(ASSETS / "raccoon.jpg")
    visitor.requests.clear()
    forwards = server.engine.forwards
    frame = visitor.page.locator(".sl-frame")
    frame.focus()
    for key in ("Home", "ArrowRight", "ArrowRight", "ArrowLeft", "End", "Shift+ArrowUp", "Shift+ArrowLeft"):
        visitor.page.keyboard.press(key)
    for name, value in (("map", "cam"), ("scale", "image"), ("palette", "cividis"), ("interp", "cells")):
        visitor.choose(name, value)
    for name, value in (("opacity", 20), ("threshold", 70), ("minarea", 3)):
        visitor.set_range(name, value)
    for name in ("outline", "allsteps", "filter"):
        visitor.page.check(f".sl-{name}")
    step = visitor.page.get_attribute(".sl", "data-step")
    visitor.page.click(".sl-play")
    visitor.page.wait_for_function("(s) => document.querySelector('.sl').dataset.step !== s", arg=step)
    visitor.page.click(".sl-play")
    visitor.settle()
    # The page's own keep-alive is not ours to count.
    assert [u for u in visitor.requests if "heartbeat" not in u] == []
    assert server.engine.forwards == forwards


def test_diverging_palette_is_centred_on_the_neutral_value(visitor: Visitor, server: Server) -> None:
    visitor.upload(ASSETS / "panda.jpg")
    before = visitor.key
    visitor.choose_model("lite0-ema")
    visitor.shown_after(before)
    trace = server.engine.trace(viz.open_picture(ASSETS / "panda.jpg"), "lite0-ema")
    gate = trace.heatmap("group_gate", channel=0)
    assert gate.neutral == pytest.approx(0.839, abs=1e-3)
    visitor.page.uncheck(".sl-showbox")
    visitor.choose("map", "attention.group_gate#0")
    visitor.choose("scale", "image")
    visitor.choose("palette", "diverging")
    visitor.set_range("opacity", 100)
    scale = symmetric(scale_for(gate, "image"), gate.neutral or 0.0)
    wanted = overlay(display_rgb(trace.picture), gate, scale, palette_name="diverging", opacity=1.0).astype(float)
    rows, cols = gate.geometry.seen_pixels(wanted.shape[:2])
    assert np.abs(visitor.canvas().astype(float) - wanted)[rows, cols].mean() <= 2
    # A map without a neutral value has no middle: it keeps the palette of other maps.
    visitor.choose("map", "mean(attention.row_gate)")
    visitor.choose("scale", "image")
    row = trace.heatmap("mean(row_gate)")
    wanted = overlay(display_rgb(trace.picture), row, scale_for(row, "image"), opacity=1.0).astype(float)
    assert np.abs(visitor.canvas().astype(float) - wanted)[rows, cols].mean() <= 2


def test_fixed_numbers_are_checked(looker: Looker) -> None:
    looker.look_at("panda.jpg")
    looker.choose("scale", "fixed")
    looker.set_range("low", 5)
    looker.set_range("high", 2)
    assert "lower one first" in looker.text(".sl-readout")
    looker.set_range("high", 30)
    assert "lower one first" not in looker.text(".sl-readout")
    assert [t.split()[0] for t in looker.page.locator(".sl-ticks span").all_inner_texts()[:3]] == ["30", "17.5", "5"]


def test_typed_box_is_put_in_order_and_kept_inside(looker: Looker) -> None:
    looker.look_at("chelsea.jpg")
    for key, value in (("x0", 200), ("y0", 150), ("x1", -40), ("y1", 99_999)):
        looker.page.fill(f".sl-own input[data-k={key}]", str(value))
    looker.page.keyboard.press("Tab")
    looker.settle()
    typed = [looker.page.input_value(f".sl-own input[data-k={k}]") for k in ("x0", "y0", "x1", "y1")]
    assert typed == ["0", "150", "200", "300"]


def make_odd_files(folder: Path) -> dict[str, Path]:
    panda = (ASSETS / "panda.jpg").read_bytes()
    odd = {
        "truncated.jpg": panda[: len(panda) // 2],
        "text.jpg": b"this is not a picture",
        "empty.png": b"",
        "drawing.svg": b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"></svg>',
    }
    paths = {}
    for name, data in odd.items():
        paths[name] = folder / name
        paths[name].write_bytes(data)
    paths["huge.png"] = folder / "huge.png"
    Image.new("1", (12_000, 12_000)).save(paths["huge.png"])
    return paths


def test_refused_files_say_why_and_lose_nothing(visitor: Visitor, tmp_path: Path) -> None:
    # A sample first: it must not bring back the stock preprocessing, which decodes without limits.
    visitor.page.click(f"#samples button >> nth={SAMPLES.index('chelsea')}")
    visitor.page.wait_for_selector(".sl[data-state=shown]")
    visitor.traffic.settle()
    before = visitor.canvas()
    for name, path in make_odd_files(tmp_path).items():
        visitor.page.set_input_files("#picture input[type=file]", str(path))
        banner = visitor.page.locator(".sl-banner")
        expect(banner).to_be_visible()
        said = banner.inner_text()
        assert said.endswith(".") and "/" not in said and "Traceback" not in said, (name, said)
        assert np.array_equal(visitor.canvas(), before), name
        # A good picture takes the banner away again.
        visitor.page.set_input_files("#picture input[type=file]", str(ASSETS / "chelsea.jpg"))
        expect(banner).to_be_hidden()


def test_boxes_are_those_of_the_library_and_mine_is_measured(looker: Looker, server: Server) -> None:
    looker.look_at("chelsea.jpg", boxes=True)
    trace = reference(server, "chelsea.jpg")
    looker.page.focus(".sl-frame")
    looker.page.keyboard.press("Home")
    for threshold, components in ((50, "largest"), (65, "all"), (80, "all")):
        looker.set_range("threshold", threshold)
        looker.choose("components", components)
        wanted = viz.boxes(trace.class_map(1), threshold / 100, components)  # type: ignore[arg-type]
        got = [tuple(int(v) for v in row[1:5]) for row in looker.rows()]
        assert got == [b.xyxy for b in wanted]
    looker.set_range("threshold", 50)
    looker.choose("components", "largest")
    looker.page.check(".sl-draw")
    canvas = looker.page.locator(".sl-base")
    canvas.scroll_into_view_if_needed()
    area = canvas.bounding_box()
    assert area is not None
    width, height = trace.picture.size[1], trace.picture.size[0]
    looker.page.mouse.move(area["x"] + area["width"] * 0.25, area["y"] + area["height"] * 0.2)
    looker.page.mouse.down()
    looker.page.mouse.move(area["x"] + area["width"] * 0.75, area["y"] + area["height"] * 0.9, steps=4)
    looker.page.mouse.up()
    looker.settle()
    mine = tuple(float(looker.page.input_value(f".sl-own input[data-k={k}]")) for k in ("x0", "y0", "x1", "y1"))
    assert np.allclose(mine, (0.25 * width, 0.2 * height, 0.75 * width, 0.9 * height), atol=2)
    box = viz.boxes(trace.class_map(1), 0.5)[0]
    assert float(looker.rows()[0][6]) == pytest.approx(viz.iou(box.xyxy, mine), abs=2e-3)  # type: ignore[arg-type]


def test_hover_reads_the_native_cell(looker: Looker, server: Server) -> None:
    looker.look_at("astronaut.jpg")
    trace = reference(server, "astronaut.jpg")
    gate = trace.heatmap("spatial_gate", 2)
    looker.choose("map", gate.name)
    looker.page.focus(".sl-frame")
    looker.page.keyboard.press("ArrowRight")
    area = looker.page.locator(".sl-base").bounding_box()
    assert area is not None
    x0, y0, x1, y1 = trace.geometry.seen
    height, width = trace.picture.size
    x, y = x0 + (x1 - x0) * 3.5 / 7, y0 + (y1 - y0) * 1.5 / 7
    looker.page.mouse.move(area["x"] + x / width * area["width"], area["y"] + y / height * area["height"])
    looker.settle()
    said = looker.text(".sl-readout")
    assert "row 2, column 4" in said
    value = float(re.search(r"has ([-\d.e]+)", said).group(1))  # type: ignore[union-attr]
    assert value == pytest.approx(float(gate.native[1, 3]), rel=1e-3)
    looker.page.mouse.move(area["x"] + 1, area["y"] + 1)
    looker.settle()
    assert "did not see" in looker.text(".sl-readout")


def test_channel_plot_and_feature_maps(looker: Looker, server: Server, tmp_path: Path) -> None:
    looker.look_at("panda.jpg")
    plot = looker.page.locator("#channel-plot .js-plotly-plot")
    expect(plot).to_be_visible()
    choice = looker.page.locator("#pick label").first
    channel = int(choice.inner_text().split()[0])
    choice.click()
    expect(looker.page.locator(".sl-readout")).to_contain_text(f"channel {channel}")
    trace = reference(server, "panda.jpg")
    bottom = trace.heatmap("bottom", 2, channel=channel)
    said = looker.text(".sl-readout")
    numbers = [float(n) for n in re.findall(r"-?\d+\.?\d*(?:e[-+]\d+)?", said.split(":")[1])]
    assert numbers[:2] == pytest.approx(bottom.raw_range, rel=1e-3)
    looker.page.click("#save-plot")
    link = looker.page.locator("#saved-plot a").first
    expect(link).to_be_visible()
    with looker.page.expect_download() as download:
        link.click()
    target = tmp_path / "plot.html"
    download.value.save_as(target)
    alone = looker.context.new_page()
    asked: list[str] = []
    alone.on("request", lambda r: asked.append(r.url))
    alone.goto(target.as_uri())
    expect(alone.locator(".js-plotly-plot .main-svg").first).to_be_visible()
    assert all(u.startswith(("file:", "data:", "blob:")) for u in asked)
    alone.close()


def test_a_brought_checkpoint_can_be_chosen(visitor: Visitor) -> None:
    visitor.upload(ASSETS / "panda.jpg")
    before = visitor.key
    visitor.choose_model(PUBLISHED)
    visitor.shown_after(before)
    assert "TD-ResNet-18" in visitor.text(".sl-about")
    options = visitor.page.locator(".sl-map option").all_inner_texts()
    assert sum("spatial gate" in o for o in options) == 4  # one for each TD block
    visitor.page.get_by_role("tab", name="Model card").click()
    expect(visitor.page.locator("#card-text")).to_contain_text("re-runs only the last stage")


def test_another_class_is_shown(looker: Looker, server: Server) -> None:
    looker.look_at("panda.jpg")
    looker.page.click("#more button >> nth=0")
    field = looker.page.locator("#other-class input")
    field.fill("tench")
    looker.page.keyboard.press("Enter")
    expect(looker.page.locator(".sl-readout")).to_contain_text("tench")
    looker.choose("scale", "image")
    heat = reference(server, "panda.jpg").class_map(looker.step, 0)
    assert f"{heat.raw_range[1]:.4g}" in looker.text(".sl-readout")


def test_view_goes_into_the_figure(looker: Looker) -> None:
    looker.look_at("panda.jpg")
    looker.page.get_by_role("tab", name="Figure").click()
    expect(looker.page.locator("#preview img")).to_be_visible()
    before = looker.page.locator("#preview img").get_attribute("src")
    looker.choose("palette", "viridis")
    looker.page.click(".sl-add")
    looker.page.wait_for_function(
        "(s) => { const i = document.querySelector('#preview img'); return i && i.src !== s; }",
        arg=before,
    )
    assert looker.page.locator("#figure input[aria-label='Palette'], #figure-palette input").first.input_value() == (
        "viridis"
    )


def test_keyboard_alone(visitor: Visitor) -> None:
    """From the address bar to a changed step without a pointer."""
    page = visitor.page
    for _ in range(60):
        page.keyboard.press("Tab")
        if page.evaluate("() => document.activeElement.closest('#samples') !== null"):
            break
    page.keyboard.press("Enter")
    page.wait_for_selector(".sl[data-state=shown]")
    visitor.traffic.settle()  # what arrives later could move the focus
    for _ in range(80):
        page.keyboard.press("Tab")
        if page.evaluate("() => document.activeElement.classList.contains('sl-frame')"):
            break
    else:
        raise AssertionError("the picture cannot be reached by keyboard")
    page.keyboard.press("Home")
    visitor.settle()
    assert visitor.step == 1
    page.keyboard.press("End")
    visitor.settle()
    assert visitor.step == int(page.get_attribute(".sl", "data-steps") or 0)
    outline = page.evaluate("() => getComputedStyle(document.activeElement).outlineStyle")
    assert outline != "none", "the focus is not visible"


SIZES = ((390, 844), (768, 1024), (1360, 1000))


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_fits_and_is_readable(browser: Chrome, server: Server, scheme: Literal["light", "dark"]) -> None:
    """Opened on a phone, then turned and taken to larger screens."""
    with Visitor(browser, server, size=SIZES[0], scheme=scheme) as person:
        person.upload(ASSETS / "chelsea.jpg")
        for width, height in SIZES:
            person.page.set_viewport_size({"width": width, "height": height})
            person.settle()
            fits_and_is_readable(person, width)


def fits_and_is_readable(person: Visitor, width: int) -> None:
    assert person.page.evaluate("() => document.documentElement.scrollWidth") <= width
    parts = [person.page.locator(f".sl-{n}") for n in ("frame", "bar", "readout", "steps", "caption", "strip", "top")]
    for i, a in enumerate(parts):
        for b in parts[i + 1 :]:
            assert not boxes_overlap(a, b), (a, b)
    ratios = person.page.evaluate(CONTRAST)
    assert ratios and min(r for _, r in ratios) >= 4.5, sorted(ratios, key=lambda r: r[1])[:3]
    small = person.page.evaluate(
        "() => [...document.querySelectorAll('.sl-steps button, .sl-controls button, .sl-controls select')]"
        ".filter(e => e.offsetParent && e.getBoundingClientRect().height < 43).map(e => e.className)"
    )
    assert small == []


def test_no_request_leaves_the_machine(visitor: Visitor, server: Server) -> None:
    """Last in the file: the whole session so far, page and server."""
    visitor.upload(ASSETS / "moose.jpg")
    local = ("http://127.0.0.1", "http://localhost", "data:", "blob:")
    assert [u for u in visitor.requests if not u.startswith(local)] == []
    assert [h for h in server.reached if not h.startswith(LOOPBACK) and h != "0.0.0.0"] == []
    assert (
        visitor.page.locator("link[href^='http'], script[src^='http']").evaluate_all(
            "es => es.map(e => e.href || e.src).filter(u => !u.startsWith(location.origin))"
        )
        == []
    )
