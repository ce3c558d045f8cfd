"""The Attribution tab, and the boxes and names of Compare, as a person uses them: a real Chromium, bundled models."""

from __future__ import annotations

import base64
import io
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import expect

import viz
from tests.page.browser.asking import Asker
from tests.page.browser.people import ASSETS, FOLDER, PHONE, Server
from tests.page.browser.visiting import PATIENCE, Chrome, all_ended, compute_quickly, hold_until_stopped
from viz.core.card import class_number
from viz.figures.comparison import Comparison, compare
from viz.page.grid_entries import layer_choices, method_choices

pytestmark = pytest.mark.browser

GATE = "searchlight.spatial_gate"
TDAM, FAST = "lite0-tdam", ["gradcam", "guided_backprop"]


@pytest.fixture
def person(browser: Chrome, server: Server) -> Iterator[Asker]:
    with Asker(browser, server) as someone:
        yield someone


def python(server: Server, name: str, maps: list[str], model: str = TDAM, **options: Any) -> Comparison:
    return compare(ASSETS / name, [model] * len(maps), maps, engine=server.engine, **options)


def same_numbers(shown: list[list[str]], made: Comparison, step: int) -> None:
    """The pair table against Python, to the last digit shown."""
    pairs = [(i, j) for i in range(len(made.columns)) for j in range(i + 1, len(made.columns))]
    assert len(shown) == len(pairs)
    for line, (i, j) in zip(shown, pairs, strict=True):
        found = made.agreements[step - 1][i][j]
        wanted = [found.spearman, found.top_iou, found.top_share, made.box_iou(step)[i, j]]
        texts = [*line[1:4], line[5]]
        assert line[4] == f"{found.rows} x {found.columns}"
        for text, value in zip(texts, wanted, strict=True):
            if np.isnan(value):
                assert text == "none"
            else:
                assert float(text) == pytest.approx(float(value), abs=0.0011)


def take(person: Asker, kind: str, folder: Path) -> dict[str, Path]:
    person.grid.locator(f"[data-format={kind}]").click()
    expect(person.page.locator(f"#attribution-files a[download$='.{kind}']").first).to_be_visible()
    return person.take_home("#attribution-files a", folder)


def test_numbers_values_and_files_are_pythons(person: Asker, server: Server, tmp_path: Path) -> None:
    person.upload(ASSETS / "coffee.jpg")
    person.open_tab()
    person.tick("Grad-CAM", "guided")
    person.compute()
    maps = [GATE, "cam", *FAST]
    made = python(server, "coffee.jpg", maps)
    names = ["native attention", "class map", "Grad-CAM", "guided backpropagation"]
    assert person.grid.locator(".cmp-head strong").all_inner_texts() == names
    for step in (1, 2, 3):
        person.step_to(step)
        same_numbers(person.table("pairs"), made, step)
    assert made.columns[0].heatmaps[0] is None, "the searchlight begins at step 2"
    # Values under the pointer.
    frame = person.grid.locator(".cmp-frame").nth(3)
    frame.scroll_into_view_if_needed()
    size = frame.bounding_box()
    assert size is not None
    person.page.mouse.move(size["x"] + 0.4 * size["width"], size["y"] + 0.5 * size["height"])
    person.settle()
    height, width = made.picture.size
    x, y = pointer(person)
    for text, column in zip(person.grid.locator(".cmp-value").all_inner_texts(), made.columns, strict=True):
        heat = column.heatmaps[-1]
        assert heat is not None and text.endswith(heat.unit)
        value = heat.at((height, width), "cells")[y, x]
        assert float(text.split()[0]) == pytest.approx(float(value), rel=2e-3)
    ends = person.grid.locator(".cmp-bars .cmp-ends").last.inner_text().split()
    assert [float(v) for v in ends] == pytest.approx([made.scale(3).low, made.scale(3).high], rel=5e-3)
    said = person.grid.locator(".cmp-explain").inner_text()
    assert "They need not agree" in said and "guided gradient" in said and "never below 0" in said
    # Files.
    assert json.loads(take(person, "json", tmp_path)[".json"].read_text()) == json.loads(json.dumps(made.to_json()))
    assert take(person, "csv", tmp_path)[".csv"].read_text() == made.to_csv()
    files = take(person, "pdf", tmp_path)
    assert set(files) == {".pdf", ".json", ".npz", ".tex"}
    assert files[".pdf"].read_bytes() == made.to_figure(interpolation="bilinear", boxes=False).to_bytes("pdf")
    assert "Captum" in files[".tex"].read_text()
    subprocess.run(["pdftoppm", "-r", "120", "-png", str(files[".pdf"]), str(tmp_path / "page")], check=True)
    assert np.asarray(Image.open(next(tmp_path.glob("page*.png"))).convert("RGB")).astype(float).std() > 20
    if FOLDER:
        person.page.screenshot(path=f"{FOLDER}/attribution.png", full_page=True)


def pointer(person: Asker) -> tuple[int, int]:
    """The picture pixel that the readout names."""
    x, y = person.grid.locator(".cmp-readout").inner_text().split(":")[0].split(", ")
    return int(x.removeprefix("x ")), int(y.removeprefix("y "))


def test_each_map_is_computed_once_and_a_new_picture_is_said(person: Asker, server: Server) -> None:
    person.upload(ASSETS / "china.jpg")
    person.open_tab()
    person.tick("Grad-CAM")
    person.compute()
    picture = viz.open_picture(ASSETS / "china.jpg")
    before = server.engine.trace(picture, TDAM).attributions
    assert {(a.method, a.step) for a in before} == {("gradcam", step) for step in (1, 2, 3)}
    person.tick("Grad-CAM", "guided")
    person.compute()
    after = server.engine.trace(picture, TDAM).attributions
    assert len(after) == 6 and {id(a) for a in before} <= {id(a) for a in after}
    expect(person.grid.locator(".cmp-stale")).to_be_hidden()
    person.upload(ASSETS / "rocket.jpg")
    expect(person.grid.locator(".cmp-stale")).to_be_visible()


def test_another_class_and_a_layer(person: Asker, server: Server) -> None:
    person.upload(ASSETS / "chelsea.jpg")
    person.open_tab()
    trace = server.engine.trace(viz.open_picture(ASSETS / "chelsea.jpg"), TDAM)
    second = trace.top(-1, 2)[1]
    person.page.click("#attribution-class input")
    person.page.get_by_role("option", name=f"{second.label}, {100 * second.probability:.1f} %", exact=True).click()
    person.tick("Grad-CAM")
    person.pick_layer("gradient x activation at spatial gate")
    person.compute()
    maps = [GATE, "cam", "gradcam", "gradient_x_activation(spatial_gate)"]
    made = python(server, "chelsea.jpg", maps, class_index=second.class_index)
    same_numbers(person.table("pairs"), made, 3)
    assert second.label in person.grid.locator(".cmp-about").inner_text()
    assert "signed" in person.grid.locator(".cmp-explain").inner_text()
    # The gate first acts at step 2: nothing can be attributed to it at step 1.
    person.step_to(1)
    assert "no value of this map here" in person.grid.locator(".cmp-says").last.inner_text()


def test_a_slow_method_says_its_cost_and_a_plain_network_has_no_attention(
    person: Asker, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    person.choose_model("lite0")
    person.upload(ASSETS / "rocket.jpg")
    person.open_tab()
    offered = person.page.locator("#attribution-methods label").all_inner_texts()
    assert any("slow: 50 passes" in t for t in offered) and any("slow: 170 passes" in t for t in offered)
    assert person.page.locator("#attribution-layers").count() == 0
    compute_quickly(monkeypatch)
    person.tick("occlusion")
    person.compute()
    assert person.grid.locator(".cmp-head strong").all_inner_texts() == ["class map", "occlusion"]
    assert "no attention module" in person.grid.locator(".cmp-explain").inner_text()
    same_numbers(person.table("pairs"), python(server, "rocket.jpg", ["cam", "occlusion"], "lite0"), 1)


def test_stop(person: Asker, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    compute_quickly(monkeypatch)
    person.upload(ASSETS / "flower.jpg")
    person.open_tab()
    person.tick("occlusion", "integrated")
    expect(person.page.locator("#attribution-stop")).to_be_hidden()
    hold_until_stopped(monkeypatch)
    person.page.click("#attribution-start")
    expect(person.page.locator("#attribution-grid").get_by_text("%").first).to_be_visible()
    expect(person.page.locator("#attribution-start")).to_be_hidden()
    person.page.click("#attribution-stop")
    person.told("Stopped")
    # A pass that has begun is finished first.
    assert all_ended(), "the thread still computes"
    monkeypatch.undo()
    compute_quickly(monkeypatch)
    model, picture = server.engine.model(TDAM), viz.open_picture(ASSETS / "flower.jpg")
    assert model._lock.acquire(timeout=PATIENCE / 1000), "the model is still locked"
    model._lock.release()
    kept = server.engine.trace(picture, TDAM).attributions
    assert len(kept) < 6 and all(np.isfinite(a.values).all() for a in kept)
    hooks = [m for m in model.network.modules() if m._forward_hooks or m._forward_pre_hooks or m._backward_hooks]
    assert hooks == []
    expect(person.page.locator("#attribution-start")).to_be_visible()
    assert person.grid.get_attribute("data-state") == "empty"
    person.tick("integrated")
    person.compute()
    same_numbers(person.table("pairs"), python(server, "flower.jpg", [GATE, "cam", "integrated_gradients"]), 3)
    fresh = viz.load(TDAM, "cpu")
    trace = fresh.attribute(fresh.trace(picture), "integrated_gradients", step=1, class_index=kept_class(server))
    again = server.engine.trace(picture, TDAM).attribution("integrated_gradients", 1, kept_class(server))
    np.testing.assert_allclose(
        again.native, trace.attribution("integrated_gradients", 1, kept_class(server)).native, atol=1e-6
    )


def kept_class(server: Server) -> int:
    """The class that the tab takes by itself."""
    return int(server.engine.trace(viz.open_picture(ASSETS / "flower.jpg"), TDAM).top(-1, 1)[0].class_index)


def test_nothing_to_do_is_said(person: Asker) -> None:
    person.open_tab()
    assert "Compute" in person.grid.locator(".cmp-empty").inner_text()
    person.page.click("#attribution-start")
    person.told("Choose a picture first.")


def test_phone(browser: Chrome, server: Server) -> None:
    with Asker(browser, server, **PHONE) as phone:
        phone.upload(ASSETS / "coffee.jpg")
        phone.open_tab()
        phone.tick("Grad-CAM")
        phone.compute()
        # Tables scroll by themselves.
        grid = "#attribution-grid"
        assert phone.beyond_the_edge(f"{grid}, {grid} :not(table, table *), #attribution-methods") == []
        assert phone.too_small_to_touch(f"{grid} button, {grid} select") == []
        if FOLDER:
            phone.page.screenshot(path=f"{FOLDER}/attribution-phone.png", full_page=True)


def test_what_is_offered(server: Server) -> None:
    trace = server.engine.trace(viz.open_picture(ASSETS / "coffee.jpg"), "lite0-psa")
    assert [m for _, m in method_choices(trace)] == ["gradcam", "integrated_gradients", "guided_backprop", "occlusion"]
    layers = layer_choices(trace)
    assert ("Grad-CAM at spatial gate", "gradcam(spatial_gate)") in layers and len(layers) == 6
    assert layer_choices(server.engine.trace(viz.open_picture(ASSETS / "coffee.jpg"), "lite0")) == []
    assert class_number(trace.labels, "giant panda") == 388


# ---------------------------------------------------------------- Compare: classes, boxes, names


def inked(person: Asker) -> list[float]:
    """Share of each panel that boxes cover."""
    return [
        float((np.asarray(Image.open(io.BytesIO(base64.b64decode(u.split(",")[1]))))[..., 3] > 0).mean())
        for u in person.page.evaluate(
            "() => [...document.querySelectorAll('#compare-grid .cmp-over')].map(c => c.toDataURL('image/png'))"
        )
    ]


def test_compare_names_its_maps_and_boxes_class_maps_alone(person: Asker) -> None:
    person.upload(ASSETS / "coffee.jpg")
    person.open_tab("Compare")
    order = [t.strip() for t in person.page.locator("#compare-models label").all_inner_texts()]
    wanted = ["lite0", "lite0-tdam", "lite0-psa", "lite0-ema", "lite0-vista", "lite0-paka"]
    assert [n for n in order if n.startswith("lite0")] == wanted
    for box in person.page.locator("#compare-models input[type=checkbox]").all():
        box.set_checked(box.locator("xpath=ancestor::label").inner_text().strip() in ("lite0", "lite0-paka"))
    person.page.click("#compare-start")
    grid = person.page.locator("#compare-grid .cmp")
    expect(grid).to_have_attribute("data-state", "shown")
    person.settle()
    assert "best of lite0" in grid.locator(".cmp-classlabel").inner_text()
    paka = grid.locator(".cmp-map").nth(1)
    titles = paka.locator("option").all_inner_texts()
    assert len(set(titles)) == len(titles) and "departure from plain (level 2, dilation 2)" in titles
    both = inked(person)
    paka.select_option(label="departure from plain (level 3, dilation 4)")
    person.settle()
    alone = inked(person)
    assert alone[0] == both[0] and alone[1] < both[1]
    person.page.check("#compare-grid .cmp-allbox")
    person.settle()
    every = inked(person)
    assert every[0] == both[0] and every[1] > alone[1]
