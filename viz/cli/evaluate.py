"""``searchlight evaluate``: weakly-supervised localization of a data set by the reference protocol."""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from viz.cli.options import (
    MAPS,
    SEVERAL,
    add,
    add_attribution_options,
    add_run_options,
    attribution_options,
    say,
    usage,
)
from viz.cli.sets import ROWS_SUFFIX, check_outputs, open_data, progress_bar, write_reports
from viz.errors import VizError
from viz.files import write_whole

if TYPE_CHECKING:
    from viz.measures.jobs.processes import Processes
    from viz.measures.localization.options import Plan
    from viz.measures.localization.results import Result


def add_evaluate(commands: Any) -> None:
    """Add the command to a parser's commands."""
    p = commands.add_parser(
        "evaluate",
        help="localization on a data set by the reference protocol: MaxBoxAcc, PxAP, top-1, baselines, intervals",
        description="Evaluate maps of models on a data set with boxes or masks by the reference protocol of "
        "weakly-supervised localization. An interrupted run is resumed by the same command; under torchrun the work "
        "is shared by all processes, with the same result.",
        epilog=f"{MAPS} The baselines (a fixed centred box and a centre Gaussian) are always reported.",
    )
    add(p, "--data", help="data set: CSV index, VOC, COCO, ILSVRC, CUB, masks")
    add(p, "--split", "--layout")
    add(p, "--model", **SEVERAL, required=True, help="names listed by `searchlight models`, or checkpoint files")
    add(p, "--map", help="maps to evaluate; default cam")
    add(
        p,
        "--class",
        dest="classes",
        choices=("label", "predicted"),
        default="label",
        help="class of the class maps; default label",
    )
    add(p, "--json")
    more = p.add_argument_group("thresholds")
    more.add_argument("--tune-on", metavar="S2", help="split on which thresholds are tuned; default: cross-validation")
    more.add_argument("--folds", type=int, default=5, metavar="N", help="folds of the cross-validation; default 5")
    more.add_argument(
        "--splits", type=int, default=20, metavar="N", help="random splits into folds to average over; default 20"
    )
    more.add_argument("--same-pictures", action="store_true", help="tune on the evaluated pictures (optimistic)")
    more.add_argument("--interval", type=float, default=0.01, help="spacing of the thresholds; default 0.01")
    add_attribution_options(p)
    out = p.add_argument_group("reports")
    out.add_argument("--csv", metavar="FILE", help="all numbers as a table")
    out.add_argument("--latex", metavar="FILE", help="a table for a paper")
    out.add_argument("--markdown", metavar="FILE", help="a short table for a README")
    out.add_argument("--html", metavar="FILE", help="a self-contained page with the best and worst cases")
    work = p.add_argument_group("work")
    add(work, "--limit", "--leave-out")
    work.add_argument("--batch", type=int, metavar="N", help="batch size; default 2 on a CPU, 32 on a GPU")
    add(work, "--threads")
    work.add_argument("--readers", type=int, metavar="N", help="threads that read pictures ahead; default 4 on a GPU")
    add_run_options(work)
    work.add_argument(
        "--mixed-precision", choices=("bfloat16", "float16"), help="number format of the forward pass under autocast"
    )
    add(work, "--fresh")
    p.set_defaults(run=_evaluate)


def _evaluate(args: argparse.Namespace) -> int:
    check_outputs(args)
    if args.readers is not None and not 0 <= args.readers <= 256:
        usage("--readers must lie between 0 and 256.")
    if args.same_pictures and args.tune_on:
        usage("Give either --same-pictures or --tune-on, not both.")
    from viz.allocator import keep_memory
    from viz.measures.jobs.processes import joined
    from viz.measures.jobs.runner import start_over

    keep_memory()
    with joined(args.device) as me:
        made = _plan(args, me)
        folder = Path(args.json + ROWS_SUFFIX)
        if args.fresh:
            start_over(folder, me)
        result = _run(args, made, folder, me)
        return 0 if result is None else _write(args, made, result)


def _plan(args: argparse.Namespace, me: Processes) -> Plan:
    from viz.measures.localization.options import Options, sources_of
    from viz.measures.localization.run import plan
    from viz.run.engine import pick_device

    device = str(pick_device(me.device(args.device)))
    try:
        options = Options(
            sources_of(args.maps or ["cam"]),
            args.interval,
            args.classes,
            args.batch if args.batch is not None else (32 if device.startswith("cuda") else 2),
            args.precision,
            args.mixed_precision,
            args.threads,
            attribution_options(args),
        )
    except VizError as error:
        usage(str(error))
    return plan(
        args.model,
        open_data(args, args.split),
        options,
        tune_on=open_data(args, args.tune_on) if args.tune_on else None,
        tuning="same" if args.same_pictures else None,
        folds=args.folds,
        splits=args.splits,
        device=device,
        models_folder=args.models,
    )


def _run(args: argparse.Namespace, made: Plan, folder: Path, me: Processes) -> Result | None:
    from viz.measures.localization.run import evaluate

    readers = args.readers if args.readers is not None else (4 if made.device.startswith("cuda") else 0)
    # A picture counts once for each model: that is what takes the time.
    with progress_bar(f"process 1 of {me.world}" if me.world > 1 else None, shown=me.first) as begin:
        return evaluate(made, folder, processes=me, begin=begin, readers=readers)


def _write(args: argparse.Namespace, made: Plan, result: Result) -> int:
    """Write the result before anything else, then the reports. Returns the exit code."""
    from viz.measures.localization.results import to_bytes

    write_whole(Path(args.json), to_bytes(result))
    print(args.json)
    for model, source, why in made.left_out:
        say(f"{model}: {source} skipped; {why}.")
    failed = result.data.failed_count
    if failed:
        say(f"{failed} of {result.data.samples} samples could not be read; the result lists them.")
    made_by = {"csv": _csv, "latex": _latex, "markdown": _markdown, "html": _html}
    asked = [(getattr(args, name), make) for name, make in made_by.items() if getattr(args, name)]
    return write_reports(Path(args.json), [(name, partial(make, made, result)) for name, make in asked])


# Each imports what it needs when it is made: what one report lacks costs no other.
def _csv(made: Plan, result: Result) -> str:
    from viz.measures.localization.report import to_csv

    return to_csv(result)


def _latex(made: Plan, result: Result) -> str:
    from viz.measures.localization.report import to_latex

    return to_latex(result)


def _markdown(made: Plan, result: Result) -> str:
    from viz.measures.localization.report import to_markdown

    return to_markdown(result)


def _html(made: Plan, result: Result) -> str:
    from viz.measures.localization.report_html import case_views, to_html

    return to_html(result, case_views(made))
