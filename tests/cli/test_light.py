"""What is imported when: `import viz`, ``--help``, ``searchlight models`` and ``searchlight trace`` stay light."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

import viz
from tests.tiny import scene
from viz.errors import VizError

ROOT = Path(__file__).resolve().parents[2]
HEAVY = ("torch", "matplotlib", "plotly", "gradio", "captum", "cv2")
COMMANDS = ("models", "trace", "figure", "compare", "evaluate", "faithfulness", "serve")
_RUN = """
import sys
from viz.cli import main
for words in {commands}:
    try:
        code = main(words)
    except SystemExit as left:
        code = left.code
    assert not code, (words, code)
print([m for m in {names} if m in sys.modules])
"""


def imported(commands: list[list[str]], names: tuple[str, ...]) -> str:
    """Which of the modules a process has imported once it has run the commands, as a list in text."""
    env = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    code = _RUN.format(commands=commands, names=names)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, env=env)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()[-1]


def test_help_needs_no_library() -> None:
    words = [["--help"], *([command, "--help"] for command in COMMANDS)]
    assert imported(words, (*HEAVY, "numpy", "PIL", "tqdm")) == "[]"


def test_models_are_listed_without_torch(tmp_path: Path) -> None:
    (tmp_path / "own.pth").write_bytes(b"x")
    folder = ["--models", str(tmp_path)]
    words = [["models"], ["models", "--json"], ["models", *folder], ["models", "--json", *folder]]
    assert imported(words, HEAVY) == "[]"


def test_a_trace_needs_no_library_of_figures(tmp_path: Path) -> None:
    Image.fromarray(scene()).save(tmp_path / "a.png")
    words = ["trace", str(tmp_path / "a.png"), "--model", "lite0", "--device", "cpu", "--out", str(tmp_path / "out")]
    assert imported([words], ("matplotlib", "plotly", "gradio", "captum")) == "[]"
    assert {p.name for p in (tmp_path / "out").iterdir()} == {"a.json", "a.npz"}


def test_the_package_itself_imports_no_library() -> None:
    code = f"import sys, viz, viz.files, viz.errors\nprint([m for m in {(*HEAVY, 'numpy', 'PIL')} if m in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert done.stdout.strip() == "[]"


def test_every_public_name_is_there_and_known_to_type_checkers() -> None:
    for name in viz.__all__:
        assert getattr(viz, name) is not None and name in dir(viz), name
    tree = ast.parse((ROOT / "viz" / "__init__.py").read_text(encoding="utf-8"))
    (block,) = [node for node in tree.body if isinstance(node, ast.If)]
    typed = {(found.module, alias.name, alias.asname) for found in block.body if isinstance(found, ast.ImportFrom)
             for alias in found.names}  # fmt: skip
    assert typed == {(module, name, name) for module, names in viz._PUBLIC.items() for name in names}
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        viz.nothing  # noqa: B018


def test_the_tree_of_errors_is_that_of_the_docstring() -> None:
    for module in ("viz.datasets", "viz.page.server.guard", "viz.page.server.jobs", "viz.page.server.bodies"):
        import_module(module)
    drawn: list[tuple[int, str]] = []
    for line in (import_module("viz.errors").__doc__ or "").splitlines():
        if found := re.match(r"    ([│├└─ ]*)(\w+Error)\b", line):
            drawn.append((len(found[1]) // 4, found[2]))

    def below(error: type[Any], depth: int = 0) -> set[tuple[int, str]]:
        own = [e for e in error.__subclasses__() if e.__module__.startswith("viz.") and not e.__name__.startswith("_")]
        return {(depth, error.__name__)}.union(*(below(e, depth + 1) for e in own))

    assert set(drawn) == below(VizError) and len(drawn) == len(set(drawn))
