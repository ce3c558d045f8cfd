"""Folders of the bundled files: beside the package in a checkout, inside it in a wheel."""

from __future__ import annotations

from pathlib import Path

from viz.errors import ModelError

_PACKAGE = Path(__file__).resolve().parent.parent


def bundled(folder: str) -> Path:
    """The bundled ``checkpoints`` or ``assets`` folder.

    Raises:
        ModelError: it is missing.
    """
    for candidate in (_PACKAGE / "_bundled" / folder, _PACKAGE.parent / folder):
        if candidate.is_dir():
            return candidate
    raise ModelError(f"The {folder} folder of this installation is missing; install Searchlight again.")
