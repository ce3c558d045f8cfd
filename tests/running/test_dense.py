"""Networks that do not classify whole pictures, from the picture to the file: segmentation, regression, detection, and
a classifier without a linear head."""

from __future__ import annotations

import io
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from pydantic import TypeAdapter
from safetensors.torch import save_file

import viz.models.networks
from tests.dense import LABELS, NETWORKS, SIZE, card_of, dense_model
from tests.tiny import scene, tiny_model
from viz import VizError, figure
from viz.cli import main
from viz.core.map_spec import parse
from viz.core.trace import Trace
from viz.errors import ModelError
from viz.figures import figure_from_record
from viz.figures.comparison import compare
from viz.files import npz_bytes
from viz.geometry import prepare
from viz.measures.faithfulness import faithful
from viz.page import messages
from viz.page.grid_entries import attribution_message, class_choices, compare_message
from viz.page.payload import viewer_message
from viz.run.export import trace_json, trace_npz
from viz.run.model import Model, model_of

REGION = (20, 20, 80, 60)
DENSE = ("tiny-segmentation", "tiny-depth")


@pytest.fixture(scope="module")
def models() -> dict[str, Model]:
    return {name: dense_model(name) for name in NETWORKS}


@pytest.fixture(scope="module")
def traces(models: dict[str, Model]) -> dict[str, Trace]:
    return {name: model.trace(scene(96, 144)) for name, model in models.items()}


def asked(trace: Trace, spec: str, model: Model) -> Trace:
    return model.attribute(trace, spec)


@pytest.mark.parametrize("name", NETWORKS)
def test_the_answer_is_the_networks_own(name: str, models: dict[str, Model], traces: dict[str, Trace]) -> None:
    model, trace = models[name], traces[name]
    x, _ = prepare(trace.picture, model.card.preprocessing, "squash")
    with torch.no_grad():
        own = model.network(x)[0].numpy()
    if name == "tiny-segmentation":
        np.testing.assert_array_equal(trace.output.arrays()["logits"][0], own)
        np.testing.assert_array_equal(trace.heatmap("output@car").native, own[2])
        assert {r.label for r in trace.top() if r[2] > 0} == set(LABELS)
    elif name == "tiny-depth":
        np.testing.assert_array_equal(trace.heatmap("output").native, own)
        assert trace.heatmap("output").unit == "m" and trace.labels == () and trace.top() == ()
    elif name == "tiny-detector":
        best = trace.output.objects_in(trace.geometry)
        assert best is not None and best[0]["score"] == pytest.approx(own[:, 4:].max())
        x0, y0, x1, y1 = best[0]["xyxy"]
        row = own[own[:, 4:].max(axis=1).argmax()]
        np.testing.assert_allclose(
            [x0, y0, x1, y1], row[:4] * 1.5, rtol=1e-5, err_msg="the picture is 1.5 times larger"
        )
    else:
        np.testing.assert_array_equal(trace.logits[0], own)
    assert trace.record("spatial_gate").values.shape == (SIZE[0] // 8, SIZE[1] // 8)


@pytest.mark.parametrize("name", NETWORKS)
def test_maps_that_a_network_cannot_have_are_refused_in_a_sentence(name: str, traces: dict[str, Trace]) -> None:
    trace = traces[name]
    refused = ["cam", "feature#1"]
    refused += [] if name in DENSE else ["output"]
    refused += [] if name == "tiny-segmentation" else ["probability"]
    refused += ["output@road"] if name == "tiny-depth" else []
    for text in refused:
        assert not trace.has(parse(text))
        with pytest.raises(ModelError) as caught:
            trace.heatmap(text)
        assert "\n" not in str(caught.value), text
    if name != "tiny-nohead":
        with pytest.raises(ModelError, match="does not classify whole pictures"):
            trace.logits  # noqa: B018


@pytest.mark.parametrize("name", DENSE)
@pytest.mark.parametrize("region", [None, REGION, (30, 30)])
def test_grad_cam_of_a_region_is_that_by_hand(
    name: str, region: tuple[int, ...] | None, models: dict[str, Model], traces: dict[str, Trace]
) -> None:
    model, trace = models[name], traces[name]
    cls = 2 if trace.labels else None
    made = model.attribute(trace, "gradcam", class_index=cls, region=region)
    target = trace.target(1, cls, region)
    network: Any = model.network
    x, _ = prepare(trace.picture, model.card.preprocessing, "squash")
    kept: list[torch.Tensor] = []
    hook = network.last.register_forward_hook(lambda m, i, o: kept.append(o.requires_grad_()) or o)
    answer = network(x.requires_grad_())
    hook.remove()
    gradient = torch.autograd.grad(target(answer)[0], kept[0])[0]
    want = (gradient.mean((2, 3), keepdim=True) * kept[0]).sum(1).relu()[0].detach().numpy()
    assert want.max() > 0
    np.testing.assert_allclose(made.attributions[-1].values, want, rtol=1e-4, atol=1e-9)
    text = str(
        made.definite(
            f"gradcam{'' if cls is None else '@car'}{'' if region is None else '~' + '-'.join(map(str, region))}"
        )
    )
    assert text == made.attributions[-1].key
    np.testing.assert_array_equal(made.heatmap(text).native, made.attributions[-1].values)


@pytest.mark.parametrize("name", DENSE)
def test_regions_differ_and_each_is_computed_once(
    name: str, models: dict[str, Model], traces: dict[str, Trace]
) -> None:
    model, trace = models[name], traces[name]
    one = model.attribute(trace, "gradient_x_activation(spatial_gate)~20-20-80-60")
    both = model.attribute(one, "gradient_x_activation(spatial_gate)~100-60-140-90")
    assert model.attribute(both, "gradient_x_activation(spatial_gate)", region=(100, 60, 140, 90)) is both
    first, second = (both.heatmap(f"gradient_x_activation(spatial_gate)~{r}") for r in ("20-20-80-60", "100-60-140-90"))
    assert not np.array_equal(first.native, second.native)
    assert "in (20, 20) to (80, 60)" in first.title and first.spec != second.spec
    with pytest.raises(VizError, match="was not computed"):
        both.heatmap("gradient_x_activation(spatial_gate)")


def test_occlusion_asks_about_the_region(models: dict[str, Model], traces: dict[str, Trace]) -> None:
    """Covering what lies far from a place that a network of small reach sees there changes nothing."""
    trace = models["tiny-depth"].attribute(traces["tiny-depth"], "occlusion~4-4")
    lost = trace.heatmap("occlusion~4-4")
    assert lost.unit == "value lost when covered, mean over the windows"
    assert np.abs(lost.native[:40, :40]).max() > 0 and np.abs(lost.native[-16:, -16:]).max() < 1e-4


def test_an_attribution_needs_something_to_ask_about(models: dict[str, Model], traces: dict[str, Trace]) -> None:
    with pytest.raises(ModelError, match="a region needs one that predicts for each cell"):
        models["tiny-nohead"].attribute(traces["tiny-nohead"], "gradcam~1-1-20-20")
    with pytest.raises(ModelError, match="has no classes to choose from"):
        models["tiny-depth"].attribute(traces["tiny-depth"], "gradcam", class_index=0)
    with pytest.raises(ModelError, match="does not see the part"):
        models["tiny-depth"].attribute(traces["tiny-depth"], "gradcam~500-500")
    classifier = tiny_model()
    with pytest.raises(ModelError, match="a region needs one that predicts for each cell"):
        classifier.attribute(classifier.trace(scene()), "gradcam", region=(1, 1, 20, 20))


@pytest.mark.parametrize("name", NETWORKS)
def test_a_figure_and_its_record(name: str, models: dict[str, Model], traces: dict[str, Trace]) -> None:
    model = models[name]
    region = "~20-20-80-60" if name in DENSE else ""
    trace = asked(traces[name], f"gradcam(spatial_gate){region}", model)
    answer = trace.output_map
    panels = ["picture", *([] if answer is None else [str(answer), f"boxes({answer})"]), "spatial_gate"]
    made = figure(trace, [*panels, f"gradcam(spatial_gate){region}", f"boxes(gradcam(spatial_gate)){region}"])
    png = made.to_bytes("png", 60)
    assert Image.open(io.BytesIO(png)).size[0] > 100
    record = json.loads(json.dumps(made.record()))
    again = figure_from_record(record, trace.picture, model=model)
    assert again.to_bytes("png", 60) == png and again.latex() == made.latex()
    if region:
        assert record["attributions"][0]["region"] == list(REGION)
        assert "in (20, 20) to (80, 60)" in made.contents[-1].words
    with np.load(io.BytesIO(npz_bytes(made.maps()))) as maps:
        assert all(np.array_equal(maps[key], values) for key, values in trace.output.arrays().items())


@pytest.mark.parametrize("name", NETWORKS)
def test_the_figure_for_which_nothing_was_chosen(name: str, traces: dict[str, Trace]) -> None:
    trace = traces[name]
    kinds = [c.shows for c in figure(trace).contents]
    assert kinds == ["", *(["output"] if name in DENSE else []), "tap"]


@pytest.mark.parametrize("name", NETWORKS)
def test_the_page_gets_what_there_is(name: str, models: dict[str, Model], traces: dict[str, Trace]) -> None:
    trace = traces[name]
    text = viewer_message(trace)
    message = json.loads(text)
    TypeAdapter(messages.ViewerMessage).validate_json(text, strict=False)
    classes = [m["class_index"] for m in message["maps"] if m["kind"] == "cam"]
    assert sorted(classes, key=str) == {"tiny-segmentation": [0, 1, 2], "tiny-depth": [None]}.get(name, [])
    number = {"tiny-segmentation": "share", "tiny-depth": "", "tiny-detector": "score", "tiny-nohead": "probability"}
    assert message["output"]["number"] == number[name]
    best_one = trace.top(1, 1)
    assert [b["number"] for b in message["frames"][0]["top"][:1]] == [pytest.approx(b[2]) for b in best_one]
    trace = asked(trace, "gradcam", models[name])
    best = trace.output.best(1)
    columns = json.loads(attribution_message(trace, best, ["gradcam"]))["models"]
    assert [c["name"] for c in columns] == [
        "native attention", *(["output"] if name in DENSE else []), "Grad-CAM"
    ]  # fmt: skip
    assert len(class_choices(trace)) == (0 if name == "tiny-depth" else len(trace.top()))
    assert json.loads(compare_message([trace, trace], ["a", "b"]))["models"][0]["maps"]


@pytest.mark.parametrize("name", DENSE)
def test_two_models_side_by_side(name: str, traces: dict[str, Trace]) -> None:
    trace = traces[name]
    made = compare(trace.picture, [trace, trace, trace], [str(trace.output_map), "spatial_gate", str(trace.output_map)])
    np.testing.assert_array_equal(made.columns[0].heatmaps[0].native, trace.heatmap("output").native)  # type: ignore[union-attr]
    assert compare(trace.picture, [trace, trace]).columns[1].map.kind == "output", "the answer is what is compared"
    assert made.to_figure().to_bytes("png", 60)


def test_files_of_a_trace(traces: dict[str, Trace], models: dict[str, Model]) -> None:
    trace = asked(traces["tiny-segmentation"], "gradcam@car~20-20-80-60", models["tiny-segmentation"])
    with np.load(io.BytesIO(trace_npz(trace))) as arrays:
        assert arrays["logits"].shape == (1, 3, 8, 12) and "gradcam@2~20-20-80-60:1" in arrays
    made = trace_json(trace)
    assert sum(c["share"] for c in made["predictions"][0]["top"]) == pytest.approx(1)
    assert made["attributions"][0]["region"] == list(REGION) and made["attributions"][0]["label"] == "car"
    depth = trace_json(traces["tiny-depth"])["predictions"][0]
    assert depth["unit"] == "m" and depth["low"] < depth["mean"] < depth["high"]
    assert trace_json(traces["tiny-detector"])["objects"] == traces["tiny-detector"].output.objects_in(
        traces["tiny-detector"].geometry
    )


def test_a_notebook_shows_them(traces: dict[str, Trace]) -> None:
    for trace in traces.values():
        assert trace.output.says(1).replace("&", "&amp;") in trace._repr_html_()


def test_faithfulness_asks_about_the_probability_of_a_class(models: dict[str, Model], traces: dict[str, Trace]) -> None:
    model, picture = models["tiny-segmentation"], traces["tiny-segmentation"].picture
    whole = faithful(model, picture, source="output", class_index="car", parts=["deletion"])
    logits = traces["tiny-segmentation"].output.arrays()["logits"][0]
    z = logits.mean(axis=(1, 2), dtype=np.float64)
    assert whole.probability == pytest.approx(float(np.exp(z[2]) / np.exp(z).sum()), rel=1e-5)
    part = faithful(model, picture, source="gradcam", class_index="car", parts=["deletion"], region=REGION)
    z = logits[:, 2:5, 2:7].mean(axis=(1, 2), dtype=np.float64)
    assert part.probability == pytest.approx(float(np.exp(z[2]) / np.exp(z).sum()), rel=1e-5)
    assert "in (20, 20) to (80, 60)" in part.label and part.curves[0].curve is not None
    with pytest.raises(VizError, match="predicts a value for each cell"):
        faithful(models["tiny-depth"], picture)


def test_a_card_that_says_another_answer_is_refused() -> None:
    with pytest.raises(ModelError, match="predicts dense_values, but its card says class_scores"):
        dense_model("tiny-depth", output="class_scores")
    with pytest.raises(ModelError, match="must list its classes"):
        dense_model("tiny-segmentation", labels=())
    with pytest.raises(ModelError, match="has 3 classes, but its card lists 2"):
        dense_model("tiny-segmentation", labels=("a", "b")).trace(scene())


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A models folder with the cards and weights of all of them, and a package folder with their networks."""
    package = tmp_path / "networks"
    package.mkdir()
    monkeypatch.setattr(viz.models.networks, "__path__", [*viz.models.networks.__path__, str(package)])
    models = tmp_path / "models"
    models.mkdir()
    for name, network in NETWORKS.items():
        module = name.replace("-", "_")
        text = f"from tests.dense import {network.__name__}\n\n\ndef build():\n    return {network.__name__}()\n"
        (package / f"{module}.py").write_text(text)
        save_file(network().state_dict(), models / f"{name}.safetensors")
        (models / f"{name}.json").write_text(json.dumps(asdict(card_of(name, file=f"{name}.safetensors"))))
    return models


def test_the_command_line(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    photo = tmp_path / "photo.png"
    Image.fromarray(scene(96, 144)).save(photo)
    here = ["--models", str(folder), "--model"]
    assert main(["models", "--models", str(folder)]) == 0
    listed = capsys.readouterr().out
    assert all(name in listed for name in NETWORKS) and "published checkpoint" not in listed
    for name in NETWORKS:
        out = tmp_path / name
        assert main(["trace", str(photo), "--out", str(out), *here, name]) == 0
        assert json.loads((out / "photo.json").read_text())["model"]["name"] == name
        region = "~20-20-80-60" if name in DENSE else ""
        answer = "output," if name in DENSE else ""
        panels = f"picture,{answer}spatial_gate,gradcam(spatial_gate){region}"
        pdf = out / "figure.pdf"
        assert main(["figure", str(photo), "--panels", panels, "--out", str(pdf), *here, name]) == 0
        assert pdf.read_bytes().startswith(b"%PDF")
    both = ["--model", "tiny-segmentation"]
    assert main(["compare", str(photo), "--out", str(tmp_path / "both"), *here, "tiny-segmentation", *both]) == 0
    assert main(["figure", str(photo), "--panels", "cam", "--out", str(tmp_path / "x.pdf"), *here, "tiny-depth"]) == 1
    assert "no class activation map" in capsys.readouterr().err


def test_own_cards_are_checked(folder: Path, tmp_path: Path) -> None:
    photo = tmp_path / "photo.png"
    Image.fromarray(scene()).save(photo)

    def refused(match: str, **changes: Any) -> None:
        facts = asdict(card_of("tiny-depth", file="tiny-depth.safetensors")) | changes
        (folder / "tiny-depth.json").write_text(json.dumps(facts))
        with pytest.raises(VizError, match=match):
            viz.load("tiny-depth", models=folder)

    assert viz.load("tiny-depth", models=folder).card.origin == "own"
    refused("cannot build the network", network="nothing")
    refused("is not the file that the card", sha256="0" * 64)
    refused("does not fit the network", file="tiny-segmentation.safetensors")
    refused("invalid arguments for its network", arguments={"seed": 1})
    refused("does not exist", file="../../elsewhere.safetensors")
    (folder / "lite0.json").write_text(json.dumps(asdict(card_of("tiny-depth", file="a")) | {"name": "lite0"}))
    with pytest.raises(ModelError, match="name of a bundled model"):
        viz.load("tiny-depth", models=folder)


def test_a_model_in_a_process_of_its_own(models: dict[str, Model]) -> None:
    """`model_of` takes any network of the right kind; what it needs travels with it."""
    import pickle

    again = pickle.loads(pickle.dumps(models["tiny-segmentation"]))
    assert again.trace(scene()).output.says(1) == models["tiny-segmentation"].trace(scene()).output.says(1)
    assert model_of(again.network, again.card, "squash", again.device, again.dtype).labels == LABELS
