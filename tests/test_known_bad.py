"""No dependency stands here in a version with known holes, and none may be installed by the documented commands."""

from __future__ import annotations

import struct
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np
import PIL
import pytest
from packaging.version import Version

from tests.floors import ROOT, floors
from tests.known_bad import KNOWN_BAD, KnownBad, found
from tests.pictures import chunk, colours, png_of
from viz.errors import VizError
from viz.page.serve import serve
from viz.picture import open_picture


def test_nothing_known_bad_is_installed() -> None:
    assert found() == ()
    for package in ("pillow", "torch", "gradio", "starlette", "python-multipart", "tqdm"):
        version(package)  # raises where a row of the table would say nothing


@pytest.mark.parametrize("bad", KNOWN_BAD, ids=lambda b: b.package)
def test_a_known_bad_version_is_found(bad: KnownBad) -> None:
    fixed = Version(bad.versions.removeprefix("<"))
    older = f"{fixed.major - 1}.9.9" if fixed.major else "0.0.1"

    def installed(package: str) -> str:
        if package != bad.package:
            raise PackageNotFoundError(package)
        return older

    (line,) = found(installed)
    assert line.startswith(f"{bad.package} {older} is known to be bad")
    assert str(fixed) not in bad
    assert older in bad


def test_the_versions_that_the_advisories_name() -> None:
    table = {bad.package: bad for bad in KNOWN_BAD}
    assert "12.3.0" in table["pillow"] and "13.0.0" not in table["pillow"]
    assert "2.9.1+cpu" in table["torch"] and "2.13.0+cpu" not in table["torch"]


def test_no_floor_is_known_bad_but_the_one_that_is_installed_over() -> None:
    table = {bad.package: bad for bad in KNOWN_BAD}
    lowest = floors()
    assert {"pillow", "torch", "gradio", "tqdm"} <= set(lowest)
    assert [name for name, low in lowest.items() if name in table and low in table[name]] == ["pillow"]
    lines = [line for line in (ROOT / "overrides.txt").read_text().splitlines() if not line.startswith("#")]
    over = dict(line.split("==") for line in lines)
    assert list(over) == ["pillow"]
    assert over["pillow"] not in table["pillow"]
    assert over["pillow"] == version("pillow")


@pytest.mark.parametrize("file", ["README.md", "docs/install.md", "tests/run", "tests/lowest"])
def test_every_command_installs_the_override_last(file: str) -> None:
    text = (ROOT / file).read_text(encoding="utf-8")
    assert text.index("--no-deps -r overrides.txt") > text.index("-e ")


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "viz.example"])
def test_other_machines_are_not_served_with_an_older_pillow(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(PIL, "__version__", "12.3.0")
    with pytest.raises(VizError, match=r"Pillow 12\.3\.0.* pip install --no-deps") as caught:
        serve(host, port=0)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1", "[::1]"])
def test_the_own_machine_is_warned(
    host: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(PIL, "__version__", "12.3.0")
    with pytest.raises(VizError, match="not a port"):
        serve(host, port=-1)
    assert "Pillow 12.3.0" in caplog.text


def test_a_repeated_exif_header_takes_no_time(tmp_path: Path) -> None:
    """Pillow 12 copies what is left of the block for each of its headers: minutes of work for a small file."""
    block = b"Exif\0\0" * 400_000 + b"II*\0" + struct.pack("<I", 8) + bytes(6)
    data = png_of(colours(), 2, chunk(b"eXIf", block))
    began = time.process_time()
    np.testing.assert_array_equal(open_picture(data).rgb, colours())
    assert time.process_time() - began < 5
