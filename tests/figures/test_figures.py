"""Paper figures: exact sizes, the same overlay as the screen, the same bytes again, records that cannot be misused."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure as Canvas
from PIL import Image

from tests.tiny import scene, tiny_model, with_logits, with_neutral
from viz.core.heatmap import overlay, scale_for
from viz.core.map_spec import MapSpec
from viz.core.trace import Trace
from viz.errors import FigureError, FileError, ModelError, ProbeError, VizError
from viz.figures import PRESETS, FigureSpec, Panel, figure, figure_from_record
from viz.figures.content import contents, letter_of, percent
from viz.figures.defaults import default_panels
from viz.figures.draw import _Drawing, settings
from viz.figures.layout import MARGIN, spans
from viz.figures.raster import cells_extent, draw_photo, opaque, photo
from viz.figures.record import read_record
from viz.figures.shorthand import panel_text, parse_panel, parse_panels
from viz.figures.text import numbers, width_of, wrapped
from viz.files import as_json_bytes
from viz.latex_text import escaped
from viz.run.export import trace_json

SEVEN = "picture,class_map:1,class_map:2,class_map:3,spatial_gate:2,channel_gate:3,boxes:all"


@pytest.fixture(scope="module")
def model() -> Any:
    return tiny_model()


@pytest.fixture(scope="module")
def trace(model: Any) -> Trace:
    return model.trace(scene())


def media_box(pdf: bytes) -> tuple[float, float]:
    found = re.search(rb"/MediaBox \[ ?0 0 ([\d.]+) ([\d.]+) ?\]", pdf)
    assert found
    return float(found[1]), float(found[2])


# Panels and specs


def test_shorthands() -> None:
    assert parse_panel("picture") == Panel("picture")
    assert parse_panel(" class_map:2@giant panda ") == Panel("map", MapSpec("cam", cls="giant panda", step=2))
    assert parse_panel("class_map@388") == Panel("map", MapSpec("cam", cls=388))
    assert parse_panel("layer4.0.RA_block.spatial_gate:2").probe == "layer4.0.RA_block.spatial_gate"
    assert parse_panel("boxes:all").all_steps
    assert parse_panel("boxes(spatial_gate):2").probe == "spatial_gate"
    assert parse_panel("feature:2#17").spec.channel == 17
    assert len(parse_panels("picture, class_map:1 ,boxes")) == 3


@pytest.mark.parametrize(
    "text",
    ["picture", "cam", "cam:2", "cam:-2", "cam@388:2", "cam@giant panda:2", "boxes", "boxes:all", "boxes@3:all",
     "boxes@tench:2", "boxes(spatial_gate):2", "boxes(spatial_gate):all", "feature#17", "feature#17:2", "spatial_gate",
     "spatial_gate:2", "layer4.0.RA_block.bottom#9:3", "cam@a:2:-1"],
)  # fmt: skip
def test_shorthands_survive(text: str) -> None:
    assert panel_text(parse_panel(text)) == text


def test_panels_have_shorthands(trace: Trace) -> None:
    chosen = default_panels(trace)
    assert isinstance(chosen, tuple)
    assert tuple(parse_panel(panel_text(p)) for p in chosen) == chosen
    definite = figure(trace, SEVEN).spec
    assert figure(trace, [panel_text(p) for p in definite.panels], columns=2).spec.panels == definite.panels


@pytest.mark.parametrize(
    "text",
    ["", ":", "picture:2", "class_map:x", "feature:2", "spatial_gate@3", "spatial_gate:all", "a(b):1", "class_map:0",
     "../../etc", "x" * 300, "class_map#2", "class_map:99999", "picture\n"[:-1] + "\x00"],
)  # fmt: skip
def test_bad_shorthands_are_refused_in_one_sentence(text: str) -> None:
    with pytest.raises(VizError) as caught:
        parse_panel(text)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 400


def test_a_panel_becomes_definite(trace: Trace) -> None:
    made = figure(trace, ["class_map", "channel_gate", "spatial_gate:2", "boxes:all"])
    kinds = [(p.kind, p.spec.kind, p.spec.step) for p in made.spec.panels]
    assert kinds == [("map", "cam", 3), ("channels", "tap", 3), ("map", "tap", 2), ("boxes", "cam", 3)]
    assert made.spec.panels[3].all_steps, "its step only says whose best class is boxed"
    assert made.spec.panels[2].probe == "layer4.0.RA_block.spatial_gate"
    assert made.spec.panels[0].class_index == trace.top(-1, 1)[0].class_index
    # Making it again from its own spec changes nothing.
    assert figure(trace, spec=made.spec).spec == made.spec


def test_names_of_classes(trace: Trace) -> None:
    made = figure(trace, "class_map:1@Giant Panda,class_map:2", class_index="tench")
    assert [p.class_index for p in made.spec.panels] == [388, 0]
    with pytest.raises(ModelError, match="no class"):
        figure(trace, "class_map@no such thing")
    # Never the beginning of another word: "cat" is no catamaran.
    with pytest.raises(ModelError, match=r"Several .*tiger cat.*Egyptian cat") as caught:
        figure(trace, "class_map:2@cat")
    assert "catamaran" not in str(caught.value) and "\n" not in str(caught.value)
    with pytest.raises(ModelError, match=r"lesser panda \(387\), giant panda \(388\)"):
        figure(trace, "class_map", class_index="panda")
    with pytest.raises(ModelError, match="no class 'catamar'"):
        figure(trace, "class_map", class_index="catamar")
    assert figure(trace, "class_map@Egyptian").spec.panels[0].class_index == 285
    assert figure(trace, "class_map", class_index="388").spec.panels[0].class_index == 388


@pytest.mark.parametrize(
    ("panels", "error"),
    [("class_map:9", ModelError), ("nothing:2", ProbeError), ("class_map@5000", ModelError), ("bottom:2", FigureError),
     ("boxes(channel_gate):2", FigureError), ("feature:2#99999", ModelError), ("spatial_gate:1", ProbeError)],
)  # fmt: skip
def test_what_a_trace_does_not_have(trace: Trace, panels: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        figure(trace, panels)


@pytest.mark.parametrize(
    "change",
    [{"preset": "nature"}, {"columns": 3}, {"palette": "jet"}, {"opacity": 2}, {"opacity": float("nan")}, {"dpi": 9999},
     {"scale": "fixed"}, {"fixed": [0, 1]}, {"per_row": 0}, {"titles": 1}, {"panels": []}, {"panels": "picture"},
     {"panels": [{"kind": "picture"}] * 41}, {"panels": [{}]}, {"panels": [{"kind": "picture", "x": 1}]},
     {"panels": [{"kind": "map"}]}, {"panels": [{"kind": "picture", "title": "a\nb"}]}, {"evil": 1},
     {"panels": [{"kind": "picture", "title": "x" * 999}]}, {"panels": [{"kind": ["picture"]}]}, {"palette": {}},
     {"panels": [{"kind": "class_map", "class_index": -1}]}, {"panels": [{"kind": "class_map", "step": True}]},
     {"threshold": "0.5"}, {"fixed": [0], "scale": "fixed"}, {"fixed": [1, 0], "scale": "fixed"}, {"preset": None}],
)  # fmt: skip
def test_hostile_specs_are_refused_in_one_sentence(change: dict[str, Any]) -> None:
    data = {**FigureSpec((Panel("picture"),)).to_json(), **change}
    with pytest.raises(FigureError) as caught:
        FigureSpec.from_json(json.loads(json.dumps(data)))
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 300


def test_spec_survives_json(trace: Trace) -> None:
    spec = figure(trace, SEVEN, scale="fixed", fixed=[0, 1], preset="IEEE", view="seen").spec
    assert FigureSpec.from_json(json.loads(json.dumps(spec.to_json()))) == spec


def test_a_spec_reads_map_texts_and_keeps_whole_numbers() -> None:
    spec = FigureSpec([Panel("map", "cam:2")], opacity=1, scale="fixed", fixed=[0, 1])  # type: ignore[arg-type]
    assert spec.panels == (Panel("map", MapSpec("cam", step=2)),)
    # A record that is read and written again must not change.
    assert json.dumps([spec.to_json()["opacity"], spec.to_json()["fixed"]]) == "[1, [0, 1]]"
    with pytest.raises(FigureError, match="Unknown map 'no map'"):
        Panel("map", "no map")  # type: ignore[arg-type]


# Drawing


@pytest.mark.parametrize("columns", [1, 2])
@pytest.mark.parametrize("name", list(PRESETS))
def test_the_width_is_the_venues(trace: Trace, name: str, columns: int) -> None:
    made = figure(trace, "picture,class_map:2", name, columns)
    width, height = media_box(made.to_bytes("pdf"))
    assert width == pytest.approx(72 * PRESETS[name].width(columns), abs=0.01)
    assert height == pytest.approx(72 * made.size[1], abs=0.01)
    png = Image.open(io.BytesIO(made.to_bytes("png", 100)))
    assert png.width == int(100 * PRESETS[name].width(columns))


def test_type_is_truetype_and_native_cells_are_unscaled(trace: Trace) -> None:
    pdf = figure(trace, "picture,class_map:1,class_map:2").to_bytes("pdf")
    assert b"/Type3" not in pdf and b"/FontFile2" in pdf and b"STIX" in pdf
    sizes = re.findall(rb"/Subtype /Image\b[^>]*", pdf) + re.findall(rb"<<[^>]*/Subtype /Image[^>]*", pdf)
    shapes = {tuple(int(re.search(key + rb" (\d+)", s)[1]) for key in (rb"/Width", rb"/Height")) for s in sizes}  # type: ignore[index]
    assert (3, 3) in shapes  # one pixel a cell
    assert (180, 120) in shapes  # the photo as it is
    # One photo, however many panels show it.
    assert len(re.findall(rb"/Width 180\b", pdf)) == 1
    assert b"CreationDate" not in pdf


@pytest.mark.parametrize("mode", ["center_crop", "squash", "letterbox"])
@pytest.mark.parametrize("interpolation", ["cells", "bilinear", "bicubic"])
def test_a_panel_equals_the_screens_overlay(model: Any, mode: Any, interpolation: Any) -> None:
    trace = model.trace(scene(), geometry=mode)
    spec = FigureSpec((Panel("map", MapSpec("cam", step=2)),), interpolation=interpolation, scale="image", opacity=0.6)
    content = contents(trace, spec)[0]
    rgb = trace.picture.rgb
    height, width = rgb.shape[:2]
    canvas = Canvas(figsize=(width / 100, height / 100), dpi=100)
    FigureCanvasAgg(canvas)
    axes = canvas.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, width), ylim=(height, 0))
    axes.set_axis_off()
    draw_photo(
        axes,
        content,
        rgb,
        opaque(rgb),
        vector=False,
        view=(0.0, 0.0, float(width), float(height)),
    )
    buffer = io.BytesIO()
    canvas.savefig(buffer, format="png")
    drawn = np.asarray(Image.open(buffer).convert("RGB")).astype(int)
    heat = trace.class_map(2)
    wanted = overlay(
        rgb, heat, scale_for(heat, "image"), palette_name="inferno", opacity=0.6, interpolation=interpolation
    )
    difference = np.abs(drawn - wanted)
    assert difference.mean() <= 2
    # Far fewer than one line of pixels may fall on the other side of a cell's edge.
    assert (difference.max(axis=2) > 12).mean() < 0.03


def test_cells_lie_where_the_network_saw_them(model: Any) -> None:
    trace = model.trace(scene(), geometry="letterbox")
    x0, y0, x1, y1 = cells_extent(trace.geometry)
    assert (x0, x1) == (0, 180) and y0 < 0 and y1 > 120
    assert np.allclose(trace.geometry.box_to_network((x0, y0, x1, y1)), (0, 0, 96, 96))


@pytest.mark.parametrize("columns", [1, 2])
@pytest.mark.parametrize("scale", ["steps", "image"])
def test_no_text_is_cut_and_no_part_overlaps(trace: Trace, columns: int, scale: str) -> None:
    long = replace(
        Panel("map", MapSpec("cam", step=2)),
        title="a title of very many words that no panel of this size could ever hold",
    )
    made = figure(trace, [*SEVEN.split(","), long], "cvpr", columns, scale=scale)
    layout = made.layout
    size = layout.preset.label
    for box in layout.panels:
        assert box.image.x >= MARGIN - 1e-9 and box.image.x + box.image.width <= layout.width - MARGIN + 1e-9
        assert box.text_y >= 0
        for line in box.lines:
            assert width_of(line, layout.font, size) <= box.image.width + 1e-6
        assert box.text_y + len(box.lines) * size * 1.2 / 72 <= box.image.y
    bars = [*layout.bars, *(b.bar for b in layout.panels if b.bar is not None)]
    assert bars
    for bar in bars:
        assert bar.strip.y + bar.strip.height < layout.height
        for line in bar.lines:
            assert width_of(line, layout.font, 7) <= bar.strip.width + 1e-6
    # The outermost pixels stay white: nothing runs into the edge.
    image = np.asarray(Image.open(io.BytesIO(made.to_bytes("png", 150))).convert("L"))
    assert image[0].min() == image[-1].min() == image[:, 0].min() == image[:, -1].min() == 255


@pytest.mark.parametrize("name", ["cvpr", "eccv"])
@pytest.mark.parametrize("columns", [1, 2])
@pytest.mark.parametrize(
    "options", [{}, {"scale": "image"}, {"palette": "diverging"}, {"per_row": 4, "scale": "image"}, {"font": "sans"}]
)
def test_drawn_texts_and_panels_keep_apart(trace: Trace, name: str, columns: int, options: dict[str, Any]) -> None:
    extra = [*SEVEN.split(","), "spatial_score:2", "channel_logits:2", "feature:3#7"]
    made = figure(trace, extra, name, columns, **options)
    canvas = Canvas(figsize=made.size, dpi=200)
    with settings():
        renderer = FigureCanvasAgg(canvas).get_renderer()
        _Drawing(canvas, made.contents, made.spec, made.layout, vector=False, box=None).panels()
        texts = [(t.get_text(), t.get_window_extent(renderer)) for t in canvas.texts]
    assert len(texts) > 20
    areas = [a.get_window_extent(renderer) for a in canvas.axes]
    for i, (words, box) in enumerate(texts):
        assert canvas.bbox.x0 <= box.x0 and box.x1 <= canvas.bbox.x1, words
        assert canvas.bbox.y0 <= box.y0 and box.y1 <= canvas.bbox.y1, words
        others = [(w, b) for j, (w, b) in enumerate(texts) if j != i] + [("axes", a) for a in areas]
        for other, b in others:
            wide, high = min(box.x1, b.x1) - max(box.x0, b.x0), min(box.y1, b.y1) - max(box.y0, b.y0)
            # Line boxes may touch by a pixel or two (accents, brackets); words may not.
            assert wide <= 1 or high <= 4, (words, other, wide, high)


def test_scales(trace: Trace) -> None:
    shared = figure(trace, "class_map:1,class_map:2").contents
    assert shared[0].scale == shared[1].scale
    own = figure(trace, "class_map:1,class_map:2", scale="image").contents
    assert (own[0].scale.low, own[0].scale.high) == own[0].raw_range  # type: ignore[union-attr]
    assert own[0].scale != own[1].scale
    raw = figure(trace, "spatial_gate:2", scale="raw").contents[0]
    assert (raw.scale.low, raw.scale.high) == (0, 1)  # type: ignore[union-attr]
    fixed = figure(trace, "class_map:1,channel_gate:2", scale="fixed", fixed=(-1, 3)).contents
    assert (fixed[0].scale.low, fixed[0].scale.high) == (-1, 3)  # type: ignore[union-attr]
    assert fixed[1].source == "range over all steps"
    signed = figure(
        with_neutral(trace, "spatial_score"), "spatial_score:2,spatial_gate:2", palette="diverging"
    ).contents
    assert signed[0].scale.low == -signed[0].scale.high  # type: ignore[union-attr]
    assert signed[1].palette == "inferno"


def test_a_flat_map_and_odd_pictures(model: Any) -> None:
    black = model.trace(np.zeros((40, 300, 3), np.uint8))
    tall = model.trace(scene(300, 30))
    for trace in (black, tall):
        made = figure(trace, SEVEN)
        assert made.to_bytes("png", 60)
    flat = replace(black, features=tuple(np.zeros_like(f) for f in black.features))
    made = figure(flat, "class_map:1,boxes:1")
    assert made.to_bytes("png", 60)
    assert "no boxes" in made.notes[0]


def test_values_that_are_no_numbers(trace: Trace) -> None:
    # Half precision can overflow; the figure must say so rather than fail.
    features = tuple(np.where(f > np.median(f), np.float32(np.nan), f) for f in trace.features)
    broken = with_logits(trace, np.full_like(trace.logits, np.nan), features=features)
    made = figure(broken, "class_map:1,boxes:1,class_map:2@3", scale="image")
    assert made.to_bytes("png", 60) and "no number" in made.contents[0].title
    assert as_json_bytes(made.record()) and as_json_bytes(trace_json(broken)) and made.latex()


def test_json_is_compact_and_the_same() -> None:
    data = {"a": [1, 2.5, "x, [y] \n {z}"], "b": [{"c": [], "d": [[1], [2, 3]]}], "e": ["p", "q"]}
    text = as_json_bytes(data).decode()
    assert json.loads(text) == data
    assert '["p", "q"]' in text and "[2, 3]" in text


def test_large_photos_are_resampled_once() -> None:
    rgb = scene(1500, 3000)
    assert photo(rgb, 6.0).shape == (500, 1000, 3)
    assert photo(rgb, 1.0).shape == (300, 600, 3)
    assert photo(rgb[:50, :80], 6.0).shape == (50, 80, 3)


def test_text_helpers() -> None:
    assert numbers(-0.0299, 0.0317, 0.0, -0.0299) == ("0", "\u22120.0299")
    assert numbers(0, 1, 0.0, 1.0) == ("0", "1")
    assert numbers(0.49947, 0.5003, 0.49947) == ("0.499470",)
    assert numbers(0, 0, 0.0) == ("0",)
    assert percent(0.931) == "93\u00a0%" and percent(0.99999) == ">99.9\u00a0%" and percent(0.0) == "<0.1\u00a0%"
    assert wrapped("one two three", 10.0, "serif", 8) == ("one two three",)
    assert wrapped("x" * 400, 0.5, "serif", 8)[0].endswith("\u2026")


def test_settings_of_the_process_do_not_matter_and_stay(trace: Trace) -> None:
    made = figure(trace, "picture,class_map:2,channel_gate:2")
    before = made.to_bytes("svg")
    with matplotlib.rc_context({"font.size": 30, "axes.facecolor": "red", "pdf.fonttype": 3, "lines.linewidth": 9}):
        assert made.to_bytes("svg") == before
        assert matplotlib.rcParams["font.size"] == 30


def test_threads_draw_the_same(trace: Trace) -> None:
    made = [figure(trace, "picture,class_map:2", scale=s) for s in ("steps", "image")]
    want = [m.to_bytes("pdf") for m in made]
    got: list[bytes | None] = [None] * 4
    workers = [threading.Thread(target=lambda i=i: got.__setitem__(i, made[i % 2].to_bytes("pdf"))) for i in range(4)]
    for w in workers:
        w.start()
    for w in workers:
        w.join()
    assert got == want * 2


# Files, records


REMAKE = """
import sys
from pathlib import Path
from tests.tiny import tiny_model
from viz.figures import figure_from_record
made = figure_from_record(sys.argv[1], sys.argv[2], model=tiny_model())
for fmt in ("svg", "png"):
    Path(sys.argv[3], "fig." + fmt).write_bytes(made.to_bytes(fmt))
made.save(Path(sys.argv[3]) / "fig.pdf")
"""


def test_two_other_processes_make_the_same_bytes(model: Any, tmp_path: Path) -> None:
    picture = tmp_path / "scene.png"
    Image.fromarray(scene()).save(picture)
    made = figure(model.trace(picture), SEVEN, "ieee", 2)
    first = tmp_path / "first"
    first.mkdir()
    for fmt in ("svg", "png", "pdf"):
        files = made.save(first / f"fig.{fmt}")
    assert [f.name for f in files] == ["fig.pdf", "fig.json", "fig.npz", "fig.tex"]
    for seed in ("1", "2"):
        other = tmp_path / seed
        other.mkdir()
        root = str(Path(__file__).resolve().parents[1].parent)
        environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": root}
        command = [sys.executable, "-c", REMAKE, str(first / "fig.json"), str(picture), str(other)]
        subprocess.run(command, check=True, env=environment, cwd=tmp_path, timeout=120)
        for name in ("fig.pdf", "fig.svg", "fig.png", "fig.json", "fig.npz", "fig.tex"):
            assert (other / name).read_bytes() == (first / name).read_bytes(), name


def test_the_record_says_it_all(trace: Trace) -> None:
    record = figure(trace, SEVEN).record()
    text = json.dumps(record, allow_nan=False)
    assert str(Path.cwd()) not in text and str(Path(__file__).parents[1].parent) not in text
    assert record["picture"]["sha256"] == trace.picture.sha256
    assert tuple(record["geometry"]["seen"]) == trace.geometry.seen
    assert {"model", "probes", "steps", "versions", "seed", "classes", "predictions"} <= set(record)
    assert record["seed"] is None and "matplotlib" in record["versions"]
    panel = record["panels"][1]
    assert panel["cells"] == [3, 3] and panel["unit"] == "logit per cell" and panel["scale"]["source"]
    assert panel["raw_range"][0] >= panel["scale"]["low"]


def test_the_maps_are_the_networks_own(trace: Trace, tmp_path: Path) -> None:
    made = figure(trace, "picture,class_map:1,spatial_gate:2,channel_gate:2,boxes:all,bottom:2#3")
    path = made.save(tmp_path / "f.png", 60)[2]
    with np.load(path, allow_pickle=False) as maps:
        assert np.array_equal(maps[f"b.{made.contents[1].panel.spec}"], made.contents[1].heatmaps[0].native)
        gate = trace.record("spatial_gate", 2)
        assert np.array_equal(maps[f"c.{gate.name}:2"], gate.values)
        assert maps[f"d.{trace.record('channel_gate', 2).name}:2"].shape == (256,)
        assert maps["e.boxes"].shape[1] == 5
        assert maps["f.layer4.0.RA_block.bottom#3:2"].shape == (6, 6)
        assert np.array_equal(maps["logits"], trace.logits)


def test_a_record_refuses_another_picture_model_or_version(model: Any, trace: Trace, tmp_path: Path) -> None:
    record = json.loads(json.dumps(figure(trace, "picture,class_map:2").record()))
    again = figure_from_record(record, trace.picture, model=model)
    assert again.to_bytes("png", 72) == figure(trace, "picture,class_map:2").to_bytes("png", 72)
    other = replace(trace.picture, sha256="0" * 64)
    with pytest.raises(FigureError, match="not the picture"):
        figure_from_record(record, other, model=model)
    with pytest.raises(FigureError, match="checkpoint"):
        figure_from_record(record, trace.picture, model=replace(model, card=replace(model.card, sha256="f" * 64)))
    with pytest.raises(FigureError, match="float16"):
        figure_from_record({**record, "precision": "float16"}, trace.picture, model=model)
    with pytest.raises(ModelError):
        figure_from_record({**record, "steps": 999}, trace.picture, model=model)
    with pytest.raises(FigureError, match="version"):
        read_record({**record, "record_version": 99})


@pytest.mark.parametrize("text", ["", "[]", "{}", "null", "[" * 100_000, '{"record_version": 1}', "\x00", "NaN"])
def test_broken_records_are_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "r.json"
    path.write_text(text)
    with pytest.raises(FigureError) as caught:
        read_record(path)
    assert str(tmp_path) not in str(caught.value)
    with pytest.raises(FileError):
        read_record(tmp_path / "none.json")


def test_versions_that_differ_are_said(model: Any, trace: Trace, caplog: pytest.LogCaptureFixture) -> None:
    record = json.loads(json.dumps(figure(trace, "class_map:2").record()))
    record["versions"]["torch"] = "0.1"
    record["panels"] = "edited"
    figure_from_record(record, trace.picture, model=model)
    assert "torch 0.1" in caplog.text and "values differ" in caplog.text


def test_the_caption_states_scale_and_range(trace: Trace) -> None:
    text = figure(trace, SEVEN, "neurips").latex("out_1.pdf")
    for part in (r"\begin{figure}[t]", r"\textwidth", r"$3\times3$ cells", "range over all steps", "raw ranges",
                 "sha256", "central crop", "float32", r"55\,\%", "3 computation steps", "channel gate"):  # fmt: skip
        assert part in text, part
    assert r"\begin{figure*}" in figure(trace, SEVEN, "cvpr", 2).latex()
    assert r"\columnwidth" in figure(trace, "picture", "cvpr", 1).latex()
    assert text.count("{") == text.count("}")


def caption_of(trace: Trace, panels: Any, **options: Any) -> str:
    return figure(trace, panels, **options).latex()


def test_the_caption_names_quantity_class_and_step_whatever_the_title(trace: Trace) -> None:
    panels = [
        Panel("map", MapSpec("cam", cls=0, step=1), title=""),
        Panel("map", MapSpec("cam", cls=388, step=2), title="Ours"),
        Panel("map", MapSpec("spatial_gate", step=2), title="Gate"),
        Panel("boxes", MapSpec("cam", cls=388, step=2), title="-"),
    ]
    text = caption_of(trace, panels)
    assert "(a) class map, step~1: tench" in text and "(b) class map, step~2: giant panda" in text
    assert "(titled ``Ours'')" in text and "(c) step~2: spatial gate" in text and "(titled ``Gate'')" in text
    assert "(d) step~2: giant panda, box of the class map (titled ``-'')" in text
    assert "(titled" not in caption_of(trace, "class_map:2,boxes:all")


@pytest.mark.parametrize("scale", ["raw", "image", "steps"])
def test_panels_of_one_bar_have_one_sentence(trace: Trace, scale: str) -> None:
    made = figure(trace, "class_map:1@0,class_map:2@0,class_map:3@0", scale=scale, shared_scale=True)
    assert len({c.source for c in made.contents}) == 1 and len({c.scale for c in made.contents}) == 1
    assert made.latex().count("Class map (logit per cell):") == 1
    assert "mixed" not in made.latex()
    if scale == "raw":
        assert made.contents[0].source == "range over the panels, as the operation has no bound"
        one = figure(trace, "class_map:1@0", scale=scale).contents[0]
        assert one.source == "its own range, as the operation has no bound"


def test_the_caption_says_that_a_bar_mixes_classes(trace: Trace) -> None:
    assert "range over all steps, classes mixed: tench and giant panda, " in caption_of(
        trace, "class_map:1@0,class_map:2@388"
    )
    assert "mixed" not in caption_of(trace, "class_map:1@0,class_map:2@388", shared_scale=False)
    assert "mixed" not in caption_of(trace, "class_map:1@0,class_map:2@388", scale="fixed", fixed=(0, 1))
    assert ", 4 classes mixed" in caption_of(trace, "class_map@0,class_map@1,class_map@2,class_map@3")


def test_a_channel_of_the_searchlights_input_is_called_so(trace: Trace) -> None:
    made = figure(trace, "bottom:2#3")
    assert made.contents[0].title == "step\u00a02: channel 3 (layer4)"  # of two blocks
    assert made.contents[0].quantity == "channel 3 (searchlight input)"
    assert made.layout.bars[0].lines[0].startswith("channel 3 (searchlight input)")
    assert "(a) step~2: channel 3 (searchlight input)" in made.latex() and "bottom" not in caption_text(made.latex())


@pytest.mark.parametrize(("title", "code"), [("before \u6f22 after", "U+6F22"), ("\U0001f43c\u6f22", "U+1F43C")])
def test_a_title_that_the_fonts_cannot_draw_is_refused(trace: Trace, title: str, code: str) -> None:
    with pytest.raises(FigureError, match=r"panel \(b\)") as caught:
        figure(trace, [Panel("picture"), Panel("picture", title=title)])
    assert code in str(caught.value) and "\n" not in str(caught.value)


def test_names_that_the_fonts_cannot_draw_get_question_marks(trace: Trace, recwarn: pytest.WarningsRecorder) -> None:
    labels = ("\u6f22 cat \u00e9", *trace.labels[1:])
    odd = replace(
        trace,
        output=replace(trace.output, labels=labels),
        picture=replace(trace.picture, name="\u718a\u732b \U0001f43c \u0416 \udcff.jpg"),
    )
    made = figure(odd, [Panel("map", MapSpec("cam", cls=0, step=1)), Panel("picture", title="\u03b1 \u0416 \u00e9")])
    assert made.contents[0].title.startswith("step\u00a01: ? cat \u00e9")
    assert made.to_bytes("png", 60) and not [w for w in recwarn if "lyph" in str(w.message)]
    text = made.latex()
    assert text.isascii() and r"?? ? ? ?.jpg" in text and r"? cat \'{e}" in text and r"``$\alpha$ ? \'{e}''" in text
    assert made.notes == ()


def caption_text(latex: str) -> str:
    return latex[latex.index("\\caption") : latex.index("\\label")]


def test_user_text_cannot_be_latex(trace: Trace) -> None:
    assert (
        escaped("a_b & 5% \\input{x}\n~^")
        == r"a\_b \& 5\% \textbackslash{}input\{x\} \textasciitilde{}\textasciicircum{}"
    )
    evil = replace(trace, picture=replace(trace.picture, name="\\write18{rm}_%.jpg"))
    text = figure(evil, [Panel("picture", title="$x^2$ & \\input{a}")]).latex("a%b{c.pdf")
    assert "\\write18{" not in text and "\\input{" not in text and "a%b" not in text
    assert figure(evil, [Panel("picture", title="$x^2$ \\frac")]).to_bytes("png", 60)


def test_saving_refuses_and_is_whole(trace: Trace, tmp_path: Path) -> None:
    made = figure(trace, "picture")
    for bad in ("fig.jpg", "fig", "fig.PDF.exe"):
        with pytest.raises(FigureError, match="ends in"):
            made.save(tmp_path / bad)
    with pytest.raises(FileError, match="does not exist"):
        made.save(tmp_path / "none" / "fig.pdf")
    with pytest.raises(FigureError):
        made.to_bytes("eps")
    with pytest.raises(FigureError):
        made.to_bytes("png", 5)
    assert made.save(tmp_path / "fig.SVG", sidecars=False) == (tmp_path / "fig.SVG",)
    assert [p.name for p in tmp_path.iterdir()] == ["fig.SVG"]


def test_figure_options_are_checked(trace: Trace) -> None:
    with pytest.raises(FigureError, match="Unknown option 'pallete'"):
        figure(trace, pallete="grey")
    with pytest.raises(FigureError, match="is complete"):
        figure(trace, spec=FigureSpec((Panel("picture"),)), columns=1)
    with pytest.raises(FigureError):
        figure(trace, [3])  # type: ignore[list-item]


def test_default_panels_tell_the_story(trace: Trace) -> None:
    made = figure(trace)
    assert [(c.shows, c.panel.spec.step) for c in made.contents[1:]] == [
        ("cam", 1), ("cam", 2), ("cam", 3), ("tap", 2), ("tap", 3)
    ]  # fmt: skip
    assert made.contents[0].panel.kind == "picture"
    assert len({c.panel.class_index for c in made.contents if c.shows == "cam"}) == 1
    assert made._repr_png_()[:4] == b"\x89PNG"


def test_too_many_panels_in_a_row_are_refused(trace: Trace) -> None:
    with pytest.raises(FigureError, match="at most 4"):
        figure(trace, SEVEN, "cvpr", 1, per_row=7).to_bytes("png", 60)


def test_letters_of_a_shared_bar() -> None:
    assert spans([1, 2, 3, 5, 7, 8]) == "b\u2013d, f, h, i"
    assert letter_of(25) == "z" and letter_of(26) == "aa"
