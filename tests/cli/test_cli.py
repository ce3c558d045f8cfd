"""The command line: files, messages and exit codes."""

from __future__ import annotations

import json
import subprocess
import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import viz.run.engine
from tests.tiny import scene, tiny_model
from viz.cli import main
from viz.cli.common import pictures_of
from viz.cli.trace import stems


@pytest.fixture(scope="module")
def tiny() -> Any:
    return tiny_model()


@pytest.fixture
def loads(monkeypatch: pytest.MonkeyPatch, tiny: Any) -> list[tuple[Any, ...]]:
    """Every model is the tiny one; the calls are kept."""
    calls: list[tuple[Any, ...]] = []

    def load(*args: Any, **options: Any) -> Any:
        calls.append((args, options))
        return tiny

    monkeypatch.setattr(viz.run.engine, "load", load)
    monkeypatch.setattr("viz.figures.again.load", load)
    return calls


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "scene.png"
    Image.fromarray(scene()).save(path)
    return path


def usage(arguments: list[str]) -> int:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert isinstance(caught.value.code, int)
    return caught.value.code


@pytest.mark.parametrize("command", [[], ["models"], ["trace"], ["figure"], ["serve"]])
def test_help(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert usage([*command, "--help"]) == 0
    assert "usage: searchlight" in capsys.readouterr().out


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys\nfrom viz.cli import main\n"
        "try: main(['figure', '--help'])\nexcept SystemExit: pass\n"
        "print([m for m in ('matplotlib', 'plotly', 'gradio', 'cv2', 'viz.run.engine') if m in sys.modules])"
    )
    root = Path(__file__).resolve().parents[1].parent
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=root)
    assert done.stdout.splitlines()[-1] == "[]"


def test_module_is_the_same_program() -> None:
    root = Path(__file__).resolve().parents[1].parent
    done = subprocess.run(
        [sys.executable, "-m", "viz", "--version"], capture_output=True, text=True, check=True, cwd=root
    )
    assert done.stdout.startswith("searchlight ")


@pytest.mark.parametrize(
    "arguments",
    [["nonsense"], ["trace", "a.jpg"], ["trace", "--out", "x"], ["figure", "a.jpg"], ["figure", "--out", "a.pdf"],
     ["figure", "a.jpg", "--out", "a.gif"], ["figure", "a.jpg", "--out", "b.pdf", "--columns", "3"],
     ["figure", "a.jpg", "--out", "b.pdf", "--preset", "nature"],
     ["figure", "a.jpg", "--out", "b.pdf", "--panels", ":"],
     ["figure", "a.png", "--out", "a.png"], ["figure", "a.jpg", "--out", "b.pdf", "--opacity", "7"],
     ["figure", "a.jpg", "--out", "b.pdf", "--from", "r.json", "--scale", "raw"],
     ["figure", "a.jpg", "--out", "b.pdf", "--model", "x", "--checkpoint", "y"], ["serve", "--port", "x"]],
)  # fmt: skip
def test_wrong_use_is_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert usage(arguments) == 2
    assert "Traceback" not in capsys.readouterr().err


def test_no_command_is_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    assert "trace" in capsys.readouterr().out


def test_models(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "tdresnet50.pth.tar").write_bytes(b"x")
    assert main(["models", "--models", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    assert out.splitlines()[0].split() == ["NAME", "FAMILY", "STEPS", "TITLE"]
    assert "lite0" in out and "tdresnet50" in out
    assert main(["models", "--json", "--models", str(tmp_path)]) == 0
    cards = json.loads(capsys.readouterr().out)
    assert {"lite0", "tdresnet50"} <= {c["name"] for c in cards}
    assert str(tmp_path) not in json.dumps(cards)
    assert main(["models", "--models", str(tmp_path / "none")]) == 1


def test_trace_writes_values_and_index(loads: Any, photo: Path, tmp_path: Path) -> None:
    out = tmp_path / "deep" / "out"
    assert main(["trace", str(photo), "--model", "m", "--out", str(out), "--device", "cpu"]) == 0
    index = json.loads((out / "scene.json").read_text())
    with np.load(out / "scene.npz", allow_pickle=False) as arrays:
        assert arrays["logits"].shape == (3, 1000)
        assert arrays["features:2"].ndim == 3
        assert {r["key"] for r in index["records"]} <= set(arrays)
        one = index["records"][0]
        assert list(arrays[one["key"]].shape) == one["shape"]
        assert one["bounds"] == [None, None]
    assert len(index["predictions"]) == 3 and index["boxes"]["kind"] == "display"
    assert str(tmp_path) not in json.dumps(index)
    assert loads[0] == (("m", "cpu", None), {"precision": "float32", "models": None})


def test_trace_goes_on_past_brokenpictures_of(
    loads: Any, photo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "in"
    (folder / "sub").mkdir(parents=True)
    for place in (folder / "scene.jpg", folder / "sub" / "Scene.png"):
        Image.fromarray(scene()).save(place)
    (folder / "broken.jpg").write_bytes(b"no picture")
    (folder / "notes.txt").write_text("not one either")
    out = tmp_path / "out"
    assert main(["trace", str(folder), str(photo), str(photo), str(tmp_path / "none.jpg"), "--out", str(out)]) == 1
    made = sorted(p.name for p in out.glob("*.npz"))
    assert len(made) == 3 and len({m.lower() for m in made}) == 3
    err = capsys.readouterr().err
    assert "broken.jpg" in err and "none.jpg" in err and "2 of 5" in err and "Traceback" not in err
    assert "picture/s" in err or "s/picture" in err
    assert len(loads) == 1


def test_names_of_files() -> None:
    assert stems([Path("a/x.jpg"), Path("b/x.png"), Path("c/X.gif"), Path("x-2.jpg")]) == ["x", "x-2", "X-3", "x-2-2"]


def test_an_empty_folder_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["trace", str(tmp_path), "--out", str(tmp_path / "o")]) == 1
    assert "no pictures" in capsys.readouterr().err
    assert pictures_of(["a.jpg", "a.jpg"]) == [Path("a.jpg")]


def test_figure_and_again(loads: Any, photo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "fig.pdf"
    arguments = ["figure", str(photo), "--model", "m", "--out", str(out), "--panels", "picture,class_map:1"]
    arguments += ["--panels", "channel_gate:2", "--preset", "icml", "--columns", "2", "--class", "giant panda"]
    arguments += ["--scale", "fixed", "--fixed", "-2", "2.5", "--no-letters", "--dpi", "150", "--view", "seen"]
    assert main(arguments) == 0
    assert capsys.readouterr().out.split() == [str(out.with_suffix(s)) for s in (".pdf", ".json", ".npz", ".tex")]
    spec = json.loads(out.with_suffix(".json").read_text())["figure"]
    assert spec["fixed"] == [-2, 2.5] and spec["letters"] is False and spec["panels"][1]["map"] == "cam@388:1"
    # The picture is found beside the record.
    assert main(["figure", "--from", str(out.with_suffix(".json")), "--out", str(tmp_path / "again.pdf")]) == 0
    assert (tmp_path / "again.pdf").read_bytes() == out.read_bytes()
    assert (tmp_path / "again.json").read_bytes() == out.with_suffix(".json").read_bytes()
    assert loads[-1][0][0] == "tiny-tdam"


def test_again_without_a_name(
    loads: Any, photo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    out, record = tmp_path / "fig.pdf", str(tmp_path / "fig.json")
    assert main(["figure", str(photo), "--out", str(out), "--panels", "picture,class_map:1"]) == 0
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    capsys.readouterr()
    assert main(["figure", str(photo), "--from", record]) == 0
    assert capsys.readouterr().out.split() == [f"fig-again.{s}" for s in ("pdf", "json", "npz", "tex")]
    for suffix in (".pdf", ".json", ".npz"):
        assert (here / f"fig-again{suffix}").read_bytes() == out.with_suffix(suffix).read_bytes()
    assert main(["figure", str(photo), "--from", record]) == 1
    assert capsys.readouterr().err == ("searchlight: fig-again.pdf already exists; choose another file with --out.\n")
    (here / "fig-again.pdf").unlink()
    assert main(["figure", str(photo), "--from", record]) == 1
    assert main(["figure", str(photo), "--from", record, "--no-sidecars"]) == 0
    assert main(["figure", str(photo), "--from", record, "--out", "fig-again.pdf"]) == 0
    assert usage(["figure", str(photo)]) == 2
    assert usage(["figure", "--help"]) == 0
    assert "-again added" in " ".join(capsys.readouterr().out.split())
    svg = tmp_path / "other.svg"
    assert main(["figure", str(photo), "--out", str(svg), "--panels", "picture"]) == 0
    assert main(["figure", str(photo), "--from", str(svg.with_suffix(".json"))]) == 0
    assert (here / "other-again.svg").read_bytes() == svg.read_bytes()


def test_from_refuses(loads: Any, photo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "fig.png"
    assert main(["figure", str(photo), "--out", str(out), "--panels", "picture", "--no-sidecars"]) == 0
    assert not out.with_suffix(".json").exists()
    assert main(["figure", str(photo), "--out", str(out), "--panels", "picture"]) == 0
    record = out.with_suffix(".json")
    other = tmp_path / "other.png"
    Image.fromarray(scene(seed=1)).save(other)
    assert main(["figure", str(other), "--from", str(record), "--out", str(tmp_path / "x.pdf")]) == 1
    assert "not the picture" in capsys.readouterr().err
    data = json.loads(record.read_text())
    data["picture"]["name"] = "../../../etc/passwd"
    record.write_text(json.dumps(data))
    assert main(["figure", "--from", str(record), "--out", str(tmp_path / "x.pdf")]) == 1
    err = capsys.readouterr().err
    assert "passwd is not beside it" in err and "etc" not in err


@pytest.mark.parametrize(
    "arguments",
    [
        ["--panels", "class_map:9"],
        ["--panels", "nothing:2"],
        ["--class", "no such class"],
        ["--per-row", "9", "--panels", ",".join(["picture"] * 9)],
        ["--out", "none/fig.pdf"],
    ],
)
def test_what_cannot_be_done_is_1(
    loads: Any, photo: Path, arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    out = str(photo.with_name("fig.pdf"))
    assert main(["figure", str(photo), "--columns", "1", "--out", out, *arguments]) == 1
    err = capsys.readouterr().err
    assert err.startswith("searchlight: ") and "Traceback" not in err and len(err.splitlines()) == 1


def test_unknown_model_picture_and_checkpoint_are_1(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = ["--out", str(tmp_path / "f.pdf"), "--device", "cpu"]
    assert main(["figure", "x.jpg", "--model", "nothing", *out]) == 1
    assert main(["figure", "x.jpg", "--checkpoint", str(tmp_path / "no.pth"), *out]) == 1
    assert main(["figure", str(tmp_path / "no.jpg"), "--model", "lite0", *out]) == 1
    assert main(["figure", "x.jpg", "--model", "lite0", "--device", "abacus", *out[:2]]) == 1
    err = capsys.readouterr().err
    assert len(err.splitlines()) == 4 and "Traceback" not in err


def test_serve_passes_its_options_on(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[str, Any] = {}
    page = types.ModuleType("viz.page.serve")
    page.serve = lambda **options: seen.update(options)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "viz.page.serve", page)
    assert (
        main(["serve", "--port", "7000", "--no-browser", "--precision", "bfloat16", "--allow-host", "a.example"]) == 0
    )
    assert seen == {
        "host": "127.0.0.1", "port": 7000, "models": None, "device": "auto", "precision": "bfloat16",
        "open_browser": False, "allow_hosts": ["a.example"], "allow_frames": [],
    }  # fmt: skip


def test_interrupt_is_130(loads: Any, photo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("viz.run.export.trace_npz", stop)
    assert main(["trace", str(photo), "--out", str(tmp_path / "o")]) == 130
