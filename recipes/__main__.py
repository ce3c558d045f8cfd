"""Train, measure and describe the bundled checkpoints: ``python -m recipes clutter|tdam COMMAND ...``."""

from __future__ import annotations

import argparse
import logging
import os
from collections.abc import Sequence
from pathlib import Path

import torch

from recipes.clutter import task as clutter
from recipes.clutter.scenes import SPLITS, read_scenes
from recipes.task import Order
from recipes.tdam import task as tdam
from viz.allocator import keep_memory
from viz.errors import VizError

PICTURES = ("imagenette", "samples", "caltech")


def parser() -> argparse.ArgumentParser:
    """The command line of both tasks."""
    found = argparse.ArgumentParser(prog="python -m recipes", description=__doc__)
    tasks = found.add_subparsers(dest="task", required=True)
    for name, module, kind in (("clutter", clutter, clutter.Clutter), ("tdam", tdam, tdam.Tdam)):
        task = tasks.add_parser(name, description=module.__doc__, formatter_class=argparse.RawTextHelpFormatter)
        task.add_argument("command", choices=(*kind.commands, "all"))
        for folder in (*PICTURES, "scenes") if name == "clutter" else PICTURES:
            task.add_argument(f"--{folder}", type=Path, required=True, help="folder with an index.csv")
        task.add_argument("--out", type=Path, required=True, help="folder for cache, runs, weights and figures")
        task.add_argument("--cards", type=Path, default=Path("checkpoints"), help="folder that `card` writes to")
        task.add_argument("--family", nargs="+", choices=kind.families, default=list(kind.families))
        task.add_argument("--seed", nargs="+", type=int, default=[0, 1, 2])
        task.add_argument("--device", default="auto")
        task.add_argument("--threads", type=int, default=min(2, os.cpu_count() or 1))
    return found


def main(argv: Sequence[str] | None = None) -> int:
    command = parser()
    args = command.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    torch.set_num_threads(args.threads)
    keep_memory()
    folders, order = [getattr(args, name) for name in PICTURES], Order(args.family, args.seed, args.cards)
    try:
        if args.task == "clutter":
            scenes = {split: read_scenes(args.scenes, split) for split in SPLITS.values()}
            one = clutter.Clutter()
            one.run(one.open(folders, args.out, args.device, scenes), args.command, order)
        else:
            other = tdam.Tdam()
            other.run(other.open(folders, args.out, args.device), args.command, order)
    except VizError as error:
        command.exit(2, f"{error}\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
