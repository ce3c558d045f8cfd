"""What the localization protocol costs over the forward pass alone, and whether memory grows with the data set.

    python -m benchmarks.evaluation [--rounds N]

A data set is made of the bundled photographs (500 x 375 pixels, JPEG), each with a drawn-up box: the sweep's cost does
not depend on whether a box is right. Speed: plain Lite0, class maps, batches of two, one thread. Memory: the largest
resident size of a process of its own that evaluates 100 and then 1,000 pictures, summary included.
"""

from __future__ import annotations

import csv
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import torch

from benchmarks.common import interleave, one_thread, rounds_from_command_line, save, show
from viz.allocator import keep_memory
from viz.datasets import Dataset, open_dataset, open_sample
from viz.measures.localization.batch import prepare_all
from viz.measures.localization.options import Options
from viz.measures.localization.run import plan
from viz.measures.localization.task import EvaluationTask
from viz.models.paths import bundled
from viz.picture import open_picture

BATCH = 2
PICTURES = 8
SET_SIZES = (100, 1000)


def make_dataset(root: Path, count: int) -> Path:
    """`count` pictures cut from the bundled photographs, in a CSV data set."""
    from PIL import Image

    (root / "images").mkdir(parents=True)
    photos = [Image.fromarray(open_picture(p).rgb) for p in sorted(bundled("assets").glob("*.jpg"))]
    with (root / "index.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["image", "label", "split", "width", "height", "boxes"])
        for i in range(count):
            name = f"images/{i:05d}.jpg"
            # Turned by a few pixels, so that no two files are the same.
            photos[i % len(photos)].resize((500 + i % 7, 375)).crop((0, 0, 500, 375)).save(root / name, quality=90)
            writer.writerow([name, "n01440764", "val", 500, 375, json.dumps([[100, 80, 350, 300]])])
    return root


def speed(data: Dataset, rounds: int) -> None:
    """Evaluation against the forward pass alone, and against what any evaluation must do."""
    one_thread()
    keep_memory()  # as the command does; without it the forward pass itself takes one of two speeds by chance
    tasks = {
        i: EvaluationTask(plan(["lite0"], data, Options(batch=BATCH, interval=i), folds=2, device="cpu"))
        for i in (0.01, 0.001)
    }
    model = tasks[0.01].model(0)
    tasks[0.001].model(0)
    chunks = [data.samples[i : i + BATCH] for i in range(0, len(data), BATCH)]
    inputs = [prepare_all(model, [open_sample(s) for s in part])[0] for part in chunks]

    def forward() -> None:
        with torch.inference_mode():
            for x in inputs:
                model.network(x)

    def read_and_forward() -> None:
        with torch.inference_mode():
            for part in chunks:
                model.network(prepare_all(model, [open_sample(s) for s in part])[0])

    def evaluate(interval: float) -> None:
        for chunk in range(len(chunks)):
            tasks[interval].run(chunk)

    rows = interleave(
        {
            "forward pass alone": forward,
            "open, prepare, forward": read_and_forward,
            "evaluation, 100 thresholds, all contours": lambda: evaluate(0.01),
            "evaluation, 1,000 thresholds (255 levels)": lambda: evaluate(0.001),
        },
        "forward pass alone",
        rounds,
    )
    show(f"Evaluation, {len(data)} pictures a round", rows)
    base = next(r for r in rows if r.name == "open, prepare, forward").ratio
    rates = {
        r.name: {"over forward": round(1 / r.ratio, 3), "over reading and forward": round(base / r.ratio, 3)}
        for r in rows[2:]
    }
    print(json.dumps(rates, indent=1))
    save("evaluation", rounds, {"lite0": rows}, pictures_per_cpu_second=rates, largest_resident_mib=memory())


_MEASURED = """
import resource, sys, tempfile
from pathlib import Path
from viz.datasets import open_dataset
from viz.allocator import keep_memory
from viz.measures.localization.options import Options, sources_of
from viz.measures.localization.run import evaluate, plan
keep_memory()
made = plan(["lite0-psa"], open_dataset(Path(sys.argv[1])), Options(sources_of(["cam", "attention"])), device="cpu")
with tempfile.TemporaryDirectory() as folder:
    evaluate(made, Path(folder) / "rows")
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
"""


def memory() -> dict[str, float]:
    """Largest resident size in MiB by number of pictures."""
    found = {}
    for count in SET_SIZES:
        with tempfile.TemporaryDirectory() as folder:
            root = make_dataset(Path(folder) / "set", count)
            done = subprocess.run(
                [sys.executable, "-c", _MEASURED, str(root)], check=True, capture_output=True, text=True
            )
            found[str(count)] = round(float(done.stdout), 1)
    print(f"largest resident size in MiB: {found}")
    return found


def main() -> None:
    rounds = rounds_from_command_line()
    with tempfile.TemporaryDirectory() as folder:
        speed(open_dataset(make_dataset(Path(folder) / "set", PICTURES)), rounds)


if __name__ == "__main__":
    main()
