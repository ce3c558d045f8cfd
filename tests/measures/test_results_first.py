"""Hours of work are not lost to what comes after them: the result's file is written first, whatever a report does, and
a backend of a notebook that is not there ends no command."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import pytest
from PIL import Image

import viz.measures.faithfulness.tables as faithfulness_tables_module
import viz.measures.localization.report as report_module
import viz.measures.localization.report_html as html_module
from tests.localization_data import write_dataset
from tests.tiny import scene
from viz.cli import main
from viz.errors import VizError
from viz.measures.intervals import Bootstrap
from viz.measures.localization.results import to_bytes

ROOT = Path(__file__).parents[2]
NOTEBOOK = "module://matplotlib_inline.backend_inline"
# What each command needs beside a picture, a data set and a folder, and the file that must be there afterwards.
COMMANDS: dict[str, tuple[str, str]] = {
    "trace": ("trace P --model lite0 --out O", "p.json"),
    "figure": ("figure P --model lite0 --out O/f.pdf", "f.pdf"),
    "attribution": ("figure P --model lite0 --panels picture,gradcam --out O/f.pdf", "f.pdf"),
    "compare": ("compare P --model lite0 --model lite0-psa --out O", "p-agreement.json"),
    "evaluate": (
        "evaluate --data D --split val --model lite0 --map cam gradcam --folds 2 --json O/r.json --html O/r.html",
        "r.html",
    ),
    "faithfulness": (
        "faithfulness --data D --split val --model lite0 --controls stability --draws 1 --samples 1 --limit 1 "
        "--json O/r.json",
        "r.json",
    ),
}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_dataset(tmp_path_factory.mktemp("data") / "set", 2, splits=("val",))


# Each job in a process of its own, which need not import torch again; Matplotlib it imports itself.
_EACH = """
import json, os, sys
import torch, viz.cli
assert "matplotlib" not in sys.modules
for number, (backend, folder, words) in enumerate(json.loads(sys.argv[1])):
    if child := os.fork():
        os.waitpid(child, 0)
        continue
    os.environ.update({"MPLBACKEND": backend} if backend else {})
    sys.path[:0] = [folder] if folder else []
    with open(os.path.join(sys.argv[2], f"{number}.txt"), "w") as said:
        os.dup2(said.fileno(), 2)
        if words:
            code = viz.cli.main(words)
        else:
            import viz.figures, matplotlib
            code = (matplotlib.rcParams._get_backend_or_none(), os.environ["MPLBACKEND"])
        print("exit", code, file=sys.stderr, flush=True)
    os._exit(0)
"""
# Name, and the backend that is set. No words of a command: what is set is asked for.
AWAY = (*((name, NOTEBOOK) for name in COMMANDS), ("figure", "nonsense"))
THERE = (("svg", "svg"), ("nonsense", None))
BROKEN = ("evaluate", "faithfulness")
Ran = dict[tuple[str, ...], tuple[Path, str]]


@pytest.fixture(scope="module")
def ran(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Ran:
    """Of each job, its folder and what it said."""
    if not hasattr(os, "fork"):
        pytest.skip("this system cannot fork")
    base = tmp_path_factory.mktemp("ran")
    Image.fromarray(scene()).save(base / "p.png")
    (base / "broken").mkdir()
    (base / "broken" / "matplotlib.py").write_text("raise RuntimeError('broken')\n")
    jobs: dict[tuple[str, ...], tuple[str, str, list[str]]] = {}

    def command(*key: str, backend: str = "", folder: str = "", text: str) -> None:
        out = base / str(len(jobs))
        out.mkdir()
        places = {"P": str(base / "p.png"), "D": str(data), "O": str(out)}
        words = ["/".join(places.get(part, part) for part in word.split("/")) for word in text.split()]
        jobs[key] = (backend, folder, [*words, "--device", "cpu"])

    for name, backend in AWAY:
        command("away", name, backend, backend=backend, text=COMMANDS[name][0])
    more = {"evaluate": "--folds 2", "faithfulness": "--controls deletion --points 2 --limit 1"}
    for name in BROKEN:
        text = f"{name} --data D --split val --model lite0 --json O/r.json {more[name]}"
        command("broken", name, folder=str(base / "broken"), text=text)
    for named, _ in THERE:
        jobs["there", named] = (named, "", [])
    env = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    asked = json.dumps(list(jobs.values()))
    subprocess.run([sys.executable, "-c", _EACH, asked, str(base)], check=True, env=env, timeout=300)
    return {key: (base / str(i), (base / f"{i}.txt").read_text()) for i, key in enumerate(jobs)}


@pytest.mark.parametrize(("name", "backend"), AWAY)
def test_a_backend_that_is_not_there_ends_no_command(ran: Ran, name: str, backend: str) -> None:
    folder, said = ran["away", name, backend]
    assert said.endswith("exit 0\n") and "Traceback" not in said
    assert (folder / COMMANDS[name][1]).stat().st_size > 100


@pytest.mark.parametrize(("named", "chosen"), THERE)
def test_a_backend_that_is_there_stays_chosen(ran: Ran, named: str, chosen: str | None) -> None:
    assert ran["there", named][1] == f"exit {(chosen, named)}\n"


@pytest.mark.parametrize("name", BROKEN)
def test_results_need_no_library_of_figures(ran: Ran, name: str) -> None:
    """A Matplotlib that cannot be imported at all costs the commands over data sets nothing."""
    folder, said = ran["broken", name]
    assert said.endswith("exit 0\n"), said
    assert json.loads((folder / "r.json").read_text())["kind"] == name.replace("evaluate", "evaluation")


def _breaks(error: Exception) -> Callable[..., NoReturn]:
    def broken(*arguments: Any) -> NoReturn:
        raise error

    return broken


@pytest.mark.parametrize("error", [ZeroDivisionError("x"), OSError("y"), VizError("No report today.")])
def test_a_report_that_fails_costs_neither_the_result_nor_the_others(
    error: Exception, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for module, name in ((report_module, "to_csv"), (html_module, "to_html"), (report_module, "to_latex")):
        monkeypatch.setattr(module, name, _breaks(error))
    out = {ending: tmp_path / f"r.{ending}" for ending in ("json", "csv", "tex", "md", "html")}
    command = ["evaluate", "--data", str(data), "--split", "val", "--model", "lite0", "--device", "cpu", "--folds", "2"]
    reports = ["--csv", str(out["csv"]), "--latex", str(out["tex"]), "--html", str(out["html"])]
    assert main([*command, "--json", str(out["json"]), *reports, "--markdown", str(out["md"])]) == 1
    said = capsys.readouterr()
    assert json.loads(out["json"].read_text())["rows"] and out["md"].read_text()
    assert not any(out[ending].exists() for ending in ("csv", "tex", "html"))
    lines = [line for line in said.err.splitlines() if line.startswith("searchlight:") and str(out["json"]) in line]
    assert len(lines) == 3 and said.out.split() == [str(out["json"]), str(out["md"])]
    wanted = str(error) if isinstance(error, VizError) else type(error).__name__
    assert all(wanted in line for line in lines)
    monkeypatch.undo()
    before = out["json"].read_bytes()
    assert main([*command, "--json", str(out["json"]), *reports]) == 0 and out["csv"].is_file()
    assert out["json"].read_bytes() == before


def test_a_table_of_the_controls_that_fails_costs_nothing_else(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(faithfulness_tables_module, "to_markdown", _breaks(KeyError("x")))
    command = ["faithfulness", "--data", str(data), "--split", "val", "--model", "lite0", "--device", "cpu"]
    command += ["--controls", "deletion", "--points", "2", "--limit", "1", "--json", str(tmp_path / "r.json")]
    assert main([*command, "--markdown", str(tmp_path / "r.md"), "--csv", str(tmp_path / "r.csv")]) == 1
    assert json.loads((tmp_path / "r.json").read_text())["models"] and (tmp_path / "r.csv").is_file()
    said = capsys.readouterr().err
    assert "could not be made (KeyError)" in said and "Traceback" not in said


def test_a_report_that_cannot_be_written_is_one_sentence(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def away(result: Any) -> str:
        (tmp_path / "sub").rename(tmp_path / "gone")
        return "text"

    (tmp_path / "sub").mkdir()
    monkeypatch.setattr(report_module, "to_markdown", away)
    command = ["evaluate", "--data", str(data), "--split", "val", "--model", "lite0", "--device", "cpu", "--folds", "2"]
    assert main([*command, "--json", str(tmp_path / "r.json"), "--markdown", str(tmp_path / "sub" / "r.md")]) == 1
    assert (tmp_path / "r.json").is_file() and "cannot be written to" in capsys.readouterr().err


def test_a_result_that_json_cannot_hold_is_a_sentence() -> None:
    with pytest.raises(VizError, match="not finite"):
        to_bytes(Bootstrap(float("nan"), 1000, "words"))
