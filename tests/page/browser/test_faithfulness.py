"""The Faithfulness tab as a person uses it: a real Chromium, bundled models, numbers against the Python API."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from playwright.sync_api import expect

import viz
from tests.family_models import family_model
from tests.page.browser.asking import Asker
from tests.page.browser.people import ASSETS, FOLDER, PHONE, Server
from tests.page.browser.visiting import LONG, PATIENCE, Chrome, all_ended, compute_quickly, hold_until_stopped
from viz.capture.probe import edited
from viz.geometry import prepare
from viz.measures.faithfulness import PARTS, WORDS, Report, faithful
from viz.page.faithfulness_tab import note_of, part_choices, source_choices

pytestmark = pytest.mark.browser

PSA = "lite0-psa"


class Doubter(Asker):
    """A visitor who wants to know whether the map is used."""

    def choose_parts(self, *parts: str) -> None:
        words = [WORDS[p].title for p in parts]
        for label in self.page.locator("#faithfulness-parts label").all():
            text = label.inner_text()
            label.locator("input").set_checked(any(text.startswith(w) for w in words))

    def measure(self) -> None:
        self.page.click("#faithfulness-start")
        expect(self.page.locator("#faithfulness-files")).to_be_visible(timeout=LONG)
        self.traffic.settle()

    def cells(self, name: str) -> list[list[str]]:
        rows = self.page.locator(f".fa-table[data-name={name}] tbody tr").all()
        return [r.locator("td").all_inner_texts() for r in rows]

    def lines(self, plot: str) -> list[dict[str, Any]]:
        selector = f"#faithfulness-{plot} .js-plotly-plot"
        self.page.wait_for_selector(selector)
        found: list[dict[str, Any]] = self.page.evaluate(
            "(s) => document.querySelector(s).data.map(t => ({name: t.name, x: [...t.x], y: [...t.y]}))", selector
        )
        return found


@pytest.fixture
def person(browser: Chrome, server: Server) -> Iterator[Doubter]:
    with Doubter(browser, server) as someone:
        yield someone


def check_reliance(shown: list[list[str]], report: Report) -> None:
    found = report.reliance
    assert found is not None and len(shown) == len(found.replaced)
    for line, r in zip(shown, found.replaced, strict=True):
        assert all(label.replace("_", " ") in line[0] for label in r.gates)
        if r.reason:
            assert line[1] == r.reason
            continue
        before, after = line[1].removesuffix(" %").split(" → ")
        assert float(before) == pytest.approx(100 * found.probability, abs=0.0051)
        assert float(after) == pytest.approx(100 * r.probability, abs=0.0051)
        assert float(line[2]) == pytest.approx(100 * (found.probability - r.probability), abs=0.0051)
        assert line[2][0] in "+-" and (r.top1_kept == 1) == (line[4] == "kept")


def test_all_quick_controls_are_pythons(
    person: Doubter, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compute_quickly(monkeypatch)
    person.choose_model(PSA)
    person.upload(ASSETS / "flower.jpg")
    person.open_tab("Faithfulness")
    person.measure()
    picture = viz.open_picture(ASSETS / "flower.jpg")
    report = faithful(server.engine.model(PSA), picture, source="spatial_gate")
    files = person.take_home("#faithfulness-files a", tmp_path)
    assert set(files) == {".json", ".csv"} and files[".csv"].name.startswith("flower-lite0-psa")
    assert files[".csv"].read_text() == report.to_csv()
    assert json.loads(files[".json"].read_text()) == json.loads(json.dumps(report.to_json()))
    check_reliance(person.cells("reliance"), report)
    wanted = [[r.area, r.random_area, r.centre.area] for r in report.curves]
    shown = [[float(v) for v in row[1:4]] for row in person.cells("curves")]
    assert [r[0] for r in person.cells("curves")] == ["deletion", "insertion"]
    assert shown == [pytest.approx(w, abs=6e-4) for w in wanted]
    own = [line["y"] for line in person.lines("curves") if line["name"] == "this map"]
    assert own == [pytest.approx([100 * p for p in r.curve.probability]) for r in report.curves if r.curve]
    floors = [line["name"] for line in person.lines("curves")]
    assert floors.count("centre") == 2 and floors.count("random") == 2 * report.options.seeds
    assert report.randomisation is not None and report.stability is not None
    bars = [v for line in person.lines("random") if line["name"] == "rank correlation" for v in line["x"]]
    assert bars == pytest.approx([s.similarity.spearman for s in report.randomisation.stages])
    noises = person.cells("stability")
    assert [float(r[1]) for r in noises] == pytest.approx([n.spearman for n in report.stability.noises], abs=6e-4)
    page = person.page.locator("#faithfulness-result, #faithfulness-areas, #faithfulness-rest").all_inner_texts()
    for part in ("reliance", "deletion", "insertion", "randomisation", "stability"):
        assert WORDS[part].shows in " ".join(page), part
    assert person.page.locator("#faithfulness details").count() == 5
    if FOLDER:
        person.page.screenshot(path=f"{FOLDER}/faithfulness.png", full_page=True)


def test_another_map_class_and_step(person: Doubter, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    compute_quickly(monkeypatch)
    person.upload(ASSETS / "chelsea.jpg")
    person.open_tab("Faithfulness")
    person.page.locator("#faithfulness-step label", has_text="1").click()
    # Step 1 has no searchlight: neither its map nor its gate is offered.
    expect(person.page.locator("#faithfulness-parts label", has_text="Reliance")).to_have_count(0)
    assert "has not acted yet" in person.text("#faithfulness-note")
    person.page.click("#faithfulness-source input")
    assert not any("native attention" in t for t in person.page.get_by_role("option").all_inner_texts())
    person.page.get_by_role("option", name="Grad-CAM", exact=True).click()
    picture = viz.open_picture(ASSETS / "chelsea.jpg")
    trace = server.engine.trace(picture, "lite0-tdam")
    second = trace.top(1, 2)[1]
    person.page.click("#faithfulness-class input")
    person.page.get_by_role("option", name=f"{second.label}, {100 * second.probability:.1f} %", exact=True).click()
    person.choose_parts("deletion", "road")
    person.measure()
    model = server.engine.model("lite0-tdam")
    report = faithful(
        model, picture, source="gradcam", class_index=second.class_index, step=1, parts=("deletion", "road")
    )
    shown = [[float(v) for v in row[1:4]] for row in person.cells("curves")]
    assert shown == [pytest.approx([r.area, r.random_area, r.centre.area], abs=6e-4) for r in report.curves]
    assert "not its best class" in person.text("#faithfulness-result") and second.label in person.text(
        "#faithfulness-result"
    )
    assert person.page.locator("#faithfulness-random").count() == 0
    # Another picture: the numbers of this one go.
    person.upload(ASSETS / "rocket.jpg")
    expect(person.page.locator("#faithfulness-result")).to_have_count(0)


def test_a_changed_answer_is_named(person: Doubter, server: Server, tmp_path: Path) -> None:
    person.choose_model("vivid-ema")
    person.upload(ASSETS / "chelsea.jpg")
    person.open_tab("Faithfulness")
    person.choose_parts("reliance")
    person.measure()
    model = family_model("ema")
    x, _ = prepare(viz.open_picture(ASSETS / "chelsea.jpg"), model.card.preprocessing, model.geometry)
    edits = {"attention.group_gate": lambda value, step: torch.full_like(value, 0.5)}
    with torch.inference_mode(), edited(model.network, edits):
        best = model.labels[int(model.network(x)[0].argmax())]
    rows = person.cells("reliance")
    report = faithful(model, ASSETS / "chelsea.jpg", source="attention", parts=("reliance",))
    check_reliance(rows, report)
    # At the library's usual options.
    record = json.loads(person.take_home("#faithfulness-files a", tmp_path)[".json"].read_text())
    assert record["options"] == json.loads(json.dumps(report.to_json()["options"]))
    neutral = next(r for r in rows if "neutral" in r[0])
    assert neutral[4] == f"changed to {best}"
    assert any(r[4].startswith("kept in ") for r in rows)


@pytest.mark.parametrize("source", ["class map", "integrated gradients"])
def test_stop(person: Doubter, server: Server, source: str, monkeypatch: pytest.MonkeyPatch) -> None:
    person.upload(ASSETS / "coffee.jpg")
    person.open_tab("Faithfulness")
    person.page.click("#faithfulness-source input")
    person.page.locator("li[role=option]", has_text=source).click()
    person.choose_parts("road" if source == "class map" else "stability")
    compute_quickly(monkeypatch)
    hold_until_stopped(monkeypatch)
    person.page.click("#faithfulness-start")
    expect(person.page.locator("#faithfulness-note").get_by_text("%").first).to_be_visible()
    person.page.click("#faithfulness-stop")
    person.told("Stopped")
    # One pass of a slow method, or one curve, is finished first.
    assert all_ended(), "the thread still measures"
    monkeypatch.undo()
    compute_quickly(monkeypatch)
    model = server.engine.model("lite0-tdam")
    assert model._lock.acquire(timeout=PATIENCE / 1000), "the model is still locked"
    model._lock.release()
    expect(person.page.locator("#faithfulness-start")).to_be_visible()
    assert person.page.locator("#faithfulness-result").count() == 0
    person.page.click("#faithfulness-source input")
    person.page.locator("li[role=option]", has_text="class map").click()
    person.choose_parts("reliance")
    person.measure()
    check_reliance(person.cells("reliance"), faithful(model, ASSETS / "coffee.jpg", parts=("reliance",)))


def test_nothing_to_measure_is_said(person: Doubter) -> None:
    person.open_tab("Faithfulness")
    person.page.click("#faithfulness-start")
    person.told("Choose a picture first.")


def test_phone_and_a_plain_network(browser: Chrome, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    compute_quickly(monkeypatch)
    with Doubter(browser, server, **PHONE) as phone:
        phone.choose_model("lite0")
        phone.upload(ASSETS / "flower.jpg")
        phone.open_tab("Faithfulness")
        assert "no gate to replace" in phone.text("#faithfulness-note")
        expect(phone.page.locator("#faithfulness-parts label")).to_have_count(len(PARTS) - 1)
        phone.choose_parts("insertion", "stability")
        phone.measure()
        assert phone.beyond_the_edge(".fa, .fa *, #faithfulness-parts, #faithfulness-source") == []
        assert phone.page.evaluate("() => document.documentElement.scrollWidth") <= 390
        if FOLDER:
            phone.page.screenshot(path=f"{FOLDER}/faithfulness-phone.png", full_page=True)


def test_what_is_offered(server: Server) -> None:
    picture = viz.open_picture(ASSETS / "flower.jpg")
    plain, psa = server.engine.trace(picture, "lite0"), server.engine.trace(picture, PSA)
    assert "no attention module" in note_of(plain) and "no attention" not in note_of(psa)
    assert [p for _, p in part_choices(psa)] == list(PARTS)
    assert source_choices(psa)[0] == ("native attention: spatial gate", "spatial_gate")
    assert source_choices(plain)[0] == ("class map", "cam")
    slow = [words for words, source in source_choices(psa) if source in ("integrated_gradients", "occlusion")]
    assert len(slow) == 2 and all("minutes" in w for w in slow)
