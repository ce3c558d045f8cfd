"""``searchlight faithfulness``: does the network use what the maps show? Measured over a data set."""

from __future__ import annotations

import argparse
import math
from dataclasses import replace
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from viz.cli.common import attribution_options, given, say, usage
from viz.cli.options import MAPS, MODELS, RUN, SEVERAL, add, add_attribution_options
from viz.cli.sets import ROWS_SUFFIX, check_outputs, open_data, progress_bar, write_reports
from viz.errors import ModelError
from viz.files import write_whole

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
        help="test whether the network uses its maps: reliance, deletion, insertion, ROAD, randomisation, stability",
        description="Test over a data set whether the network uses what its maps show, with bootstrap intervals. An "
        "interrupted run is resumed by the same command; under torchrun the work is shared by all processes.",
        epilog=f"{MAPS} The result states what each control shows and what it does not.",
    )
    add(p, "--data", help="data set: CSV index, VOC, COCO, ILSVRC, CUB, folders")
    add(p, "--split", "--layout")
    add(p, "--model", **SEVERAL, required=True, help=MODELS)
    add(p, "--map", help="maps to test; default cam")
    add(p, "--controls", choices=CONTROLS, help=f"controls to run; default: {', '.join(CONTROLS)}")
    add(p, "--json")
    add(p, "--csv", help="the means as a table")
    add(p, "--markdown")
    how = p.add_argument_group("controls")
    whose = "class of the class maps; default predicted"
    add(how, "--class", dest="classes", choices=("predicted", "label"), default="predicted", help=whose)
    add(how, "--step", type=int, default=-1, metavar="N", help="computation step; default: the last")
    add(how, "--probe", "--unit", "--points", "--road-points", "--random-maps", "--draws", "--samples", "--seed")
    add_attribution_options(p)
    add(p.add_argument_group("work"), "--limit", "--leave-out", "--threads", "--geometry", "--fresh", *RUN)
    p.set_defaults(run=_faithfulness)


def _faithfulness(args: argparse.Namespace) -> int:
    check_outputs(args)
    args.controls = args.controls or list(CONTROLS)
    for name, least in (("points", 2), ("road_points", 2), ("seeds", 1), ("draws", 1), ("samples", 1), ("threads", 1)):
        value = getattr(args, name)
        if value is not None and not least <= value <= 1000:
            option = "random-maps" if name == "seeds" else name.replace("_", "-")
            usage(f"--{option} must lie between {least} and 1000, not {value}.")
    if len(set(args.model)) != len(args.model):
        usage("Give each model only once.")
    from viz.allocator import keep_memory
    from viz.measures.jobs.processes import joined

    keep_memory()
    with joined(args.device) as me:
        found = _measured(args, me)
        return _write(args, found) if me.first else 0


def _request(args: argparse.Namespace) -> Request:
    from viz.measures.faithfulness.control import Options
    from viz.measures.faithfulness.task import Request

    names = ("points", "road_points", "seeds", "draws", "samples", "seed")
    probes = tuple(args.probe) if args.probe else None
    options = Options(unit=args.unit, probes=probes, attribution=attribution_options(args), **given(args, names))
    controls = tuple(c for c in CONTROLS if c in args.controls)
    return Request(tuple(args.maps or ["cam"]), controls, args.step, args.classes, options, args.threads)  # type: ignore[arg-type]


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
    """The request to each model; an unknown name, or a map that no model has, is reported before hours of work."""
    from viz.core.map_spec import parse
    from viz.families.family import family_of
    from viz.measures.faithfulness.task import FaithfulnessTask

    request, planned = _request(args), []
    for name in args.model:
        model = opened(name)
        own = family_of(model.network.family).own
        kept = tuple(s for s in request.sources if own is not None or parse(s).kind != "attention")
        for left in (s for s in request.sources if s not in kept):
            say(f"{model.card.name} has no {left}; skipped.")
        if kept:
            asked = replace(request, sources=kept)
            FaithfulnessTask(model, data, asked)
            planned.append((name, asked))
    if not planned:
        raise ModelError("None of the models has any of these maps; try `cam`.")
    return planned


def _write(args: argparse.Namespace, found: list[SetResult]) -> int:
    """Write the result before anything else, then the tables. Returns the exit code."""
    from viz.measures.codec import to_bytes
    from viz.measures.faithfulness.set_result import result_of

    result = result_of(found, args.controls)
    write_whole(Path(args.json), to_bytes(result))
    _say(found)
    print(args.json)
    return write_reports(args, ("csv", "markdown"), partial(_report, result))


def _report(result: Result, kind: str) -> str:
    """The text of one table; its import stands here, so that one that fails costs no other."""
    from viz.measures.faithfulness import tables

    text: str = getattr(tables, f"to_{kind}")(result)
    return text


def _say(found: list[SetResult]) -> None:
    """Print the main numbers, and how many pictures failed."""
    for result in found:
        if result.failed_count:
            say(f"{result.failed_count} of {result.samples} pictures could not be used; the result lists them.")
        for s in result.table:
            if s.measure in SHOWN and s.control != "randomisation":
                name = " ".join(part for part in (s.control, s.source, s.variant, s.measure) if part)
                if not s.n:
                    continue  # not finite for any picture, as the result reports
                # There is no interval for one picture.
                between = f"{s.low:.4f} to {s.high:.4f}, " if math.isfinite(s.low) else ""
                print(f"{result.model}: {name} {s.mean:.4f} ({between}n {s.n})")
