"""A trace, and a trace with its first picture, of this tree over those of an older commit, side by side in one run.

    python -m benchmarks.since COMMIT

Each tree runs in a process of its own; the rounds take turns, and each process measures its own CPU time.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.common import RESULTS, photo, versions

ROOT = Path(__file__).resolve().parents[1]
MODELS = ("lite0", "lite0-tdam", "lite0-psa", "lite0-vista", "lite0-paka")
JOBS = ("trace", "trace and first picture")
# Uses nothing but what both trees offer by name.
WORKER = """
import sys, time
import cv2, torch
import viz
torch.set_num_threads(1)
cv2.setNumThreads(1)
data = sys.stdin.buffer.read(int(sys.argv[1]))
models = {name: viz.load(name, "cpu") for name in sys.argv[2:]}
print("ready", flush=True)
for line in sys.stdin:
    name, job = line.strip().split("|")
    start = time.process_time()
    trace = models[name].trace(viz.open_picture(data, name="photo.jpg"))
    if job != "trace":
        trace._repr_html_()
    print(time.process_time() - start, flush=True)
"""


class Tree:
    """A process that runs jobs with the code of one tree."""

    def __init__(self, root: Path, data: bytes) -> None:
        self.process: Any = subprocess.Popen(
            [sys.executable, "-c", WORKER, str(len(data)), *MODELS],
            cwd=root,
            env={"PYTHONPATH": str(root), "OMP_NUM_THREADS": "1", "PATH": ""},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self.process.stdin.write(data)
        self.process.stdin.flush()
        assert self.process.stdout.readline() == b"ready\n"

    def seconds(self, model: str, job: str) -> float:
        """CPU time of one job."""
        self.process.stdin.write(f"{model}|{job}\n".encode())
        self.process.stdin.flush()
        return float(self.process.stdout.readline())


def main() -> None:
    """Measure, print and save."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("commit")
    parser.add_argument("--rounds", type=int, default=15)
    args = parser.parse_args()
    data, _ = photo()
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        archive = subprocess.run(["git", "archive", args.commit], cwd=ROOT, check=True, capture_output=True).stdout
        subprocess.run(["tar", "-x", "-C", folder], input=archive, check=True)
        old, new = Tree(Path(folder), data), Tree(ROOT, data)
        print("| model | what | before, ms | now, ms | ratio |\n| --- | --- | ---: | ---: | ---: |")
        for model in MODELS:
            for job in JOBS:
                pairs = []
                for number in range(args.rounds + 1):
                    first, second = (old, new) if number % 2 else (new, old)
                    one, other = first.seconds(model, job), second.seconds(model, job)
                    pairs.append((one, other) if first is old else (other, one))
                pairs = pairs[1:]  # the first warms up
                before, now = (1000 * statistics.median(column) for column in zip(*pairs, strict=True))
                ratio = statistics.median(b / a for a, b in pairs)
                rows.append({"model": model, "job": job, "before_ms": before, "now_ms": now, "ratio": ratio})
                print(f"| {model} | {job} | {before:.1f} | {now:.1f} | {ratio:.3f} |", flush=True)
    RESULTS.mkdir(exist_ok=True)
    made = {"benchmark": "since", "commit": args.commit, "rounds": args.rounds, "versions": versions(), "rows": rows}
    (RESULTS / "since.json").write_text(json.dumps(made, indent=2) + "\n")


if __name__ == "__main__":
    main()
