"""Matplotlib, imported whatever backend the environment names."""

from __future__ import annotations

import contextlib
import os
import sys


def import_matplotlib() -> None:
    """Import Matplotlib, also where ``MPLBACKEND`` names a backend that this environment does not have.

    A notebook sets the variable for all that it starts, and Matplotlib refuses an unknown name while it is imported.
    Nothing here opens a window, so an unknown backend is left out; a known one stays chosen, as without this function.
    Call it before an import of Matplotlib, or of Captum, which imports it.
    """
    if "matplotlib" in sys.modules:
        return
    named = os.environ.pop("MPLBACKEND", None)
    try:
        import matplotlib
    finally:
        if named is not None:
            os.environ["MPLBACKEND"] = named
    if named:
        with contextlib.suppress(ValueError):
            matplotlib.rcParams["backend"] = named
