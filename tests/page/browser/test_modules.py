"""The page's modules without Gradio: their numbers are Python's, and a view is state, a message and a host."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from playwright.sync_api import Page

import viz
from tests.page.browser.people import ASSETS, Server
from tests.page.browser.visiting import Chrome
from viz.core.boxes import boxes, iou
from viz.core.heatmap import PALETTES, Heatmap, finite_range, overlay, palette, scale_for, symmetric
from viz.core.kernels import directions, kernel_at
from viz.geometry import INTERPOLATIONS, Geometry, Preprocessing, fit
from viz.measures.agreement import agreement, spearman
from viz.measures.localization.tdam_rule import filter_steps
from viz.page.components import GRIDS
from viz.page.entries import floats
from viz.page.grid_entries import compare_message
from viz.page.payload import error_message, static, viewer_message
from viz.page.server.modules import module_address, modules

pytestmark = pytest.mark.browser

OWN = Preprocessing()
CROPPED = Preprocessing(crop="resize", size=(96, 80), resize_to=100)
GEOMETRIES = [
    fit((300, 451), OWN, "center_crop"),
    fit((333, 160), CROPPED, "center_crop"),
    fit((90, 131), OWN, "letterbox"),
    fit((131, 57), OWN, "squash"),
]


class Modules:
    """A bare page of the server that imports modules.

    Attributes:
        page: where they run.
    """

    def __init__(self, page: Page, server: Server) -> None:
        self.page, self.url = page, server.url

    def run(self, module: str, code: str, *given: Any) -> Any:
        """What a function of the module `m` and of what is given returns."""
        return self.page.evaluate(
            f"async ([url, given]) => ((m, ...given) => {code})(await import(url), ...given)",
            [self.url + module_address(module), list(given)],
        )

    def floats(self, module: str, code: str, *given: Any) -> NDArray[np.float32]:
        """The same for a function that returns numbers; what is not finite arrives as it is."""
        pack = """(values) => {
          const bytes = new Uint8Array(Float32Array.from(values).buffer);
          return btoa(Array.from(bytes, (b) => String.fromCharCode(b)).join(""));
        }"""
        return np.frombuffer(base64.b64decode(self.run(module, f"({pack})({code})", *given)), dtype="<f4")


@pytest.fixture(scope="module")
def bare(browser: Chrome, server: Server) -> Iterator[Modules]:
    page = browser.context(server.url).new_page()
    page.goto(server.url + "theme.css")
    yield Modules(page, server)
    page.close()


def random_map(seed: int, geometry: Geometry, shape: tuple[int, int] = (7, 9), **more: Any) -> Heatmap:
    rng = np.random.default_rng(seed)
    return Heatmap(rng.normal(size=shape).astype(np.float32), geometry, "random", **more)


def cells(heat: Heatmap) -> dict[str, Any]:
    """As a message holds it; `UNPACK` makes numbers of it."""
    return {"h": heat.native.shape[0], "w": heat.native.shape[1], "values": heat.native.ravel().tolist()}


UNPACK = "((map) => ({ ...map, values: Float32Array.from(map.values) }))"


# ---------------------------------------------------------------- numbers


@pytest.mark.parametrize("how", INTERPOLATIONS)
@pytest.mark.parametrize("geometry", GEOMETRIES, ids=lambda g: g.mode)
def test_axis_weights(bare: Modules, geometry: Geometry, how: str) -> None:
    code = """(() => {
      const found = m.axisTaps(...given);
      return { ...found, index: [...found.index], weight: [...found.weight] };
    })()"""
    for axis in (0, 1):
        for count, pixels in ((7, geometry.picture[axis]), (14, 61), (1, 8)):
            given = geometry.as_json(), axis, count, pixels, how
            found = bare.run("numbers", code, *given)
            weights = np.zeros((pixels, count))
            rows = found["first"] + np.arange(len(found["index"])) // found["taps"]
            np.add.at(weights, (rows, found["index"]), found["weight"])
            wanted = geometry.axis_weights(axis, count, pixels, how)  # type: ignore[arg-type]
            np.testing.assert_allclose(weights, wanted, atol=1e-12)


@pytest.mark.parametrize("how", INTERPOLATIONS)
@pytest.mark.parametrize("geometry", GEOMETRIES, ids=lambda g: g.mode)
def test_samples(bare: Modules, geometry: Geometry, how: Any) -> None:
    heat = random_map(1, geometry)
    for height, width in (geometry.picture, (40, 33)):
        code = f"m.sampleMap({UNPACK}(given[0]), ...given.slice(1))"
        found = bare.floats("numbers", code, cells(heat), geometry.as_json(), width, height, how)
        np.testing.assert_allclose(found.reshape(height, width), heat.at((height, width), how), atol=1e-5)


def test_scales(bare: Modules) -> None:
    first, second = (random_map(seed, GEOMETRIES[0], bounds=(0.0, np.inf)) for seed in (2, 3))
    code = f"m.scaleFor({{ ...{UNPACK}(given[0]), bounds: [0, null] }}, given[1], given[2].map({UNPACK}), given[3])"
    for mode in ("raw", "image", "steps", "fixed"):
        found = bare.run("numbers", code, cells(first), mode, [cells(first), cells(second)], [-1.5, 2])
        wanted = scale_for(first, mode, together=[first, second], fixed=(-1.5, 2))  # type: ignore[arg-type]
        assert found == pytest.approx([wanted.low, wanted.high])
        even = symmetric(wanted, 0.25)
        assert bare.run("numbers", "m.symmetric(given[0], 0.25)", found) == pytest.approx([even.low, even.high])
    assert bare.run("numbers", "m.rangeOf([NaN, 2, NaN, -1])") == list(finite_range([np.array([np.nan, 2, -1])]))
    assert bare.run("numbers", "m.rangeOf([NaN])") == [0, 0]


@pytest.mark.parametrize("opacity", [0.0, 0.3, 0.55, 1.0])
@pytest.mark.parametrize("name", PALETTES)
def test_blending(bare: Modules, name: str, opacity: float) -> None:
    geometry = GEOMETRIES[0]
    heat = random_map(4, geometry)
    size = (45, 67)
    rgb = np.random.default_rng(5).integers(0, 256, (*size, 3), dtype=np.uint8)
    scale = scale_for(heat, "image")
    wanted = overlay(rgb, heat, scale, palette_name=name, opacity=opacity, interpolation="bilinear")
    rgba = np.dstack([rgb, np.full(size, 255, np.uint8)])
    code = f"""((photo, lut, map, geometry, scale) => {{
      const out = new Uint8ClampedArray(photo.length);
      const values = m.sampleMap({UNPACK}(map), geometry, {size[1]}, {size[0]}, "bilinear");
      m.blend(Uint8ClampedArray.from(photo), values, scale, Uint8Array.from(lut), {opacity}, out);
      return [...out];
    }})(...given)"""
    given = rgba.ravel().tolist(), palette(name).ravel().tolist(), cells(heat), geometry.as_json()
    found = bare.run("numbers", code, *given, [scale.low, scale.high])
    drawn = np.array(found).reshape(*size, 4)
    assert (drawn[..., 3] == 255).all()
    difference = np.abs(drawn[..., :3] - wanted.astype(int)).max(axis=2)
    # Single and double precision may fall on two sides of a half, or of the edge between two colours.
    assert (difference > 1).mean() < 0.005 and difference.max() <= 6


def by_area(found: list[tuple[int, ...]]) -> list[tuple[int, ...]]:
    """Largest first; which of two equally large parts comes first is nobody's rule."""
    return sorted(found, key=lambda b: (-b[4], b))


@pytest.mark.parametrize("kind", ["smooth", "noise", "steps", "flat"])
def test_boxes(bare: Modules, kind: str) -> None:
    geometry = GEOMETRIES[2]
    height, width = geometry.picture
    rng = np.random.default_rng(6)
    native = {
        "smooth": rng.normal(size=(7, 7)),
        "noise": rng.normal(size=(height, width)),
        "steps": rng.integers(0, 4, (20, 20)),
        "flat": np.ones((3, 3)),
    }[kind]
    heat = Heatmap(native, geometry, kind, interpolation="cells" if kind == "steps" else "bilinear")
    code = "m.boxesOf(Float32Array.from(given[0]), ...given.slice(1))"
    for size in ((height, width), (60, 64), (61, 50)):
        values = heat.at(size)
        for threshold, least in ((0.3, 0.0), (0.5, 0.0), (0.75, 0.01), (1.0, 0.0)):
            given = values.ravel().tolist(), size[1], size[0], threshold, "all", least, [height, width]
            found = bare.run("numbers", code, *given)
            wanted = boxes(heat, threshold, "all", min_area=least, size=size)
            got = [(b["x0"], b["y0"], b["x1"], b["y1"], b["area"]) for b in found]
            assert by_area(got) == by_area([(*b.xyxy, b.area) for b in wanted])
            assert sorted(b["peak"] for b in found) == pytest.approx(sorted(b.peak for b in wanted))
            given = *given[:4], "largest", *given[5:]
            assert bare.run("numbers", code, *given) == found[:1]


def test_overlaps_and_the_step_filter(bare: Modules) -> None:
    rng = np.random.default_rng(7)
    corners = np.sort(rng.integers(0, 40, (24, 2, 2)), axis=1).reshape(24, 4)
    for a, b in pairwise(corners):
        found = bare.run("numbers", "m.iou(...given)", as_box(a), as_box(b))
        assert found == pytest.approx(iou(tuple(a), tuple(b)))
    for _ in range(12):  # two steps, as the published models have
        logits = rng.normal(size=(2, 1, 6)).astype(np.float32)
        near = np.array([5, 5, 30, 30]) + rng.integers(-5, 6, (2, 4))
        chances = np.exp(logits).max(axis=2) / np.exp(logits).sum(axis=2)
        entries = [{"step": i, "probability": float(chances[i, 0]), "box": as_box(near[i])} for i in range(len(logits))]
        kept = [e["step"] for e in bare.run("numbers", "m.iouFilter(given[0])", entries)]
        places = np.concatenate([near[:, :2], near[:, 2:] - near[:, :2]], axis=1)[:, None]
        np.testing.assert_array_equal(logits[kept], filter_steps(logits, places))


def as_box(corners: NDArray[np.integer[Any]]) -> dict[str, int]:
    return dict(zip(("x0", "y0", "x1", "y1"), map(int, corners), strict=True))


def test_agreement(bare: Modules) -> None:
    code = f"m.agreementOf({UNPACK}(given[0]), given[1], {UNPACK}(given[2]), given[3])"
    size = (300, 451)
    fits = [fit(size, OWN, "center_crop"), fit(size, CROPPED, "center_crop"), fit(size, OWN, "letterbox")]
    for seed, (ga, gb) in enumerate([(fits[0], fits[0]), (fits[0], fits[1]), (fits[2], fits[1])]):
        a, b = random_map(seed, ga), random_map(seed + 10, gb, (14, 11))
        found = bare.run("agreement", code, cells(a), ga.as_json(), cells(b), gb.as_json())
        wanted = agreement(a, b)
        assert (found["rows"], found["columns"], found["reason"]) == (wanted.rows, wanted.columns, "")
        numbers = [wanted.spearman, wanted.top_iou, wanted.top_share]
        assert [found["spearman"], found["iou"], found["share"]] == pytest.approx(numbers, abs=1e-9)
    flat = {"h": 1, "w": 1, "values": [1.0]}
    assert bare.run("agreement", code, flat, fits[0].as_json(), flat, fits[0].as_json())["reason"]
    tied = [1.0, 1.0, 2.0, 3.0, 3.0, 3.0], [2.0, 1.0, 1.0, 5.0, 4.0, 4.0]
    found = bare.run("agreement", "m.spearmanOf(...given.map((v) => Float32Array.from(v)))", *tied)
    assert found == pytest.approx(spearman(*tied))


def test_kernels(bare: Modules) -> None:
    values = np.random.default_rng(8).uniform(0, 2, (9, 6, 5)).astype(np.float32)
    given = {"h": 6, "w": 5, "values": values.ravel().tolist()}
    geometry = GEOMETRIES[1]
    code = f"m.kernelTaps(given[0], given[1], {UNPACK}(given[2]), [1, 4])"
    for stride, dilation in ((1, 1), (2, 3)):
        kernel = {"k": 3, "dilation": dilation, "stride": stride, "neutral": 1}
        found = bare.run("numbers", code, geometry.as_json(), kernel, given)
        for got, want in zip(found, kernel_at(values, (1, 4), geometry, dilation=dilation, stride=stride), strict=True):
            assert (got["row"], got["column"], got["inside"]) == (want.row, want.column, want.inside)
            assert got["value"] == pytest.approx(want.value)
            assert [got["box"][k] for k in ("x0", "y0", "x1", "y1")] == pytest.approx(want.box, abs=1e-6)
        pulls = bare.floats("numbers", f"m.kernelPulls(given[0], {UNPACK}(given[1]))", kernel, given)
        np.testing.assert_allclose(pulls, directions(values, 1.0).ravel(), atol=1e-6)


def test_small_numbers(bare: Modules) -> None:
    halves = [-2.5, -1.5, -0.5, 0.5, 1.5, 2.5, 2.4, 2.6, -2.6]
    assert bare.run("numbers", "given.map(m.roundEven)", *halves) == [round(v) for v in halves]
    texts = bare.run("numbers", "given.map(m.numberText)", 0, 1, 0.123456, 12345.6, 0.00012, -3.5)
    assert texts == ["0", "1", "0.1235", "1.23e+4", "1.20e-4", "-3.5"]
    assert bare.run("numbers", "m.numberText(NaN)") == "none"
    assert bare.run("numbers", "m.percent(0.1234)") == "12.3 %"
    assert bare.run("numbers", "m.boxBetween([9.6, 2], [3.2, 7])") == {"x0": 3, "y0": 2, "x1": 10, "y1": 7}
    assert bare.run("numbers", "m.boxBetween([3, 2], [3.2, 7])") is None
    assert bare.run("numbers", "m.movedPoint(null, [1, 0], [60, 80])") == [42, 30]
    assert bare.run("numbers", "m.movedPoint([79, 0], [1, -1], [60, 80])") == [79, 0]


def test_messages_and_names(bare: Modules) -> None:
    values = np.array([0.0, -1.5, np.inf, np.nan, 3e-8], dtype=np.float32)
    found = bare.floats("messages", "m.decodeFloats(given[0])", floats(values))
    np.testing.assert_array_equal(found, np.where(np.isfinite(values), values, np.nan))
    cases = [
        (("cam", 2, "best"), "cam:2"),
        (("cam", 2, "17"), "cam@17:2"),
        (("a.gate", 1, "best"), "a.gate:1"),
        (("a.gate#3", 2, "17"), "a.gate#3:2"),
    ]
    for given, wanted in cases:
        assert bare.run("map_spec", "m.panelSpec(...given)", *given) == wanted
    names = ["a.b.gate#3", "log(a.b.gate)", "a.bc.d", "cam"]
    assert bare.run("map_spec", "given.map(m.labelOf)", *names) == ["gate", "log(gate)", "d", "cam"]
    assert bare.run("map_spec", "given.map((n) => m.isInside(n, 'a.b'))", *names) == [True, True, False, False]
    assert bare.run("map_spec", "m.tapName('a.kernel', 4)") == "a.kernel#4"


def test_map_specifications(bare: Modules) -> None:
    table = json.loads((Path(__file__).parents[2] / "map_specs.json").read_text(encoding="utf-8"))
    code = """given.map((text) => {
      try {
        const spec = m.parse(text);
        return { ...spec, kind: m.kindOf(spec), prints: m.print(spec) };
      } catch (error) {
        return error.message;
      }
    })"""
    absent = {"tap": None, "channel": None, "cls": None, "step": -1, "region": None}
    accepted = table["accepted"]
    for case, found in zip(accepted, bare.run("map_spec", code, *(c["text"] for c in accepted)), strict=True):
        assert {"text": case["text"], **found} == {**absent, "prints": case["text"], **case}
    refused = [*table["refused"], "cam~3-4", "gradcam~5-5-5-6", "gradcam:2@a~1-2", "output#1"]
    for text, said in zip(refused, bare.run("map_spec", code, *refused), strict=True):
        assert isinstance(said, str) and said.startswith("Unknown map "), text


# ---------------------------------------------------------------- state


def test_a_store(bare: Modules) -> None:
    code = """(() => {
      const store = m.createStore({ a: 1, b: null });
      const calls = [];
      const first = store.get();
      const leave = store.subscribe((changed) => calls.push([...changed, store.get().a]));
      store.set({ a: 1 });
      store.set({ a: 2, b: NaN });
      store.set({ b: NaN });
      let refused = "";
      try { store.set({ c: 1 }); } catch (error) { refused = error.message; }
      leave();
      store.set({ a: 3 });
      const other = m.createStore({ a: 1 });
      const { a } = store.get();
      return { calls, first: first.a, now: a, frozen: Object.isFrozen(store.get()), refused, other: other.get().a };
    })()"""
    assert bare.run("store", code) == {
        "calls": [["a", "b", 2]], "first": 1, "now": 3, "frozen": True, "refused": 'Unknown state "c".', "other": 1,
    }  # fmt: skip


def test_what_was_computed_is_kept_up_to_a_limit(bare: Modules) -> None:
    code = """(() => {
      const memo = m.createMemo(2);
      let computed = "";
      const ask = (key) => memo.of(key, () => (computed += key));
      ["a", "b", "a", "c", "b", "a"].forEach(ask);
      memo.clear();
      ask("b");
      return computed;
    })()"""
    assert bare.run("store", code) == "abcab"


# ---------------------------------------------------------------- views without Gradio

STAGE = """{
  document.body ??= document.documentElement.appendChild(document.createElement("body"));
  window.staged = given[1].map((message) => {
    const element = document.body.appendChild(document.createElement("div"));
    element.innerHTML = given[0];
    const view = { element, sent: [], frames: [], clocks: [] };
    view.host = {
      send: (event, detail) => view.sent.push([event, detail]),
      picture: (src, done) => {
        const image = new Image();
        image.onload = () => { done(image); view.ready = true; };
        image.src = src;
      },
      frame: (call) => view.frames.push(call),
      every: (milliseconds, call) => {
        view.clocks.push(call);
        return () => view.clocks.splice(view.clocks.indexOf(call), 1);
      },
    };
    view.find = (name) => element.querySelector(name);
    view.choose = (name, value) => {
      const control = view.find(name);
      control.value = value;
      control.dispatchEvent(new Event(control.type === "range" ? "input" : "change"));
    };
    view.drawn = () => {
      for (const call of view.frames.splice(0)) call();
      return view.find("canvas").toDataURL();
    };
    view.mounted = m.mount(element, message, view.host);
    return view;
  });
}"""


@pytest.fixture
def stage(browser: Chrome, server: Server) -> Iterator[Modules]:
    page = browser.context(server.url).new_page()
    page.goto(server.url + "robots.txt")
    found = Modules(page, server)
    errors: list[str] = []
    page.on("pageerror", lambda e: errors.append(str(e)))
    yield found
    page.close()
    assert errors == []


def put_on(stage: Modules, module: str, template: str, *messages: dict[str, Any] | None) -> None:
    stage.run(module, STAGE, template, list(messages))
    stage.page.wait_for_function(
        "(n) => window.staged.every((view, i) => view.ready || n[i])", arg=[m is None for m in messages]
    )


def test_the_viewer_needs_a_message_and_a_host(stage: Modules, server: Server) -> None:
    trace = server.engine.trace(viz.open_picture(ASSETS / "chelsea.jpg"), "lite0-tdam")
    message = json.loads(viewer_message(trace))
    put_on(stage, "viewer", static("viewer.html"), message, message, None)
    found = stage.page.evaluate(
        """() => {
          const [one, other, empty] = window.staged;
          const blank = one.find("canvas").getContext("2d").getImageData(9, 9, 1, 1).data[3];
          const first = [one.drawn(), other.drawn()];
          one.choose(".sl-palette", "grey");
          one.choose(".sl-opacity", 90);
          one.find(".sl-prev").click();
          const queued = [one.frames.length, other.frames.length];
          const state = one.mounted.store.get();
          const later = [one.drawn(), other.drawn()];
          one.find(".sl-play").click();
          one.clocks[0]();
          const played = one.mounted.store.get().stop;
          one.clocks[0]();
          one.find(".sl-play").click();
          one.find(".sl-add").click();
          one.choose(".sl-map", "cam");
          one.mounted.receive({ error: "No.", refused: "a/b.jpg" });
          return {
            blank, queued, played,
            changed: [first[0] !== later[0], first[1] !== later[1]],
            same: first[0] === first[1],
            state: [state.palette, state.opacity, state.stop],
            others: [other.find(".sl-palette").value, other.mounted.store.get().opacity, other.sent.length],
            stopped: one.clocks.length,
            sent: one.sent,
            banner: one.find(".sl-banner").textContent,
            hidden: empty.find(".sl-main").hidden,
          };
        }"""
    )
    add = {
        "panel": "cam:1", "palette": "grey", "interpolation": "bilinear", "opacity": 0.9, "scale": "steps",
        "fixed": [0, 1], "threshold": 0.5,
    }  # fmt: skip
    assert found == {
        "blank": 0, "queued": [1, 0], "played": 3, "changed": [True, False], "same": True, "state": ["grey", 90, 2],
        "others": ["auto", 55, 0], "stopped": 0, "sent": [["add_panel", add], ["refused", {}]], "banner": "No.",
        "hidden": True,
    }  # fmt: skip


def test_a_message_of_another_version_is_not_shown(stage: Modules) -> None:
    code = """(() => {
      document.body ??= document.documentElement.appendChild(document.createElement("body"));
      const element = document.body.appendChild(document.createElement("div"));
      element.innerHTML = given[0];
      const watched = {};
      const watch = (name, call) => { watched[name] = call; };
      const props = { value: given[1], extra: "" };
      m.viewer({ element, props, trigger() {}, watch });
      const banner = element.querySelector(".sl-banner");
      const first = banner.textContent;
      props.extra = props.value = given[2];
      watched.value();
      const second = banner.textContent;
      banner.textContent = "";
      watched.extra();
      return [first, second, banner.textContent];
    })()"""
    told, other = error_message("No."), json.dumps({"message_version": 0, "error": "Yes."})
    said = "This page and its server are of different versions; load the page again."
    assert stage.run("page", code, static("viewer.html"), told, other) == ["No.", said, said]


def test_the_grid_needs_a_message_and_a_host(stage: Modules, server: Server) -> None:
    names = ["lite0", "lite0-tdam"]
    traces = [server.engine.trace(viz.open_picture(ASSETS / "chelsea.jpg"), name) for name in names]
    template = static("compare.html")
    for name, text in GRIDS["models"].items():
        template = template.replace(f"[[{name}]]", text)
    put_on(stage, "grid", template, json.loads(compare_message(traces, names)))
    found = stage.page.evaluate(
        """() => {
          const [grid] = window.staged;
          const first = grid.drawn();
          const select = grid.element.querySelectorAll(".cmp-map")[1];
          select.value = "searchlight.spatial_gate";
          select.dispatchEvent(new Event("change"));
          grid.choose(".cmp-interp", "cells");
          const later = grid.drawn();
          grid.find("[data-format=csv]").click();
          grid.mounted.extend({ stale: "Old." });
          return { changed: first !== later, sent: grid.sent, stale: grid.find(".cmp-stale").textContent };
        }"""
    )
    view = {
        "format": "csv", "maps": {"lite0": "cam", "lite0-tdam": "searchlight.spatial_gate"},
        "class": traces[0].top(-1, 1)[0].label, "scale": "shared", "palette": "inferno", "interpolation": "cells",
        "opacity": 0.55, "threshold": 0.5, "boxes": "class_maps", "box": None,
    }  # fmt: skip
    assert found == {"changed": True, "sent": [["export_grid", view]], "stale": "Old."}


def test_every_module_is_small_and_imports_its_neighbours_only() -> None:
    for name, text in modules().items():
        lines = text.decode().splitlines()
        assert max(map(len, lines)) <= 120, name
        sources = [line.rsplit('"', 2)[1] for line in lines if " from " in line and line.endswith('";')]
        assert all(source.startswith("./") and source[2:] in modules() for source in sources), (name, sources)
