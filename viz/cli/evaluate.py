"""``searchlight evaluate``: weakly-supervised localization of a data set by the reference protocol."""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from viz.cli.common import attribution_options, say, usage
from viz.cli.options import MAPS, MODELS, RUN, SEVERAL, add, add_attribution_options
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
    add(p, "--model", **SEVERAL, required=True, help=MODELS)
    add(p, "--map", help="maps to evaluate; default cam")
    whose = "class of the class maps; default label"
    add(p, "--class", dest="classes", choices=("label", "predicted"), default="label", help=whose)
    add(p, "--json")
    add(p.add_argument_group("thresholds"), "--tune-on", "--folds", "--splits", "--same-pictures", "--interval")
    add_attribution_options(p)
    out = p.add_argument_group("reports")
    add(out, "--csv", help="all numbers as a table")
    add(out, "--latex", "--markdown", "--html")
    work = p.add_argument_group("work")
    add(work, "--limit", "--leave-out", "--batch", "--threads", "--readers", *RUN, "--mixed-precision", "--fresh")
    p.set_defaults(run=_evaluate)


def _evaluate(args: argparse.Namespace) -> int:
    check_outputs(args)
    if args.readers is not None and not 0 <= args.readers <= 256:
        usage(f"--readers must lie between 0 and 256, not {args.readers}.")
    if args.same_pictures and args.tune_on:
        usage("Use either --same-pictures or --tune-on, not both.")
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
    # A picture counts once per model, because that is what takes the time.
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
    return write_reports(args, ("csv", "latex", "markdown", "html"), partial(_report, made, result))


def _report(made: Plan, result: Result, kind: str) -> str:
    """The text of one report; its imports stand here, so that one that fails costs no other report."""
    if kind == "html":
        from viz.measures.localization.report_html import case_views, to_html

        return to_html(result, case_views(made))
    from viz.measures.localization import report

    text: str = getattr(report, f"to_{kind}")(result)
    return text
