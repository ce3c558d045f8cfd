"""Import of Matplotlib that does not depend on the backend named by the environment."""

from __future__ import annotations

import contextlib
import os
import sys


def import_matplotlib() -> None:
    """Import Matplotlib, also where ``MPLBACKEND`` names a backend that is not installed.

    A notebook sets the variable for its child processes, and Matplotlib cannot be imported with an unknown name.
    Nothing here opens a window, so an unknown backend is ignored; a known one stays selected.
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
