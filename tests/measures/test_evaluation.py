"""Evaluation of a data set: the same result however it is run, and numbers that hand-made maps must give."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

import viz.measures.localization.task as task_module
from tests.counting_task import Numbers
from tests.localization_data import write_dataset
from viz.cli import main
from viz.datasets import open_dataset
from viz.errors import VizError
from viz.measures.intervals import interval
from viz.measures.jobs.journal import Journal, line_of, read_line
from viz.measures.jobs.processes import whoami
from viz.measures.jobs.runner import run
from viz.measures.localization.options import Options, sources_of
from viz.measures.localization.protocol import Thresholds
from viz.measures.localization.report import to_markdown
from viz.measures.localization.results import Result, Row, from_bytes, to_bytes
from viz.measures.localization.run import evaluate, plan, some_of
from viz.measures.localization.tuning import best_level, folds_of, levels_for

ROOT = Path(__file__).parents[2]
ENV = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}


# --- journal -------------------------------------------------------------------------------------------------------


def test_a_line_that_was_cut_off_or_changed_is_no_line() -> None:
    line = line_of(3, [{"i": 1, "x": 0.5}])
    assert read_line(line) == (3, [{"i": 1, "x": 0.5}])
    assert read_line(line[:-5]) is None and read_line(line[:-1]) is None
    assert read_line(line.replace("0.5", "0.6")) is None and read_line("\n") is None
    with pytest.raises(ValueError, match="JSON"):
        line_of(0, [{"x": float("nan")}])


def _part(folder: Path) -> Path:
    """The one part of a run of one process."""
    (part,) = folder.glob("part-*-00000.jsonl")
    return part


def test_a_journal_drops_what_a_kill_cut_off_and_counts_a_chunk_once(tmp_path: Path) -> None:
    first = Journal(tmp_path / "rows", {"a": 1})
    first.add(0, [{"i": 0}])
    first.add(1, [{"i": 1}])
    first.close()
    part = _part(tmp_path / "rows")
    part.write_text(part.read_text() + line_of(2, [{"i": 2}])[:-9])
    # Another process did chunk 1 as well.
    part.with_name(part.name.replace("00000", "00001")).write_text(line_of(1, [{"i": 1}]))
    again = Journal(tmp_path / "rows", {"a": 1})
    assert again.done() == {0, 1}
    assert again.forget().damaged == 1
    again.add(2, [{"i": 2}])
    again.close()
    assert sorted(r["i"] for r in Journal(tmp_path / "rows", {"a": 1}).rows()) == [0, 1, 2]


def test_a_damaged_line_costs_its_own_chunk_only(tmp_path: Path) -> None:
    run(Numbers(), tmp_path / "rows")
    part = _part(tmp_path / "rows")
    data = bytearray(part.read_bytes())
    data[len(data) // 2] = 0xFF
    part.write_bytes(bytes(data))
    again = Numbers()
    assert sorted(r["i"] for r in run(again, tmp_path / "rows").rows()) == list(range(7))
    assert 1 <= len(again.ran) <= 2


def test_a_folder_of_another_request_or_another_run_is_refused(tmp_path: Path) -> None:
    first = Journal(tmp_path / "rows", {"a": 1})
    with pytest.raises(VizError, match="Another run is using"):
        Journal(tmp_path / "rows", {"a": 1})
    first.close()
    with pytest.raises(VizError, match="other options"):
        Journal(tmp_path / "rows", {"a": 2})
    (tmp_path / "file").write_text("")
    with pytest.raises(VizError, match="cannot be used"):
        Journal(tmp_path / "file", {"a": 1})


def test_rows_that_vanish_while_a_run_is_at_work_are_no_result(tmp_path: Path) -> None:
    class Robbed(Numbers):
        def run(self, chunk: int) -> list[dict[str, Any]]:
            if chunk == 5:
                _part(tmp_path / "rows").unlink()
            return super().run(chunk)

    with pytest.raises(VizError, match="disappeared"):
        run(Robbed(), tmp_path / "rows")


def test_a_run_goes_on_where_it_stopped(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []

    def begin(left: int, done: int) -> Callable[[int], None]:
        seen.append((left, done))
        return lambda count: None

    with pytest.raises(KeyboardInterrupt):
        run(Numbers(stop_at=4), tmp_path / "rows", begin=begin)
    second = Numbers()
    rows = list(run(second, tmp_path / "rows", begin=begin).rows())
    assert second.ran == [4, 5, 6] and [r["i"] for r in rows] == list(range(7))
    assert seen == [(14, 0), (6, 8)]


# --- sources, thresholds, folds ------------------------------------------------------------------------------------


def test_folds_keep_a_picture_together_and_do_not_depend_on_order() -> None:
    groups = [f"p{i // 2}" for i in range(40)]
    folds = folds_of(groups, 5)
    assert all(folds[2 * i] == folds[2 * i + 1] for i in range(20)) and np.bincount(folds).tolist() == [8] * 5
    assert dict(zip(groups, folds, strict=True)) == dict(zip(groups[::-1], folds_of(groups[::-1], 5), strict=True))


def test_a_threshold_comes_from_the_other_folds() -> None:
    counts = np.array([[0, 0, 9, 0], [0, 5, 0, 0], [0, 5, 0, 0]])
    assert levels_for(counts, "cross-validated").tolist() == [1, 2, 2]
    assert levels_for(counts, "same").tolist() == [1, 1, 1]
    assert levels_for(counts, "split", np.array([0, 0, 0, 3])).tolist() == [3, 3, 3]
    assert best_level(np.array([1, 4, 4, 4, 2])) == 2


def test_the_bootstrap_draws_pictures_not_views() -> None:
    values = np.repeat(np.arange(10) % 2, 20).astype(float)
    alone, grouped = interval(values), interval(values, np.repeat(np.arange(10), 20).tolist())
    assert alone.value == grouped.value == 0.5
    assert grouped.high - grouped.low > 3 * (alone.high - alone.low)
    assert interval([]).n == 0 and interval([np.nan, 1.0]).n == 1


# --- evaluation with hand-made maps --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_dataset(tmp_path_factory.mktemp("data") / "set")


@pytest.fixture(scope="module")
def few(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five pictures: three chunks of two, of which the last is not full."""
    return write_dataset(tmp_path_factory.mktemp("few") / "set", 5)


Draw = Callable[[Any], NDArray[np.float32]]


def _with_maps(monkeypatch: pytest.MonkeyPatch, draw: Draw) -> None:
    """Let every source give `draw(trace)`."""

    def maps(model: Any, source: Any, traces: Sequence[Any], **rest: Any) -> list[NDArray[np.float32]]:
        return [draw(t) for t in traces]

    monkeypatch.setattr(task_module, "native_maps", maps)


def _result(data: Path, folder: Path, **options: Any) -> Result:
    found = plan(["lite0"], open_dataset(data, "val"), Options(batch=4, **options), folds=3, device="cpu")
    result = evaluate(found, folder)
    assert result is not None
    return result


def _row(result: Result, source: str) -> Row:
    return next(r for r in result.rows if r.source == source)


def _truth(trace: Any) -> NDArray[np.float32]:
    height, width = trace.picture.size
    y, x = np.mgrid[0:224, 0:224]
    reach = min(height, width) / 6
    inside = (((y + 0.5) * height / 224 - height / 3) ** 2 + ((x + 0.5) * width / 224 - width / 4) ** 2) < reach**2
    return inside.astype(np.float32)


def test_perfect_maps_are_right_and_empty_ones_are_not(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _with_maps(monkeypatch, _truth)
    perfect = _row(_result(data, tmp_path / "a"), "cam")
    assert perfect.boxes.max.v1 == {"30": 100.0, "50": 100.0, "70": 100.0}
    assert perfect.boxes.gt_known.value == 100.0 and perfect.pxap.value > 90  # masks are resized
    assert perfect.n == 9 and perfect.n_masks == 9
    _with_maps(monkeypatch, lambda trace: np.full((7, 7), np.nan, np.float32))
    nothing = _row(_result(data, tmp_path / "b"), "cam")
    assert nothing.boxes.max.v2["30"] == 0.0 and nothing.pxap.value < 20


def test_top1_localization_needs_the_class_as_well(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _with_maps(monkeypatch, _truth)
    result = _result(data, tmp_path / "rows")
    row = _row(result, "cam").boxes
    top1 = result.models[0].classification[0].top1.value
    # Every box is right, so top-1 localization is top-1 itself (drawn discs are no tench).
    assert row.top1_loc.value == top1 < 50 and row.gt_known.value == 100


def test_floors_stand_first_and_do_not_look_at_the_map(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _with_maps(monkeypatch, _truth)
    one = _result(data, tmp_path / "a")
    _with_maps(monkeypatch, lambda trace: np.eye(7, dtype=np.float32))
    two = _result(data, tmp_path / "b")
    assert [r.source for r in one.rows] == ["centre_box", "centre_gaussian", "cam"]
    for name in ("centre_box", "centre_gaussian"):
        a, b = _row(one, name), _row(two, name)
        assert a.model is None and a.boxes.max == b.boxes.max and a.boxes.top1_loc is None
    assert _row(one, "centre_box").boxes.difference.value == -100.0


def test_a_broken_and_a_missing_picture_are_counted_and_named(tmp_path: Path) -> None:
    root = write_dataset(tmp_path / "set", 6)
    (root / "images" / "val_001.png").write_bytes(b"no picture")
    (root / "images" / "val_004.png").unlink()
    result = _result(root, tmp_path / "rows")
    assert result.data.failed_count == 2 and result.data.samples == 6
    reasons = {f["id"]: f["reason"] for f in result.data.failed}
    assert "does not exist" in reasons["images/val_004.png"] and "not a picture" in reasons["images/val_001.png"]
    assert _row(result, "cam").n == 4 and any("2 of 6" in n for n in result.notes)


def test_a_picture_that_came_back_is_read_again(tmp_path: Path) -> None:
    root = write_dataset(tmp_path / "set", 4)
    lost = root / "images" / "val_002.png"
    lost.rename(root / "away.png")
    assert _result(root, tmp_path / "rows").data.failed_count == 1
    (root / "away.png").rename(lost)
    back = _result(root, tmp_path / "rows")
    assert back.data.failed_count == 0 and _row(back, "cam").n == 4


def test_other_bytes_between_two_models_are_noticed(tmp_path: Path) -> None:
    root = write_dataset(tmp_path / "set", 4)
    made = plan(["lite0", "lite0-psa"], open_dataset(root, "val"), Options(batch=4), folds=2, device="cpu")

    def begin(left: int, done: int) -> Callable[[int], None]:
        def after(count: int) -> None:
            (root / "images" / "val_003.png").write_bytes((root / "images" / "val_000.png").read_bytes())

        return after

    with pytest.raises(VizError, match="changed during"):
        evaluate(made, tmp_path / "rows", begin=begin)
    again, fresh = evaluate(made, tmp_path / "rows"), evaluate(made, tmp_path / "fresh")
    assert again is not None and fresh is not None and to_bytes(again) == to_bytes(fresh)


def test_an_answer_without_numbers_is_no_right_answer() -> None:
    assert task_module._rank(np.full(5, np.nan, np.float32), 0) == 5
    assert task_module._rank(np.array([1, 3, 3, 0], np.float32), 1) == 0
    assert task_module._rank(np.array([1, 3, 3, 0], np.float32), 2) == 1


def test_when_nothing_can_be_read_or_tuned_on_the_run_says_so(tmp_path: Path) -> None:
    root = write_dataset(tmp_path / "set", 3)
    for path in (root / "images").glob("tune_*"):
        path.unlink()
    val, tune = open_dataset(root, "val"), open_dataset(root, "tune")
    with pytest.raises(VizError, match="thresholds are tuned on"):
        evaluate(plan(["lite0"], val, Options(), tune_on=tune, device="cpu"), tmp_path / "a")
    with pytest.raises(VizError, match="None of the 3 samples"):
        evaluate(plan(["lite0"], tune, Options(), folds=2, device="cpu"), tmp_path / "b")


def test_blocks_that_are_freed_stay_with_the_process() -> None:
    """Freed blocks of 16 MiB come back without the kernel clearing them again: no new page faults."""
    code = (
        "import resource, sys, numpy as np\n"
        "from viz.allocator import keep_memory\n"
        "done = keep_memory() if sys.argv[1] == 'keep' else False\n"
        "def turn(): np.ones(2 * 2**20)\n"
        "turn(); turn()\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt\n"
        "for _ in range(20): turn()\n"
        "print(done, resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)"
    )
    found = []
    for how in ("keep", "leave"):
        command = [sys.executable, "-c", code, how]
        done = subprocess.run(command, env=ENV, check=True, capture_output=True, text=True, timeout=60)
        found.append(done.stdout.split())
    (kept, few), (_, many) = found
    if kept == "True":  # glibc
        assert int(few) < 100 and int(few) <= int(many)


def _rewritten(root: Path, change: Callable[[int, dict[str, str]], None]) -> Path:
    """A data set's index, row by row."""
    with (root / "index.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    for i, row in enumerate(rows):
        change(i, row)
    with (root / "index.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return root


def test_what_is_changed_in_a_sample_or_left_out_is_told(tmp_path: Path) -> None:
    def change(i: int, row: dict[str, str]) -> None:
        row["width"] = row["height"] = ""
        row["boxes"] = {0: "[[10, 10, 900, 50]]", 1: "[[500, 10, 900, 50]]"}.get(i, row["boxes"])

    root = _rewritten(write_dataset(tmp_path / "set", 6, splits=("val",)), change)
    for i in (2, 3):
        path = root / "masks" / f"val_00{i}.png"
        Image.fromarray(np.zeros_like(np.asarray(Image.open(path)))).save(path)
    whole = open_dataset(root, "val")
    result = evaluate(plan(["lite0"], whole, Options(), folds=2, device="cpu"), tmp_path / "rows")
    assert result is not None and result.data.chosen_of is None
    assert (result.data.boxes_cut, result.data.empty_masks) == (2, 2)
    assert {(r.n, r.n_masks) for r in result.rows} == {(5, 0), (5, 4)}, "a box outside the picture is no box"
    some = evaluate(plan(["lite0"], some_of(whole, 4), Options(), folds=2, device="cpu"), tmp_path / "some")
    assert some is not None and some.data.chosen_of == 6
    assert "4 pictures, chosen of 6" in to_markdown(some) and any("4 of 6 samples" in n for n in some.notes)
    assert "chosen of" not in to_markdown(result) and some_of(whole, 6) is whole


def test_masks_alone_need_no_threshold_and_say_so(tmp_path: Path) -> None:
    def change(i: int, row: dict[str, str]) -> None:
        row["boxes"] = ""

    data = open_dataset(_rewritten(write_dataset(tmp_path / "set", 3, splits=("val",)), change), "val")
    result = evaluate(plan(["lite0"], data, Options(), folds=5, device="cpu"), tmp_path / "rows")
    assert result is not None
    said = to_markdown(result)
    assert "n = 3" in said and "none is chosen" in said and "fold" not in said
    assert "200 draws" in said and "1000" not in said


def test_all_rows_are_over_the_same_samples_and_labels_that_are_no_class_are_counted(tmp_path: Path) -> None:
    root = write_dataset(tmp_path / "set", 6)
    index = root / "index.csv"
    index.write_text(index.read_text().replace("n02102040", "no_such_class"))
    val, models = open_dataset(root, "val"), ["lite0-psa", "lite0"]
    chosen = plan(models, val, Options(sources_of(["cam", "attention"])), folds=2, device="cpu")
    assert chosen.left_out == (("lite0", "attention", "it has no such map"),)
    result = evaluate(chosen, tmp_path / "rows")
    assert result is not None and result.data.index_problems == {"not an ImageNet class": 2}
    assert [(r.model, r.source, r.n) for r in result.rows] == [
        (None, "centre_box", 4),
        (None, "centre_gaussian", 4),
        ("lite0-psa", "cam", 4),
        ("lite0-psa", "attention", 4),
        ("lite0", "cam", 4),
    ]
    assert result.rows[3].title == "own attention: spatial gate"
    twice = plan(models, val, Options(sources_of(["cam", "cam:1"])), folds=2, device="cpu")
    assert [len(found) for found in twice.sources] == [1, 1]
    assert twice.left_out[0] == ("lite0-psa", "cam:1", "it is the same as cam here")
    # Attention asks for no class: every picture counts.
    alone = plan(["lite0-psa"], val, Options(sources_of(["attention"])), folds=2, device="cpu")
    every = evaluate(alone, tmp_path / "alone")
    assert every is not None and every.rows[2].n == 6 and every.data.without_class == 2
    index.write_text(index.read_text().replace("n01440764", "odd").replace("n03028079", "odd"))
    with pytest.raises(VizError, match="No label"):
        plan(models, open_dataset(root, "val"), Options(), device="cpu")


def test_tdam_has_a_row_a_step_and_the_union_of_its_steps(data: Path, tmp_path: Path) -> None:
    chosen = plan(
        ["lite0-tdam"],
        open_dataset(data, "val"),
        Options(sources_of(["cam:1", "cam:2", "attention:spatial_gate"])),
        tune_on=open_dataset(data, "tune"),
        device="cpu",
    )
    result = evaluate(chosen, tmp_path / "rows")
    assert result is not None
    assert [(r.source, r.step) for r in result.rows[2:]] == [
        ("cam:1", 1),
        ("cam:2", 2),
        ("spatial_gate", 3),
    ]
    model = result.models[0]
    assert len(model.classification) == 3
    best = max(s.top5.value for s in model.classification)
    assert model.union["unfiltered"]["top5"].value >= best >= 0
    assert result.tuning.mode == "split" and result.tuning.split == "tune"
    assert from_bytes(to_bytes(result)) == result


def test_the_fine_sweep_holds_the_coarse_one(data: Path, tmp_path: Path) -> None:
    coarse = _row(_result(data, tmp_path / "a"), "cam").boxes.curve
    fine = _row(_result(data, tmp_path / "b", interval=0.001), "cam").boxes.curve
    assert len(fine.thresholds) == len(Thresholds(0.001).levels) == 255
    place = {t: i for i, t in enumerate(fine.thresholds)}
    for version in ("v1", "v2"):
        for delta in ("30", "50", "70"):
            picked = [getattr(fine, version)[delta][place[t]] for t in coarse.thresholds]
            assert picked == list(getattr(coarse, version)[delta])


def test_a_plan_that_cannot_work_is_refused(data: Path) -> None:
    val, tune = open_dataset(data, "val"), open_dataset(data, "tune")
    with pytest.raises(VizError, match="None of the models"):
        plan(["lite0"], val, Options(sources_of(["attention:spatial_gate"])), device="cpu")
    with pytest.raises(VizError, match="shares pictures"):
        plan(["lite0"], val, Options(), tune_on=val, device="cpu")
    with pytest.raises(VizError, match="folds"):
        plan(["lite0"], val, Options(), folds=10, device="cpu")
    with pytest.raises(VizError, match="at least one model"):
        plan(["lite0", "lite0"], val, Options(), device="cpu")
    with pytest.raises(VizError, match="another split"):
        plan(["lite0"], val, Options(), tune_on=tune, tuning="same", device="cpu")
    for wrong in ({"sources": ()}, {"batch": 0}, {"threads": 0}, {"interval": 2.0}):
        with pytest.raises(VizError):
            Options(**wrong)  # type: ignore[arg-type]
    with pytest.raises(VizError, match="twice"):
        Options(sources_of(["cam", "cam"]))
    with pytest.raises(VizError, match="always evaluated"):
        Options(sources_of(["centre_box"]))


def test_some_of_a_data_set_are_the_same_ones_every_time(data: Path) -> None:
    whole = open_dataset(data, "val")
    few = some_of(whole, 4)
    assert few.fingerprint == some_of(whole, 4).fingerprint != whole.fingerprint
    assert len(few) == 4 and [s.index for s in few] == sorted(s.index for s in few)
    with pytest.raises(VizError):
        some_of(whole, 0)


# --- the command line ----------------------------------------------------------------------------------------------


def _command(data: Path, out: Path, *more: str) -> list[str]:
    models, sources = ("lite0", "lite0-tdam"), ("cam", "attention", "gradcam")
    named = ["--data", str(data), "--split", "val", "--model", *models, "--map", *sources]
    return ["evaluate", *named, "--batch", "2", "--folds", "3", "--device", "cpu", "--json", str(out), *more]


def _torchrun(processes: int, data: Path, out: Path) -> None:
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    subprocess.run([*command, "-m", "viz", *_command(data, out)], env=ENV, check=True, capture_output=True, timeout=300)


# What torchrun sets, for processes that need not import torch each.
_FORKED = """
import os, sys
import torch.distributed, viz.attribution, viz.measures.localization.run
count, code = int(sys.argv[1]), sys.argv[2]
store = torch.distributed.TCPStore("127.0.0.1", 0, is_master=True)
os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(store.port), TORCHELASTIC_USE_AGENT_STORE="True")
children = []
for rank in range(count):
    if child := os.fork():
        children.append(child)
        continue
    os.environ.update(RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE=str(count))
    try:
        exec(code, {})
    except BaseException as error:
        print(repr(error), file=sys.stderr, flush=True)
        os._exit(1)
    os._exit(0)
sys.exit(any([os.waitpid(child, 0)[1] for child in children]))
"""


def _forked(processes: int, code: str) -> None:
    command = [sys.executable, "-c", _FORKED, str(processes), code]
    done = subprocess.run(command, env=ENV, check=False, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_one_two_and_three_processes_and_a_killed_run_give_identical_files(
    few: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    whole, killed = tmp_path / "one.json", tmp_path / "killed.json"
    part, before = _kill(few, killed)
    # What a kill in the middle of writing would leave.
    part.write_text(before + line_of(5, [{"i": 1}])[:20])
    assert main(_command(few, whole)) == 0
    assert capfd.readouterr().out.split() == [str(whole)]
    assert main(_command(few, killed)) == 0
    assert "resuming after" in capfd.readouterr().err
    assert part.read_text().startswith(before[: before.rfind("\n") + 1])
    assert killed.read_bytes() == whole.read_bytes()
    chunks = [read[0] for line in part.read_text().splitlines(True) if (read := read_line(line)) is not None]
    assert len(chunks) == len(set(chunks)) == 6
    _torchrun(2, few, tmp_path / "2.json")
    _forked(3, f"from viz.cli import main; assert main({_command(few, tmp_path / '3.json')!r}) == 0")
    for count in (2, 3):
        assert (tmp_path / f"{count}.json").read_bytes() == whole.read_bytes()
        parts = sorted((tmp_path / f"{count}.json.rows").glob("part-*.jsonl"))
        assert len(parts) == count and all(p.stat().st_size for p in parts)


def _kill(data: Path, out: Path) -> tuple[Path, str]:
    """Start a run and kill it after two chunks: its file of rows, and what that holds."""
    rows = out.with_name(out.name + ".rows")
    process = subprocess.Popen(
        [sys.executable, "-m", "viz", *_command(data, out)], env=ENV, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    try:
        until = time.monotonic() + 120
        while not any(p.read_text().count("\n") >= 2 for p in rows.glob("part-*.jsonl")):
            assert process.poll() is None and time.monotonic() < until, "the run ended before it could be killed"
            time.sleep(0.002)
        process.send_signal(signal.SIGKILL)
    finally:
        process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL and not out.exists()
    part = _part(rows)
    return part, part.read_text()


_NO_SHARED_DISK = """
from pathlib import Path
from tests.counting_task import Numbers
from viz.measures.jobs.processes import joined
from viz.measures.jobs.runner import run
with joined("cpu") as me:
    journal = run(Numbers(11), Path({base!r}) / str(me.rank), processes=me)
    if me.first:
        Path({base!r}, "found").write_text(str(sorted(r["i"] for r in journal.rows())))
"""


@pytest.mark.slow
def test_machines_that_share_no_disk_send_their_rows_to_the_first(tmp_path: Path) -> None:
    _forked(2, _NO_SHARED_DISK.format(base=str(tmp_path / "rows")))
    assert (tmp_path / "rows" / "found").read_text() == str(list(range(11)))
    assert len(list((tmp_path / "rows" / "1").glob("part-*.jsonl"))) == 1


def test_the_command_refuses_slips_before_it_works(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for more, why in (
        (["--json", "out.txt"], "must end in .json"),
        (["--json", str(tmp_path / "no" / "out.json")], "does not exist"),
        (["--same-pictures", "--tune-on", "tune"], "not both"),
        (["--map", "heat("], "Unknown map"),
        (["--interval", "3"], "interval"),
        (["--readers", "-3"], "--readers must lie"),
        (["--batch", "0"], "batch"),
        (["--csv", str(tmp_path / "folder.csv")], "is a folder"),
    ):
        (tmp_path / "folder.csv").mkdir(exist_ok=True)
        with pytest.raises(SystemExit):
            main(_command(data, tmp_path / "o.json", *more))
        (tmp_path / "folder.csv").rmdir()
        assert why in capsys.readouterr().err
    # A bare name may be a tap: that no model has it is known once they are loaded, before any picture is read.
    assert main(_command(data, tmp_path / "o.json", "--map", "heat")) == 1
    assert "None of the models has heat" in capsys.readouterr().err
    assert not list(tmp_path.glob("o.json*"))
    assert main(_command(data, tmp_path / "o.json", "--split", "nowhere")) == 1
    assert "val" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_other_options_need_another_file_or_a_fresh_start(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def command(*more: str) -> list[str]:
        return ["evaluate", "--data", str(data), "--split", "val", "--model", "lite0", "--device", "cpu",
                "--limit", "4", "--folds", "2", "--json", str(tmp_path / "o.json"), *more]  # fmt: skip

    assert main(command()) == 0
    first = (tmp_path / "o.json").read_bytes()
    rows = tmp_path / "o.json.rows"
    held = _part(rows).read_bytes()
    with closing(Journal(rows, json.loads((rows / "request.json").read_text())["request"])):
        assert main(command("--fresh")) == 1 and "Another run is using" in capsys.readouterr().err
    assert _part(rows).read_bytes() == held, "a run at work loses nothing"
    assert main(command("--interval", "0.05")) == 1 and "other options" in capsys.readouterr().err
    assert (tmp_path / "o.json").read_bytes() == first
    (tmp_path / "o.json.rows" / "mine.txt").write_text("kept")
    assert main(command("--interval", "0.05", "--fresh")) == 0
    assert (tmp_path / "o.json").read_bytes() != first
    assert (tmp_path / "o.json.rows" / "mine.txt").read_text() == "kept"


def test_half_precision_by_autocast_is_close(few: Path, tmp_path: Path) -> None:
    full = _result(few, tmp_path / "a")
    half = _result(few, tmp_path / "b", mixed="bfloat16")
    assert half.protocol.mixed_precision == "bfloat16"
    one, two = _row(full, "cam").pxap.value, _row(half, "cam").pxap.value
    assert one != two and abs(one - two) < 5  # rounded otherwise, and close


def test_who_this_process_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RANK", raising=False)
    assert (whoami().rank, whoami().world) == (0, 1)
    monkeypatch.setenv("RANK", "2")
    monkeypatch.setenv("WORLD_SIZE", "4")
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert (whoami().rank, whoami().world, whoami().local) == (2, 4, 1)
    monkeypatch.setenv("RANK", "4")
    with pytest.raises(VizError, match="WORLD_SIZE"):
        whoami()
    monkeypatch.setenv("RANK", "x")
    with pytest.raises(VizError, match="whole numbers"):
        whoami()
