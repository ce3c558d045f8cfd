"""``searchlight faithfulness``: wrong use is told at once, and a small run ends in numbers."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import pytest
from PIL import Image

from tests.tiny import scene
from viz.cli.faithfulness import add_faithfulness
from viz.errors import VizError


def run(*arguments: str) -> int:
    parser = argparse.ArgumentParser()
    add_faithfulness(parser.add_subparsers(dest="command"))
    args = parser.parse_args(["faithfulness", *arguments])
    return int(args.run(args))


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    folder.mkdir()
    for i in range(2):
        Image.fromarray(scene(64, 64, seed=i)).save(folder / f"{i}.png")
    (folder / "index.csv").write_text("image,label\n0.png,a\n1.png,b\nlost.png,b\n")
    return folder


def test_wrong_use(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    base = ["--data", str(data), "--model", "lite0", "--device", "cpu"]
    for more in (
        ["--json", str(tmp_path / "a.txt")],
        ["--json", str(tmp_path / "nowhere" / "a.json")],
        ["--json", str(tmp_path / "a.json"), "--points", "1"],
        ["--json", str(tmp_path / "a.json"), "--controls", "magic"],
        ["--json", str(tmp_path / "a.json"), "--window", "8"],
        ["--json", str(tmp_path / "a.json"), "--model", "lite0", "lite0"],
    ):
        with pytest.raises(SystemExit) as left:
            run(*base, *more)
        assert left.value.code == 2
    assert "must end in .json" in capsys.readouterr().err
    for more, why in (
        (["--model", "lite0-psa", "nope"], "nope"),
        (["--model", "lite0-psa", "lite0-ema", "--map", "attention:spatial_gate"], "spatial_gate"),
        (["--model", "lite0-psa", "--controls", "deletion", "--probe", "nope"], "no probe"),
    ):
        with pytest.raises(VizError, match=why):
            run(*base, *more, "--json", str(tmp_path / "b.json"))
        assert not (tmp_path / "b.json.rows").exists(), "told before the first model is measured"
    with pytest.raises(VizError, match="any of these maps"):
        run(*base, "--map", "attention", "--json", str(tmp_path / "a.json"))


def test_a_run(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, table = tmp_path / "out.json", tmp_path / "out.csv"
    few = ["--points", "2", "--random-maps", "1", "--device", "cpu"]
    arguments = ["--data", str(data), "--model", "lite0", "lite0-psa", "--controls", "reliance", "deletion", *few]
    arguments += ["--map", "cam", "attention", "--json", str(out), "--csv", str(table)]
    assert run(*arguments) == 0
    said = capsys.readouterr()
    assert "lite0 has no attention" in said.err and "1 of 3 pictures could not be used" in said.err
    found = json.loads(out.read_text())
    plain, gated = found["models"]
    assert [m["model"] for m in found["models"]] == ["lite0", "lite0-psa"]
    assert not any(s["control"] == "reliance" for s in plain["table"])
    assert {s["source"] for s in gated["table"] if s["control"] == "deletion"} == {"cam", "spatial_gate"}
    drop = [s for s in gated["table"] if s["measure"] == "probability_drop"]
    # Neither of PSA's gates has a neutral value alone.
    without = {s["variant"] for s in drop if s["n"] == 0}
    assert without == {"channel_gate: neutral", "spatial_gate: neutral"} and len(drop) == 12
    assert all(s["n"] == 2 and s["low"] <= s["mean"] <= s["high"] for s in drop if s["variant"] not in without)
    assert gated["failed_count"] == 1 and plain["picture_bytes"] == gated["picture_bytes"]
    assert gated["failed"][0][0] == "lost.png" and set(found["words"]) == {"reliance", "deletion"}
    assert len(table.read_text().splitlines()) == 1 + len(plain["table"]) + len(gated["table"])
    before = out.read_bytes()
    assert run(*arguments) == 0 and out.read_bytes() == before
    # A picture that could not be read is tried again.
    assert "1 of 3 pictures could not be used" in capsys.readouterr().err
