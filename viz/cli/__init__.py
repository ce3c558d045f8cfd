"""The command line: ``searchlight``, the same as ``python -m viz``."""

from viz.cli.program import main

__all__ = ["main"]
