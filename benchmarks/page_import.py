"""CPU time of importing Gradio: as it is, and as the page does it, without stub files. Each import is a new process."""

from __future__ import annotations

import os
import subprocess
import sys
from functools import partial

from benchmarks.common import interleave, rounds_from_command_line, save, show

JOBS = {
    "import gradio": "import gradio",
    "the same by the page, without stub files": "import viz.page",
    "the interpreter alone": "pass",
}


def children_ns() -> int:
    """CPU time of all processes that this one has started and waited for."""
    spent = os.times()
    return int(1e9 * (spent.children_user + spent.children_system))


def main() -> None:
    """Measure, print and save."""
    rounds = rounds_from_command_line()
    jobs = {name: partial(subprocess.run, [sys.executable, "-c", code], check=True) for name, code in JOBS.items()}
    rows = interleave(jobs, "import gradio", rounds, clock=children_ns)
    show("Importing Gradio", rows)
    save("page_import", rounds, {"Importing Gradio": rows})


if __name__ == "__main__":
    main()
