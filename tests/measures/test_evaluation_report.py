"""Reports of an evaluation: the numbers of the result, the same in CSV, LaTeX and HTML, and safe in each."""

from __future__ import annotations

import base64
import csv
import io
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from viz.datasets import open_dataset
from viz.errors import VizError
from viz.measures.localization.notes import notes_of, protocol_words, tuning_words
from viz.measures.localization.options import Options, sources_of
from viz.measures.localization.protocol import box_ious
from viz.measures.localization.report import CSV_FIELDS, to_csv, to_latex
from viz.measures.localization.report_html import CaseView, blended, case_views, shrunk, to_html
from viz.measures.localization.results import Case, Result, Row, from_bytes, to_bytes
from viz.measures.localization.run import evaluate, plan

DELTAS = ("30", "50", "70")


def value(middle: float, spread: float = 3.0, n: int = 250) -> dict[str, float | int | None]:
    return {"value": middle, "low": round(middle - spread, 2), "high": round(middle + spread, 2), "n": n}


def boxes_part(v1: tuple[float, float, float], floor: bool = False, difference: float | None = None) -> dict[str, Any]:
    points = [round(i / 20, 2) for i in range(21)]
    peak = {
        d: [round(b * max(0.0, 1 - 3 * (t - 0.25) ** 2), 2) for t in points] for d, b in zip(DELTAS, v1, strict=True)
    }
    mean = round(sum(v1) / 3, 2)
    per = {d: value(b) for d, b in zip(DELTAS, v1, strict=True)}
    return {
        "max": {"v1": dict(zip(DELTAS, v1, strict=True)), "v2": dict(zip(DELTAS, v1, strict=True)), "v2_mean": mean},
        "reported": {"v1": per, "v2": per, "v2_mean": value(mean)},
        "thresholds": {v: {d: [0.2, 0.2, 0.25, 0.2, 0.3] for d in DELTAS} for v in ("v1", "v2")},
        "gt_known": per["50"],
        "top1_loc": None if floor else value(v1[1] * 0.7),
        "top5_loc": None if floor else value(v1[1] * 0.9),
        "gt_known_splits": None,
        "difference": None if difference is None else value(difference, 2.0),
        "curve": {"thresholds": points, "v1": peak, "v2": peak},
    }


def row(
    model: str | None, source: str, kind: str, title: str, boxes: dict[str, Any] | None, **more: Any
) -> dict[str, Any]:
    base = {"model": model, "source": source, "step": None if model is None else 1, "kind": kind, "title": title}
    return base | {"n": 250, "n_masks": 0, "boxes": boxes, "pxap": None, "cases": {"best": [], "worst": []}} | more


def case(name: str, iou: float, index: int) -> dict[str, Any]:
    return {"id": name, "index": index, "iou": iou}


def read(result: dict[str, Any]) -> Result:
    """A result from its file, with the notes that follow from it."""
    found = from_bytes(json.dumps(result).encode())
    return replace(found, notes=notes_of(found))


def example(**data: Any) -> Result:
    """A result of two networks with every kind of row; names are hostile on purpose."""
    return read(written(**data))


def written(**data: Any) -> dict[str, Any]:
    """The same as its file holds it."""
    cases = {"best": [case("images/a_1.jpg", 0.91, 4)], "worst": [case("images/<b>&.jpg", 0.0, 7)]}
    cam = row("=net_1", "cam", "class map", "class map", boxes_part((80.0, 61.6, 32.8)), cases=cases, step=2)
    gate = row(
        "=net_1", "attention:gate", "attention", "spatial gate <mean>", boxes_part((70, 50.1, 20), difference=-11.5)
    )
    grad = row("net two", "gradcam", "attribution", "Grad-CAM", boxes_part((81, 62, 33), difference=0.4), n=240)
    lost = row("net two", "cam", "class map", "class map", None)
    share = {"top1": value(70.0), "top5": value(90.0)}
    return {
        "kind": "evaluation",
        "versions": {"searchlight": "0.1.0", "torch": "2.13"},
        "data": {
            "name": "birds & 50%",
            "layout": "csv",
            "split": "loc_val",
            "fingerprint": "f" * 64,
            "samples": 252,
            "pictures": 250,
            "far_edge": "inclusive",
            "picture_bytes": "b" * 64,
            "index_problems": {"box clipped": 3},
            "problems": [{"id": "a.jpg", "kind": "box clipped", "message": "A box of a.jpg <was> clipped."}],
            "failed_count": 2,
            "failed": [{"id": "x<y>.jpg", "reason": "The file x<y>.jpg does not exist."}],
            "chosen_of": None,
            "boxes_cut": 0,
            "empty_masks": 0,
            "without_class": 1,
            "without_boxes": 0,
            "with_masks": 0,
            **data,
        },
        "tuning": {
            "mode": "cross-validated",
            "words": tuning_words("cross-validated", 5, None),
            "folds": 5,
            "splits": 1,
        }
        | dict.fromkeys(("split", "fingerprint", "samples", "failed_count")),
        "protocol": {
            "size": 224,
            "geometry": "squash",
            "interval": 0.01,
            "thresholds": 100,
            "levels": 100,
            "deltas": [30, 50, 70],
            "classes": "label",
            "precision": "float32",
            "mixed_precision": None,
            "batch": 8,
            "threads": 1,
            "device": "cpu",
            "attribution": {},
            "words": protocol_words(),
        },
        "bootstrap": {
            "level": 0.95,
            "draws": 1000,
            "pxap_draws": 200,
            "words": "pictures are drawn again; thresholds stay as chosen",
        },
        "models": [
            {
                "name": "=net_1",
                "sha256": "a" * 64,
                "family": "tdam",
                "steps": 2,
                "union": {"unfiltered": share, "filtered": share},
            }
            | {"classification": [{"step": 1, **share}, {"step": 2, **share}]},
            {"name": "net two", "sha256": None, "family": None, "steps": 1, "union": None}
            | {"classification": [{"step": 1, **share}]},
        ],
        "rows": [
            row(None, "centre_box", "floor", "fixed centred box", boxes_part((75, 49.6, 10), floor=True)),
            row(None, "centre_gaussian", "floor", "centre Gaussian", boxes_part((70, 45, 9), floor=True)),
            *(cam, gate, grad, lost),
        ],
        "notes": [],
    }


class Page(HTMLParser):
    """What a page is made of: tags, their attributes, text; open tags that were never closed fail."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self._open: list[str] = []
        self.feed(text)
        assert not self._open, f"left open: {self._open}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "br", "img", "link"):
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag, f"{tag} closes nothing"

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


def grey(_: Row, case: Case) -> CaseView:
    heat = np.linspace(0, 1, 49, dtype=np.float32).reshape(7, 7)
    truth, box = [[20, 30, 120, 200], [150, 10, 200, 60]], [40, 50, 180, 210] if case.iou else [0] * 4
    return CaseView(np.full((300, 600, 3), 128, dtype=np.uint8), heat, truth, box, 0.2)


def test_csv_has_every_row_and_number() -> None:
    rows = list(csv.DictReader(io.StringIO(to_csv(example()))))
    assert len(rows) == 6 and tuple(rows[0]) == CSV_FIELDS
    box, cam, gate, lost = rows[0], rows[2], rows[3], rows[5]
    assert (box["source"], box["model"], box["gt_known"], box["top1_loc"]) == ("centre_box", "", "49.6", "")
    assert cam["model"] == "'=net_1", "a name must not become a formula"
    assert (cam["gt_known"], cam["gt_known_low"], cam["gt_known_high"]) == ("61.6", "58.6", "64.6")
    assert cam["thresholds_v1_50"] == "0.2;0.2;0.25;0.2;0.3" and cam["max_v2_70"] == "32.8"
    assert gate["difference"] == "-11.5", "a negative number stays a number"
    assert (cam["gt_known_above_floor"], gate["gt_known_above_floor"], box["gt_known_above_floor"]) == ("yes", "no", "")
    assert lost["gt_known"] == "" and lost["n"] == "250"


def test_latex_is_plain_escaped_and_says_how() -> None:
    text = to_latex(example())
    assert text.isascii()
    assert (
        r"birds \& 50\%" in text and r"\emph{=net\_1}" in text and r"spatial gate \textless{}mean\textgreater{}" in text
    )
    for said in (
        "Choe et al.",
        "252 samples of 250 pictures",
        "n = 240 to 250",
        "tuned on the other folds",
        "1000 draws",
    ):
        assert said in text
    for rule in ("toprule", "midrule", "bottomrule"):
        assert rf"\{rule}" in text
    body = [line for line in text.splitlines() if line.endswith(r"\\") and "multicolumn" not in line]
    assert len({line.replace(r"\&", "").count("&") for line in body}) == 1, "every line has as many cells"
    gate = next(line for line in body if "spatial gate" in line)
    assert r"$50.1$ {\scriptsize[$47.1$, $53.1$]}$^\dagger$" in gate and "$-11.5$" in gate
    assert r"$^\dagger$" not in next(line for line in body if "class map" in line and "61.6" in line).split("&")[2]
    assert text.count("{") == text.count("}")


def test_latex_leaves_out_what_no_row_has() -> None:
    result = written()
    for entry in result["rows"]:
        entry["boxes"] = None
        entry["pxap"] = value(51.3)
    text = to_latex(read(result))
    assert "PxAP" in text and "GT-known" not in text and "$51.3$" in text


def test_html_is_one_page_that_needs_nothing() -> None:
    text = to_html(example(), grey)
    page = Page(text)
    assert not [t for t, _ in page.tags if t in ("script", "link", "iframe", "object", "img", "form")]
    for tag, attributes in page.tags:
        for name, target in attributes.items():
            assert not name.startswith("on")
            if name in ("href", "src", "xlink:href"):
                assert tag == "image" and str(target).startswith("data:image/jpeg;base64,")
    assert "url(" not in text and "http:" not in text and "https:" not in text and "@import" not in text
    policy = [a["content"] for t, a in page.tags if t == "meta" and "http-equiv" in a]
    assert policy == ["default-src 'none'; img-src data:; style-src 'unsafe-inline'"]


def test_html_shows_floors_numbers_notes_and_what_was_left_out() -> None:
    result = example()
    text = Page(to_html(result, grey)).text
    for said in ("fixed centred box", "centre Gaussian", "Baselines that ignore the image", "61.6", "58.6 to 64.6"):
        assert said in text
    for said in ("\u221211.5", "tuned on the other folds", "1000 draws", "arXiv 2001.07437", "f" * 64, "a" * 64):
        assert said in text
    for said in (
        "3 \u00d7 box clipped",
        "2 samples could not be read",
        "The file x<y>.jpg does not exist.",
        "IoU 0.91",
    ):
        assert said in text
    for note in result.notes:
        assert note in text
    assert "images/<b>&.jpg" in text, "shown as it is"
    assert "<b>&.jpg" not in to_html(result, grey), "but not as a tag"


def test_html_marks_what_does_not_beat_the_floor() -> None:
    text = to_html(example())
    rows = re.findall(r'<tr><th scope="row">(.*?)</th>(.*?)</tr>', text.split("<h2>")[0])
    marked = {name for name, cells in rows if "\u2020" in cells}
    assert "spatial gate &lt;mean&gt;, step 1" in marked and "fixed centred box" not in marked
    cam = next(cells for name, cells in rows if name == "class map, step 2")
    assert "\u2020" not in cells_of(cam)[1], "58.6 lies above 49.6"


def cells_of(text: str) -> list[str]:
    return re.findall(r"<td[^>]*>(.*?)</td>", text)


def test_html_draws_curves_where_the_numbers_are() -> None:
    text = to_html(example())
    charts = re.findall(r'<svg class="chart".*?</svg>', text)
    assert len(charts) == 3 and all(c.count("<polyline") == 4 for c in charts)
    line = re.search(r'points="([^"]*)"><title>class map, step 2, =net_1', charts[1])
    assert line is not None
    points = [tuple(float(v) for v in p.split(",")) for p in line[1].split()]
    assert len(points) == 21
    x, y = min(points, key=lambda p: p[1])
    assert x == pytest.approx(40 + 0.25 * 310) and y == pytest.approx(212 - 0.616 * 186, abs=0.06)
    assert re.search(r'd="M40 119.7H350"><title>fixed centred box', charts[1]), "no threshold: a straight line at 49.6"


def test_html_cases_are_small_pictures_with_boxes() -> None:
    text = to_html(example(), grey)
    panes = re.findall(r'<div class="panes">(.*?)</div>', text)
    assert len(panes) == 2
    worst, best = panes
    for pane in panes:
        images = re.findall(r"base64,([^\"]*)", pane)
        assert len(images) == 2, "photo and map"
        for data in images:
            with Image.open(io.BytesIO(base64.b64decode(data))) as image:
                assert image.format == "JPEG" and image.size == (320, 160)
    assert best.count('stroke="#00c2a8"') == 4 and best.count('stroke="#ff3d7f"') == 2
    assert worst.count('stroke="#ff3d7f"') == 0, "no box was found: none is drawn"
    assert f'x="{20 * 320 / 224:.1f}" y="{30 * 160 / 224:.1f}"' in best
    bare = to_html(example(), lambda *_: None)
    assert "data:image" not in bare.replace("img-src data:", "") and "images/a_1.jpg" in bare


def test_html_of_an_evaluation_without_boxes_or_models_left() -> None:
    assert "A box of a.jpg &lt;was&gt; clipped." in to_html(example())
    result = written(index_problems={}, problems=[], failed_count=0, failed=[], without_class=0)
    result["rows"] = [r | {"boxes": None, "pxap": value(40.0)} for r in result["rows"][:2]]
    result["models"] = []
    page = Page(to_html(read(result)))
    assert "Nothing: every sample of the index was read and counted." in page.text
    assert "PxAP" in page.text and "Box accuracy over the threshold" not in page.text


def test_a_value_without_a_number_is_a_dash() -> None:
    result = written()
    none = {"value": None, "low": None, "high": None, "n": 0}
    result["rows"][2]["boxes"]["gt_known"] = none
    result["models"][0]["classification"][0]["top1"] = none
    result = read(result)
    assert "\u2013" in to_html(result) and " -- " in to_latex(result) and "None" not in to_csv(result)


def test_blending_leaves_the_photo_where_the_map_is_no_number() -> None:
    photo = np.full((8, 8, 3), 200, dtype=np.uint8)
    heat = np.ones((8, 8), dtype=np.float32)
    heat[:, :4] = np.nan
    out = blended(photo, heat)
    assert (out[:, :4] == 200).all() and not (out[:, 4:] == 200).all(axis=-1).any()
    assert shrunk(photo) is photo and shrunk(np.zeros((10, 1000, 3), np.uint8)).shape == (3, 320, 3)


def test_case_views_draw_the_box_that_was_scored(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    lines = ["image,label,boxes"]
    for i in range(4):
        small = Image.fromarray(rng.integers(0, 256, (5, 7, 3), dtype=np.uint8))
        small.resize((90, 70), Image.Resampling.BICUBIC).save(tmp_path / f"p{i}.png")
        lines.append(f'p{i}.png,n01440764,"[[{5 * i}, 10, {40 + 9 * i}, 60]]"')
    (tmp_path / "index.csv").write_text("\n".join(lines))
    made = plan(["lite0"], open_dataset(tmp_path), Options(sources_of(["cam"])), folds=2, device="cpu")
    threads = torch.get_num_threads()
    try:
        result = evaluate(made, tmp_path / "run")
        assert result is not None
        views = case_views(made)
        row = next(r for r in result.rows if r.source == "cam")
        cases = [*row.cases["best"], *row.cases["worst"]]
        assert cases
        for entry in cases:
            view = views(row, entry)
            assert view is not None and view.heat is not None and view.box is not None and view.label == "n01440764"
            assert view.rgb.shape == (70, 90, 3) and view.threshold in row.boxes.thresholds["v1"]["50"]
            overlap = box_ious(np.array([view.box]), np.array(view.truth)).max()
            assert overlap == pytest.approx(entry.iou, abs=0.02), "stored in steps of 1/255, another batch here"
        assert to_html(result, views).count("data:image/jpeg") == 2 * len(cases)
        (tmp_path / "p0.png").unlink()
        assert views(row, Case("p0.png", 0, 0.5)) is None, "gone since: named only"
    finally:
        torch.set_num_threads(threads)


def test_a_file_is_read_as_it_was_written_and_an_edited_one_is_a_sentence() -> None:
    data = to_bytes(example())
    assert to_bytes(from_bytes(data)) == data
    for old, new, why in (
        (b'"kind": "evaluation"', b'"kind": "faithfulness"', "kind"),
        (b'"size": 224', b'"sise": 224', "protocol.size"),
        (b'"50": 61.6', b'"50": "61.6"', "rows.2.boxes.max.v1.50"),
        (b'"30": 80.0,', b"", "rows.2.boxes.max.v1"),
        (b'"level": 0.95', b'"level": NaN', "bootstrap.level"),
        (b'"kind"', b'"version": 2, "kind"', "version"),
        (b'"steps": 2', b'"steps": [2]', "models.0.steps"),
    ):
        assert old in data
        with pytest.raises(VizError, match=rf"not the result of an evaluation: {re.escape(why)}: [^\n]*\.$"):
            from_bytes(data.replace(old, new, 1))
    for broken in (b"", b"[" * 100_000, data[:-9], b"\xff"):
        with pytest.raises(VizError, match=r"^The file is not valid JSON\.$"):
            from_bytes(broken)
