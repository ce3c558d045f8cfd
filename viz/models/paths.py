"""Where the files that ship with Searchlight lie: beside the package in a checkout, inside it in a wheel."""

from __future__ import annotations

from pathlib import Path

from viz.errors import ModelError

_PACKAGE = Path(__file__).resolve().parent.parent


def bundled(folder: str) -> Path:
    """The bundled ``checkpoints`` or ``assets`` folder.

    Raises:
        ModelError: the installation lacks it.
    """
    for candidate in (_PACKAGE / "_bundled" / folder, _PACKAGE.parent / folder):
        if candidate.is_dir():
            return candidate
    raise ModelError(f"This installation lacks its {folder} folder; install Searchlight again.")
