"""Stories as a person walks them: a real Chromium, the four families with random modules on real Lite0."""

from __future__ import annotations

import re
from collections.abc import Iterator

import numpy as np
import pytest
from playwright.sync_api import expect

import viz
from tests.family_models import NAMES
from tests.page.browser.people import ASSETS, CONTRAST, FOLDER, Server, Visitor, boxes_overlap
from tests.page.browser.visiting import Chrome
from viz.core.heatmap import Heatmap, overlay, scale_for, symmetric
from viz.page.payload import display_rgb

pytestmark = pytest.mark.browser


class Walker(Visitor):
    """A visitor of one family's model, who stays for several tests."""

    def open(self, family: str, picture: str = "coffee.jpg") -> None:
        self.choose_model(f"vivid-{family}")
        self.upload(ASSETS / picture)
        self.family = family
        assert self.stop == 1 and self.page.input_value(".sl-map") == "story"

    def anew(self) -> None:
        """The story from its beginning, with all that a test may have changed as it was."""
        self.choose("map", "story")
        self.page.check(".sl-showbox")
        self.set_range("opacity", 55)
        if self.page.locator(".sl-directions").is_visible():
            self.choose("directions", "story")
            self.page.check(".sl-showkernel")
        self.go(1)

    @property
    def stop(self) -> int:
        return int(self.page.get_attribute(".sl", "data-stop") or 0)

    def go(self, stop: int) -> None:
        self.set_range("step", stop)

    def point_at(self, trace: viz.Trace, x: float, y: float) -> tuple[float, float]:
        """Screen position of a picture point."""
        base = self.page.locator(".sl-base")
        base.scroll_into_view_if_needed()
        area = base.bounding_box()
        assert area is not None
        height, width = trace.picture.size
        return area["x"] + x / width * area["width"], area["y"] + y / height * area["height"]


@pytest.fixture(scope="module")
def staying(request: pytest.FixtureRequest, browser: Chrome, server: Server) -> Iterator[Walker]:
    with Walker(browser, server) as person:
        person.open(request.param)
        yield person


@pytest.fixture
def walker(staying: Walker) -> Iterator[Walker]:
    """The visitor of a family's model; all tests of a family come one after the other."""
    staying.anew()
    yield staying
    staying.went_well()


def of(*families: str) -> pytest.MarkDecorator:
    """Run a test on the stories of these families."""
    return pytest.mark.parametrize("staying", families, indirect=True)


def reference(server: Server, family: str, name: str = "coffee.jpg") -> viz.Trace:
    return server.engine.trace(viz.open_picture(ASSETS / name), f"vivid-{family}")


@of(*NAMES)
def test_walking_a_story(walker: Walker, server: Server) -> None:
    trace = reference(server, walker.family)
    walker.requests.clear()
    forwards = server.engine.forwards
    assert walker.stop == 1
    assert walker.page.get_attribute(".sl", "data-stops") == str(len(trace.stages))
    walker.page.focus(".sl-frame")
    before: np.ndarray | None = None
    for i, frame in enumerate(trace.stages, 1):
        assert walker.stop == i and walker.step == frame.step
        assert walker.text(".sl-caption") == frame.caption
        assert walker.text(".sl-steplabel") == f"{i} of {len(trace.stages)}: {frame.title}"
        assert walker.page.locator(".sl-strip button").nth(i - 1).get_attribute("aria-pressed") == "true"
        assert trace.top(frame.step, 1)[0].label in walker.text(".sl-top")
        vector = None if frame.show is None else frame.show.vector
        assert walker.page.locator(".sl-vector").is_visible() == (vector is not None)
        if vector is not None:
            values = trace.record(vector, frame.step).values
            said = walker.text(".sl-vectorsaid")
            assert (f"{len(values)} channels" in said and "neutral" in said) or "dashed: 0" in said
        canvas = walker.canvas().astype(float)
        assert before is None or np.abs(canvas - before).mean() > 0.2, frame.title
        before = canvas
        walker.page.keyboard.press("ArrowRight")
        walker.settle()
    note = walker.text(".sl-stripnote")
    assert ("Every stop shows a different quantity" in note) == (walker.family == "psa")
    assert [u for u in walker.requests if "heartbeat" not in u] == []
    assert server.engine.forwards == forwards


def shown_scale(trace: viz.Trace, stop: int) -> tuple[Heatmap, str, float, float]:
    """What the page draws at a stop: the map, its palette, and a scale over the stops of the same quantity."""
    frame = trace.stages[stop - 1]
    heat = frame.heatmap(trace)
    view = frame.show
    assert view is not None and view.map.probe is not None
    label = view.map.probe.rpartition(".")[2]
    derived = view.map.name if view.map.kind == "derived" else None
    alike = [
        f.heatmap(trace)
        for f in trace.stages
        if f.show is not None
        and f.show.map.probe is not None
        and f.show.map.probe.rpartition(".")[2] == label
        and (f.show.map.name if f.show.map.kind == "derived" else None) == derived
    ]
    scale = scale_for(heat, "steps", together=alike)
    if heat.neutral is None:
        return heat, "inferno", scale.low, scale.high
    scale = symmetric(scale, heat.neutral)
    return heat, "diverging", scale.low, scale.high


@of(*NAMES)
def test_a_stop_shows_what_python_draws(walker: Walker, server: Server) -> None:
    stop = {"psa": 5, "ema": 8, "vista": 9, "paka": 7}[walker.family]
    trace = reference(server, walker.family)
    walker.go(stop)
    walker.set_range("opacity", 100)
    heat, palette, low, high = shown_scale(trace, stop)
    rgb = display_rgb(trace.picture)
    scale = scale_for(heat, "fixed", fixed=(low, high))
    wanted = overlay(rgb, heat, scale, palette_name=palette, opacity=1.0, interpolation="bilinear").astype(float)
    rows, cols = heat.geometry.seen_pixels(rgb.shape[:2])
    assert np.abs(walker.canvas().astype(float) - wanted)[rows, cols].max() <= 3
    ticks = walker.page.locator(".sl-ticks span").all_inner_texts()
    assert float(ticks[0]) == pytest.approx(high, rel=1e-3) and float(ticks[2]) == pytest.approx(low, rel=1e-3)


@of("paka")
def test_a_click_lays_the_kernel_over_the_photo_at_its_true_reach(walker: Walker, server: Server) -> None:
    trace = reference(server, "paka")
    stop = next(i for i, f in enumerate(trace.stages, 1) if f.title == "d = 4: departure")
    walker.go(stop)
    assert "click the picture" in walker.text(".sl-ksaid")
    x0, y0, x1, y1 = trace.geometry.seen
    row, column = 6, 7
    x, y = x0 + (x1 - x0) * (column + 0.5) / 14, y0 + (y1 - y0) * (row + 0.5) / 14
    walker.page.mouse.click(*walker.point_at(trace, x, y))
    walker.settle()
    taps = trace.kernel(step=3, point=(x, y))
    grid = walker.page.locator(".sl-kgrid")
    assert (grid.get_attribute("data-row"), grid.get_attribute("data-column")) == (str(row), str(column))
    numbers = [float(t) for t in grid.locator("span").all_inner_texts()]
    assert numbers == pytest.approx([t.value for t in taps], rel=6e-3, abs=1e-6)
    said = walker.text(".sl-ksaid")
    assert "dilation 4" in said and "1 is plain convolution" in said and "7 cells to each side" in said
    # The squares on the overlay: painted in the middle of each tap's box, bare halfway between two taps.
    factor = display_rgb(trace.picture).shape[1] / trace.picture.size[1]
    alpha = """([x, y]) => document.querySelector('.sl-over').getContext('2d').getImageData(x, y, 1, 1).data[3]"""
    walker.page.uncheck(".sl-showbox")
    for tap in taps:
        bx0, by0, bx1, by1 = (v * factor for v in tap.box)
        near = [round(bx0 + 0.12 * (bx1 - bx0)), round(by0 + 0.12 * (by1 - by0))]
        assert walker.page.evaluate(alpha, near) > 150, tap
        beside = [round(bx0 + 1.5 * (bx1 - bx0)), round(by0 + 1.5 * (by1 - by0))]
        assert walker.page.evaluate(alpha, beside) == 0, tap
    # By keyboard: arrow keys on the numbers, or Shift with arrow keys on the picture.
    grid.focus()
    walker.page.keyboard.press("ArrowRight")
    walker.page.keyboard.press("ArrowDown")
    assert (grid.get_attribute("data-row"), grid.get_attribute("data-column")) == (str(row + 1), str(column + 1))
    assert walker.stop == stop
    walker.page.focus(".sl-frame")
    walker.page.keyboard.press("Shift+ArrowLeft")
    assert grid.get_attribute("data-column") == str(column)
    # The place stays chosen while the dilation changes.
    walker.go(2)
    assert "dilation 1" in walker.text(".sl-ksaid")
    assert (grid.get_attribute("data-row"), grid.get_attribute("data-column")) == (str(row + 1), str(column))


@of("paka")
def test_directions_are_drawn_as_arrows_and_as_hues(walker: Walker, server: Server) -> None:
    trace = reference(server, "paka")
    walker.page.uncheck(".sl-showbox")
    walker.page.uncheck(".sl-showkernel")
    painted = """() => {
      const c = document.querySelector('.sl-over');
      const d = c.getContext('2d').getImageData(0, 0, c.width, c.height).data;
      let n = 0;
      for (let i = 3; i < d.length; i += 4) n += d[i] > 60;
      return n;
    }"""
    walker.go(next(i for i, f in enumerate(trace.stages, 1) if f.title == "d = 2: departure"))
    bare = walker.page.evaluate(painted)
    walker.go(next(i for i, f in enumerate(trace.stages, 1) if f.title == "d = 2: directions"))
    arrows = walker.page.evaluate(painted)
    walker.choose("directions", "hue")
    hues = walker.page.evaluate(painted)
    walker.choose("directions", "off")
    none = walker.page.evaluate(painted)
    assert max(bare, none) < 0.7 * arrows and arrows < 0.7 * hues


def test_any_map_can_be_chosen_and_the_story_taken_up_again(browser: Chrome, server: Server) -> None:
    with Walker(browser, server) as walker:
        walker.open("paka")
        trace = reference(server, "paka")
        walker.choose("map", "attention.levels.1.kernel_attention#5")
        walker.go(next(i for i, f in enumerate(trace.stages, 1) if f.step == 2))
        assert "tap row 2, column 3" in walker.text(".sl-readout")
        assert len(walker.rows()) == 1 and walker.rows()[0][0].isdigit(), "a map that a person chose has its box"
        walker.go(2)
        assert "no value" in walker.text(".sl-readout")
        walker.choose("map", "story")
        assert "walkthrough" in walker.rows()[0][0]
        walker.go(len(trace.stages))
        assert walker.rows()[0][0] == str(len(trace.stages)), "class maps of the story keep their boxes"
        # A model without a story falls back to its class maps.
        before = walker.key
        walker.choose_model("lite0-tdam")
        walker.shown_after(before)
        assert walker.page.input_value(".sl-map") == "cam"
        assert (
            not walker.page.locator(".sl-kernel").is_visible()
            and not walker.page.locator(".sl-showkernel").is_visible()
        )


@of("ema")
def test_channels_tab_shows_weakest_maps_and_says_what_is_constant(walker: Walker, server: Server) -> None:
    expect(walker.page.locator("#channel-plot .js-plotly-plot")).to_be_visible()
    choice = walker.page.locator("#pick-weakest label").first
    channel = int(choice.inner_text().split()[0])
    choice.click()
    expect(walker.page.locator(".sl-readout")).to_contain_text(f"channel {channel} ")
    bottom = reference(server, "ema").heatmap("bottom", channel=channel)
    numbers = re.findall(r"-?\d+\.?\d*(?:e[-+]\d+)?", walker.text(".sl-readout").split(":")[1])
    assert [float(n) for n in numbers[:2]] == pytest.approx(bottom.raw_range, rel=1e-3)
    walker.page.click("#which-channels input")
    walker.page.locator("ul[role=listbox] li", has_text="channel softmax 1x1").first.click()
    expect(walker.page.locator("#channels-note")).to_contain_text("same for every picture")
    expect(walker.page.locator("#pick")).to_be_hidden()


@of("psa")
def test_a_stop_goes_into_the_figure(walker: Walker, server: Server) -> None:
    walker.page.get_by_role("tab", name="Figure").click()
    preview = walker.page.locator("#preview img")
    expect(preview).to_be_visible()
    before = preview.get_attribute("src")
    walker.go(2)
    walker.page.click(".sl-add")
    changed = "(s) => { const i = document.querySelector('#preview img'); return i && i.src !== s; }"
    walker.page.wait_for_function(changed, arg=before)
    assert walker.text("#panels").count("story: pooling weights") == 2, "once in the default figure, once added"


PHONE, DESKTOP = (390, 844), (1280, 900)


@of(*NAMES)
def test_fits_and_is_readable(walker: Walker, server: Server) -> None:
    trace = reference(server, walker.family)
    for name, size in (("phone", PHONE), ("desktop", DESKTOP)):
        walker.page.set_viewport_size({"width": size[0], "height": size[1]})
        walker.go(4)
        fits_and_is_readable(walker, trace, size[0])
        if FOLDER:
            walker.page.screenshot(path=f"{FOLDER}/{walker.family}-{name}.png", full_page=True)


def test_opened_on_a_phone(browser: Chrome, server: Server) -> None:
    with Walker(browser, server, size=PHONE) as person:
        person.open("paka")
        person.go(4)
        fits_and_is_readable(person, reference(server, "paka"), PHONE[0])


def fits_and_is_readable(person: Walker, trace: viz.Trace, width: int) -> None:
    person.page.mouse.click(*person.point_at(trace, *(v / 2 for v in trace.picture.size[::-1])))
    person.settle()
    assert person.page.evaluate("() => document.documentElement.scrollWidth") <= width
    for part in ("main", "frame", "caption", "strip"):
        area = person.page.locator(f".sl-{part}").bounding_box()
        assert area is not None and area["x"] >= 0 and area["x"] + area["width"] <= width, part
    chosen, strip = (person.page.locator(s).bounding_box() for s in (".sl-strip [aria-pressed=true]", ".sl-strip"))
    assert chosen is not None and strip is not None and chosen["x"] + chosen["width"] <= strip["x"] + strip["width"] + 1
    names = ("frame", "bar", "readout", "steps", "caption", "vector", "kernel", "strip", "top")
    parts = [person.page.locator(f".sl-{n}") for n in names]
    visible = [p for p in parts if p.is_visible()]
    for i, a in enumerate(visible):
        for b in visible[i + 1 :]:
            assert not boxes_overlap(a, b), (a, b)
    ratios = [r for r in person.page.evaluate(CONTRAST) if r[0] != "SPAN"]  # kernel squares carry the palette's colours
    assert min(r for _, r in ratios) >= 4.5, sorted(ratios, key=lambda r: r[1])[:3]
