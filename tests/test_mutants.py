"""The table of mutants fits the code as it is. The mutants themselves are run by ``python -m tests.mutants``."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tests.mutants.__main__ import main, tried
from tests.mutants.table import ROOT, Mutant, mutants

ALL = mutants()


@pytest.mark.parametrize("mutant", ALL, ids=[m.name for m in ALL])
def test_a_mutant_still_applies(mutant: Mutant) -> None:
    text = (ROOT / mutant.file).read_text(encoding="utf-8")
    assert text.count(mutant.old) == 1, f"{mutant.file} has changed; bring the table up to date"
    changed = text.replace(mutant.old, mutant.new)
    # What does not even parse is noticed by any test.
    assert ast.dump(ast.parse(changed)) != ast.dump(ast.parse(text))
    files = [t.partition("::")[0] for t in mutant.tests if t.startswith("tests/")]
    assert files and all((ROOT / f).is_file() for f in files)


def test_the_table_has_no_name_twice(capsys: pytest.CaptureFixture[str]) -> None:
    assert len({m.name for m in ALL}) == len(ALL) and len({(m.file, m.old, m.new) for m in ALL}) == len(ALL)
    assert main(["--list"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == len(ALL)
    with pytest.raises(SystemExit, match="no such mutant"):
        main(["--only", "0"])


def test_a_mutant_is_killed_by_a_test_that_sees_it_and_survives_one_that_does_not(tmp_path: Path) -> None:
    (tmp_path / "room.py").write_text("def double(x: int) -> int:\n    return x + x\n")
    (tmp_path / "test_sees.py").write_text("from room import double\n\ndef test():\n    assert double(3) == 6\n")
    (tmp_path / "test_blind.py").write_text("from room import double\n\ndef test():\n    assert double(2) == 4\n")

    def verdict(old: str, test: str) -> str:
        return tried(tmp_path, Mutant("square", "room.py", old, "x * x", (test,)))

    assert verdict("x + x", "test_sees.py") == "killed"
    assert verdict("x + x", "test_blind.py") == "survived"
    assert verdict("x - x", "test_sees.py") == "does not apply"
    assert verdict("x + x", "test_absent.py").startswith("error")
    assert "x + x" in (tmp_path / "room.py").read_text()
