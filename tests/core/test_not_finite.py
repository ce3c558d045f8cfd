"""Finite weights that overflow: every door says so, and none shows a number or a 0 in place of what is lost."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import viz
from tests.tiny import as_model, scene, tiny_network
from viz.cli import main
from viz.errors import NotFiniteError
from viz.models.networks.td_resnet import TDResNet, released_config
from viz.page.app import show
from viz.page.payload import viewer_message
from viz.page.session import Pictures
from viz.run.engine import Engine, Model


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two pictures with boxes, and a published checkpoint whose every weight is finite and whose answer is not."""
    made = tmp_path_factory.mktemp("overflow")
    for name in ("a", "b"):
        Image.fromarray(scene(seed=ord(name))).save(made / f"{name}.png")
    (made / "index.csv").write_text(
        "image,label,class_index,x0,y0,x1,y1\na.png,panda,388,20,10,90,80\nb.png,panda,388,20,10,90,80\n"
    )
    torch.manual_seed(0)
    network = TDResNet(released_config(18)).eval()
    state = {k: v.sign() * 3e38 if k == "fc.weight" else v for k, v in network.state_dict().items()}
    assert all(bool(v.isfinite().all()) for v in state.values())
    (made / "models").mkdir()
    torch.save(state, made / "models" / "huge.pth")
    return made


def lost_records() -> Model:
    """A model whose answer is finite while scores inside its attention are not."""
    network = tiny_network(steps=2)
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if name == "layer4.0.RA_block.Ug_mlp.0.weight":
                parameter.fill_(3e38)
    return as_model(network)


@pytest.fixture(scope="module")
def lost() -> viz.Trace:
    trace = lost_records().trace(scene())
    assert np.isfinite(trace.logits).all()
    assert any(not np.isfinite(r.values).all() for r in trace.records)
    return trace


@pytest.mark.parametrize(
    "arguments",
    [
        ["trace", "a.png", "--out", "out"],
        ["figure", "a.png", "--out", "f.pdf"],
        ["figure", "a.png", "--out", "f.pdf", "--panels", "gradcam"],
    ],
    ids=["trace", "figure", "attribution"],
)
def test_commands_on_one_picture(
    folder: Path, arguments: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    assert main([*arguments, "--model", "models/huge.pth"]) == 1
    assert "not finite" in capsys.readouterr().err
    assert not (folder / "f.pdf").exists()
    assert not list((folder / "out").glob("*.npz")) if (folder / "out").exists() else True


@pytest.mark.parametrize("pictures", ["a.png", "."], ids=["picture", "folder"])
def test_compare(
    folder: Path, pictures: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    asked = ["compare", pictures, "--model", "lite0", "--model", "huge", "--models", "models", "--out", "compared"]
    assert main([*asked, "--no-figure"]) == 1
    assert "not finite" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["evaluate", "faithfulness"])
def test_commands_on_a_set(
    folder: Path, command: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    asked = [command, "--data", "index.csv", "--model", "huge", "--models", "models", "--map", "cam"]
    assert main([*asked, "--json", "r.json", *(["--folds", "2"] if command == "evaluate" else [])]) == 1
    assert "not finite" in capsys.readouterr().err
    assert not (folder / "r.json").exists()


def test_python(folder: Path) -> None:
    model = viz.load(folder / "models" / "huge.pth")
    with pytest.raises(NotFiniteError, match=r"not finite \(\d+ of \d+ logits\)"):
        model.trace(folder / "a.png")
    with pytest.raises(NotFiniteError):
        viz.faithful(model, folder / "a.png", parts=("deletion",))
    half = viz.load(folder / "models" / "huge.pth", precision="bfloat16")
    with pytest.raises(NotFiniteError, match="bfloat16; use float32"):
        half.trace(folder / "a.png")


def test_the_page(folder: Path) -> None:
    engine = Engine("cpu", models=folder / "models")
    message, _ = show(str(folder / "a.png"), "huge", "own", None, engine=engine, pictures=Pictures())
    assert "not finite" in json.loads(message)["error"]


def test_lost_records_are_notes(lost: viz.Trace, tmp_path: Path) -> None:
    names = [r.name for r in lost.records if not np.isfinite(r.values).all()]
    assert names and any(names[0] in note for note in lost.notes)
    assert lost.notes[-1].startswith("Where a value is not finite, nothing is drawn.")
    assert "not finite" in lost._repr_html_()
    from viz.run.export import trace_json

    told = trace_json(lost)
    assert told["notes"] == list(lost.notes)
    json.dumps(told, allow_nan=False)


def test_lost_records_on_the_page_are_no_data(lost: viz.Trace) -> None:
    message = json.loads(viewer_message(lost))
    assert set(lost.notes) <= set(message["picture"]["notes"])
    missing = 0
    for entry in message["maps"]:
        for step in entry["steps"]:
            values = np.frombuffer(base64.b64decode(step["data"]), "<f4")
            assert not np.isinf(values).any()
            missing += int(np.isnan(values).sum())
    kept = {r.name: r for r in lost.records if r.kind == "spatial" and not np.isfinite(r.values).all()}
    assert not kept or missing > 0


def test_a_map_with_lost_cells_is_drawn_around_them(lost: viz.Trace) -> None:
    from dataclasses import replace

    from viz.page.entries import floats, map_entry

    native = np.array([[0.0, 1.0], [np.inf, np.nan]], dtype=np.float32)
    heat = replace(lost.class_map(), native=native)
    (step,) = map_entry([heat], "spatial", "x", "g")["steps"]
    values = np.frombuffer(base64.b64decode(step["data"]), "<f4")
    np.testing.assert_array_equal(values, np.array([0, 1, np.nan, np.nan], dtype=np.float32))
    assert floats(native[0]) == base64.b64encode(native[0].tobytes()).decode()


def test_a_sound_trace_has_no_notes(tmp_path: Path) -> None:
    trace: Any = as_model(tiny_network()).trace(scene())
    assert trace.notes == ()
