"""``python -m tests.mutants [--only NUMBER|NAME ...] [--list]``: exits 1 if a mutant survives its tests.

The tests of a mutant are run once without it, too: a test that fails anyway kills nothing.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.mutants.table import ROOT, Mutant, mutants

COPIED = (
    "viz",
    "recipes",
    "tests",
    "assets",
    "checkpoints",
    "benchmarks",
    "docs",
    "app.py",
    "README.md",
    "pyproject.toml",
)
# An endless loop is noticed, too.
LONGEST = 900.0


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    parser.add_argument("--only", nargs="+", metavar="N", help="numbers (from 1) or names")
    parser.add_argument("--list", action="store_true", help="print the table and run nothing")
    options = parser.parse_args(arguments)
    chosen = _chosen(options.only)
    if options.list:
        for number, mutant in chosen:
            print(f"{number:>3}  {mutant.name}  ({mutant.file})")
        return 0
    with tempfile.TemporaryDirectory(prefix="searchlight-mutants-") as folder:
        copy = copied(Path(folder) / "tree")
        sound: dict[tuple[str, ...], bool] = {}
        verdicts = []
        for number, mutant in chosen:
            if mutant.tests not in sound:
                sound[mutant.tests] = outcome(copy, mutant.tests) == "survived"
            verdict = tried(copy, mutant) if sound[mutant.tests] else "its tests fail without it"
            verdicts.append(verdict)
            print(f"{number:>3}  {verdict:<9}  {mutant.name}", flush=True)
    killed = verdicts.count("killed")
    print(f"{len(verdicts)} mutants: {killed} killed, {len(verdicts) - killed} not")
    return 0 if killed == len(verdicts) else 1


def _chosen(only: list[str] | None) -> list[tuple[int, Mutant]]:
    numbered = list(enumerate(mutants(), 1))
    if only is None:
        return numbered
    found = [(n, m) for n, m in numbered if str(n) in only or m.name in only]
    if len(found) != len(set(only)):
        sys.exit(f"There is no such mutant among: {' '.join(only)}; see --list.")
    return found


def copied(target: Path) -> Path:
    """A copy of the tree, without what Python has compiled."""
    target.mkdir()
    for name in COPIED:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, target / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy2(ROOT / name, target / name)
    return target


def tried(copy: Path, mutant: Mutant) -> str:
    """What the tests say of a mutant; the copy is as before afterwards."""
    path = copy / mutant.file
    before = path.read_text(encoding="utf-8")
    if before.count(mutant.old) != 1:
        return "does not apply"
    path.write_text(before.replace(mutant.old, mutant.new), encoding="utf-8")
    try:
        return outcome(copy, mutant.tests)
    finally:
        path.write_text(before, encoding="utf-8")


def outcome(copy: Path, tests: tuple[str, ...]) -> str:
    """``survived`` where all tests pass, ``killed`` where one fails, else pytest's own exit code."""
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *tests]
    # No compiled files: a mutant has the size and, within a second, the time of what it replaces.
    environment = {**os.environ, "PYTHONPATH": str(copy), "PYTHONDONTWRITEBYTECODE": "1"}
    try:
        done = subprocess.run(command, cwd=copy, env=environment, capture_output=True, timeout=LONGEST, check=False)
    except subprocess.TimeoutExpired:
        return "killed"
    return {0: "survived", 1: "killed"}.get(done.returncode, f"error {done.returncode}")


if __name__ == "__main__":
    sys.exit(main())
