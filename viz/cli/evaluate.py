"""``searchlight evaluate``: weakly-supervised localization of a data set by the reference protocol.

What the command needs is imported when it runs: ``--help`` answers at once.
"""

from __future__ import annotations

import argparse
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from viz.cli.options import PRECISIONS, usage
from viz.cli.sets import (
    ROWS_SUFFIX,
    add_attribution_options,
    add_choice_of_samples,
    attribution_options,
    open_data,
    progress_bar,
    write_reports,
)
from viz.errors import VizError

if TYPE_CHECKING:
    from viz.measures.jobs.processes import Processes
    from viz.measures.localization.results import Result
    from viz.measures.localization.run import Plan


def add_evaluate(commands: Any) -> None:
    """Add the command to a parser's commands."""
    p = commands.add_parser(
        "evaluate",
        help="localization of a data set by the protocol: MaxBoxAcc, PxAP, top-1, with floors and intervals",
        description="Score maps of models on a data set with boxes or masks by the reference protocol of "
        "weakly-supervised localization. Stopped at any time, the same command goes on where it was; under torchrun "
        "the work is shared by its processes, with the same result.",
        epilog="Sources: cam, attention (the family's own map), attention:PROBE, attention:mean(PROBE), gradcam, "
        "integrated_gradients, guided_backprop, occlusion, gradcam(PROBE), ...; each with :STEP where it is not the "
        "last step. The fixed centred box and the centre Gaussian are always in the table.",
    )
    p.add_argument("--data", required=True, metavar="DIR", help="data set: CSV index, VOC, COCO, ILSVRC, CUB, masks")
    p.add_argument("--split", metavar="S", help="the split that is reported")
    p.add_argument("--layout", default="auto", help="how the data set is laid out; default: found out")
    p.add_argument("--model", nargs="+", required=True, metavar="NAME", help="names, or checkpoint files")
    p.add_argument("--source", nargs="+", default=["cam"], metavar="SOURCE", help="where maps come from; default cam")
    p.add_argument("--json", required=True, metavar="FILE", help="result; finished rows are kept in FILE.rows")
    more = p.add_argument_group("thresholds")
    more.add_argument("--tune-on", metavar="S2", help="split that thresholds are tuned on; default: cross-validated")
    more.add_argument("--folds", type=int, default=5, metavar="N", help="of the cross-validation; default 5")
    more.add_argument(
        "--splits", type=int, default=20, metavar="N", help="random splits into folds to average over; default 20"
    )
    more.add_argument("--same-pictures", action="store_true", help="tune on the reported pictures (optimistic)")
    more.add_argument("--interval", type=float, default=0.01, help="between thresholds; default 0.01")
    more.add_argument(
        "--classes", choices=("label", "predicted"), default="label", help="class of class maps; default label"
    )
    add_attribution_options(p)
    out = p.add_argument_group("reports")
    out.add_argument("--csv", metavar="FILE")
    out.add_argument("--latex", metavar="FILE")
    out.add_argument("--markdown", metavar="FILE")
    out.add_argument("--html", metavar="FILE", help="one self-contained page with the best and worst cases")
    work = p.add_argument_group("work")
    add_choice_of_samples(work)
    work.add_argument("--batch", type=int, metavar="N", help="pictures at once; default 2 on a CPU, 32 on a GPU")
    work.add_argument("--threads", type=int, default=1, metavar="N", help="of one process on the CPU; default 1")
    work.add_argument("--readers", type=int, metavar="N", help="threads that open pictures ahead; default 4 on a GPU")
    work.add_argument("--device", default="auto", help="auto (default: CUDA when there), cpu, cuda, cuda:1, ...")
    work.add_argument("--precision", choices=PRECISIONS, default="float32", help="of the networks")
    work.add_argument("--mixed-precision", choices=("bfloat16", "float16"), help="of the forward pass, by autocast")
    work.add_argument("--models", metavar="DIR", help="folder with further checkpoint files")
    work.add_argument("--fresh", action="store_true", help="throw finished rows of an earlier run away")
    p.set_defaults(run=_evaluate)


def _evaluate(args: argparse.Namespace) -> int:
    _check_outputs(args)
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


def _check_outputs(args: argparse.Namespace) -> None:
    """A slip in a file name is told before hours of work."""
    for name, ending in (("json", ".json"), ("csv", ".csv"), ("latex", ".tex"), ("markdown", ".md"), ("html", ".html")):
        path = getattr(args, name)
        if path is None:
            continue
        if Path(path).suffix.lower() != ending:
            usage(f"the name of --{name} must end in {ending}.")
        if not Path(path).absolute().parent.is_dir():
            usage(f"the folder of --{name} {path} does not exist.")
        if Path(path).is_dir():
            usage(f"--{name} {path} is a folder.")
    if args.readers is not None and not 0 <= args.readers <= 256:
        usage("--readers takes 0 to 256.")
    if args.same_pictures and args.tune_on:
        usage("--same-pictures and --tune-on exclude each other.")


def _plan(args: argparse.Namespace, me: Processes) -> Plan:
    from viz.measures.localization.options import Options, sources_of
    from viz.measures.localization.run import plan
    from viz.run.engine import pick_device

    device = str(pick_device(me.device(args.device)))
    try:
        options = Options(
            sources_of(args.source),
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
    """The result before anything else; then the reports. Returns the exit code."""
    from viz.files import write_whole
    from viz.measures.localization.results import to_bytes

    write_whole(Path(args.json), to_bytes(result))
    print(args.json)
    for model, source, why in made.left_out:
        print(f"searchlight: {model}: {source} is left out; {why}.", file=sys.stderr)
    failed = result.data.failed_count
    if failed:
        print(
            f"searchlight: {failed} of {result.data.samples} samples could not be read; the result lists them.",
            file=sys.stderr,
        )
    made_by = {"csv": _csv, "latex": _latex, "markdown": _markdown, "html": _html}
    asked = [(getattr(args, name), make) for name, make in made_by.items() if getattr(args, name)]
    return write_reports(Path(args.json), [(name, partial(make, made, result)) for name, make in asked])


# Each imports what it needs when it is made: what one lacks costs no other.
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
    from viz.measures.localization.report import to_html
    from viz.measures.localization.report_views import case_views

    return to_html(result, case_views(made))
