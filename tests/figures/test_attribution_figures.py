"""Attribution in figures, comparisons and the command line: shorthand, record, caption, the same bytes again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.tiny import scene, tiny_model
from viz.attribution import AttributionOptions
from viz.cli import main
from viz.core.map_spec import MapSpec, parse
from viz.errors import FigureError, ModelError, ProbeError, VizError
from viz.figures import FigureSpec, Panel, figure, figure_from_record
from viz.figures.attributions import with_attributions
from viz.figures.comparison import compare
from viz.figures.comparison.record import comparison_from_record
from viz.figures.shorthand import panel_text, parse_panel, parse_panels, with_class
from viz.picture import Picture, open_picture
from viz.run.engine import Engine, Model

FEW = AttributionOptions(n_steps=2, window=48, stride=48, baseline="black")
PANELS = (
    "picture,class_map:2@5,gradcam:2@5,gradcam:1@5,integrated_gradients@5,guided_backprop@5,occlusion@5,"
    "gradcam(bottom):2,gradient_x_activation(spatial_gate)@5,boxes(gradcam):1,boxes(gradcam(bottom)):2@5"
)


@pytest.fixture(scope="module")
def model() -> Model:
    return tiny_model(2)


@pytest.fixture(scope="module")
def picture() -> Picture:
    return open_picture(scene())


@pytest.mark.parametrize("text", PANELS.split(","))
def test_shorthand_there_and_back(text: str) -> None:
    panel = parse_panel(text)
    assert parse_panel(panel_text(panel)) == panel


def test_shorthand_says_what_is_meant() -> None:
    assert parse_panel("gradcam:2@giant panda") == Panel("map", MapSpec("gradcam", cls="giant panda", step=2))
    assert parse_panel("boxes(gradcam(a.b)):1") == Panel("boxes", MapSpec("gradcam", "a.b", step=1))
    assert parse_panel("boxes(spatial_gate)").probe == "spatial_gate"
    for panel in with_class(parse_panels("gradcam,boxes(occlusion),gradcam@3"), 8):
        assert panel.class_index == (3 if panel.spec.cls == 3 else 8)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("occlusion(spatial_gate)", "takes no tap"),
        ("gradient_x_activation", "needs a tap"),
        ("gradcam#3", "has no channels"),
        ("gradcam:all", "Only boxes"),
        ("boxes(gradcam):all", "show one step"),
        ("boxes(halo(gradcam))", "Unknown derived map"),
        ("mean(gradcam(bottom))", "Unknown map"),
        ("spatial_gate@5", "take a class"),
    ],
)
def test_wrong_panels_are_refused_in_a_sentence(text: str, says: str) -> None:
    with pytest.raises(VizError, match=says):
        parse_panel(text)


@pytest.mark.parametrize("wrong", [{"method": "lime"}, {"method": "gradcam", "probe": "x"}, {}, {"method": 3}])
def test_panels_from_elsewhere_are_checked(wrong: dict[str, Any]) -> None:
    with pytest.raises(FigureError):
        FigureSpec.from_json({"panels": [{"kind": "attribution", **wrong}]})
    with pytest.raises(FigureError, match="cannot be read"):
        FigureSpec.from_json(FigureSpec((Panel("picture"),)).to_json() | {"attribution": {"n_steps": 5, "evil": 1}})
    with pytest.raises(FigureError, match="n_steps"):
        FigureSpec.from_json(FigureSpec((Panel("picture"),)).to_json() | {"attribution": {"n_steps": 10**9}})


def test_a_figure_with_attributions_is_made_again_from_its_record(model: Model, picture: Picture) -> None:
    trace = with_attributions(model, model.trace(picture), parse_panels(PANELS), FEW)
    made = figure(trace, PANELS)  # the options are those of the trace
    assert made.spec.attribution.used(parse_panel_method("integrated_gradients")) == {"baseline": "black", "n_steps": 2}
    record = json.loads(json.dumps(made.record()))
    again = figure_from_record(record, picture, model=model)
    assert again.to_bytes("png", 72) == made.to_bytes("png", 72)
    assert json.loads(json.dumps(again.record())) == record
    assert [a["method"] for a in record["attributions"]][:2] == ["gradcam", "gradcam"]
    ig = next(a for a in record["attributions"] if a["method"] == "integrated_gradients")
    assert ig["options"] == {"baseline": "black", "n_steps": 2} and ig["layer"] == "input" and ig["captum"]
    maps = made.maps()
    assert maps["c.gradcam@5:2"].shape == trace.features[1].shape[1:]
    assert maps["e.integrated_gradients@5:2"].shape == trace.geometry.network
    np.testing.assert_array_equal(maps["c.gradcam@5:2"], trace.attribution("gradcam", 2, 5).native)


def parse_panel_method(text: str) -> Any:
    from viz.attribution.layers import method_of

    return method_of(text).method


def test_the_caption_names_method_layer_options_and_version(model: Model, picture: Picture) -> None:
    import captum

    trace = with_attributions(model, model.trace(picture), parse_panels(PANELS), FEW)
    made = figure(trace, PANELS)
    text = made.latex()
    assert "(c), (d), (j) Grad-CAM at the class features" in text
    assert "(e) integrated gradients at the input (black baseline, 2 steps)" in text
    assert "(g) occlusion at the input (black baseline, window 48 px, stride 48 px)" in text
    assert r"gradient x activation at layer4.0.RA\_block.spatial\_gate" in text
    assert f"computed with Captum {captum.__version__}." in text
    plain = figure(model.trace(picture), "picture,class_map")
    assert "Captum" not in plain.latex() and plain.record()["attributions"] == []


def test_panels_of_one_method_share_a_range_and_signed_ones_are_diverging(model: Model, picture: Picture) -> None:
    trace = with_attributions(model, model.trace(picture), parse_panels(PANELS), FEW)
    by_letter = {c.letter: c for c in figure(trace, PANELS).contents}
    c, d, occlusion = by_letter["c"], by_letter["d"], by_letter["g"]
    assert c.scale == d.scale and c.scale is not None
    assert c.scale.high == max(c.raw_range[1], d.raw_range[1])
    assert c.source == "range over the panels" and c.palette == "inferno"
    assert occlusion.palette == "diverging" and occlusion.scale is not None
    assert occlusion.scale.low == -occlusion.scale.high
    assert by_letter["j"].boxes and by_letter["j"].boxes[0][0] == 1
    for scale in ("raw", "image", "fixed"):
        figure(trace, "gradcam:1@5", scale=scale, fixed=(0.0, 1.0) if scale == "fixed" else None).to_bytes("png", 40)


def test_a_figure_of_what_was_not_computed_says_how(model: Model, picture: Picture) -> None:
    with pytest.raises(ProbeError, match=r"was not computed; .*model\.attribute"):
        figure(model.trace(picture), "gradcam")
    trace = model.attribute(model.trace(picture), "occlusion", options=FEW)
    with pytest.raises(ProbeError, match="was not computed"):
        figure(trace, "occlusion", attribution=AttributionOptions())


def test_an_attribution_stands_in_a_comparison(model: Model, picture: Picture) -> None:
    made = compare(picture, [model, model, model], ["class_map", "gradcam", "gradcam(spatial_gate)"])
    cam, grad, gate = made.columns
    best = cam.trace.top()[0].class_index
    assert [h.class_index for h in grad.heatmaps if h] == [best, best]
    assert gate.heatmaps[0] is None and gate.heatmaps[1] is not None  # step 1 has no searchlight
    heat, clipped = grad.heatmaps[1], np.maximum(cam.trace.class_map().native, 0)
    assert heat is not None
    np.testing.assert_allclose(heat.native * clipped.size, clipped, rtol=1e-3, atol=1e-4)
    assert made.matrix("spearman")[0, 1] > 0.7 and made.box_iou()[0, 1] > 0
    assert any("Grad-CAM at the class features, computed with Captum" in n for n in made.notes)
    assert any(n.startswith("Class maps and attributions are of ") for n in made.notes)
    assert grad.map.head == "gradcam" and grad.label != cam.label != gate.label
    assert made.to_json()["columns"][1]["map"] == f"gradcam@{best}"
    assert "gradcam" in made.to_csv()


def test_a_comparison_with_attributions_is_made_again(picture: Picture) -> None:
    engine = Engine("cpu")
    for name in ("one", "two"):
        engine._models[name] = renamed(name)
    made = compare(
        picture,
        ["one", "one", "two"],
        ["gradcam", "occlusion@7", "integrated_gradients"],
        engine=engine,
        attribution=FEW,
    )
    drawn = made.to_figure()
    record = json.loads(json.dumps(drawn.record()))
    again = comparison_from_record(record, picture, engine=engine)
    assert again.to_bytes("png", 72) == drawn.to_bytes("png", 72)
    assert json.loads(json.dumps(again.record())) == record
    assert "black baseline, window 48 px, stride 48 px" in drawn.latex()
    # Kept with the engine's trace: each was computed once.
    kept = engine.trace(picture, "one").attributions
    assert sorted((a.method, a.step) for a in kept) == [
        ("gradcam", 1),
        ("gradcam", 2),
        ("occlusion", 1),
        ("occlusion", 2),
    ]


def renamed(name: str) -> Model:
    from dataclasses import replace

    from tests.tiny import as_model, tiny_network

    first = tiny_model(2)
    return as_model(tiny_network(2, seed=len(name)), replace(first.card, name=name, sha256=name))


def test_wrong_columns_are_refused_with_the_models_name(model: Model, picture: Picture) -> None:
    for text, says in (
        ("occlusion(bottom)", "takes no tap"),
        ("gradcam#2", "no channels"),
    ):
        with pytest.raises(VizError, match=says):
            parse(text)
    with pytest.raises(ProbeError, match="tiny-tdam: This network has no probe 'halo'"):
        compare(picture, [model, model], ["class_map", "gradcam(halo)"])
    with pytest.raises(ProbeError, match=r"tiny-tdam: gradcam of .* was not computed"):
        compare(picture, [model.trace(picture), model], "gradcam")
    with pytest.raises(ModelError):
        compare(picture, [model, model], "gradcam@no such class")


def test_the_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    photo = tmp_path / "photo.png"
    Image.fromarray(scene()).save(photo)
    monkeypatch.setattr("viz.run.engine.load", lambda name, *args, **options: renamed(str(name)))
    monkeypatch.setattr("viz.figures.again.load", lambda name, *args, **options: renamed(str(name)))
    out = tmp_path / "a.png"
    panels = "picture,gradcam:1,occlusion:2"
    how = ["--window", "48", "--stride", "48", "--baseline", "black"]
    assert (
        main(["figure", str(photo), "--out", str(out), "--model", "one", "--panels", panels, "--class", "5", *how]) == 0
    )
    record = json.loads((tmp_path / "a.json").read_text())
    assert record["figure"]["attribution"]["window"] == 48
    assert [a["class"] for a in record["attributions"]] == [5, 5]
    again = tmp_path / "b.png"
    assert main(["figure", str(photo), "--from", str(tmp_path / "a.json"), "--out", str(again)]) == 0
    assert again.read_bytes() == out.read_bytes()
    assert (tmp_path / "b.json").read_bytes() == (tmp_path / "a.json").read_bytes()
    for wrong in (["--stride", "64"], ["--ig-steps", "0"]):
        with pytest.raises(SystemExit):
            main(["figure", str(photo), "--out", str(out), "--model", "one", "--panels", panels, *wrong])
    with pytest.raises(SystemExit):
        main(["figure", str(photo), "--from", str(tmp_path / "a.json"), "--out", str(again), "--window", "16"])
    models = ["--model", "one", "--model", "two", "--map", "gradcam", "--map", "occlusion"]
    assert main(["compare", str(photo), "--out", str(tmp_path / "c"), "--format", "png", *models, *how]) == 0
    data = json.loads((tmp_path / "c" / "photo-agreement.json").read_text())
    assert [c["asked"] for c in data["columns"]] == ["gradcam", "occlusion"]
    assert any("window 48 px" in n for n in data["notes"])
    assert (
        main(
            [
                "compare",
                str(photo),
                "--out",
                str(tmp_path / "d"),
                "--format",
                "png",
                "--from",
                str(tmp_path / "c/photo.json"),
            ]
        )
        == 0
    )
    assert (tmp_path / "d/photo.png").read_bytes() == (tmp_path / "c/photo.png").read_bytes()
