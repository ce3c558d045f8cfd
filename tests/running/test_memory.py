"""Memory of the page: slow methods take turns, and what a computation took goes back."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

import viz
from viz import allocator
from viz.core.methods import AttributionOptions
from viz.models.paths import bundled
from viz.run import model as of_trace
from viz.run.engine import Engine

PANDA = bundled("assets") / "panda.jpg"
# 300 MB is the bar of twenty attributions at their usual options (benchmarks/page_memory.py); these are fewer.
MOST_MB = 300
CHILD = """
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from viz.allocator import share_memory
if sys.argv[1] == "page":
    share_memory()
from viz.core.methods import AttributionOptions
from viz.run.engine import Engine
from viz.picture import open_picture
from viz.models.paths import bundled
def resident():
    return int(next(l for l in Path("/proc/self/status").read_text().splitlines() if "VmRSS" in l).split()[1]) // 1024
engine = Engine("cpu")
pictures = [open_picture(p) for p in sorted(bundled("assets").glob("*.jpg"))[:4]]
names = ("lite0", "lite0-tdam", "lite0-psa")
for name in names:
    engine.trace(pictures[0], name)
before = resident()
options = AttributionOptions(n_steps=16)
jobs = [(pictures[i % 4], names[i % 3]) for i in range(6)]
with ThreadPoolExecutor(4) as users:
    list(users.map(lambda job: engine.attribute(*job, "integrated_gradients", options=options), jobs))
print(resident() - before)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc; elsewhere the C library decides")
def test_memory_goes_back_after_attributions_of_several_users() -> None:
    done = subprocess.run(
        [sys.executable, "-c", CHILD, "page"], capture_output=True, text=True, check=True, timeout=300
    )
    assert int(done.stdout) < MOST_MB


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="mallopt and malloc_trim are glibc's")
def test_the_c_library_takes_the_settings() -> None:
    code = "from viz.allocator import *; assert share_memory() and keep_memory(); give_back()"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_other_systems_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    assert not allocator.share_memory() and not allocator.keep_memory() and not allocator.give_back()


def test_slow_methods_take_turns_and_who_waits_can_stop(monkeypatch: pytest.MonkeyPatch) -> None:
    engine, picture = Engine("cpu"), viz.open_picture(PANDA)
    for name in ("lite0", "lite0-psa"):
        engine.trace(picture, name)
    at_work, most, lock, go = 0, 0, threading.Lock(), threading.Event()
    real = of_trace.attribute

    def watched(*arguments: object, **more: object) -> object:
        nonlocal at_work, most
        with lock:
            at_work += 1
            most = max(most, at_work)
        go.wait(10)
        try:
            return real(*arguments, **more)  # type: ignore[arg-type]
        finally:
            with lock:
                at_work -= 1

    monkeypatch.setattr(of_trace, "attribute", watched)
    options = AttributionOptions(n_steps=2)

    class Enough(Exception):  # noqa: N818
        pass

    def stop(share: float) -> None:
        raise Enough

    with ThreadPoolExecutor(3) as users:
        first = users.submit(engine.attribute, picture, "lite0", "integrated_gradients", options=options)
        while not at_work:
            time.sleep(0.001)
        with pytest.raises(Enough):
            engine.attribute(picture, "lite0-psa", "integrated_gradients", options=options, progress=stop)
        second = users.submit(engine.attribute, picture, "lite0-psa", "integrated_gradients", options=options)
        go.set()
        assert first.result(60).attributions and second.result(60).attributions
    assert most == 1
