"""Golden cases of the command line: trace, figure, compare, evaluate and faithfulness."""

from __future__ import annotations

import io
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

from tests.golden.cases import Case, GoldenError, Tools
from tests.golden.inside import ASSETS, BUNDLED, ROOT
from viz.cli import main

CLUTTER, PANDA, ASTRONAUT = (str(ASSETS / name) for name in ("clutter.jpg", "panda.jpg", "astronaut.jpg"))
CPU = ("--device", "cpu")
# Few points of the methods that take many passes.
FEWER = ("--n-steps", "8", "--stride", "32")
QUICK = ("trace/lite0-tdam", "trace/lite0-psa", "figure/lite0-ema", "compare/folder")
ATTRIBUTED = ("gradcam", "integrated_gradients", "guided_backprop", "occlusion")
OWN_MAPS = (
    *("class_map", "spatial_gate", "spatial_score", "mean(group_gate)", "total(structured)"),
    "departure(kernel_attention)",
)


def cases() -> list[Case]:
    """The cases."""
    return [Case(name, fill, name in QUICK) for name, fill in (*_traces(), *_figures(), *_comparisons(), *_sets())]


Named = tuple[str, Callable[[Path, Tools], None]]


def run(folder: Path, *arguments: str) -> None:
    """Run a command in this process; what it prints becomes a file, too."""
    said, noted = io.StringIO(), io.StringIO()
    with redirect_stdout(said), redirect_stderr(noted):
        code = main([*arguments, *CPU])
    with (folder / "printed.txt").open("a", encoding="utf-8") as file:
        file.write(said.getvalue().replace(str(folder), "FOLDER"))
    if code:
        raise GoldenError(f"{' '.join(arguments)} ended with {code}: {noted.getvalue()}")


def _traces() -> Iterator[Named]:
    def trace(*arguments: str) -> Callable[[Path, Tools], None]:
        return lambda folder, tools: run(folder, "trace", *arguments, "--out", str(folder))

    for model in BUNDLED:
        yield f"trace/{model}", trace(CLUTTER, PANDA, "--model", model)
    for model, geometry in (("lite0-ema", "squash"), ("lite0-tdam", "letterbox"), ("lite0-psa", "center_crop")):
        yield f"trace/{model}-{geometry}", trace(ASTRONAUT, "--model", model, "--geometry", geometry)
    yield (
        "trace/published",
        lambda folder, tools: run(folder, "trace", PANDA, "--checkpoint", str(tools.checkpoint), "--out", str(folder)),
    )


def _figures() -> Iterator[Named]:
    def formats(*arguments: str, endings: Sequence[str] = ("png", "svg", "pdf")) -> Callable[[Path, Tools], None]:
        def fill(folder: Path, tools: Tools) -> None:
            for ending in endings:
                run(folder, "figure", *arguments, "--dpi", "150", "--out", str(folder / f"figure.{ending}"))

        return fill

    for model in BUNDLED:
        yield f"figure/{model}", formats(CLUTTER, "--model", model)
    panels = "picture,class_map@giant panda," + ",".join(f"{method}@giant panda" for method in ATTRIBUTED)
    yield "figure/attributions", formats(CLUTTER, "--model", "lite0-psa", "--panels", panels, *FEWER, endings=["pdf"])
    look = (
        *("--preset", "ieee", "--columns", "1", "--per-row", "2", "--palette", "viridis", "--scale", "image"),
        *("--interpolation", "cells", "--opacity", "0.8", "--threshold", "0.4", "--components", "all"),
        *("--view", "seen", "--font", "sans", "--no-letters", "--no-colour-bar", "--no-crop-frame"),
    )
    panels = "picture,class_map:1,class_map:2,spatial_gate:2,boxes:2,boxes:all"
    yield "figure/look", formats(ASTRONAUT, "--model", "lite0-tdam", "--panels", panels, *look)
    fixed = ("--fixed", "0", "12", "--palette", "grey", "--interpolation", "bicubic", "--no-titles")
    yield "figure/fixed", formats(PANDA, "--model", "lite0-vista", "--panels", "class_map:1,class_map:3", *fixed)
    yield "figure/again", _figure_again


def _figure_again(folder: Path, tools: Tools) -> None:
    """A record makes the same bytes again."""
    first, again = folder / "first.pdf", folder / "again.pdf"
    run(folder, "figure", PANDA, "--checkpoint", str(tools.checkpoint), "--out", str(first))
    record = str(folder / "first.json")
    run(folder, "figure", PANDA, "--from", record, "--checkpoint", str(tools.checkpoint), "--out", str(again))
    _same([first], [again])


def _comparisons() -> Iterator[Named]:
    def compare(*arguments: str, models: tuple[str, ...]) -> Callable[[Path, Tools], None]:
        named = [word for model in models for word in ("--model", model)]
        return lambda folder, tools: run(folder, "compare", *arguments, *named, "--out", str(folder))

    six = ("--class", "giant panda", "--scale", "each", "--step", "3", "--no-boxes")
    maps = [word for name in OWN_MAPS for word in ("--map", name)]
    yield "compare/six", compare(CLUTTER, *six, *maps, models=BUNDLED)
    yield (
        "compare/folder",
        compare(CLUTTER, PANDA, "--format", "png", "--dpi", "100", models=("lite0", "lite0-psa", "lite0-vista")),
    )
    maps = [word for name in ("class_map", *ATTRIBUTED) for word in ("--map", name)]
    more = ("--format", "svg", "--box", "20,30,180,200", "--threshold", "0.4", "--components", "all", *FEWER)
    yield "compare/attributions", compare(PANDA, *more, *maps, models=("lite0-ema",) * 5)
    yield "compare/again", _compare_again


def _compare_again(folder: Path, tools: Tools) -> None:
    first, again = folder / "first", folder / "again"
    models = ("--model", "lite0", "--model", "lite0-tdam")
    run(folder, "compare", ASTRONAUT, *models, "--interpolation", "bicubic", "--out", str(first))
    run(folder, "compare", ASTRONAUT, "--from", str(first / "astronaut.json"), "--out", str(again))
    _same([first / "astronaut.pdf"], [again / "astronaut.pdf"])


def _sets() -> Iterator[Named]:
    yield "evaluate/processes", _evaluate
    yield "evaluate/published", _evaluate_published
    yield "faithfulness/processes", _faithfulness
    yield "faithfulness/controls", _faithfulness_controls
    yield "faithfulness/maps", _faithfulness_maps


def _evaluate(folder: Path, tools: Tools) -> None:
    models = ("lite0", "lite0-tdam", "lite0-ema")
    asked = ("--model", *models, "--source", "cam", "attention", "gradcam", "--folds", "3", "--batch", "2")
    with_processes(folder, tools, "evaluate", *asked, endings=("json", "csv", "latex", "markdown", "html"))


def _evaluate_published(folder: Path, tools: Tools) -> None:
    asked = ("--model", str(tools.checkpoint), "--source", "cam", "attention", "occlusion", "--classes", "predicted")
    more = ("--same-pictures", "--window", "64", "--stride", "64", "--limit", "3")
    arguments = [word for kind in ("json", "csv") for word in (f"--{kind}", str(folder / f"result.{kind}"))]
    run(folder, "evaluate", "--data", str(tools.data), "--split", "val", *asked, *more, *arguments)


def _faithfulness(folder: Path, tools: Tools) -> None:
    few = ("--controls", "reliance", "deletion", "--points", "3", "--random-maps", "1")
    asked = ("--model", "lite0-psa", "--source", "attention", "--limit", "3", *few)
    with_processes(folder, tools, "faithfulness", *asked, endings=("json", "csv", "markdown"))


def _faithfulness_controls(folder: Path, tools: Tools) -> None:
    """All controls."""
    few = ("--points", "3", "--road-points", "2", "--random-maps", "1", "--draws", "2", "--samples", "2")
    asked = ("--model", "lite0-psa", "--source", "attention", "--limit", "2", *few)
    arguments = [word for kind in ("json", "csv") for word in (f"--{kind}", str(folder / f"result.{kind}"))]
    run(folder, "faithfulness", "--data", str(tools.data), "--split", "val", *asked, *arguments)


def _faithfulness_maps(folder: Path, tools: Tools) -> None:
    few = ("--points", "3", "--random-maps", "1", "--limit", "2", "--unit", "cells", "--classes", "label")
    models = ("lite0", "lite0-tdam", "lite0-vista", "lite0-paka")
    asked = ("--model", *models, "--source", "cam", "gradcam", "--controls", "reliance", "deletion", "insertion", *few)
    arguments = [word for kind in ("json", "csv") for word in (f"--{kind}", str(folder / f"result.{kind}"))]
    run(folder, "faithfulness", "--data", str(tools.data), "--split", "val", *asked, *arguments)


def with_processes(folder: Path, tools: Tools, command: str, *arguments: str, endings: tuple[str, ...]) -> None:
    """A command over a data set with one, two and three processes; all must write the same bytes, kept once."""
    suffixes = {"latex": "tex", "markdown": "md"}
    files: dict[int, list[Path]] = {}
    for count in (1, 2, 3):
        (out := folder / str(count)).mkdir()
        files[count] = [out / f"result.{suffixes.get(kind, kind)}" for kind in endings]
        written = [w for kind, f in zip(endings, files[count], strict=True) for w in (f"--{kind}", str(f))]
        asked = ("--data", str(tools.data), "--split", "val", *arguments, *written)
        if count == 1:
            run(folder, command, *asked)
        else:
            torchrun(count, command, *asked)
        _same(files[1], files[count])
    for count in (2, 3):
        shutil.rmtree(folder / str(count))


def torchrun(processes: int, *arguments: str) -> None:
    """A command on several processes."""
    head = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    done = subprocess.run([*head, "-m", "viz", *arguments, *CPU], cwd=ROOT, capture_output=True, check=False)
    if done.returncode:
        raise GoldenError(f"{arguments[0]} with {processes} processes: {done.stderr.decode()[-2000:]}")


def _same(ours: list[Path], others: list[Path]) -> None:
    for a, b in zip(ours, others, strict=True):
        if a.read_bytes() != b.read_bytes():
            raise GoldenError(f"{a.parent.name}/{a.name} and {b.parent.name}/{b.name} differ.")
