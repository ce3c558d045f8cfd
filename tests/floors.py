"""The lowest versions that pyproject.toml allows, as constraints for pip: ``python -m tests.floors``."""

from __future__ import annotations

import tomllib
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parent.parent


def floors() -> dict[str, str]:
    """Package and lowest allowed version, in the order of pyproject.toml."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lowest = {}
    for requirement in map(Requirement, project["dependencies"]):
        lowest[requirement.name] = next(s.version for s in requirement.specifier if s.operator in (">=", "=="))
    return lowest


def main() -> None:
    """Print one line per package."""
    for name, version in floors().items():
        print(f"{name}=={version}")


if __name__ == "__main__":
    main()
