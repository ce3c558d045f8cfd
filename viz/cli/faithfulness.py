"""``searchlight faithfulness``: does the network use what is shown, over a data set.

What the command needs is imported when it runs: ``--help`` answers at once.
"""

from __future__ import annotations

import argparse
import math
import sys
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from viz.cli.options import GEOMETRIES, add_run_options, usage
from viz.cli.sets import (
    ROWS_SUFFIX,
    add_attribution_options,
    add_choice_of_samples,
    attribution_options,
    open_data,
    progress_bar,
    write_reports,
)
from viz.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Callable

    from viz.datasets import Dataset
    from viz.measures.faithfulness.set_result import Result, SetResult
    from viz.measures.faithfulness.task import Request
    from viz.measures.jobs.processes import Processes
    from viz.run.engine import Model

CONTROLS = ("reliance", "deletion", "insertion", "road", "randomisation", "stability")
SHOWN = ("probability_drop", "best_drop", "top1_kept", "gain_over_random", "gain_over_centre", "spearman")


def add_faithfulness(commands: Any) -> None:
    """Add the command to a parser's commands."""
    p = commands.add_parser(
        "faithfulness",
        help="does the network use what is shown: reliance, deletion, insertion, ROAD, random weights, stability",
        description="Controls of maps over the pictures of a data set, with bootstrap intervals. Stopped at any time, "
        "the same command goes on where it was; under torchrun the work is shared by its processes.",
        epilog="Maps: cam, attention (the family's own), attention:PROBE, attention:mean(PROBE), gradcam, ...; each "
        "with :STEP where it is not the last step. What each control shows and what it does not is in the result.",
    )
    p.add_argument("--data", required=True, metavar="DIR", help="data set: CSV index, VOC, COCO, ILSVRC, CUB, folders")
    p.add_argument("--split", metavar="S", help="its split")
    p.add_argument("--layout", default="auto", help="how the data set is laid out; default: found out")
    p.add_argument("--model", nargs="+", required=True, metavar="NAME", help="names, or checkpoint files")
    p.add_argument("--source", nargs="+", default=["cam"], metavar="MAP", help="which maps; default cam")
    p.add_argument(
        "--controls", nargs="+", choices=CONTROLS, default=list(CONTROLS), metavar="CONTROL", help=", ".join(CONTROLS)
    )
    p.add_argument("--json", required=True, metavar="FILE", help="result; finished rows are kept in FILE.rows")
    p.add_argument("--csv", metavar="FILE", help="the means as a table")
    p.add_argument("--markdown", metavar="FILE", help="a short table for a README")
    how = p.add_argument_group("controls")
    how.add_argument("--classes", choices=("predicted", "label"), default="predicted", help="default predicted")
    how.add_argument("--step", type=int, default=-1, metavar="N", help="computation step; default the last")
    how.add_argument("--probe", nargs="+", metavar="PROBE", help="gates to replace; default the family's")
    how.add_argument("--unit", choices=("pixels", "cells"), default="pixels", help="what the curves remove")
    how.add_argument("--points", type=int, metavar="N", help="of the curves of deletion and insertion; default 8")
    how.add_argument("--road-points", type=int, metavar="N", help="of the curves of ROAD; default 4")
    how.add_argument("--random-maps", type=int, metavar="N", dest="seeds", help="beside each curve; default 2")
    how.add_argument("--draws", type=int, metavar="N", help="of the noise; default 4")
    how.add_argument("--samples", type=int, metavar="N", help="of sensitivity_max and infidelity; default 8")
    how.add_argument("--seed", type=int, metavar="N", help="of everything random; default 0")
    add_attribution_options(p)
    work = p.add_argument_group("work")
    add_choice_of_samples(work)
    work.add_argument("--threads", type=int, default=1, metavar="N", help="of one process on the CPU; default 1")
    work.add_argument("--geometry", choices=GEOMETRIES, help="how a picture is fitted; default the model's own")
    work.add_argument("--fresh", action="store_true", help="throw finished rows of an earlier run away")
    add_run_options(p)
    p.set_defaults(run=_faithfulness)


def _faithfulness(args: argparse.Namespace) -> int:
    for name, ending in (("json", ".json"), ("csv", ".csv"), ("markdown", ".md")):
        path = getattr(args, name)
        if path is not None and Path(path).suffix.lower() != ending:
            usage(f"the name of --{name} must end in {ending}.")
        if path is not None and not Path(path).absolute().parent.is_dir():
            usage(f"the folder of --{name} {path} does not exist.")
        if path is not None and Path(path).is_dir():
            usage(f"--{name} {path} is a folder.")
    for name, least in (("points", 2), ("road_points", 2), ("seeds", 1), ("draws", 1), ("samples", 1), ("threads", 1)):
        value = getattr(args, name)
        if value is not None and not least <= value <= 1000:
            usage(f"--{'random-maps' if name == 'seeds' else name.replace('_', '-')} takes {least} to 1000.")
    if len(set(args.model)) != len(args.model):
        usage("give each model once.")
    from viz.allocator import keep_memory
    from viz.measures.jobs.processes import joined

    keep_memory()
    with joined(args.device) as me:
        found = _measured(args, me)
        return _write(args, found) if me.first else 0


def _request(args: argparse.Namespace) -> Request:
    from viz.measures.faithfulness.report import Options
    from viz.measures.faithfulness.task import Request

    names = ("points", "road_points", "seeds", "draws", "samples", "seed")
    given = {name: getattr(args, name) for name in names if getattr(args, name) is not None}
    probes = tuple(args.probe) if args.probe else None
    options = Options(unit=args.unit, probes=probes, attribution=attribution_options(args), **given)
    controls = tuple(c for c in CONTROLS if c in args.controls)
    return Request(tuple(args.source), controls, args.step, args.classes, options, args.threads)  # type: ignore[arg-type]


def _measured(args: argparse.Namespace, me: Processes) -> list[SetResult]:
    from viz.measures.faithfulness.task import measure_set
    from viz.measures.jobs.runner import start_over
    from viz.run.engine import load

    data = open_data(args, args.split)

    @lru_cache(maxsize=8)  # between plan and run; memory does not grow with the number of models
    def opened(name: str) -> Model:
        return load(name, me.device(args.device), args.geometry, precision=args.precision, models=args.models)

    planned = _planned(args, data, opened)
    found = []
    for number, (name, asked) in enumerate(planned):
        folder = Path(args.json + ROWS_SUFFIX) / f"model-{number}"
        if args.fresh:
            start_over(folder, me)
        model = opened(name)
        with progress_bar(model.card.name, shown=me.first) as begin:
            result = measure_set(model, data, asked, folder, processes=me, begin=begin)
        if result is not None:
            found.append(result)
    return found


def _planned(args: argparse.Namespace, data: Dataset, opened: Callable[[str], Model]) -> list[tuple[str, Request]]:
    """What is asked of each model: a name that is wrong, or a map that no model has, is told before hours of work."""
    from viz.core.sources import of_family, parse_source
    from viz.measures.faithfulness.task import FaithfulnessTask

    request, planned = _request(args), []
    for name in args.model:
        model = opened(name)
        has = [of_family(parse_source(s), model.network.family) is not None for s in request.sources]
        kept = tuple(s for s, there in zip(request.sources, has, strict=True) if there)
        for left in (s for s in request.sources if s not in kept):
            print(f"searchlight: {model.card.name} has no {left}; it is left out.", file=sys.stderr)
        if kept:
            asked = replace(request, sources=kept)
            FaithfulnessTask(model, data, asked)
            planned.append((name, asked))
    if not planned:
        raise ModelError("None of the models has one of these maps; use cam, say.")
    return planned


def _write(args: argparse.Namespace, found: list[SetResult]) -> int:
    """The result before anything else; then the tables. Returns the exit code."""
    from viz.files import write_whole
    from viz.measures.codec import to_bytes
    from viz.measures.faithfulness.set_result import result_of

    result = result_of(found, args.controls)
    write_whole(Path(args.json), to_bytes(result))
    _say(found)
    print(args.json)
    reports: list[tuple[str, Callable[[], str]]] = []
    if args.csv:
        reports.append((args.csv, lambda: _csv(result)))
    if args.markdown:
        reports.append((args.markdown, lambda: _markdown(result)))
    return write_reports(Path(args.json), reports)


def _csv(result: Result) -> str:
    from viz.measures.faithfulness.tables import to_csv

    return to_csv(result)


def _markdown(result: Result) -> str:
    from viz.measures.faithfulness.tables import to_markdown

    return to_markdown(result)


def _say(found: list[SetResult]) -> None:
    """The chief numbers, and how many pictures failed."""
    for result in found:
        if result.failed_count:
            print(
                f"searchlight: {result.failed_count} of {result.samples} pictures could not be used; the result lists "
                "them.",
                file=sys.stderr,
            )
        for s in result.table:
            if s.measure in SHOWN and s.control != "randomisation":
                name = " ".join(part for part in (s.control, s.source, s.variant, s.measure) if part)
                if not s.n:
                    continue  # what has no number says so in the result
                # One picture has no interval.
                between = f"{s.low:.4f} to {s.high:.4f}, " if math.isfinite(s.low) else ""
                print(f"{result.model}: {name} {s.mean:.4f} ({between}n {s.n})")
