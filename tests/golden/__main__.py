"""``python -m tests.golden``: freeze what commands, Python and the page give, to the last bit; ``--check`` compares.

Without an option all golden data are made and stored; do it only when numbers or pixels are meant to change. Exit
codes: 0 all is as it was, 1 numbers or pixels differ, 3 only records do.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections import Counter
from pathlib import Path

import viz
from tests.golden.against import CommitError, clean_head, head, made_at
from tests.golden.cases import GoldenError
from tests.golden.entries import Entries
from tests.golden.machine import differing, fingerprint, one_thread
from tests.golden.make import chosen, make
from tests.golden.measure import EDGE, MODELS, PICTURES, TOLERANCE, errors, measured, store, stored
from tests.golden.store import HERE, Difference, Golden, differences, load, save

SHOWN = 60


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.golden", description=__doc__)
    parser.add_argument("--check", action="store_true", help="compare with what is stored, and store nothing")
    parser.add_argument(
        "--against",
        metavar="COMMIT",
        nargs="?",
        const="",
        help="with --check: compare with what COMMIT's own generator makes here, whatever the machine; without a name "
        "the commit of the stored data, which is also taken on another kind of machine than theirs",
    )
    parser.add_argument("--records", action="store_true", help="store records alone; refused where values differ")
    parser.add_argument("--only", metavar="PATTERN", action="append", default=[], help="cases with such a name")
    parser.add_argument("--out", metavar="FOLDER", type=Path, default=HERE, help="store the data there")
    args = parser.parse_args(arguments)
    try:
        if args.check:
            return _check(args)
        return _records(args) if args.records else _store(args)
    except (CommitError, GoldenError) as error:
        print(error)
        return 1


def _made(args: argparse.Namespace) -> dict[str, Entries]:
    made = make(chosen(args.only), tell=lambda line: print(line, flush=True))
    spent = os.times()
    print(f"{sum(spent[:4]):.0f} s of the processor, {sum(spent[2:4]):.0f} s of them in other processes")
    return made


def _check(args: argparse.Namespace) -> int:
    golden, here = load(), fingerprint()
    against = args.against
    if against is None and (unlike := differing(here, golden.fingerprint)):
        print("This machine is not like the one that made the golden data:", *unlike, sep="\n  ")
        against = ""
    if against is not None:
        commit = against or golden.commit
        print(f"Comparing with what commit {commit} gives on this machine.", flush=True)
        golden = made_at(commit, args.only)
    ours = _made(args)
    wrong = [] if args.only or args.against else _answers_moved()
    code = _told(_compared(ours, golden, all_of=not args.only))
    print(*wrong, sep="\n", end="\n" if wrong else "")
    return 1 if wrong else code


def _compared(ours: dict[str, Entries], golden: Golden, *, all_of: bool) -> list[Difference]:
    found = []
    for name in {**golden.cases, **ours} if all_of else ours:
        found += differences(name, ours.get(name, Entries()), golden.cases.get(name, Entries()))
    return found


def _told(found: list[Difference]) -> int:
    """Print what differs and return the exit code."""
    for kind in ("values", "records"):
        of_kind = [d for d in found if d.kind == kind]
        print(*of_kind[:SHOWN], sep="\n", end="\n" if of_kind else "")
        if len(of_kind) > SHOWN:
            print(f"... and {len(of_kind) - SHOWN} more {kind}")
    counts = Counter(d.kind for d in found)
    print(f"{counts['values']} values and {counts['records']} records differ.")
    return 1 if counts["values"] else 3 if counts["records"] else 0


def _store(args: argparse.Namespace) -> int:
    here = fingerprint()
    commit = clean_head() if args.out == HERE else head()
    before = load() if args.only and args.out == HERE else Golden({}, here)
    if unlike := differing(here, before.fingerprint):
        print("A part can be stored only where the rest was made:", *unlike, sep="\n  ")
        return 1
    _save(Golden({**before.cases, **_made(args)}, here, commit), args.out)
    if not args.only and args.out == HERE and _answers_moved():
        store({f"{m}/{p}": measured(model, p) for m in MODELS for model in [viz.load(m, "cpu")] for p in PICTURES})
        print("The answers of the bundled models have moved and are stored anew, too.")
    return 0


def _records(args: argparse.Namespace) -> int:
    golden, here = load(), fingerprint()
    if unlike := differing(here, golden.fingerprint):
        print("Records can be stored only where the rest was made:", *unlike, sep="\n  ")
        return 1
    commit = clean_head() if args.out == HERE else head()
    ours = _made(args)
    found = _compared(ours, golden, all_of=not args.only)
    code = _told(found)
    if code == 1:
        print("Nothing is stored: values must not change with records.")
        return 1
    _save(Golden({**golden.cases, **ours}, here, commit), args.out)
    return 0


def _save(made: Golden, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    save(made, folder, rows_of=[c.name for c in chosen([]) if c.quick and c.name in made.cases])
    size = sum((folder / name).stat().st_size for name in ("values.json", "records.json", "made.json", "short.npz"))
    print(f"{len(made.cases)} cases in {size} bytes")


def _answers_moved() -> list[str]:
    """What of the bundled models' answers differs by more than rounding does."""
    found = []
    with one_thread():
        for name in MODELS:
            model = viz.load(name, "cpu")
            for picture in PICTURES:
                golden = stored()[f"{name}/{picture}"]
                wrong = errors(measured(model, picture), golden)
                edge = wrong.pop("boxes")
                worst, error = max(wrong.items(), key=lambda item: item[1])
                if error > TOLERANCE or edge > EDGE:
                    found.append(
                        f"answers of {name} on {picture}: {worst} differs by {error:.1e}, boxes by {edge:g} px"
                    )
    return found


if __name__ == "__main__":
    sys.exit(main())
