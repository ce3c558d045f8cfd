"""Comparisons of models: measures with known values, crops, steps, figures, folders."""

from __future__ import annotations

import csv
import io
import json
import math
import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import viz
import viz.run.engine
from tests.tiny import as_model, scene, tiny_model, tiny_network, with_neutral
from viz.cli import main
from viz.core.heatmap import Heatmap
from viz.core.map_spec import MapSpec, parse
from viz.errors import FigureError, MapError, ModelError, PictureError, ProbeError, VizError
from viz.figures.comparison import compare, compare_folder
from viz.figures.comparison.folder import stems
from viz.figures.comparison.record import comparison_from_record
from viz.figures.comparison.tables import rows_from_json, rows_of, summary
from viz.figures.text import width_of
from viz.geometry import Preprocessing, fit
from viz.measures.agreement import agreement, ranks, sampled, spearman, top_cells, top_overlap
from viz.run.engine import Model

GATE = "layer4.0.RA_block.spatial_gate"


def named(model: Model, name: str) -> Model:
    return replace(model, card=replace(model.card, name=name))


@pytest.fixture(scope="module")
def three() -> Model:
    return named(tiny_model(3, seed=0), "three")


@pytest.fixture(scope="module")
def two() -> Model:
    return named(tiny_model(2, seed=1), "two")


@pytest.fixture(scope="module")
def small() -> Model:
    """Another input size, so other cells and another crop."""
    model = as_model(tiny_network(2, seed=2), size=(64, 64))
    cut = Preprocessing((64, 64), crop="resize", resize_to=100, mean=(120.0,) * 3, std=(60.0,) * 3)
    return replace(model, card=replace(model.card, name="small", preprocessing=cut))


def heat(values: Any, crop_fraction: float = 1.0, picture: tuple[int, int] = (100, 100)) -> Heatmap:
    geometry = fit(picture, Preprocessing((32, 32), crop_fraction=crop_fraction), "center_crop")
    return Heatmap(np.asarray(values, dtype=np.float32), geometry, "x", unit="u")


# Measures


def test_ranks_share_the_mean_of_their_places() -> None:
    assert ranks([10, 20, 20, 5]).tolist() == [2, 3.5, 3.5, 1]
    assert ranks(np.ones((2, 2))).tolist() == [[2.5, 2.5], [2.5, 2.5]]


def test_spearman_known_values() -> None:
    assert spearman([1, 2, 3, 4], [2, 4, 6, 900]) == pytest.approx(1)
    assert spearman([1, 2, 3, 4], [4, 3, 2, 1]) == pytest.approx(-1)
    # 1 - 6 * sum(d^2) / (n (n^2 - 1)) with d = 0, 1, 1, 1, 1.
    assert spearman([1, 2, 3, 4, 5], [1, 3, 2, 5, 4]) == pytest.approx(0.8)
    # Ranks 1, 2.5, 2.5, 4 against 1, 2, 3, 4: 4.5 / sqrt(4.5 * 5).
    assert spearman([1, 2, 2, 3], [1, 2, 3, 4]) == pytest.approx(4.5 / math.sqrt(22.5))
    assert math.isnan(spearman([1, 1, 1], [1, 2, 3]))
    assert math.isnan(spearman([1, 2], [1, 2]))


def test_top_cells_and_overlap() -> None:
    values = np.arange(30)
    assert top_cells(values).sum() == 3 and top_cells(values)[27:].all()
    assert top_cells([1, 5, 5, 5, 0, 0, 0, 0, 0, 0]).sum() == 3, "ties of the last one belong to it"
    assert top_cells(np.arange(49)).sum() == 5
    other = np.roll(values, 1)  # strongest at 28, 29, 0
    assert np.allclose(top_overlap(values, other), (2 / 4, 2 / 3))
    assert top_overlap(values, values) == (1, 1)
    assert all(math.isnan(v) for v in top_overlap(np.ones(9), np.arange(9)))


def test_unrelated_maps_overlap_by_chance() -> None:
    rng = np.random.default_rng(0)
    found = np.array([top_overlap(rng.random(400), rng.random(400)) for _ in range(300)])
    assert found.mean(axis=0) == pytest.approx([0.053, 0.1], abs=0.01)


def test_maps_of_one_geometry_are_compared_cell_by_cell() -> None:
    rng = np.random.default_rng(1)
    a, b = rng.integers(0, 5, (7, 7)), rng.integers(0, 5, (7, 7))
    found = agreement(heat(a, 0.875), heat(b, 0.875))
    assert (found.rows, found.columns) == (7, 7)
    # Many ties: interpolation that broke one of them would change the number.
    assert found.spearman == spearman(a, b)
    assert (found.top_iou, found.top_share) == top_overlap(a, b)


def test_the_finer_map_gives_the_grid() -> None:
    fine = np.add.outer(np.arange(14), np.arange(14))
    found = agreement(heat(np.add.outer(np.arange(7), np.arange(7))), heat(fine))
    assert (found.rows, found.columns) == (14, 14)
    assert found.spearman > 0.99


def test_different_crops_are_compared_where_both_saw() -> None:
    ramp = np.tile(np.arange(10.0), (10, 1))
    whole, crop = heat(ramp), heat(ramp, 0.5)
    found = agreement(whole, crop)
    assert list(found.region) == [25, 25, 75, 75]
    assert (found.rows, found.columns) == (10, 10)
    assert found.spearman == pytest.approx(1)
    # The same point of the picture: 10 px a cell in one, 5 px in the other.
    x = np.array([40.0])
    assert [float(sampled(h, x, x).item()) for h in (whole, crop)] == pytest.approx([3.5, 2.5])


def test_a_spot_is_found_again_under_another_crop() -> None:
    y, x = np.mgrid[0:10, 0:10]
    whole = heat(np.exp(-((x - 5.5) ** 2 + (y - 3.5) ** 2) / 4))  # at (60, 40) of the picture
    crop = heat(np.exp(-((x - 6.5) ** 2 + (y - 2.5) ** 2) / 16), 0.5)
    moved = heat(np.exp(-((x - 2.5) ** 2 + (y - 6.5) ** 2) / 16), 0.5)
    same, other = agreement(whole, crop), agreement(whole, moved)
    assert same.spearman > 0.95 and other.spearman < 0
    assert same.top_share > 0.6 and other.top_share < 0.1


@pytest.mark.parametrize(
    ("a", "b", "reason"),
    [
        (np.ones((4, 4)), np.eye(4), "constant"),
        (np.ones((4, 4)), np.ones((4, 4)), "constant"),
        ([[1.0]], [[2.0]], "Fewer"),
        (np.full((4, 4), np.nan), np.eye(4), "Fewer"),
    ],
)
def test_what_cannot_be_compared_is_nan_with_a_sentence(a: Any, b: Any, reason: str) -> None:
    found = agreement(heat(a), heat(b))
    assert all(math.isnan(v) for v in (found.spearman, found.top_iou, found.top_share))
    assert reason in found.reason and found.reason.endswith(".")


def test_nothing_in_common_and_nothing_at_all() -> None:
    left = heat(np.eye(3))
    geometry = replace(left.geometry, seen=(0.0, 0.0, 30.0, 100.0))
    right = replace(left, geometry=replace(left.geometry, seen=(40.0, 0.0, 100.0, 100.0)))
    assert "common" in agreement(replace(left, geometry=geometry), right).reason
    assert "no value" in agreement(None, left).reason
    with pytest.raises(VizError, match="one picture"):
        agreement(left, heat(np.eye(3), picture=(50, 50)))


# Which map


@pytest.mark.parametrize("text", ["", "picture", "boxes", "spatial_gate@3", "class_map#2", "feature", "a b", 3])
def test_no_maps(text: Any) -> None:
    with pytest.raises(MapError) as caught:
        parse(text)
    assert "\n" not in str(caught.value)


# Comparisons


def test_fewer_steps_keep_the_last_and_say_so(three: Model, two: Model) -> None:
    made = compare(scene(), [three, two])
    assert made.steps == 3 and [c.own_step(3) for c in made.columns] == [3, 2]
    assert made.columns[1].heatmaps[2] is made.columns[1].heatmaps[1]
    assert "two has 2 steps; at later steps its last one stands." in made.notes
    assert made.class_label == made.columns[0].trace.top(-1, 1)[0].label
    assert {c.map.cls for c in made.columns} == {made.columns[0].trace.top(-1, 1)[0].class_index}
    assert np.allclose(made.matrix(step=3), made.matrix(step=-1))
    assert np.allclose(np.diag(made.matrix()), 1) and np.allclose(made.matrix(), made.matrix().T)
    with pytest.raises(ModelError, match="steps 1 to 3"):
        made.matrix(step=4)


def test_a_probe_without_a_value_at_a_step(three: Model, two: Model) -> None:
    made = compare(scene(), [three, two], ["class_map", "spatial_gate"])
    assert made.columns[1].heatmaps[0] is None and made.columns[1].heatmaps[1] is not None
    assert made.columns[1].map.probe == GATE and made.columns[1].asked == MapSpec("spatial_gate")
    assert any("spatial gate of" in n and "has no value at step 1" in n for n in made.notes)
    assert np.isnan(made.matrix(step=1)[0, 1]) and np.isfinite(made.matrix(step=2)[0, 1])
    assert np.isnan(made.box_iou(1)[0, 1])
    first = made.to_json()["steps"][0]
    assert first["pairs"][0]["spearman"] is None and "no value" in first["pairs"][0]["reason"]
    assert first["columns"][1]["has_value"] is False


def test_scales(three: Model, two: Model) -> None:
    shared = compare(scene(), [three, two, two], ["class_map", "class_map", "spatial_gate"])
    each = compare(scene(), [three, two, two], ["class_map", "class_map", "spatial_gate"], scale="each")
    assert shared.scale(0) == shared.scale(1) != shared.scale(2)
    assert shared.scale(0).low == min(each.scale(0).low, each.scale(1).low)
    assert shared.scale(0).high == max(each.scale(0).high, each.scale(1).high)
    assert each.scale(0) != each.scale(1)
    assert shared.scale(2) == each.scale(2), "another unit never shares a range"
    assert any(n.startswith("One range for three and two (class map)") for n in shared.notes)
    assert any("own unit" in n for n in shared.notes)
    assert any("Each column has its own range" in n for n in each.notes)


def test_other_crops_and_the_users_box(three: Model, small: Model) -> None:
    made = compare(scene(), [three, small], box=(20, 20, 90, 80))
    assert any("different parts" in n for n in made.notes)
    found = made.agreements[0][0][1]
    seen = [c.trace.geometry.seen for c in made.columns]
    assert found.region == (
        max(s[0] for s in seen), max(s[1] for s in seen), min(s[2] for s in seen), min(s[3] for s in seen)
    )  # fmt: skip
    boxes = [made.box_of(i) for i in (0, 1)]
    assert boxes[0] == viz.boxes(made.columns[0].trace.class_map(3, made.columns[0].map.cls))[0]
    assert boxes[0] is not None and boxes[1] is not None
    assert made.box_iou()[0, 1] == viz.iou(boxes[0].xyxy, boxes[1].xyxy)
    assert made.user_iou()[1] == viz.iou(boxes[1].xyxy, (20, 20, 90, 80))
    assert np.isnan(compare(scene(), [three, small]).user_iou()).all()


def test_channels_features_and_traces(three: Model) -> None:
    trace = three.trace(scene())
    engine = viz.Engine(device="cpu")
    made = compare(trace.picture, [trace] * 3, ["feature#3", "class_map@giant panda", "class_map@0"], engine=engine)
    assert engine.forwards == 0 and all(c.trace is trace for c in made.columns)
    assert [c.label for c in made.columns] == [
        "three (feature 3)",
        "three (class map of giant panda)",
        "three (class map of 0)",
    ]
    assert made.columns[1].map.cls == 388 and made.columns[2].map.cls == 0
    assert any("different classes" in n for n in made.notes)
    bottom = compare(trace.picture, [trace, trace], ["bottom#2", MapSpec(GATE)])
    assert bottom.columns[0].quantity == "input, channel 2"
    assert np.array_equal(bottom.columns[0].heatmaps[1].native, trace.record("bottom", 2).values[2])  # type: ignore[union-attr]


@pytest.mark.parametrize("family", ["psa", "ema", "vista", "paka"])
def test_every_family_with_every_map_that_it_offers(family: str, three: Model) -> None:
    from tests.family_models import family_model
    from viz.page.entries import derived_entries, spatial_entries

    trace = family_model(family).trace(scene())
    other = compare(trace.picture, [three, trace]).columns[0].trace
    names = [e["name"] for e in (*spatial_entries(trace), *derived_entries(trace))]
    assert names, "nothing to compare"
    for name in names:
        made = compare(trace.picture, [trace, trace, other], [name, "class_map", "class_map"])
        assert made.steps == 3
        data = json.loads(json.dumps(made.to_json(), allow_nan=False))
        for step in data["steps"]:
            for pair in step["pairs"]:
                assert (pair["spearman"] is None) == bool(pair["reason"])
        assert any(p["spearman"] is not None or "onstant" in p["reason"] for p in data["steps"][-1]["pairs"][:1])
    figure = made.to_figure([1, -1])
    assert figure.to_bytes("pdf").startswith(b"%PDF")
    assert json.loads(json.dumps(figure.record(), allow_nan=False))["columns"][0]["asked"] == names[-1]
    assert figure.latex().isascii()


def test_engine_runs_each_model_once() -> None:
    engine = viz.Engine(device="cpu")
    made = viz.compare(
        scene(), ["lite0", "lite0-tdam", "lite0-tdam"], ["class_map", "class_map", "spatial_gate"], engine=engine
    )
    assert engine.forwards == 2
    viz.compare(made.picture, ["lite0-tdam", "lite0"], engine=engine)
    assert engine.forwards == 2


@pytest.mark.parametrize(
    ("models", "options", "kind", "message"),
    [
        (1, {}, ModelError, "2 to 6"),
        (7, {}, ModelError, "2 to 6"),
        (2, {"maps": ["class_map"] * 3}, VizError, "one for each"),
        (2, {"maps": "nothing"}, ProbeError, "three: "),
        (2, {"maps": "bottom"}, ProbeError, "three: "),
        (2, {"maps": "channel_gate"}, ProbeError, "three: "),
        (2, {"maps": "bottom#99999"}, ProbeError, "channels"),
        (2, {"class_index": "no such class"}, ModelError, "no class"),
        (2, {"scale": "raw"}, VizError, "shared, each"),
        (2, {"box": (1, 2, 3)}, VizError, "four numbers"),
        (2, {"box": (90, 2, 3, 100)}, VizError, "inside|must lie"),
        (2, {"box": (0, 0, 181, 100)}, VizError, "180 x 120"),
        (2, {"threshold": 7}, VizError, "between 0 and 1"),
    ],
)
def test_wrong_use_is_one_sentence(
    three: Model, models: int, options: dict[str, Any], kind: type[VizError], message: str
) -> None:
    with pytest.raises(kind, match=message) as caught:
        compare(scene(), [three] * models, **options)
    assert "\n" not in str(caught.value)


def test_a_trace_of_another_picture_is_refused(three: Model) -> None:
    with pytest.raises(VizError, match="another picture"):
        compare(scene(), [three, three.trace(scene(seed=3))])


# Tables


def test_tables(three: Model, two: Model) -> None:
    made = compare(scene(), [three, two, three], ["class_map", "spatial_gate", "class_map@3"], box=(10, 10, 60, 60))
    data = json.loads(json.dumps(made.to_json(), allow_nan=False))
    assert data["class"] == made.class_label and data["box"] == [10, 10, 60, 60]
    assert data["columns"][1]["unit"] == "gate" and data["columns"][1]["map"] == GATE
    last = data["steps"][-1]
    assert [p["spearman"] for p in last["pairs"]] == [made.matrix()[i, j] for i, j in ((0, 1), (0, 2), (1, 2))]
    assert last["columns"][0]["boxes"][0]["xyxy"] == list(made.box_of(0).xyxy)  # type: ignore[union-attr]
    rows = list(csv.DictReader(io.StringIO(made.to_csv())))
    assert len(rows) == 3 * (3 + 3)
    assert rows[0]["spearman"] == "" and "no value" in rows[0]["reason"]
    mine = [r for r in rows if r["kind"] == "mine" and r["step"] == "3"]
    assert [float(r["box_iou"]) for r in mine] == made.user_iou().tolist()
    from_json = rows_from_json(data)
    assert from_json == [{k: r[k] for k in from_json[0]} for r in rows_of(made)]


def test_summary_of_known_numbers() -> None:
    base: dict[str, Any] = {"step": 1, "kind": "pair", "a": "x", "b": "y", "map_a": "m", "map_b": "m"}
    base |= {"top_iou": None, "top_share": 0.5, "box_iou": 0.25}
    found = summary([base | {"spearman": v} for v in (0.2, 0.4, None)])
    assert len(found) == 1
    one = found[0]
    assert one["spearman_mean"] == pytest.approx(0.3) and one["spearman_sd"] == pytest.approx(math.sqrt(0.02))
    assert one["spearman_pictures"] == 2 and one["top_share_pictures"] == 3
    assert one["top_iou_mean"] is None and one["top_iou_pictures"] == 0 and one["box_iou_sd"] == 0


def test_a_formula_in_a_file_name_stays_a_name(three: Model, two: Model) -> None:
    picture = replace(viz.open_picture(scene()), name="=cmd.png")
    assert "\n'=cmd.png," in compare(picture, [three, two]).to_csv()


# Figure


@pytest.fixture(scope="module")
def made(three: Model, two: Model) -> viz.Comparison:
    return compare(scene(), [three, two, two], ["class_map", "class_map", "spatial_gate"], box=(20, 20, 90, 80))


def test_figure_holds_every_model_and_step(made: viz.Comparison, tmp_path: Path) -> None:
    figure = made.to_figure()
    assert len(figure.contents) == 9 and figure.steps == (1, 2, 3)
    assert figure.contents[2].panel.kind == "picture" and "no value of spatial gate" in figure.contents[2].title
    assert figure.contents[7].panel.spec.step == 2, "the third row shows the second model's last step"
    assert figure.size[0] == 3.25
    for kind, magic in (("pdf", b"%PDF"), ("svg", b"<?xml"), ("png", b"\x89PNG")):
        drawn = figure.to_bytes(kind)
        assert drawn.startswith(magic) and drawn == made.to_figure().to_bytes(kind)
    paths = figure.save(tmp_path / "grid.pdf")
    assert [p.suffix for p in paths] == [".pdf", ".json", ".npz", ".tex"]
    record = json.loads((tmp_path / "grid.json").read_text())
    assert [c["model"]["name"] for c in record["columns"]] == ["three", "two", "two"]
    assert record["picture"]["sha256"] == made.picture.sha256 and record["scale"] == "shared"
    assert record["panels"][0]["scale"]["low"] == made.scale(0).low
    tex = (tmp_path / "grid.tex").read_text()
    assert tex.isascii() and "Spearman" in tex and "two has 2 steps" in tex and tex.count("{") == tex.count("}")
    with np.load(tmp_path / "grid.npz") as maps:
        assert np.array_equal(maps[f"a.{figure.contents[0].panel.spec}"], made.columns[0].heatmaps[0].native)  # type: ignore[union-attr]
        assert maps["box"].tolist() == [20, 20, 90, 80]


def test_figure_shares_or_does_not(made: viz.Comparison, three: Model, two: Model) -> None:
    figure = made.to_figure([3])
    assert figure.contents[0].scale == figure.contents[1].scale == made.scale(0)
    assert len(figure.layout.bars) == 2, "one bar for the class maps, one for the gate"
    each = compare(scene(), [three, two], scale="each").to_figure([1, -1], interpolation="bilinear")
    assert not each.layout.bars and all(p.bar is not None for p in each.layout.panels)
    assert each.contents[0].scale != each.contents[1].scale


def test_figure_draws_each_models_own_map_and_crop(three: Model, small: Model) -> None:
    made = compare(scene(), [three, small])
    figure = made.to_figure([1], titles=False, letters=False, colour_bar=False, opacity=1, dpi=200)
    page = np.asarray(Image.open(io.BytesIO(figure.to_bytes("png"))).convert("RGB")).astype(float)
    panels = []
    for box in figure.layout.panels:
        x, y, w, h = (round(v * 200) for v in (box.image.x, box.image.y, box.image.width, box.image.height))
        panels.append(page[y : y + h, x : x + w])
    bare = compare(scene(), [three, small]).to_figure(
        [1], titles=False, letters=False, colour_bar=False, opacity=0, dpi=200
    )
    plain = np.asarray(Image.open(io.BytesIO(bare.to_bytes("png"))).convert("RGB")).astype(float)
    for column, box, panel in zip(made.columns, figure.layout.panels, panels, strict=True):
        x, y, w, h = (round(v * 200) for v in (box.image.x, box.image.y, box.image.width, box.image.height))
        changed = np.abs(panel - plain[y : y + h, x : x + w]).sum(axis=2) > 30
        x0, _, x1, _ = column.trace.geometry.seen
        _, columns = np.nonzero(changed)
        width = made.picture.size[1]
        assert columns.min() / w * width == pytest.approx(x0, abs=3)
        assert (columns.max() + 1) / w * width == pytest.approx(x1, abs=3)


def test_figure_again_from_its_record(made: viz.Comparison, three: Model, two: Model, tmp_path: Path) -> None:
    first = made.to_figure([2, 3], palette="viridis", interpolation="bicubic", boxes=False)
    first.save(tmp_path / "grid.pdf")
    models = [three, two, two]
    again = comparison_from_record(tmp_path / "grid.json", made.picture, models=models)
    assert again.to_bytes("pdf") == (tmp_path / "grid.pdf").read_bytes()
    assert again.record() == first.record()
    record = json.loads((tmp_path / "grid.json").read_text())
    with pytest.raises(FigureError, match="not the picture"):
        comparison_from_record(record, viz.open_picture(scene(seed=9)), models=models)
    changes: list[dict[str, Any]] = [
        {"columns": record["columns"][:1]}, {"columns": [{}] * 3}, {"steps": "x"}, {"box": ["a"]}, {"class": 3},
        {"comparison_figure_version": 9}, {"picture": None}, {"figure": {"panels": []}}, {"steps": [99]},
        {"boxes": "gates"},
    ]  # fmt: skip
    for change in changes:
        with pytest.raises(VizError) as caught:
            comparison_from_record(record | change, made.picture, models=models)
        assert "\n" not in str(caught.value)
    other = json.loads(json.dumps(record))
    other["columns"][0]["model"]["checkpoint_sha256"] = "0" * 64
    with pytest.raises(FigureError, match="not the one of the record"):
        comparison_from_record(other, made.picture, models=models)
    with pytest.raises(FigureError, match="not the record"):
        comparison_from_record({"record_version": 1}, made.picture)


def test_boxes_of_class_maps_alone(three: Model, tmp_path: Path) -> None:
    trace = three.trace(scene())
    made = compare(trace.picture, [trace, trace], ["class_map", "spatial_gate"], box=(2, 3, 60, 50))
    every, some, none = (made.to_figure([3], boxes=b) for b in (True, "class_maps", False))
    assert [len(c.boxes) for c in every.contents] == [1, 1]
    assert [len(c.boxes) for c in some.contents] == [1, 0]
    assert [len(c.boxes) for c in none.contents] == [0, 0]
    assert len({f.to_bytes("png", 60) for f in (every, some, none)}) == 3
    assert {k for k in some.maps() if k.endswith(".boxes")} == {"a.boxes"}
    assert " Boxes enclose" in every.latex() and " Boxes of class maps enclose" in some.latex()
    assert "enclose" not in none.latex() and all("dashed white box" in f.latex() for f in (every, some, none))
    some.save(tmp_path / "some.pdf")
    again = comparison_from_record(tmp_path / "some.json", made.picture, models=[three, three])
    assert again.boxes == "class_maps" and again.to_bytes("pdf") == (tmp_path / "some.pdf").read_bytes()


METHODS = ["integrated_gradients", "guided_backprop", "gradcam(spatial_gate)"]


@pytest.fixture(scope="module")
def explained(three: Model) -> viz.Trace:
    trace = three.trace(viz.open_picture(scene()))
    for method in METHODS:
        trace = three.attribute(trace, method, class_index=388)
    return trace


@pytest.mark.parametrize("count", [2, 4, 6])
@pytest.mark.parametrize("preset", ["cvpr", "eccv"])
def test_long_titles_are_whole(explained: viz.Trace, preset: str, count: int) -> None:
    maps = [*METHODS, "class_map", "spatial_gate", "bottom#0"]
    made = compare(explained.picture, [explained] * count, maps[:count], class_index=388)
    shown = made.to_figure([-1], preset=preset)
    layout = shown.layout
    for content, box in zip(shown.contents, layout.panels, strict=True):
        assert " ".join(box.lines).replace("\u00a0", " ") == f"({content.letter}) {content.title}".replace(
            "\u00a0", " "
        )
        assert all(width_of(line, layout.font, layout.label) <= box.image.width + 1e-6 for line in box.lines)
        assert box.text_y >= 0
    assert "guided backpropagation, giant panda" in shown.contents[1].title
    bars = [*layout.bars, *(p.bar for p in layout.panels if p.bar is not None)]
    assert bars and not any("\u2026" in line for bar in bars for line in bar.lines)


def test_the_palette_is_chosen_by_the_map(three: Model) -> None:
    trace = with_neutral(three.trace(scene()), "spatial_score")
    made = compare(trace.picture, [trace, trace], ["class_map", "spatial_score"])
    shown = made.to_figure(steps=[-1], palette="auto")
    assert [c.palette for c in shown.contents] == ["inferno", "diverging"]
    assert shown.to_bytes("png", 40).startswith(b"\x89PNG")


def test_classes_that_differ_by_their_case_alone(three: Model) -> None:
    for index, label in ((264, "Cardigan"), (474, "cardigan")):  # a dog, and what is worn
        made = compare(scene(), [three, three], class_index=index)
        assert {c.map.cls for c in made.columns} == {index} and made.class_label == label
    with pytest.raises(ModelError, match="Several"):
        compare(scene(), [three, three], class_index="CARDIGAN")


def test_figure_refuses_in_one_sentence(made: viz.Comparison) -> None:
    cases: list[dict[str, Any]] = [
        {"scale": "raw"},
        {"preset": "nature"},
        {"opacity": 3},
        {"steps": [9]},
        {"steps": []},
        {"boxes": "gates"},
    ]
    for options in cases:
        with pytest.raises(VizError) as caught:
            made.to_figure(**options)
        assert "\n" not in str(caught.value)
    with pytest.raises(FigureError):
        made.to_figure().to_bytes("gif")
    with pytest.raises(FigureError):
        made.to_figure().to_bytes("png", 5)


# Folders and the command line


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "in"
    made.mkdir()
    for seed in range(3):
        Image.fromarray(scene(seed=seed)).save(made / f"s{seed}.png")
    (made / "broken.jpg").write_bytes(b"no picture")
    return made


@pytest.fixture
def loads(monkeypatch: pytest.MonkeyPatch, three: Model, two: Model) -> list[str]:
    calls: list[str] = []

    def load(name: str, *args: Any, **options: Any) -> Model:
        calls.append(name)
        if name not in ("three", "two"):
            raise ModelError(f"There is no model {name!r}.")
        return {"three": three, "two": two}[name]

    monkeypatch.setattr(viz.run.engine, "load", load)
    return calls


BOTH = ["--model", "three", "--model", "two"]


def test_folder_in_python(folder: Path, three: Model, two: Model) -> None:
    files = sorted(folder.iterdir())
    found = compare_folder(files, lambda p: compare(p, [three, two]))
    assert found.done == 3 and [name for name, _ in found.failed] == ["broken.jpg"]
    data = found.to_json()
    assert data["pictures"] == 4 and data["failed"][0]["reason"].endswith(".")
    wanted = [compare(f, [three, two]).matrix()[0, 1] for f in files if f.suffix == ".png"]
    row = next(r for r in data["rows"] if r["step"] == 3)
    assert row["spearman_mean"] == pytest.approx(np.mean(wanted))
    assert row["spearman_sd"] == pytest.approx(np.std(wanted, ddof=1)) and row["spearman_pictures"] == 3
    with pytest.raises(ProbeError):
        compare_folder(files, lambda p: compare(p, [three, two], "nothing"))


def test_one_picture_on_the_command_line(
    folder: Path, loads: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    three, two = viz.run.engine.load("three"), viz.run.engine.load("two")
    loads.clear()
    out = tmp_path / "deep" / "out"
    more = ["--map", "class_map", "--map", "spatial_gate", "--scale", "each", "--step", "2", "--step", "-1"]
    more += ["--box", "10,10,80,80", "--format", "png", "--dpi", "80"]
    assert main(["compare", str(folder / "s0.png"), *BOTH, *more, "--out", str(out)]) == 0
    names = ["s0.png", "s0.json", "s0.npz", "s0.tex", "s0-agreement.csv", "s0-agreement.json"]
    assert capsys.readouterr().out.split() == [str(out / n) for n in names]
    data = json.loads((out / "s0-agreement.json").read_text())
    same = compare(folder / "s0.png", [three, two], ["class_map", "spatial_gate"], scale="each", box=(10, 10, 80, 80))
    assert data["steps"] == json.loads(json.dumps(same.to_json()))["steps"]
    assert json.loads((out / "s0.json").read_text())["steps"] == [2, 3]
    assert str(tmp_path) not in (out / "s0-agreement.json").read_text() + (out / "s0.json").read_text()
    assert sorted(loads) == ["three", "two"]


def test_the_figure_again_on_the_command_line(
    folder: Path, loads: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    picture, out = str(folder / "s0.png"), tmp_path / "out"
    assert main(["compare", picture, *BOTH, "--step", "2", "--palette", "viridis", "--out", str(out)]) == 0
    record, again = str(out / "s0.json"), tmp_path / "again"
    assert main(["compare", picture, "--from", record, "--out", str(again)]) == 0
    assert (again / "s0.pdf").read_bytes() == (out / "s0.pdf").read_bytes()
    assert (again / "s0.json").read_bytes() == (out / "s0.json").read_bytes()
    capsys.readouterr()
    assert main(["compare", str(folder / "s1.png"), "--from", record, "--out", str(again)]) == 1
    assert capsys.readouterr().err == "searchlight: s1.png is not the picture of the record: its contents differ.\n"
    with pytest.raises(SystemExit):
        main(["compare", picture, "--from", record, *BOTH, "--out", str(again)])
    for ignored in (["--threshold", "0"], ["--geometry", "squash"], ["--no-boxes"], ["--scale", "each"]):
        with pytest.raises(SystemExit) as caught:
            main(["compare", picture, "--from", record, *ignored, "--out", str(again)])
        assert caught.value.code == 2


def test_a_figure_never_takes_a_pictures_place(
    folder: Path, loads: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = (folder / "s1.png").read_bytes()
    for given in ([str(folder)], [str(folder / "s1.png")]):
        with pytest.raises(SystemExit) as caught:
            main(["compare", *given, *BOTH, "--format", "png", "--out", str(folder)])
        assert caught.value.code == 2 and not loads
    assert "overwrite a picture" in capsys.readouterr().err
    assert main(["compare", str(folder / "s1.png"), *BOTH, "--out", str(tmp_path / "out")]) == 0
    with pytest.raises(SystemExit):
        record = str(tmp_path / "out" / "s1.json")
        main(["compare", str(folder / "s1.png"), "--from", record, "--format", "png", "--out", str(folder)])
    assert (folder / "s1.png").read_bytes() == before


@pytest.mark.skipif(sys.platform != "linux", reason="file names are bytes on Linux alone")
def test_file_names_that_are_no_unicode(folder: Path, loads: list[str], tmp_path: Path) -> None:
    odd = os.fsencode(folder)
    (folder / "s0.png").rename(os.fsdecode(odd + b"/a\xff.png"))
    Path(os.fsdecode(odd + b"/b\xfe.png")).write_bytes(b"no picture")
    out = tmp_path / "out"
    assert main(["compare", str(folder), *BOTH, "--step", "-1", "--out", str(out)]) == 1
    assert json.loads((out / "a\ufffd-agreement.json").read_text(encoding="utf-8"))["picture"]["name"] == "a\ufffd.png"
    assert (out / "a\ufffd.tex").is_file()
    failed = json.loads((out / "summary.json").read_text(encoding="utf-8"))["failed"]
    assert "b\ufffd.png" in [f["picture"] for f in failed]


def test_a_folder_on_the_command_line(
    folder: Path, loads: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    command = ["compare", str(folder), *BOTH, "--out", str(out), "--no-figure"]
    assert main(command) == 1
    told = capsys.readouterr()
    assert "broken.jpg: " in told.err and "1 of 4 pictures could not be compared." in told.err
    assert told.out.split() == [str(out / "summary.csv"), str(out / "summary.json")]
    assert not list(out.glob("*.pdf")) and len(list(out.glob("*-agreement.json"))) == 3
    data = json.loads((out / "summary.json").read_text())
    assert data["compared"] == 3 and data["failed"][0]["picture"] == "broken.jpg"
    rows = list(csv.DictReader(io.StringIO((out / "summary.csv").read_text())))
    assert len(rows) == 3 and rows[2]["spearman_pictures"] == "3"
    # What stands is kept, and gives the same table; another request is computed anew.
    before = {p.name: p.stat().st_mtime_ns for p in out.glob("*-agreement.json")}
    summary_before = (out / "summary.json").read_bytes()
    assert main([*command, "--resume"]) == 1
    assert {p.name: p.stat().st_mtime_ns for p in out.glob("*-agreement.json")} == before
    assert (out / "summary.json").read_bytes() == summary_before
    assert main([*command, "--resume", "--threshold", "0.7"]) == 1
    assert all(p.stat().st_mtime_ns > before[p.name] for p in out.glob("*-agreement.json"))


@pytest.mark.parametrize(
    "arguments",
    [["--model", "three"], ["--model", "x"] * 7, [*BOTH, "--map", "cam:0"], [*BOTH, "--box", "1,2,3"],
     [*BOTH, "--box", "a,b,c,d"], [*BOTH, *["--map", "class_map"] * 3], [*BOTH, "--opacity", "3"],
     [*BOTH, "--preset", "nature"], [*BOTH, "--threshold", "2"], [*BOTH, "--scale", "raw"]],
)  # fmt: skip
def test_wrong_use_on_the_command_line_is_2(
    folder: Path, loads: list[str], tmp_path: Path, arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["compare", str(folder / "s0.png"), *arguments, "--out", str(tmp_path / "o")])
    assert caught.value.code == 2 and not loads
    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [["--model", "three", "--model", "none"], [*BOTH, "--map", "nothing"], [*BOTH, "--class", "no such class"],
     [*BOTH, "--step", "9"]],
)  # fmt: skip
def test_what_cannot_be_done_is_1(
    folder: Path, loads: list[str], tmp_path: Path, arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert (
        main(["compare", str(folder / "s0.png"), str(folder / "s1.png"), *arguments, "--out", str(tmp_path / "o")]) == 1
    )
    err = [line for line in capsys.readouterr().err.splitlines() if line.startswith("searchlight: ")]
    assert len(err) == 1 and "could not be compared" not in err[0]


def test_a_box_outside_one_picture_is_that_pictures_fault(
    folder: Path, loads: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Image.fromarray(scene(40, 40)).save(folder / "tiny.png")
    given = [str(folder / n) for n in ("s0.png", "tiny.png")]
    assert main(["compare", *given, *BOTH, "--box", "10,10,80,80", "--no-figure", "--out", str(tmp_path / "o")]) == 1
    err = capsys.readouterr().err
    assert "tiny.png: The box must lie in the picture of 40 x 40 pixels" in err and "1 of 2" in err


def test_names_of_files_never_meet() -> None:
    assert stems([Path("summary.png"), Path("x.png"), Path("X.jpg"), Path("x-agreement.png")]) == [
        "summary-2", "x", "X-2", "x-agreement-2"
    ]  # fmt: skip


def test_an_unreadable_picture_is_told(three: Model) -> None:
    with pytest.raises(PictureError):
        compare(b"no picture", [three, three])
