"""``python -m tests.parity [DIRECTORY ...]``: exits 1 if a case fails or is not understood, 2 if there is none."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import torch

from tests.parity.runner import FIXTURES, find_cases, run_case


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.parity", description=__doc__)
    parser.add_argument("directories", nargs="*", type=Path, default=[FIXTURES], metavar="DIRECTORY")
    chosen = parser.parse_args(arguments).directories
    torch.set_num_threads(min(2, torch.get_num_threads()))
    manifests = [path for directory in chosen for path in find_cases(directory)]
    if not manifests:
        print(f"no manifest found in {', '.join(str(d) for d in chosen)}")
        return 2
    counts: dict[str, int] = {}
    for path in manifests:
        verdict = run_case(path)
        counts[verdict.status] = counts.get(verdict.status, 0) + 1
        print(verdict.line(), flush=True)
    print(f"{len(manifests)} cases: " + ", ".join(f"{n} {status}" for status, n in sorted(counts.items())))
    return 0 if set(counts) == {"ok"} else 1


if __name__ == "__main__":
    sys.exit(main())
