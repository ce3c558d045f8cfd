"""The machine that golden data was made on: floating-point results differ in their last bits from one kind to another.

Exact hashes hold only where all of `fingerprint` is the same. Threads are no part of it: everything is computed with
one, as the commands over data sets do, because sums depend on how many take part.
"""

from __future__ import annotations

import os
import platform
import re
import subprocess
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path

import cv2
import torch

from tests.golden.inside import chromium

PACKAGES = (
    *("torch", "numpy", "opencv-python-headless", "matplotlib", "plotly", "pillow", "captum", "gradio", "safetensors"),
    *("contourpy", "fonttools"),
)
# For processes that are started: theirs is set before torch is imported.
ENVIRONMENT = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


def fingerprint() -> dict[str, str]:
    """What the last bits of numbers and the pixels of drawings depend on, by name."""
    found = {name: version(name) for name in PACKAGES}
    return found | {
        "processor": _processor(),
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "libc": "-".join(platform.libc_ver()),
        "zlib": zlib.ZLIB_RUNTIME_VERSION,
        "python": platform.python_version(),
        "chromium": _said(chromium(), "--version"),
        "pdftoppm": _said("pdftoppm", "-v"),
        "threads": "1",
    }


def differing(ours: dict[str, str], theirs: dict[str, str]) -> list[str]:
    """What is not the same of two fingerprints, in words."""
    names = sorted(ours.keys() | theirs.keys())
    return [
        f"{n}: {theirs.get(n, 'none')} there, {ours.get(n, 'none')} here" for n in names if ours.get(n) != theirs.get(n)
    ]


def _processor() -> str:
    """Maker, family and model: libraries choose their kernels by these, too."""
    file = Path("/proc/cpuinfo")
    if not file.is_file():
        return f"{platform.machine()} {platform.processor()}"
    text = file.read_text()
    found = [re.search(rf"^{name}\s*: (.*)$", text, re.MULTILINE) for name in ("vendor_id", "cpu family", "model")]
    return " ".join([platform.machine(), *(m[1] for m in found if m)])


def _said(program: str | None, option: str) -> str:
    """The first line that a program says of itself; ``none`` where it is missing."""
    try:
        done = subprocess.run([program or "", option], capture_output=True, text=True, check=False)
    except OSError:
        return "none"
    return (done.stdout or done.stderr).strip().splitlines()[0].strip()


@contextmanager
def one_thread() -> Iterator[None]:
    """Compute with one thread, here and in processes that are started, while the block runs."""
    before, environment = (torch.get_num_threads(), cv2.getNumThreads()), dict(os.environ)
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    os.environ.update(ENVIRONMENT)
    try:
        yield
    finally:
        torch.set_num_threads(before[0])
        cv2.setNumThreads(before[1])
        os.environ.clear()
        os.environ.update(environment)
