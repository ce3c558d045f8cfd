"""A finished row is kept only while it is whole and its files are what it was made from; else it is measured again."""

from __future__ import annotations

import csv
import json
import logging
import os
import shutil
import zlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

import viz.measures.localization.task as task_module
import viz.run.engine as engine_module
from tests.localization_data import write_dataset
from tests.tiny import NARROW, as_model, scene, tiny_network
from viz.cli import main
from viz.datasets import open_dataset
from viz.errors import VizError
from viz.measures.faithfulness.report import Options as Controls
from viz.measures.faithfulness.task import Request, measure_set
from viz.measures.jobs.journal import line_of, read_line
from viz.measures.jobs.rows import digest_of_file
from viz.measures.localization.options import Options, Plan, sources_of
from viz.measures.localization.results import to_bytes
from viz.measures.localization.run import evaluate, plan
from viz.run.engine import Model, load

SOURCES = sources_of(["cam"])
# Of the tiny model, as if it came from a file.
SHA256 = "5" * 64


@cache
def _tiny(steps: int) -> Model:
    model = as_model(tiny_network(steps, widths=NARROW))
    return replace(model, card=replace(model.card, name="tiny", sha256=SHA256))


@pytest.fixture(autouse=True, scope="module")
def _tiny_in_the_catalogue() -> Iterator[None]:
    """Evaluations load the tiny model by its name; every other name is loaded as ever."""

    def found(name: str, *where: Any, **more: Any) -> Model:
        return _tiny(1) if name == "tiny" else load(name, *where, **more)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(engine_module, "load", found)
        yield


def _planned(root: Path, options: Options, **more: Any) -> Plan:
    return plan(["tiny"], open_dataset(root, "val"), options, device="cpu", splits=2, **more)


def _plan(root: Path) -> Plan:
    return _planned(root, Options(SOURCES, batch=2), folds=2)


def _bytes(made: Plan, folder: Path, chunks: list[int] | None = None) -> bytes:
    """The result's bytes; `chunks` gets the number of pictures of every chunk that was measured."""

    def begin(left: int, done: int) -> Callable[[int], None]:
        return (chunks if chunks is not None else []).append

    result = evaluate(made, folder, begin=begin)
    assert result is not None
    return to_bytes(result)


def _part(folder: Path) -> Path:
    (part,) = folder.glob("part-*.jsonl")
    return part


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_dataset(tmp_path / "set", 4)


def _other_picture(root: Path) -> None:
    Image.fromarray(scene(110, 150, seed=77)).save(root / "images" / "val_001.png")


def _other_mask(root: Path) -> None:
    mask = np.zeros((110, 150), np.uint8)
    mask[5:20, 5:20] = 255
    Image.fromarray(mask).save(root / "masks" / "val_001.png")


def _rewrite(root: Path, name: str, change: Callable[[dict[str, str]], None]) -> None:
    with (root / "index.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        if name in row["image"]:
            change(row)
    with (root / "index.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def _other_box(root: Path) -> None:
    _rewrite(root, "val_001", lambda row: row.update(boxes="[[100, 60, 140, 90]]"))


def _other_label(root: Path) -> None:
    _rewrite(root, "val_001", lambda row: row.update(label="n03028079"))


CHANGES = {"picture": _other_picture, "mask": _other_mask, "box": _other_box, "label": _other_label}


@pytest.mark.parametrize("what", CHANGES)
def test_what_changed_is_measured_again_and_said(
    what: str, root: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    before = _bytes(_plan(root), tmp_path / "rows")
    CHANGES[what](root)
    fresh = _bytes(_plan(root), tmp_path / "fresh")
    assert fresh != before, "the change must matter"
    caplog.clear()
    ran: list[int] = []
    assert _bytes(_plan(root), tmp_path / "rows", ran) == fresh
    assert ran == [2], "one chunk of two pictures, no other"
    assert [r.message for r in caplog.records] == [
        "1 picture, its mask or its annotation changed since the last run: it is measured again."
    ]
    caplog.clear()
    ran = []
    assert _bytes(_plan(root), tmp_path / "rows", ran) == fresh and not ran and not caplog.records


def test_times_and_sizes_prove_nothing(root: Path, tmp_path: Path) -> None:
    """A file of the same size and time with other contents, as copying tools and archives leave it."""
    path = root / "images" / "val_000.bmp"
    for seed, name in ((1, path), (2, tmp_path / "other.bmp")):
        Image.fromarray(scene(100, 150, seed=seed)).save(name)
    _rewrite(root, "val_000", lambda row: row.update(image="images/val_000.bmp"))
    before = _bytes(_plan(root), tmp_path / "rows")
    status = path.stat()
    path.write_bytes((tmp_path / "other.bmp").read_bytes())
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert path.stat().st_size == status.st_size and path.stat().st_mtime_ns == status.st_mtime_ns
    after = _bytes(_plan(root), tmp_path / "rows")
    assert after != before and after == _bytes(_plan(root), tmp_path / "fresh")


def test_what_only_was_touched_is_kept(root: Path, tmp_path: Path) -> None:
    before = _bytes(_plan(root), tmp_path / "rows")
    for path in [*(root / "images").iterdir(), *(root / "masks").iterdir()]:
        path.touch()
    ran: list[int] = []
    assert _bytes(_plan(root), tmp_path / "rows", ran) == before and not ran


def test_a_mask_of_the_split_for_tuning_counts_as_well(root: Path, tmp_path: Path) -> None:
    def made() -> Plan:
        return _planned(root, Options(SOURCES, batch=2), tune_on=open_dataset(root, "tune"))

    _bytes(made(), tmp_path / "rows")
    Image.fromarray(scene(100, 150, seed=5)).save(root / "images" / "tune_003.png")
    _rewrite(root, "tune_003", lambda row: row.update(width="150", height="100"))
    ran: list[int] = []
    assert _bytes(made(), tmp_path / "rows", ran) == _bytes(made(), tmp_path / "fresh") and ran == [2]


def test_a_picture_that_went_away_is_no_longer_counted(root: Path, tmp_path: Path) -> None:
    _bytes(_plan(root), tmp_path / "rows")
    (root / "images" / "val_002.png").unlink()
    found = json.loads(_bytes(_plan(root), tmp_path / "rows"))
    assert found["data"]["failed_count"] == 1


def test_a_file_that_changes_while_it_is_read_makes_no_row_that_is_kept(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = task_module.load_mask

    def late(sample: Any) -> Any:
        if "val_001" in sample.id:
            _other_mask(root)
        return real(sample)

    monkeypatch.setattr(task_module, "load_mask", late)
    _bytes(_plan(root), tmp_path / "rows")
    monkeypatch.undo()
    ran: list[int] = []
    assert _bytes(_plan(root), tmp_path / "rows", ran) == _bytes(_plan(root), tmp_path / "fresh") and ran == [2]


def test_another_checkpoint_or_list_of_pictures_is_refused_with_its_name(root: Path, tmp_path: Path) -> None:
    made = _plan(root)
    _bytes(made, tmp_path / "rows")
    request = json.loads((tmp_path / "rows" / "request.json").read_text())["request"]
    assert request["models"][0][1] == made.cards[0].sha256 == SHA256
    for key, value, why in (
        ("models", [["tiny", "0" * 64]], "models or checkpoint files"),
        ("versions", {}, "versions of Searchlight"),
        ("options", {}, "other options"),
    ):
        other = json.dumps({"key": "x", "request": request | {key: value}})
        (tmp_path / "rows" / "request.json").write_text(other)
        with pytest.raises(VizError, match=why):
            evaluate(made, tmp_path / "rows")
    (tmp_path / "rows" / "request.json").unlink()
    _bytes(made, tmp_path / "rows")
    (root / "index.csv").write_text("".join((root / "index.csv").read_text().splitlines(True)[:-5]))
    with pytest.raises(VizError, match="pictures in the data set"):
        evaluate(_plan(root), tmp_path / "rows")
    (tmp_path / "rows" / "request.json").write_text('{"key":')
    with pytest.raises(VizError, match="is damaged; start over"):
        evaluate(_plan(root), tmp_path / "rows")


def test_a_checkpoint_that_is_replaced_while_the_run_is_at_work_is_noticed(root: Path, tmp_path: Path) -> None:
    made = _plan(root)
    other = replace(made.cards[0], sha256="0" * 64)
    task = task_module.EvaluationTask(replace(made, cards=(other,)))
    with pytest.raises(VizError, match="checkpoint file of tiny changed"):
        task.run(0)


def test_rows_of_an_earlier_version_are_measured_again(
    root: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    made = _plan(root)
    fresh = _bytes(made, tmp_path / "rows")
    head = tmp_path / "rows" / "request.json"
    request = json.loads(head.read_text())["request"]
    del request["rows"]
    request["data"] = [[d.name, d.split, d.fingerprint] for d in made.data]
    head.write_text(json.dumps({"key": "older", "request": request}))
    part = _part(tmp_path / "rows")
    part.rename(part.with_name("part-older-00000.jsonl"))
    caplog.clear()
    ran: list[int] = []
    assert _bytes(made, tmp_path / "rows", ran) == fresh and ran == [2, 2]
    assert [r.message for r in caplog.records] == [
        "Finished rows of an earlier version hold no digests of their files; all are measured again."
    ]


# --- lines that are valid JSON and wrong -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Plan, Path, bytes]:
    """A finished run, and the bytes of its result."""
    base = tmp_path_factory.mktemp("finished")
    made = _plan(write_dataset(base / "set", 4))
    return made, base / "rows", _bytes(made, base / "rows")


def _line(body: str) -> str:
    """A line with a checksum that is right, whatever it says."""
    return f"{zlib.crc32(body.encode()):08x} {body}\n"


def _edited(line: str, change: Callable[[list[dict[str, Any]]], Any]) -> str:
    read = read_line(line)
    assert read is not None
    rows = json.loads(json.dumps(read[1]))
    change(rows)
    return _line(json.dumps([read[0], rows]))


WRONG: dict[str, Callable[[str], str]] = {
    "a number": lambda line: _line("5"),
    "nothing": lambda line: _line("null"),
    "a text": lambda line: _line('"rows"'),
    "an object": lambda line: _line('{"a": 1}'),
    "an empty list": lambda line: _line("[]"),
    "three entries": lambda line: _line("[0, [], []]"),
    "deep": lambda line: _line("[" * 100_000),
    "rows that are no list": lambda line: _line('[0, {"i": 0}]'),
    "rows that are no objects": lambda line: _line("[0, [1, 2]]"),
    "no rows": lambda line: _line("[0, []]"),
    "a chunk that is a text": lambda line: _line('["0", []]'),
    "a chunk that is true": lambda line: _edited(line, lambda rows: None).replace("[0,", "[true,"),
    "a chunk too many": lambda line: line_of(99, [{"i": 0}]),
    "a negative chunk": lambda line: line_of(-1, [{"i": 0}]),
    "another chunk": lambda line: line_of(1, read_line(line)[1]),  # type: ignore[index]
    "one row less": lambda line: _edited(line, lambda rows: rows.pop()),
    "a row twice": lambda line: _edited(line, lambda rows: rows.__setitem__(1, rows[0])),
    "a row more": lambda line: _edited(line, lambda rows: rows.append(rows[0])),
    "rows in another order": lambda line: _edited(line, lambda rows: rows.reverse()),
    "a row without its scores": lambda line: _edited(line, lambda rows: rows[0].pop("s")),
    "a row without one source": lambda line: _edited(line, lambda rows: rows[0]["s"].pop("cam")),
    "a row with an empty source": lambda line: _edited(line, lambda rows: rows[0]["s"].update(cam={})),
    "a row without its rank": lambda line: _edited(line, lambda rows: rows[0].pop("rank")),
    "another rank": lambda line: _edited(line, lambda rows: rows[0].update(rank=[0])),
    "a rank as text": lambda line: _edited(line, lambda rows: rows[0].update(rank=["3"])),
    "a rank that is not finite": lambda line: _edited(line, lambda rows: rows[0].update(rank=[float("nan")])),
    "ranks too many": lambda line: _edited(line, lambda rows: rows[0]["rank"].append(3)),
    "a place out of range": lambda line: _edited(line, lambda rows: rows[0].update(i=77)),
    "a place as text": lambda line: _edited(line, lambda rows: rows[0].update(i="0")),
    "another model": lambda line: _edited(line, lambda rows: rows[0].update(m=1)),
    "another data set": lambda line: _edited(line, lambda rows: rows[0].update(d=1)),
    "a digest that is none": lambda line: _edited(line, lambda rows: rows[0].update(h="xyz")),
    "bits of another length": lambda line: _edited(line, lambda rows: rows[0]["s"]["cam"].update(b1="AA==")),
    "bits that are none": lambda line: _edited(line, lambda rows: rows[0]["s"]["cam"].update(b1="%")),
    "pixels that are none": lambda line: _edited(line, lambda rows: rows[0]["s"]["cam"].update(px="eJw=")),
    "an unknown entry": lambda line: _edited(line, lambda rows: rows[0].update(x=1)),
    "no seal": lambda line: _edited(line, lambda rows: rows[0].pop("seal")),
    "cut off": lambda line: line[:-20],
}


def _copied(finished: tuple[Plan, Path, bytes], to: Path) -> Path:
    shutil.copytree(finished[1], to)
    return to


@pytest.mark.parametrize("what", WRONG)
def test_a_line_that_is_wrong_is_dropped_counted_and_measured_again(
    what: str, finished: tuple[Plan, Path, bytes], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    rows = _copied(finished, tmp_path / "rows")
    first, second = _part(rows).read_text().splitlines(True)
    _part(rows).write_text(second + WRONG[what](first))
    ran: list[int] = []
    assert _bytes(finished[0], rows, ran) == finished[2] and ran == [2]
    assert [r.message for r in caplog.records] == [
        "1 line of finished rows cannot be used (damaged or altered); that part is measured again."
    ]


@pytest.mark.parametrize("what", WRONG)
def test_a_wrong_line_beside_the_right_ones_changes_nothing(
    what: str, finished: tuple[Plan, Path, bytes], tmp_path: Path
) -> None:
    rows = _copied(finished, tmp_path / "rows")
    first, second = _part(rows).read_text().splitlines(True)
    _part(rows).write_text(WRONG[what](first).rstrip("\n") + "\n" + first + second)
    ran: list[int] = []
    assert _bytes(finished[0], rows, ran) == finished[2] and not ran


def test_rows_of_another_request_are_none_of_this_one(
    finished: tuple[Plan, Path, bytes], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The same pictures and places, but another interval between thresholds: the part is given this request's name."""
    made = finished[0]
    other = plan(["tiny"], made.data[0], Options(SOURCES, interval=0.05, batch=2), folds=2, device="cpu")
    _bytes(other, tmp_path / "other")
    rows = _copied(finished, tmp_path / "rows")
    _part(rows).write_text(_part(tmp_path / "other").read_text())
    assert _bytes(made, rows) == finished[2] and "2 lines" in caplog.text


def test_a_part_that_cannot_be_read_is_a_sentence(finished: tuple[Plan, Path, bytes], tmp_path: Path) -> None:
    rows = _copied(finished, tmp_path / "rows")
    part = _part(rows)
    part.unlink()
    part.mkdir()
    with pytest.raises(VizError, match="cannot be read"):
        evaluate(finished[0], rows)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


def _paths(value: Any, here: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Where something lies in nested lists and objects."""
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [here, *(path for k, v in inside for path in _paths(v, (*here, k)))]


def _mutated(value: Any, path: tuple[Any, ...], new: Any, *, drop: bool) -> Any:
    if not path:
        return new
    made = dict(value) if isinstance(value, dict) else list(value)
    if len(path) == 1 and drop:
        del made[path[0]]
    else:
        made[path[0]] = _mutated(made[path[0]], path[1:], new, drop=drop)
    return made


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_whatever_is_done_to_a_line_the_result_is_that_of_a_fresh_run(
    data: st.DataObject, finished: tuple[Plan, Path, bytes], tmp_path_factory: pytest.TempPathFactory
) -> None:
    made, source, fresh = finished
    rows = tmp_path_factory.mktemp("fuzz") / "rows"
    shutil.copytree(source, rows)
    lines = _part(rows).read_text().splitlines(True)
    for _ in range(data.draw(st.integers(1, 3))):
        number = data.draw(st.integers(0, len(lines) - 1))
        line = lines[number]
        how = data.draw(st.sampled_from(["value", "drop", "bytes", "again", "cut"]))
        if how == "again":
            lines.append(line)
        elif how == "cut":
            lines[number] = line[: data.draw(st.integers(0, len(line)))]
        elif how == "bytes":
            place = data.draw(st.integers(0, max(len(line) - 1, 0)))
            lines[number] = line[:place] + data.draw(st.characters()) + line[place + 1 :]
        elif (read := read_line(line)) is not None:
            body = [read[0], read[1]]
            path = data.draw(st.sampled_from(_paths(body)))
            lines[number] = _line(json.dumps(_mutated(body, path, data.draw(_JSON), drop=how == "drop")))
    _part(rows).write_bytes("".join(lines).encode("utf-8", "surrogatepass"))
    assert _bytes(made, rows) == fresh


# --- controls over a data set ----------------------------------------------------------------------------------------


def _write_pictures(folder: Path) -> Path:
    folder.mkdir()
    for i in range(6):
        Image.fromarray(scene(64, 64, seed=i)).save(folder / f"{i}.png")
    (folder / "index.csv").write_text("image,label\n" + "".join(f"{i}.png,a\n" for i in range(6)))
    return folder


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    return _write_pictures(tmp_path / "pictures")


@pytest.fixture(scope="module")
def controlled(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, dict[str, Any]]:
    """Pictures, the rows of a finished run over them, and its result."""
    base = tmp_path_factory.mktemp("controlled")
    folder = _write_pictures(base / "pictures")
    return folder, base / "rows", _controls(folder, base / "rows", "deletion")[0]


def _controls(pictures: Path, folder: Path, *controls: str) -> tuple[dict[str, Any], list[int]]:
    ran: list[int] = []

    def begin(left: int, done: int) -> Callable[[int], None]:
        return ran.append

    asked = Request(("cam",), controls, options=Controls(points=2, seeds=1))  # type: ignore[arg-type]
    found = measure_set(_tiny(2), open_dataset(pictures), asked, folder, begin=begin)
    assert found is not None
    return found.to_json(), ran


@pytest.mark.parametrize(("control", "again"), [("deletion", [4]), ("reliance", [4, 2])])
def test_controls_of_a_picture_that_changed(
    control: str, again: list[int], pictures: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The mean gates are made of all pictures: where they are used, every row is."""
    before, ran = _controls(pictures, tmp_path / "rows", control)
    assert ran == [4, 2] and _controls(pictures, tmp_path / "rows", control) == (before, [])
    Image.fromarray(scene(64, 64, seed=50)).save(pictures / "1.png")
    fresh, _ = _controls(pictures, tmp_path / "fresh", control)
    caplog.clear()
    assert fresh != before and _controls(pictures, tmp_path / "rows", control) == (fresh, again)
    assert "1 picture" in caplog.text and ("mean gates" in caplog.text) == (control == "reliance")


def test_a_picture_that_comes_back_changes_the_mean_gates(pictures: Path, tmp_path: Path) -> None:
    (pictures / "5.png").rename(tmp_path / "away.png")
    _controls(pictures, tmp_path / "rows", "reliance")
    (tmp_path / "away.png").rename(pictures / "5.png")
    fresh, _ = _controls(pictures, tmp_path / "fresh", "reliance")
    assert _controls(pictures, tmp_path / "rows", "reliance") == (fresh, [4, 2])


@pytest.mark.parametrize(
    "change",
    [
        lambda rows: rows[0].pop("values"),
        lambda rows: rows[0].update(values=[]),
        lambda rows: rows[0]["values"].pop(),
        lambda rows: rows[0]["values"][0].__setitem__(4, "0.5"),
        lambda rows: rows[0]["values"][0].__setitem__(4, float("inf")),
        lambda rows: rows[0]["values"][0].pop(),
        lambda rows: rows[0].update({"class": 3}),
        lambda rows: rows.pop(),
    ],
)
def test_a_row_of_the_controls_without_its_values_is_measured_again(
    change: Callable[[list[dict[str, Any]]], Any],
    controlled: tuple[Path, Path, dict[str, Any]],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    pictures, finished, whole = controlled
    part = _part(Path(shutil.copytree(finished, tmp_path / "rows")))
    first, second = part.read_text().splitlines(True)
    part.write_text(_edited(first, change) + second)
    caplog.clear()
    assert _controls(pictures, tmp_path / "rows", "deletion") == (whole, [4]) and "1 line" in caplog.text


# --- the command line ------------------------------------------------------------------------------------------------


def test_the_command_measures_a_replaced_mask_again_and_says_so(
    root: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    command = ["evaluate", "--data", str(root), "--split", "val", "--model", "lite0", "--device", "cpu", "--folds", "2"]
    assert main([*command, "--json", str(tmp_path / "r.json")]) == 0
    for path in (root / "masks").glob("val_*"):
        Image.fromarray(255 - np.asarray(Image.open(path))).save(path)
    with caplog.at_level(logging.WARNING):
        assert main([*command, "--json", str(tmp_path / "r.json")]) == 0
    assert "4 pictures, their masks or annotations changed since the last run: they are measured again." in caplog.text
    assert main([*command, "--json", str(tmp_path / "fresh.json")]) == 0
    assert (tmp_path / "r.json").read_bytes() == (tmp_path / "fresh.json").read_bytes()


def test_a_file_that_cannot_be_read_has_no_digest(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    assert digest_of_file(tmp_path / "a").startswith("ba7816bf")
    assert digest_of_file(tmp_path) == digest_of_file(tmp_path / "none") == digest_of_file(Path("a\0b")) == ""
