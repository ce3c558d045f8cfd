"""Every bundled model answers as it did when its golden values were stored: logits, captured values and boxes; and what
commands, Python and the page give is what it was, to the last bit where the machine is of the same kind."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import viz
from tests.golden import __main__ as command
from tests.golden.against import CommitError, head, made_at
from tests.golden.cases import Case, cases
from tests.golden.entries import Entries, entries_of
from tests.golden.inside import ROOT
from tests.golden.machine import differing, fingerprint
from tests.golden.make import chosen, make
from tests.golden.measure import EDGE, MODELS, PICTURES, TOLERANCE, Answer, errors, measured, stored
from tests.golden.store import HERE, Difference, Golden, differences, far, load, save

GOLDEN = stored()
FROZEN = load()


@pytest.fixture(scope="module", params=MODELS)
def answers(request: pytest.FixtureRequest) -> dict[str, Answer]:
    model = viz.load(request.param, "cpu")
    return {f"{request.param}/{picture}": measured(model, picture) for picture in PICTURES}


def test_the_bundled_models_answer_as_they_did(answers: dict[str, Answer]) -> None:
    for key, ours in answers.items():
        found = errors(ours, GOLDEN[key])
        moved = found.pop("boxes")
        wrong = {name: error for name, error in found.items() if not error <= TOLERANCE}
        assert not wrong, f"{key}: {wrong}"
        assert moved <= EDGE, f"{key}: an edge of a box moved by {moved:g} pixels"
        assert ours.logits.argmax(axis=1).tolist() == GOLDEN[key].logits.argmax(axis=1).tolist()
        assert len(set(ours.names)) == len(ours.names)


def test_every_bundled_model_has_golden_answers() -> None:
    from viz.models.catalogue import Catalogue

    assert {key.partition("/")[0] for key in GOLDEN} == set(Catalogue().bundled)
    assert set(GOLDEN) == {f"{m}/{p}" for m in MODELS for p in PICTURES}


def test_a_difference_is_seen() -> None:
    """The comparison itself: a moved logit, a lost value, another shape and a shifted box all count."""
    golden = GOLDEN["lite0-psa/clutter.jpg"]
    assert max(errors(golden, golden).values()) == 0
    logits = golden.logits.copy()
    logits[0, 7] += np.float32(0.1)
    assert errors(Answer(logits, golden.records, golden.names, golden.boxes), golden)["logits"] > TOLERANCE
    lost = Answer(golden.logits, golden.records[1:], golden.names[1:], golden.boxes)
    assert errors(lost, golden)[golden.names[0]] == np.inf
    assert errors(Answer(golden.logits[:, :10], golden.records, golden.names, golden.boxes), golden)["logits"] == np.inf
    shifted = {k: [box[0], box[1], box[2] + 5, box[3]] for k, box in golden.boxes.items()}
    assert errors(Answer(golden.logits, golden.records, golden.names, shifted), golden)["boxes"] == 5


# --- files, tables and pixels --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def unlike() -> list[str]:
    """What this machine has else than the one that made the data."""
    return differing(fingerprint(), FROZEN.fingerprint)


@pytest.mark.parametrize("case", [c for c in cases() if c.quick], ids=lambda case: case.name)
def test_what_is_made_is_what_was_made(case: Case, unlike: list[str]) -> None:
    golden = FROZEN.cases[case.name]
    if unlike and not golden.rows:
        pytest.skip("the last bits of tables differ on another kind of machine; `--check` compares them")
    ours = make([case], drawn=False)[case.name]
    assert far(case.name, ours, golden) == []
    if not unlike:
        # Without Chromium an SVG is compared by its bytes alone.
        there = {name: was for name, was in golden.values.items() if not name.endswith(".svg: pixels")}
        assert differences(case.name, ours, replace(golden, values=there)) == []


def test_all_cases_are_stored_and_no_other() -> None:
    assert sorted(FROZEN.cases) == sorted(c.name for c in cases())
    assert all(entries.values and entries.records for entries in FROZEN.cases.values())
    files = [HERE / name for name in ("values.json", "records.json", "made.json", "short.npz")]
    assert sum(file.stat().st_size for file in files) < 600_000


# --- the comparison itself -----------------------------------------------------------------------------------------

NUMBERS = {"format_version": 1, "versions": {"torch": "2"}, "name": "a map", "peak": 0.25, "boxes": [[1, 2, 3, 4]]}
HEAD = "<tr><th>Map</th><th>IoU 0.5</th></tr>"
PAGE = f"<table>{HEAD}<tr><td>class map, step 2</td><td>62.8 (57.0 to 69.1)</td></tr></table>"
TEX = "\\toprule\nMap & IoU \\\\\n\\midrule\nclass map & $62.8$ {\\scriptsize[$57.0$, $69.1$]} \\\\\n\\bottomrule\n"


def write(folder: Path, arrays: dict[str, Any], numbers: dict[str, Any]) -> None:
    np.savez(folder / "maps.npz", **arrays)
    (folder / "record.json").write_text(json.dumps(numbers))
    (folder / "table.csv").write_text("map,iou\ncam,0.5\ngate,0.25\n")
    (folder / "table.md").write_text("| map | IoU |\n| --- | ---: |\n| cam, step 2 | 0.5 (0.4 to 0.6) |\n")
    (folder / "table.html").write_text(PAGE)
    (folder / "table.tex").write_text(TEX)
    (folder / "printed.txt").write_text(f"{folder}/result.json is at http://127.0.0.1:7860\n")
    Image.fromarray(np.full((4, 4, 3), 9, np.uint8)).save(folder / "panel.png")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write(tmp_path, {"a": np.arange(4.0), "b": np.arange(9.0)}, NUMBERS)
    return tmp_path


def kinds_after(folder: Path, change: Callable[[], object]) -> list[tuple[str, str, str]]:
    """What is seen of a change: kind, what, entry."""
    before = entries_of(folder, {folder: "FOLDER"}, None)
    change()
    after = entries_of(folder, {folder: "FOLDER"}, None)
    return [(d.kind, d.what, d.entry) for d in differences("case", after, before)]


def replaced(path: Path, old: str, new: str) -> Callable[[], object]:
    text = path.read_text()
    assert old in text
    return lambda: path.write_text(text.replace(old, new))


@pytest.mark.parametrize(
    ("file", "old", "new", "entry"),
    [
        ("record.json", "0.25", "0.26", "peak"),
        ("record.json", "[1, 2, 3, 4]", "[1, 2, 3, 5]", "boxes[][]"),
        ("table.csv", "0.25", "0.26", "table 1, iou"),
        ("table.md", "0.6", "0.7", "table 1, IoU"),
        ("table.html", "69.1", "69.2", "table 1, IoU 0.5"),
        ("table.tex", "69.1", "69.2", "table 1, IoU"),
    ],
)
def test_a_changed_number_in_a_text_is_seen(folder: Path, file: str, old: str, new: str, entry: str) -> None:
    found = kinds_after(folder, replaced(folder / file, old, new))
    assert ("values", "changed", f"{file}: {entry}") in found and ("records", "changed", f"{file}: text") in found
    assert len(found) == 2


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("record.json", "a map", "the map"),
        ("record.json", '"format_version": 1', '"format_version": 2'),
        ("table.csv", "gate", "score"),
        ("table.md", "cam, step 2", "cam, step 3"),
        ("table.html", "class map, step 2", "cam:2"),
        ("table.tex", "class map", "cam"),
        ("printed.txt", "is at", "at"),
    ],
)
def test_a_changed_record_is_seen_and_is_no_number(folder: Path, file: str, old: str, new: str) -> None:
    found = kinds_after(folder, replaced(folder / file, old, new))
    assert found == [("records", "changed", f"{file}: text")]


def test_what_varies_is_not_compared(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    assert kinds_after(folder, replaced(folder / "record.json", '"torch": "2"', '"torch": "3"')) == []
    assert kinds_after(folder, replaced(folder / "printed.txt", ":7860", ":7861")) == []
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    write(elsewhere, {"a": np.arange(4.0), "b": np.arange(9.0)}, NUMBERS | {"versions": {}})
    ours, golden = (entries_of(f, {f: "FOLDER"}, None) for f in (elsewhere, folder))
    assert differences("case", ours, golden) == []


def test_changed_lost_and_new_arrays_and_pixels_are_seen(folder: Path) -> None:
    def arrays(**found: Any) -> Callable[[], object]:
        return lambda: np.savez(folder / "maps.npz", **found)

    a, b = np.arange(4.0), np.arange(9.0)
    around = ("records", "changed", "maps.npz: bytes")
    changed = a.copy()
    changed[2] = np.nextafter(a[2], 9)
    for found, seen in (
        ({"a": changed, "b": b}, ("values", "changed", "maps.npz: a")),
        ({"a": a.astype(np.float32), "b": b}, ("values", "changed", "maps.npz: a")),
        ({"a": a.reshape(2, 2), "b": b}, ("values", "changed", "maps.npz: a")),
        ({"b": b}, ("values", "lost", "maps.npz: a")),
        ({"a": a, "b": b, "c": b}, ("records", "new", "maps.npz: c")),
        ({"cam": a, "b": b}, ("records", "renamed", "maps.npz: a")),
    ):
        arrays(a=a, b=b)()
        assert kinds_after(folder, arrays(**found)) == [seen, around]
    arrays(a=a, b=b)()
    # Under their old names, values that changed places are wrong.
    swapped = kinds_after(folder, arrays(a=b, b=a))
    assert [s[:2] for s in swapped] == [("values", "changed")] * 2 + [("records", "changed")]

    def dot() -> None:
        rgb = np.full((4, 4, 3), 9, np.uint8)
        rgb[0, 0, 0] = 10
        Image.fromarray(rgb).save(folder / "panel.png")

    assert ("values", "changed", "panel.png: pixels") in kinds_after(folder, dot)
    lost = kinds_after(folder, (folder / "table.csv").unlink)
    assert lost == [("values", "lost", "table.csv: table 1, iou"), ("records", "lost", "table.csv: text")]


def test_maps_in_a_message_are_known_by_their_values(folder: Path) -> None:
    """Their order is no number; another value, or one that is missing, is."""
    one, two = ("QUJD" * 12, "REVG" * 12)
    path = folder / "message.json"

    def message(*blobs: str) -> Callable[[], object]:
        return lambda: path.write_text(json.dumps({"maps": [{"data": blob} for blob in blobs]}))

    message(one, two)()
    assert {s[0] for s in kinds_after(folder, message(two, one))} == {"records"}
    message(one, two)()
    assert ("values", "changed", "message.json: maps[].data#2") in kinds_after(folder, message(one, "S" + two[1:]))
    message(one, two)()
    assert ("values", "lost", "message.json: maps[].data#2") in kinds_after(folder, message(one))


def test_a_machine_of_another_kind_allows_for_rounding_and_for_nothing_else() -> None:
    golden = FROZEN.cases["nets/tiny/trace"]
    name = "drawn.npz: logits"
    row = golden.rows[name]
    size = max(map(abs, row[1:]))

    def seen(changed: list[float] | None) -> list[Difference]:
        rows = {k: v for k, v in golden.rows.items() if k != name}
        return far("case", Entries(rows=rows if changed is None else {**rows, name: changed}), golden)

    assert seen(row) == [] and seen([row[0], row[1] + size * TOLERANCE / 9, *row[2:]]) == []
    assert seen(None) == [Difference("case", name, "values", "lost")]
    for i in range(len(row)):
        moved = [v + (3 * TOLERANCE * size if k == i else 0) for k, v in enumerate(row)]
        assert seen(moved) == [Difference("case", name, "values", "changed")], i
        assert seen([np.nan if k == i else v for k, v in enumerate(row)]) != [], i
    assert differing(FROZEN.fingerprint, {**FROZEN.fingerprint, "torch": "0"})


# --- the command ---------------------------------------------------------------------------------------------------


@pytest.fixture
def frozen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Golden], None]:
    """Lets the command make something, on a machine like the one that made the data."""
    monkeypatch.setattr(command, "fingerprint", lambda: FROZEN.fingerprint)
    monkeypatch.setattr(command, "_answers_moved", list)

    def makes(golden: Golden) -> None:
        monkeypatch.setattr(command, "_made", lambda args: golden.cases)

    return makes


def test_the_command_says_which_kind_differs(
    frozen: Callable[[Golden], None], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    case = "compare/six"
    was = FROZEN.cases[case]
    name = next(iter(was.values))
    changed = replace(was, values={**was.values, name: "0" * 16})
    worded = replace(was, records=dict.fromkeys(was.records, "0" * 16))
    without = {n: e for n, e in FROZEN.cases.items() if n != case}
    for found, code, said in (
        (FROZEN.cases, 0, "0 values and 0 records differ."),
        ({**without, case: changed}, 1, f"values: {case}: {name}: changed"),
        (without, 1, f"values: {case}: {name}: lost"),
        ({**without, case: worded}, 3, f"0 values and {len(was.records)} records differ."),
    ):
        frozen(Golden(found))
        assert command.main(["--check"]) == code
        assert said in capsys.readouterr().out


def test_records_are_stored_only_without_values(
    frozen: Callable[[Golden], None], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    case = "trace/lite0"
    was = FROZEN.cases[case]
    worded = replace(was, records=dict.fromkeys(was.records, "0" * 16))
    frozen(Golden({**FROZEN.cases, case: worded}))
    assert command.main(["--records", "--out", str(tmp_path)]) == 0
    again = load(tmp_path)
    assert again.cases[case].records == worded.records and again.cases[case].values == was.values
    shutil.rmtree(tmp_path)
    frozen(Golden({**FROZEN.cases, case: replace(worded, values=dict.fromkeys(was.values, "0" * 16))}))
    assert command.main(["--records", "--out", str(tmp_path)]) == 1
    assert "Nothing is stored" in capsys.readouterr().out and not tmp_path.exists()


def test_what_is_stored_is_what_is_read(tmp_path: Path) -> None:
    rows_of = [name for name, of in FROZEN.cases.items() if of.rows]
    assert rows_of
    save(FROZEN, tmp_path, rows_of=rows_of)
    again = load(tmp_path)
    for case, of in FROZEN.cases.items():
        assert (again.cases[case].values, again.cases[case].records) == (of.values, of.records)
        assert str(again.cases[case].rows) == str(of.rows), "as text: no number equals itself where it is none"
    for name in ("values.json", "records.json", "made.json", "short.npz"):
        assert (tmp_path / name).read_bytes() == (HERE / name).read_bytes()


@pytest.mark.slow
def test_a_commit_is_run_by_its_own_generator() -> None:
    if not (ROOT / ".git").exists():
        pytest.skip("this is no checkout of git")
    with pytest.raises(CommitError, match="git worktree"):
        made_at("0" * 40, [])
    with pytest.raises(CommitError, match="failed"):
        made_at(head(), ["no such case"])
    there = made_at(head(), ["trace/lite0-psa-center_crop"])
    (case,) = chosen(["trace/lite0-psa-center_crop"])
    assert list(there.cases) == [case.name]
    assert there.fingerprint == fingerprint() and there.commit == head()
    assert there.cases[case.name].values.keys() == FROZEN.cases[case.name].values.keys()
