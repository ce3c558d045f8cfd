"""Folders of pictures and the files beside them: what is taken, what is passed over, and what is said of it."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

import viz.run.engine
from tests.tiny import scene, tiny_model
from viz.cli import main
from viz.datasets import open_dataset
from viz.picture import open_picture
from viz.picture_files import PICTURE_ENDINGS, is_own_figure, pictures_below, walk

FORMATS = {
    **dict.fromkeys((".jpg", ".jpeg", ".jpe", ".jfif", ".jif", ".jfi"), "JPEG"),
    ".mpo": "MPO",
    ".png": "PNG",
    ".apng": "PNG",
    ".webp": "WEBP",
    ".gif": "GIF",
    ".bmp": "BMP",
    ".dib": "BMP",
    **dict.fromkeys((".ppm", ".pgm", ".pbm", ".pnm"), "PPM"),
    ".tif": "TIFF",
    ".tiff": "TIFF",
    ".avif": "AVIF",
    ".avifs": "AVIF",
}
BOTH = ["--model", "a", "--model", "a"]
linux = pytest.mark.skipif(sys.platform != "linux", reason="file names are bytes on Linux alone")


@pytest.fixture(scope="module")
def tiny() -> Any:
    return tiny_model()


@pytest.fixture
def loads(monkeypatch: pytest.MonkeyPatch, tiny: Any) -> None:
    monkeypatch.setattr(viz.run.engine, "load", lambda *args, **options: tiny)
    monkeypatch.setattr("viz.run.engine.Engine.model", lambda self, name, *args, **options: tiny)


def picture(path: Path, fmt: str = "PNG") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(scene()).save(path, fmt)
    return path


def traced(out: Path) -> list[str]:
    return sorted(p.stem for p in out.glob("*.npz"))


@pytest.mark.parametrize("ending", PICTURE_ENDINGS)
def test_every_ending_is_that_of_a_picture_that_opens(ending: str, loads: None, tmp_path: Path) -> None:
    if ending.startswith(".avif"):
        Image.init()
        if "AVIF" not in Image.OPEN:
            pytest.skip("this Pillow has no AVIF")
    path = picture(tmp_path / "in" / f"a{ending.upper()}", FORMATS[ending])
    assert open_picture(path).size == scene().shape[:2]
    assert main(["trace", str(tmp_path / "in"), "--out", str(tmp_path / "out")]) == 0
    assert traced(tmp_path / "out") == ["a"]


def test_pillow_has_no_further_endings_of_the_formats_that_are_read() -> None:
    from viz.decode import FORMATS as READ

    Image.init()
    known = {e for e, f in Image.registered_extensions().items() if f in READ}
    assert known - set(PICTURE_ENDINGS) <= {".pfm"}


@pytest.mark.parametrize("door", ["trace", "compare"])
def test_other_files_are_counted_and_told(
    door: str, loads: None, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "in"
    for name in ("a.jfif", "sub/b.JPE"):
        picture(folder / name, "JPEG")
    for name in ("c.xcf", "sub/d.heic", "e.XCF", "README"):
        (folder / name).write_bytes(b"?")
    for name in ("._a.jfif", ".hidden/x.jpg", "__MACOSX/a.jpg", "sub/@eaDir/a.jpg", "Thumbs.db", "desktop.ini"):
        picture(folder / name, "JPEG")
    more = [*BOTH, "--no-figure"] if door == "compare" else []
    assert main([door, str(folder), *more, "--out", str(tmp_path / "out")]) == 0
    err = capfd.readouterr().err
    assert err.count("searchlight: ") == 1
    assert "searchlight: 4 files skipped because of the file extension: .heic, .xcf, none.\n" in err
    names = {p.stem.removesuffix("-agreement") for p in (tmp_path / "out").iterdir()}
    assert names - {"summary"} == {"a", "b"}


def test_a_file_that_is_named_is_not_skipped(loads: None, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    picture(tmp_path / "in" / "a.png")
    odd = picture(tmp_path / "in" / "b.dat")
    assert main(["trace", str(tmp_path / "in"), str(odd), "--out", str(tmp_path / "out")]) == 0
    assert traced(tmp_path / "out") == ["a", "b"] and "skipped" not in capfd.readouterr().err


def test_a_folder_without_pictures_says_what_is_there(
    loads: None, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.heic").write_bytes(b"?")
    assert main(["trace", str(tmp_path), "--out", str(tmp_path / "out")]) == 1
    err = capfd.readouterr().err
    assert " contains no pictures; " in err and "; 1 file skipped because of the file extension: .heic." in err


@pytest.mark.parametrize("where", ["", "out"])
def test_figures_of_an_earlier_run_are_no_pictures(
    where: str, loads: None, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    for name in ("a.jpg", "b.c.jpg"):
        picture(tmp_path / name, "JPEG")
    command = ["compare", str(tmp_path), *BOTH, "--format", "png", "--dpi", "50", "--out", str(tmp_path / where)]
    assert main(command) == 0
    first = sorted(p for p in tmp_path.rglob("*") if p.is_file())
    assert (tmp_path / where / "b.c.png") in first
    capfd.readouterr()
    assert main(command) == 0
    assert sorted(p for p in tmp_path.rglob("*") if p.is_file()) == first
    err = capfd.readouterr().err
    assert "searchlight: 2 figures of an earlier run skipped: a.png, b.c.png.\n" in err and "extension" not in err
    summary = json.loads((tmp_path / where / "summary.json").read_text())
    assert summary["pictures"] == 2


def test_a_picture_beside_its_own_record_stays_a_picture(loads: None, tmp_path: Path) -> None:
    picture(tmp_path / "a.png")
    command = ["compare", str(tmp_path), *BOTH, "--out", str(tmp_path)]
    assert main(command) == 0 and main(command) == 0
    record = json.loads((tmp_path / "a.json").read_text())
    # A picture as wide as the figure would be: the record names it as what was shown.
    record["width_inches"] = scene().shape[1] / record["figure"]["dpi"]
    (tmp_path / "a.json").write_text(json.dumps(record))
    assert pictures_below(tmp_path).pictures == (tmp_path / "a.png",)
    Image.fromarray(scene()[::-1]).save(tmp_path / "a.png")
    assert is_own_figure(tmp_path / "a.png")
    (tmp_path / "a.json").write_text("[]")
    assert not is_own_figure(tmp_path / "a.png")


def test_tracing_again_into_the_folder_itself(loads: None, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    picture(tmp_path / "a.jpg", "JPEG")
    for _ in range(2):
        assert main(["trace", str(tmp_path), "--out", str(tmp_path)]) == 0
        assert sorted(p.name for p in tmp_path.iterdir()) == ["a.jpg", "a.json", "a.npz"]
        assert "searchlight" not in capfd.readouterr().err


@linux
def test_links(loads: None, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    picture(tmp_path / "elsewhere" / "b.png")
    folder = tmp_path / "in"
    picture(folder / "a.png")
    (folder / "linked").symlink_to(tmp_path / "elsewhere")
    (folder / "same.png").symlink_to(folder / "a.png")
    (folder / "round").symlink_to(folder)
    (folder / "lost.png").symlink_to(tmp_path / "nowhere.png")
    (folder / "loop.png").symlink_to(folder / "loop.png")
    assert main(["trace", str(folder), "--out", str(tmp_path / "out")]) == 0
    assert traced(tmp_path / "out") == ["a", "b"]
    err = capfd.readouterr().err
    assert "round is a link to a folder that contains it; it is skipped." in err
    assert "Skipped broken links and other names without a file: loop.png, lost.png." in err
    assert main(["trace", str(folder / "loop.png"), "--out", str(tmp_path / "out")]) == 1
    assert "The file loop.png cannot be read." in capfd.readouterr().err


def test_a_folder_that_cannot_be_read_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    picture(tmp_path / "a.png")
    (tmp_path / "shut").mkdir()
    scandir = os.scandir

    def refuse(path: Any) -> Any:
        if str(path).endswith("shut"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    told: list[tuple[Path, str]] = []
    assert list(walk(tmp_path, report=lambda path, why: told.append((path, why)))) == [tmp_path / "a.png"]
    assert told == [(tmp_path / "shut", "cannot be read")]


@linux
@pytest.mark.parametrize("door", ["trace", "compare", "figure"])
def test_names_that_are_no_unicode(
    door: str, loads: None, tmp_path: Path, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    folder = Path(os.fsdecode(os.fsencode(tmp_path) + b"/in\xfe"))
    odd = picture(Path(os.fsdecode(os.fsencode(folder) + b"/a\xff.png")))
    Path(os.fsdecode(os.fsencode(folder) + b"/b.\xff")).write_bytes(b"?")
    out = Path(os.fsdecode(os.fsencode(tmp_path) + b"/out\xfd"))
    if door == "figure":
        out.mkdir()
        command = [str(odd), "--out", str(out / f"{odd.stem}.pdf"), "--panels", "picture"]
    else:
        command = [str(folder), "--out", str(out), *(BOTH if door == "compare" else ())]
    assert main([door, *command]) == 0
    assert {p.suffix for p in out.iterdir()} >= {".npz", ".json"}
    assert ("1 file skipped" in capfd.readouterr().err) == (door != "figure")
    assert ("LaTeX cannot read" in caplog.text) == (door == "figure")


def test_data_sets_find_the_same_pictures(tmp_path: Path) -> None:
    for name in ("a.jfif", "b.jpe", "c.pgm"):
        picture(tmp_path / "images" / name, FORMATS[Path(name).suffix])
        Image.new("L", (scene().shape[1], scene().shape[0]), 255).save(tmp_path / "images" / "x.png")
        (tmp_path / "masks").mkdir(exist_ok=True)
        (tmp_path / "images" / "x.png").rename(tmp_path / "masks" / f"{Path(name).stem}.png")
    (tmp_path / "images" / "d.heic").write_bytes(b"?")
    data = open_dataset(tmp_path)
    assert [s.id for s in data] == ["images/a.jfif", "images/b.jpe", "images/c.pgm"]
    assert data.counts == {"files skipped": 1}
    assert "1 file skipped because of the file extension: .heic" in str(data.problems[0])


def test_an_index_may_name_a_jpeg_by_another_of_its_endings(tmp_path: Path) -> None:
    picture(tmp_path / "a.jfif", "JPEG")
    (tmp_path / "index.csv").write_text("image,label,x0,y0,x1,y1\na.jpg,giant panda,1,2,30,40\n")
    data = open_dataset(tmp_path / "index.csv")
    assert [s.path.name for s in data] == ["a.jfif"]
