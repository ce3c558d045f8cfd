"""Resident memory of the page's engine: four visitors, 20 attributions on three models, then traces and figures.

Two starts are reported: before any model is loaded (the page is imported and its engine made), and after each model was
loaded and has traced one picture. A child process does it, so that nothing else counts.
"""

from __future__ import annotations

import argparse
import gc
import json
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

from viz.allocator import give_back, share_memory

RESULTS = Path(__file__).parent / "results"
MODELS = ("lite0", "lite0-tdam", "lite0-psa")
METHODS = ("integrated_gradients", "occlusion", "gradcam", "guided_backprop")
USERS, ATTRIBUTIONS = 4, 20


@dataclass(frozen=True)
class Memory:
    """MB (2^20 bytes): resident now, its share of anonymous pages, and the largest resident size so far."""

    moment: str
    resident: int
    anonymous: int
    peak: int


def memory(moment: str) -> Memory:
    """What Linux says of this process."""
    lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    resident, anonymous, peak = (int(lines[name].split()[0]) // 1024 for name in ("VmRSS", "RssAnon", "VmHWM"))
    return Memory(moment, resident, anonymous, peak)


def together(jobs: list[Callable[[], object]], users: int) -> None:
    """Run the jobs, each user one at a time, in threads that are new."""
    waiting = iter(jobs)
    lock = threading.Lock()

    def user() -> None:
        while True:
            with lock:
                job = next(waiting, None)
            if job is None:
                return
            job()

    with ThreadPoolExecutor(users) as pool:
        for done in [pool.submit(user) for _ in range(users)]:
            done.result()


def main() -> None:
    """Measure, print and save."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=200, help="traces and figures that follow")
    parser.add_argument(
        "--without", action="store_true", help="leave the allocator as it is, for comparison; not saved"
    )
    args = parser.parse_args()
    if not args.without:
        share_memory()  # as the page does, before its threads start

    import viz.page.app  # noqa: F401 - what the page holds
    from viz.figures import figure
    from viz.models.paths import bundled
    from viz.picture import open_picture
    from viz.run.engine import Engine, versions

    engine = Engine("cpu")
    pictures = [open_picture(path) for path in sorted(bundled("assets").glob("*.jpg"))]
    found = [memory("page imported, no model loaded")]
    for name in MODELS:
        engine.trace(pictures[0], name)
    found.append(memory("three models loaded, one trace each"))
    began, spent = time.process_time(), time.perf_counter()
    turns = [(pictures[i % len(pictures)], MODELS[i % 3], METHODS[i // 3 % 4]) for i in range(ATTRIBUTIONS)]
    together([lambda t=turn: engine.attribute(*t) for turn in turns], USERS)  # type: ignore[misc]
    cpu, wall = time.process_time() - began, time.perf_counter() - spent
    found.append(memory(f"{ATTRIBUTIONS} attributions by {USERS} users"))
    held = engine.held_bytes >> 20
    for count in (args.repeats // 2, args.repeats - args.repeats // 2):
        together([lambda i=i: engine.trace(pictures[i % len(pictures)], MODELS[i % 3]) for i in range(count)], 8)
        together(
            [lambda i=i: figure(engine.trace(pictures[i % 4], MODELS[1])).to_bytes("png", 130) for i in range(count)], 8
        )
        gc.collect()
        found.append(memory(f"{count} more traces and figures by 8 users"))
    began = time.perf_counter()
    give_back()
    again = round(1000 * (time.perf_counter() - began), 2)
    found.append(memory(f"after giving back once more ({again} ms)"))
    print("| moment | resident MB | of it anonymous | peak MB |\n| --- | ---: | ---: | ---: |")
    for row in found:
        print(f"| {row.moment} | {row.resident} | {row.anonymous} | {row.peak} |")
    print(f"\nAttributions: {cpu:.1f} s of CPU time, {wall:.1f} s; the engine holds {held} MB of traces.")
    if not args.without and sys.platform.startswith("linux"):
        RESULTS.mkdir(exist_ok=True)
        data = {
            "benchmark": "page_memory",
            "unit": "MB",
            "versions": versions(),
            "users": USERS,
            "attributions": ATTRIBUTIONS,
            "models": MODELS,
            "methods": METHODS,
            "held": held,
            "moments": [asdict(row) for row in found],
        }
        (RESULTS / "page_memory.json").write_text(json.dumps(data, indent=2) + "\n")


if __name__ == "__main__":
    main()
