"""``python -m tests.golden``: measure all bundled models and store their answers; ``--check`` compares and stores
nothing, and exits 1 where they differ."""

from __future__ import annotations

import argparse
import sys

import viz
from tests.golden.measure import ARRAYS, EDGE, FACTS, MODELS, PICTURES, TOLERANCE, errors, measured, store, stored


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.golden", description=__doc__)
    parser.add_argument("--check", action="store_true", help="compare with what is stored")
    check = parser.parse_args(arguments).check
    answers = {f"{m}/{p}": measured(model, p) for m in MODELS for model in [viz.load(m, "cpu")] for p in PICTURES}
    if not check:
        store(answers)
        print(f"{len(answers)} answers in {ARRAYS.stat().st_size + FACTS.stat().st_size} bytes")
        return 0
    worst, edge = 0.0, 0.0
    for key, golden in stored().items():
        found = errors(answers[key], golden)
        edge = max(edge, found.pop("boxes"))
        name, error = max(found.items(), key=lambda item: item[1])
        worst = max(worst, error)
        print(f"{key}: logits {found['logits']:.1e}, most {error:.1e} ({name})")
    print(f"largest relative difference {worst:.1e}, largest shift of an edge {edge:g} px")
    return 0 if worst <= TOLERANCE and edge <= EDGE else 1


if __name__ == "__main__":
    sys.exit(main())
