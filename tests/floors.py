"""The lowest versions that pyproject.toml allows, as constraints for pip: ``python tests/floors.py``.

Needs the standard library only: `tests/lowest` runs it while the other environment is still being installed.
"""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def floors() -> dict[str, str]:
    """Package and lowest allowed version, in the order of pyproject.toml."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return dict(_floor(requirement) for requirement in project["dependencies"])


def _floor(requirement: str) -> tuple[str, str]:
    found = re.fullmatch(r"([\w-]+)[>=]=([\w.]+)(,<[\w.]+)?", requirement)
    if found is None:
        raise ValueError(f"pyproject.toml: {requirement!r} is not NAME>=VERSION or NAME==VERSION.")
    return found[1], found[2]


def main() -> None:
    """Print one line per package."""
    for name, version in floors().items():
        print(f"{name}=={version}")


if __name__ == "__main__":
    main()
