"""The command line: ``searchlight models | trace | figure | compare | evaluate |
faithfulness | serve``, the same as ``python -m viz``.

Exit codes: 0 done, 1 something could not be done (one sentence on stderr says what), 2 wrong use, 130 interrupted.
What a command needs is imported when it runs: ``--help`` answers at once.
"""

from __future__ import annotations

import argparse
import io
import json
import logging
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from viz import __version__
from viz.cli.options import GEOMETRIES, add_run_options, pictures_of, usage
from viz.errors import FigureError, ModelError, VizError

if TYPE_CHECKING:
    from viz.run.engine import Model

DEFAULT_MODEL = "lite0-tdam"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program on a list of arguments (default: those of the process) and return its exit code."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        # A file name that the terminal's encoding lacks must not end the program; stderr does the same.
        sys.stdout.reconfigure(errors="backslashreplace")
    parser = _parser()
    args = parser.parse_args(arguments)
    if args.command is None:
        parser.print_help()
        return 2
    logging.basicConfig(level=logging.WARNING, format="searchlight: %(message)s")
    try:
        return int(args.run(args))
    except VizError as error:
        print(f"searchlight: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("searchlight: interrupted.", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # The reader of a pipe left (as in `searchlight models | head`): nothing to complain about.
        sys.stderr.close()
        return 0


def _parser() -> argparse.ArgumentParser:
    from viz.cli.compare import add_compare
    from viz.cli.evaluate import add_evaluate
    from viz.cli.faithfulness import add_faithfulness

    parser = argparse.ArgumentParser(
        prog="searchlight",
        description="Shows what attention modules inside CNNs really do to a picture, step by step.",
    )
    parser.add_argument("--version", action="version", version=f"searchlight {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    _add_models(commands)
    _add_trace(commands)
    _add_figure(commands)
    add_compare(commands)
    add_evaluate(commands)
    add_faithfulness(commands)
    _add_serve(commands)
    return parser


def _add_models(commands: Any) -> None:
    p = commands.add_parser("models", help="list the models", description="List the models that can be loaded.")
    p.add_argument("--json", action="store_true", help="all that is known of each, as JSON")
    p.add_argument("--models", metavar="DIR", help="folder with further checkpoint files")
    p.set_defaults(run=_models)


def _add_trace(commands: Any) -> None:
    p = commands.add_parser(
        "trace",
        help="write every captured value of pictures as .npz and .json",
        description="Run a model on pictures and write, for each, every captured value (.npz) and its index (.json).",
    )
    p.add_argument("pictures", nargs="+", metavar="PICTURE", help="picture files, or folders (searched through)")
    p.add_argument("--out", required=True, metavar="DIR", help="folder for the files; made if it does not exist")
    _add_model_options(p)
    p.set_defaults(run=_trace)


def _add_figure(commands: Any) -> None:
    from viz.cli.compare import add_attribution_options

    p = commands.add_parser(
        "figure",
        help="make a paper figure",
        description="Make a paper figure, and beside it the raw maps (.npz), a JSON record and a LaTeX snippet.",
        epilog="Panels: picture, class_map:2, class_map:2@CLASS, spatial_gate:2, channel_gate:2, feature:2#17, "
        "boxes:2, boxes:all, boxes(spatial_gate):2, or the full name of a probe; attributions: gradcam:2@CLASS, "
        "integrated_gradients, guided_backprop, occlusion, gradcam(PROBE), gradient_x_activation(PROBE), "
        "integrated_gradients(PROBE), boxes(gradcam).",
    )
    p.add_argument("picture", nargs="?", metavar="PICTURE", help="picture file; with --from it may be left out")
    p.add_argument(
        "--out",
        metavar="FILE",
        help="ends in .pdf, .svg or .png; with --from it may be left out: the record's name with -again added, in the "
        "format of the figure beside it (else .pdf), in the current folder, over no file that is already there",
    )
    p.add_argument("--from", dest="record", metavar="RECORD", help="make the figure of this JSON record again")
    _add_model_options(p)
    look = p.add_argument_group("look")
    look.add_argument("--panels", action="append", metavar="LIST", help="comma-separated; may be given several times")
    look.add_argument(
        "--class",
        dest="class_index",
        metavar="CLASS",
        help="class of the class maps: name, whole words of a name, or number",
    )
    look.add_argument("--preset", help="ieee, cvpr (default), iccv, eccv, lncs, neurips, iclr, icml or aaai")
    look.add_argument("--columns", type=int, choices=(1, 2), help="default 1 for up to four panels, else 2")
    look.add_argument("--per-row", type=int, metavar="N", help="panels in a row; default by the width")
    look.add_argument("--palette", choices=("viridis", "inferno", "cividis", "grey", "diverging"))
    look.add_argument("--scale", choices=("raw", "image", "steps", "fixed"), help="where a range comes from")
    look.add_argument("--fixed", nargs=2, type=float, metavar=("LOW", "HIGH"), help="a fixed range")
    look.add_argument("--shared-scale", action=argparse.BooleanOptionalAction, default=None)
    look.add_argument("--interpolation", choices=("cells", "bilinear", "bicubic"))
    look.add_argument("--opacity", type=float, metavar="0..1", help="of the maps over the photo")
    look.add_argument("--threshold", type=float, metavar="0..1", help="of the boxes")
    look.add_argument("--components", choices=("largest", "all"), help="of the boxes")
    look.add_argument("--view", choices=("picture", "seen"), help="whole picture, or what the network saw")
    look.add_argument("--font", choices=("serif", "sans"))
    for name in ("letters", "titles", "colour-bar", "crop-frame"):
        look.add_argument(f"--{name}", action=argparse.BooleanOptionalAction, default=None)
    look.add_argument("--dpi", type=int, metavar="N", help="of PNG; default 300")
    add_attribution_options(p)
    p.add_argument("--no-sidecars", action="store_true", help="write the figure alone")
    p.set_defaults(run=_figure)


def _add_serve(commands: Any) -> None:
    p = commands.add_parser("serve", help="open the page", description="Serve the page, as python app.py does.")
    p.add_argument("--host", default="127.0.0.1", help="address to listen on; default this machine only")
    p.add_argument("--port", type=int, metavar="N", help="default: the first free one")
    p.add_argument("--no-browser", action="store_true", help="do not open a browser")
    p.add_argument(
        "--allow-host",
        action="append",
        default=[],
        metavar="NAME",
        help="host name that the page answers to as well, such as that of a proxy before it; can be repeated",
    )
    p.add_argument(
        "--allow-frame",
        action="append",
        default=[],
        metavar="ORIGIN",
        help="origin whose pages may show this one in a frame, such as a notebook's; can be repeated",
    )
    add_run_options(p)
    p.set_defaults(run=_serve)


def _add_model_options(p: argparse.ArgumentParser) -> None:
    model = p.add_argument_group("model")
    model.add_argument("--model", metavar="NAME", help=f"see `searchlight models`; default {DEFAULT_MODEL}")
    model.add_argument("--checkpoint", metavar="FILE", help="the authors' released file, instead of --model")
    model.add_argument("--geometry", choices=GEOMETRIES, help="how a picture is fitted; default the model's own")
    add_run_options(p)


def _load(args: argparse.Namespace) -> Model:
    from viz.run.engine import load

    if args.model and args.checkpoint:
        usage("give --model or --checkpoint, not both.")
    name: str | Path = args.model or DEFAULT_MODEL
    if args.checkpoint:
        name = Path(args.checkpoint)
        if not name.is_file():
            raise ModelError(f"There is no checkpoint file {args.checkpoint}.")
    return load(name, args.device, args.geometry, precision=args.precision, models=args.models)


def _models(args: argparse.Namespace) -> int:
    from viz.models.catalogue import Catalogue
    from viz.picture import text_name

    catalogue = Catalogue(Path(args.models) if args.models else None)
    if args.json:
        cards: list[dict[str, Any]] = [card.as_json() for card in catalogue.bundled.values()]
        cards += [{"name": n, "origin": "published", "file": text_name(p.name)} for n, p in catalogue.files.items()]
        print(json.dumps(cards, indent=1, ensure_ascii=False))
        return 0
    rows = [(c.name, c.family or "none", str(c.steps), c.title) for c in catalogue.bundled.values()]
    rows += [(n, "?", "?", f"published checkpoint {text_name(p.name)}") for n, p in catalogue.files.items()]
    rows.insert(0, ("NAME", "FAMILY", "STEPS", "TITLE"))
    widths = [max(len(r[i]) for r in rows) for i in range(3)]
    for row in rows:
        print("  ".join([*(text.ljust(w) for text, w in zip(row, widths, strict=False)), row[3]]).rstrip())
    return 0


def _trace(args: argparse.Namespace) -> int:
    pictures = pictures_of(args.pictures, args.out)
    out = Path(args.out)
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError:
        raise FigureError(f"The folder {args.out} cannot be made.") from None
    model = _load(args)
    from tqdm import tqdm

    from viz.figures.export import trace_json, trace_npz
    from viz.files import as_json_bytes, write_whole

    failed: list[tuple[Path, VizError]] = []
    noted: list[tuple[Path, str]] = []
    # Only with several pictures: for one, a bar is noise.
    bar = tqdm(list(zip(pictures, _stems(pictures), strict=True)), unit="picture", disable=len(pictures) < 2)
    for path, stem in bar:
        try:
            trace = model.trace(path)
            write_whole(out / f"{stem}.npz", trace_npz(trace))
            write_whole(out / f"{stem}.json", as_json_bytes(trace_json(trace)))
            noted += [(path, note) for note in trace.notes]
        except FigureError:
            raise  # the folder cannot be written to: the next picture would fail as well
        except VizError as error:
            failed.append((path, error))
    for path, note in noted:
        print(f"searchlight: {path}: {note}", file=sys.stderr)
    for path, why in failed:
        print(f"searchlight: {path}: {why}", file=sys.stderr)
    if failed:
        print(f"searchlight: {len(failed)} of {len(pictures)} pictures could not be traced.", file=sys.stderr)
    return 1 if failed else 0


def _stems(pictures: Sequence[Path]) -> list[str]:
    """A file name for each picture: its stem, numbered where several share one (also on disks that ignore case)."""
    taken: set[str] = set()
    out = []
    for path in pictures:
        stem, number = path.stem, 2
        while stem.casefold() in taken:
            stem, number = f"{path.stem}-{number}", number + 1
        taken.add(stem.casefold())
        out.append(stem)
    return out


_LOOK = (
    *("preset", "columns", "per_row", "palette", "scale", "shared_scale", "interpolation", "opacity", "threshold"),
    *("components", "view", "font", "letters", "titles", "colour_bar", "crop_frame"),
)


def _figure(args: argparse.Namespace) -> int:
    from viz.cli.compare import ATTRIBUTION, attribution_options
    from viz.figures import FigureSpec, Panel, figure, figure_from_record
    from viz.figures.attributions import with_attributions
    from viz.figures.record import picture_beside
    from viz.figures.shorthand import parse_panels, with_class
    from viz.models.cards import class_number

    options = {name: getattr(args, name) for name in _LOOK if getattr(args, name) is not None}
    if args.fixed is not None:
        options |= {"fixed": tuple(args.fixed), "scale": options.get("scale", "fixed")}
    if args.out is None and not args.record:
        usage("figure needs --out, the file to write.")
    out = args.out or _again(Path(args.record), args.picture)
    _check_out(out, args.picture)
    if args.out is None:
        _refuse_existing(Path(out), sidecars=not args.no_sidecars)
    if args.record:
        others = ("panels", "class_index", "model", "geometry", *ATTRIBUTION)
        if options or any(getattr(args, name) is not None for name in others):
            usage("--from makes the recorded figure again and takes no options of look, model or geometry.")
        picture = args.picture or picture_beside(Path(args.record))
        made = figure_from_record(
            args.record, picture, checkpoint=args.checkpoint, models=args.models, device=args.device
        )
    else:
        if not args.picture:
            usage("figure needs a picture, or --from a record.")
        if args.dpi is not None:
            options["dpi"] = args.dpi
        try:  # a slip on the command line is told before the model is loaded
            panels = parse_panels(",".join(args.panels)) if args.panels else None
            FigureSpec(panels or (Panel("picture"),), **options)
            options["attribution"] = attribution_options(args)
        except VizError as error:
            usage(str(error))
        model = _load(args)
        trace = model.trace(args.picture)
        if panels is not None:
            index = None if args.class_index is None else class_number(trace.head.labels, args.class_index)
            trace = with_attributions(model, trace, with_class(panels, index), options["attribution"])
        made = figure(trace, panels, class_index=args.class_index, **options)
    for path in made.save(out, args.dpi, sidecars=not args.no_sidecars):
        print(path)
    for note in made.lost:
        print(f"searchlight: {note}", file=sys.stderr)
    return 0


def _check_out(out: str, picture: str | None) -> None:
    """Refuse a file name before the model is loaded."""
    if Path(out).suffix.lower() not in (".pdf", ".svg", ".png"):
        usage("the name of --out must end in .pdf, .svg or .png.")
    if picture is not None and Path(out).resolve() == Path(picture).resolve():
        usage("--out names the picture itself, which would be lost.")


def _again(record: Path, picture: str | None) -> str:
    """The file for a figure made again: named after the record, in the format of the figure that lies beside it."""
    beside = [s for s in (".pdf", ".svg", ".png") if record.with_suffix(s).is_file()]
    # A photo can have the record's name too.
    kept = [s for s in beside if picture is None or record.with_suffix(s).resolve() != Path(picture).resolve()]
    return f"{record.stem}-again{(kept or ['.pdf'])[0]}"


def _refuse_existing(out: Path, *, sidecars: bool) -> None:
    """A name that nobody typed must not cost anybody a file."""
    for suffix in (out.suffix, ".json", ".npz", ".tex") if sidecars else (out.suffix,):
        if out.with_suffix(suffix).exists():
            raise FigureError(f"{out.with_suffix(suffix)} is already there; give --out to choose the file to write.")


def _serve(args: argparse.Namespace) -> int:
    from viz.page.serve import serve

    serve(
        host=args.host,
        port=args.port,
        models=args.models,
        device=args.device,
        precision=args.precision,
        open_browser=not args.no_browser,
        allow_hosts=args.allow_host,
        allow_frames=args.allow_frame,
    )
    return 0
