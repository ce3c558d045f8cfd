"""What is stored of one model on one picture, and how a fresh measurement is held against it.

Nothing here works an answer out in a second way: the stored numbers are the truth, and a test compares with them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from viz.core.boxes import boxes
from viz.core.trace import Trace
from viz.run.engine import Model

MODELS = ("lite0", "lite0-tdam", "lite0-psa", "lite0-ema", "lite0-vista", "lite0-paka")
PICTURES = ("clutter.jpg", "panda.jpg", "astronaut.jpg")
HERE = Path(__file__).parent
ASSETS = HERE.parents[1] / "assets"
ARRAYS, FACTS = HERE / "bundled.npz", HERE / "bundled.json"
# Cells that are kept of every captured value, evenly spread over its memory.
CELLS = 16
# A hundred times the spread where it was measured: 1 and 2 threads, oneDNN on and off, instructions from SSE4.1 to
# AVX-512 differ by 9.3e-6 at most, and no edge of a box moves. Far below what any changed formula does.
TOLERANCE = 1e-3
# Pixels that an edge of a box may move: a threshold that crosses a map's slope a little elsewhere.
EDGE = 2
Floats = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Answer:
    """One model's answers on one picture.

    Attributes:
        logits: float32 (steps, classes).
        records: float32 (R, 4 + CELLS): mean, deviation, smallest and largest value of each captured value, then some
            of its cells. names: (R,) its full name and step, as in ``attention.spatial_gate@1``.
        boxes: (x0, y0, x1, y1) of the display box of each step's class map, and of the family's own map.
    """

    logits: Floats
    records: Floats
    names: tuple[str, ...]
    boxes: dict[str, list[int]]


def measured(model: Model, picture: str) -> Answer:
    """The answers of a model on one of `PICTURES`."""
    trace = model.trace(ASSETS / picture)
    names = tuple(f"{r.name}@{r.step}" for r in trace.records)
    rows = [_reduced(r.values) for r in trace.records]
    return Answer(
        trace.logits, np.array(rows, np.float32).reshape(len(rows), 4 + CELLS), names, dict(_boxes(trace, model))
    )


def _reduced(values: Floats) -> list[float]:
    flat = values.reshape(-1).astype(np.float64)
    places = np.linspace(0, len(flat) - 1, CELLS).astype(int)
    return [flat.mean(), flat.std(), flat.min(), flat.max(), *flat[places]]


def _boxes(trace: Trace, model: Model) -> Iterator[tuple[str, list[int]]]:
    maps = {f"class_map@{t}": trace.class_map(t) for t in range(1, trace.steps + 1)}
    family = model.card.family
    if family is not None:
        maps[f"own@{trace.steps}"] = trace.heatmap("attention")
    for name, heatmap in maps.items():
        yield name, list(boxes(heatmap)[0].xyxy)


def store(answers: dict[str, Answer]) -> None:
    """Write the golden files, by ``model/picture``."""
    arrays: dict[str, Any] = {}
    facts: dict[str, Any] = {}
    for key, answer in answers.items():
        arrays[f"{key}/logits"], arrays[f"{key}/records"] = answer.logits, answer.records
        facts[key] = {"best": answer.logits.argmax(axis=1).tolist(), "boxes": answer.boxes, "names": answer.names}
    np.savez_compressed(ARRAYS, **arrays)
    lines = [f"{json.dumps(key)}: {json.dumps(facts[key])}" for key in facts]
    FACTS.write_text("{\n" + ",\n".join(lines) + "\n}\n")


def stored() -> dict[str, Answer]:
    """The golden answers by ``model/picture``."""
    facts = json.loads(FACTS.read_text())
    with np.load(ARRAYS) as arrays:
        return {
            key: Answer(arrays[f"{key}/logits"], arrays[f"{key}/records"], tuple(of["names"]), of["boxes"])
            for key, of in facts.items()
        }


def errors(ours: Answer, golden: Answer) -> dict[str, float]:
    """Largest difference by what it is of: of ``logits`` and each captured value over the value's own largest size, of
    ``boxes`` in pixels. What is missing, of another shape or not finite differs by infinity."""
    found = {"logits": _error(ours.logits, golden.logits)}
    own = dict(zip(ours.names, ours.records, strict=True))
    for name, row in zip(golden.names, golden.records, strict=True):
        found[name] = _error(own[name], row) if name in own else float("inf")
    if ours.boxes.keys() != golden.boxes.keys():
        return {**found, "boxes": float("inf")}
    moved = [abs(a - b) for k, box in golden.boxes.items() for a, b in zip(ours.boxes[k], box, strict=True)]
    return {**found, "boxes": float(max(moved))}


def _error(ours: Floats, golden: Floats) -> float:
    if ours.shape != golden.shape or not np.isfinite(ours).all():
        return float("inf")
    difference = np.abs(ours.astype(np.float64) - golden).max()
    return float(difference / max(float(np.abs(golden).max()), 1e-6))
