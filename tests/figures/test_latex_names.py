r"""The file that \includegraphics names is the file that was written, or it is told that no such name is possible."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

import viz.run.engine
from tests.tiny import scene, tiny_model
from viz.cli import main
from viz.figures.build import figure
from viz.figures.latex_names import include, is_readable, name_notes, plain

# Names that pdfLaTeX and LuaLaTeX read in the snippet's spelling, without the ending.
READABLE = [
    *("plain", "a b", "a  b", "a   b", " front", "  two  x", "behind ", "my%20photo #1", "a##b", "a{b}c", "a}b", "a{b"),
    *(
        "a~b",
        "~front",
        "~root",
        "a^b",
        "a^^41b",
        "^^^x",
        "a_b",
        "a$",
        "a&b",
        "a\\b",
        "\\input",
        "it's",
        "a`b",
        "\u00e9",
    ),
    *("\u5199\u771f", "fig.v1", ".front", "-dash", "|pipe", "a|b", "a,b=c", "a[b]", "%", "#", "##{}\\\\", " %", "a."),
    *("100% #1 {x} ~y^_&$.v2", "x" * 200),
]
UNREADABLE = ['a"b', '"a"', "$HOME", "a$USER", "a${HOME}b", "a\tb", "a\nb", "a\x7fb", "a\x01b", "a\udcffb"]
KERNEL = {"@percentchar": "%", "@charlb": "{", "@charrb": "}", "@backslashchar": "\\"}
linux = pytest.mark.skipif(sys.platform != "linux", reason="other systems allow fewer names")


@pytest.fixture(scope="module")
def tiny() -> Any:
    return tiny_model()


@pytest.fixture
def loads(monkeypatch: pytest.MonkeyPatch, tiny: Any) -> None:
    monkeypatch.setattr(viz.run.engine, "load", lambda *args, **options: tiny)
    monkeypatch.setattr("viz.figures.again.load", lambda *args, **options: tiny)
    monkeypatch.setattr("viz.run.engine.Engine.model", lambda self, name, *args, **options: tiny)


def expanded(text: str) -> str:
    """What TeX makes of the commands that a name is spelled with; an unknown one is an error."""
    out = ""
    while text:
        if text.startswith("\\detokenize{"):
            inner = text[len("\\detokenize{") : text.index("}")]
            # Each of these would not come through as it stands.
            assert not re.search(r"[%#{\\]|  |\^\^", inner), inner
            out, text = out + inner, text[text.index("}") + 1 :]
        elif found := re.match(r"\\csname (@\w+)\\endcsname ", text):
            out, text = out + KERNEL[found[1]], text[found.end() :]
        elif text.startswith("\\string#"):
            out, text = out + "#", text[len("\\string#") :]
        elif text.startswith("\\space "):
            out, text = out + " ", text[len("\\space ") :]
        else:
            raise AssertionError(text)
    return out


def named(snippet: str) -> str | None:
    """The file that a snippet includes; None where it includes none."""
    lines = [line.strip() for line in snippet.splitlines() if not line.strip().startswith("%")]
    found = [m[1] for line in lines if (m := re.fullmatch(r"\\includegraphics\[[^]]*\]\{(.*)\}", line))]
    assert len(found) <= 1
    if not found:
        return None
    if found[0] == r"\searchlightfile":
        (body,) = [m[1] for line in lines if (m := re.fullmatch(r"\\edef\\searchlightfile\{(.*)\}%", line))]
        return expanded(body)
    return expanded(found[0])


@linux
@pytest.mark.parametrize("stem", READABLE)
def test_the_written_file_is_the_named_file(stem: str, tiny: Any, tmp_path: Path) -> None:
    for ending in (".png", ".PNG"):
        path = figure(tiny.trace(scene()), "picture").save(tmp_path / (stem + ending), 40)[0]
        name = named(path.with_suffix(".tex").read_text(encoding="utf-8"))
        assert name is not None and (tmp_path / name).samefile(path)
        # Kept from the home folder, from a pipe and from loss.
        assert name[0] not in " ~|"


@linux
@pytest.mark.parametrize("stem", UNREADABLE)
def test_a_name_without_a_spelling_is_told(
    stem: str, tiny: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = figure(tiny.trace(scene()), "picture").save(tmp_path / (stem + ".png"), 40)[0]
    text = path.with_suffix(".tex").read_text(encoding="utf-8")
    assert path.is_file() and named(text) is None and "% Rename it, for instance to " in text
    proposed = plain(path.name)
    assert proposed in caplog.text and proposed in text and re.fullmatch(r"\w[\w.-]*\.png", proposed, re.ASCII)
    assert named("\n".join(include(Path(proposed), "1in"))) == proposed


def test_only_names_that_need_care_are_told() -> None:
    assert [name_notes(Path(f"{n}.pdf")) for n in ("fig", "a b", "a_b.v1", "\u00e9", ".a", "-a")] == [()] * 6
    (note,) = name_notes(Path("my%20photo #1.pdf"))
    assert "my%20photo #1.pdf" in note and "my-20photo-1.pdf" in note
    assert include(Path("a b_1.pdf"), "1in") == [r"  \includegraphics[width=1in]{\detokenize{a b_1.pdf}}"]
    assert not is_readable("fig.Pdf") and plain("fig.Pdf") == "fig.pdf"


def test_svg_is_told(tiny: Any, tmp_path: Path) -> None:
    figure(tiny.trace(scene()), "picture").save(tmp_path / "fig.png.svg")
    text = (tmp_path / "fig.png.tex").read_text()
    assert named(text) == "fig.png.pdf" and "LaTeX reads no SVG" in text


@linux
def test_on_the_command_line(
    loads: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    odd = "my%20photo #1"
    Image.fromarray(scene()).save(f"{odd}.png")
    assert main(["figure", f"{odd}.png", "--out", f"{odd}.pdf", "--panels", "picture"]) == 0
    assert named(Path(f"{odd}.tex").read_text()) == f"{odd}.pdf"
    assert main(["figure", f"{odd}.png", "--from", f"{odd}.json"]) == 0
    assert named(Path(f"{odd}-again.tex").read_text()) == f"{odd}-again.pdf"
    Path("many").mkdir()
    for name in (odd, "a{b", "$HOME"):
        Image.fromarray(scene()).save(f"many/{name}.png")
    for given in (f"{odd}.png", "many"):
        assert main(["compare", given, "--model", "a", "--model", "a", "--out", f"out-{given}"]) == 0
    assert named(Path(f"out-{odd}.png/{odd}.tex").read_text()) == f"{odd}.pdf"
    assert named(Path("out-many/a{b.tex").read_text()) == "a{b.pdf"
    assert named(Path("out-many/$HOME.tex").read_text()) is None and Path("out-many/$HOME.pdf").is_file()


@linux
@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="there is no pdflatex")
@pytest.mark.parametrize("stem", ["my%20photo #1", "100% #1 {x} ~y^_&$.v2", "  two  ^^41", "~\\{", "|a", "\u00e9"])
def test_latex_finds_the_file(stem: str, tmp_path: Path) -> None:
    Image.new("RGB", (72, 36), "red").save(tmp_path / f"{stem}.pdf")
    body = "\n".join(include(Path(f"{stem}.pdf"), r"\columnwidth"))
    text = rf"\documentclass{{article}}\usepackage{{graphicx}}\begin{{document}}{body}\end{{document}}"
    (tmp_path / "document.tex").write_text(text, encoding="utf-8")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "document.tex"]
    done = subprocess.run(command, check=False, cwd=tmp_path, capture_output=True, timeout=120)
    assert done.returncode == 0, done.stdout[-2000:]
