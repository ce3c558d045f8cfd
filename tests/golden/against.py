"""The same code at another commit, run on this machine by that commit's own generator."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests.golden.inside import ROOT
from tests.golden.store import Golden, load


class CommitError(Exception):
    """A commit that cannot be run, in one sentence."""


# What golden data are made from; they themselves are not.
SOURCES = ("viz", "tests", "assets", "checkpoints", ":!tests/golden/*.json", ":!tests/golden/*.npz")


def head() -> str:
    """The commit that is checked out."""
    return _git("rev-parse", "HEAD")


def clean_head() -> str:
    """The commit that is checked out, when golden data made now are its own.

    Raises:
        CommitError: files are not as they are there.
    """
    if changed := _git("status", "--porcelain", "--", *SOURCES):
        raise CommitError(f"Commit first, because golden data name the commit that makes them again:\n{changed}")
    return head()


def made_at(commit: str, only: Sequence[str]) -> Golden:
    """What the generator of a commit makes of that commit's code, here and now.

    Args:
        only: patterns of cases; none means all.

    Raises:
        CommitError: there is no such commit, it has no generator, or that fails.
    """
    with tempfile.TemporaryDirectory() as folder:
        tree, out = Path(folder) / "tree", Path(folder) / "out"
        out.mkdir()
        _git("worktree", "add", "--detach", str(tree), commit)
        try:
            if not (tree / "tests" / "golden" / "store.py").is_file():
                raise CommitError(f"Commit {commit} has no generator of golden data; choose a later one.")
            command = [sys.executable, "-m", "tests.golden", "--out", str(out)]
            command += [word for pattern in only for word in ("--only", pattern)]
            if subprocess.run(command, cwd=tree, env={**os.environ, "PYTHONPATH": str(tree)}, check=False).returncode:
                raise CommitError(f"The generator of commit {commit} failed.")
            return load(out)
        finally:
            _git("worktree", "remove", "--force", str(tree))


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise CommitError(f"git {' '.join(arguments[:2])} failed: {done.stderr.strip()}")
    return done.stdout.strip()
