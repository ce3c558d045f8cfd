"""README and docs/: every link leads somewhere, README stays short, and its examples run on a bundled picture."""

from __future__ import annotations

import json
import re
import shlex
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest
from PIL import Image

from viz.cli import main
from viz.page.app import SAMPLES, sample_paths

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
PAGES = [README, *sorted((ROOT / "docs").glob("*.md")), ROOT / "assets/README.md", ROOT / "benchmarks/README.md"]
MOST_LINES = 130
MOST_BYTES = 1_500_000
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_CODE = re.compile(r"^```.*?^```", re.DOTALL | re.MULTILINE)


def fenced(language: str) -> list[str]:
    """The blocks of README in a language; an empty one is what is typed into a shell."""
    blocks = re.findall(r"^```(\w*)\n(.*?)^```$", README.read_text(), re.DOTALL | re.MULTILINE)
    return [text for named, text in blocks if named == language]


def anchor(heading: str) -> str:
    """The anchor that Markdown renderers make of a heading."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_relative_links_lead_somewhere(page: Path) -> None:
    for link in _LINK.findall(_CODE.sub("", page.read_text())):
        if link.startswith("https://"):
            continue
        name, _, part = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        assert target.is_file(), link
        assert target.is_relative_to(ROOT), link
        if part:
            assert part in {anchor(h) for h in re.findall(r"^#+ (.+)$", target.read_text(), re.MULTILINE)}, link


def test_the_index_names_every_page() -> None:
    index = set(_LINK.findall((ROOT / "docs/README.md").read_text()))
    assert {page.name for page in (ROOT / "docs").glob("*.md")} - {"README.md"} <= index


def test_readme_is_short_and_its_pictures_are_small() -> None:
    text = README.read_text()
    assert len(text.splitlines()) <= MOST_LINES
    pictures = [ROOT / name for name in re.findall(r"!\[[^\]]*\]\(([^)]+)\)", text)]
    assert pictures
    for picture in pictures:
        assert picture.stat().st_size <= MOST_BYTES
    moving = [picture for picture in pictures if picture.suffix == ".gif"]
    assert len(moving) == 1
    with Image.open(moving[0]) as opened:
        assert getattr(opened, "n_frames", 1) > 1


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to run examples in, from which assets/ is reached as from the root of a checkout."""
    (tmp_path / "assets").symlink_to(ROOT / "assets")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.slow
def test_the_python_example_runs(here: Path) -> None:
    (code,) = fenced("python")
    exec(compile(code, "README.md", "exec"), {})
    assert (here / "fig.pdf").read_bytes().startswith(b"%PDF")
    assert (here / "both.pdf").read_bytes().startswith(b"%PDF")


@pytest.mark.slow
def test_the_commands_run(here: Path) -> None:
    folder = here / "DIR"
    folder.mkdir()
    rows = ["image,class_index,split,x0,y0,x1,y1"]
    for name, class_index in (("panda", 388), ("chelsea", 281), ("rocket", 657), ("coffee", 967), ("china", 698)):
        (folder / f"{name}.jpg").write_bytes((ROOT / f"assets/{name}.jpg").read_bytes())
        rows.append(f"{name}.jpg,{class_index},val,20,20,200,200")
    (folder / "index.csv").write_text("\n".join(rows) + "\n")
    (block,) = [text for text in fenced("") if text.startswith("searchlight models")]
    lines = [shlex.split(line, comments=True)[1:] for line in block.splitlines()]
    assert [words[0] for words in lines] == [
        "models", "trace", "figure", "compare", "evaluate", "faithfulness", "serve",
    ]  # fmt: skip
    for words in lines[:-1]:  # the last one stays until it is stopped
        assert main(words) == 0, words
    assert (here / "fig.pdf").is_file()
    assert (here / "traces/panda.npz").is_file()
    for name in ("result.json", "used.json"):
        json.loads((here / name).read_text())


def test_the_moving_picture_is_drawn_from_the_bundled_models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = spec_from_file_location("pictures", ROOT / "docs/pictures.py")
    assert found is not None and found.loader is not None
    pictures = module_from_spec(found)
    found.loader.exec_module(pictures)
    monkeypatch.setattr(pictures, "OUT", tmp_path)
    pictures.walk()
    with Image.open(tmp_path / "walk.gif") as made, Image.open(ROOT / "assets/readme/walk.gif") as shown:
        assert made.n_frames == shown.n_frames == len(pictures.STOPS) + 2  # type: ignore[attr-defined]


def test_the_page_offers_the_photographs_that_the_rule_chooses() -> None:
    measured = json.loads((ROOT / "benchmarks/results/samples.json").read_text())["rank_correlation"]
    best = sorted(measured, key=lambda name: -measured[name]["lowest"])
    assert [Path(path).name for path in sample_paths()] == best[: len(SAMPLES)]
    assert len(measured) == len(list((ROOT / "assets").glob("*.jpg"))) - 1  # without the composed one
