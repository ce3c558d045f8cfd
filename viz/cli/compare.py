"""``searchlight compare``: several models on one picture, or on all pictures of a folder.

What the command needs is imported when it runs: ``--help`` answers at once.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from viz.cli.options import GEOMETRIES, add_run_options, pictures_of, usage
from viz.errors import FigureError, VizError

if TYPE_CHECKING:
    from viz.core.methods import AttributionOptions
    from viz.picture import Picture
    from viz.run.engine import Engine

ATTRIBUTION = ("baseline", "n_steps", "window", "stride")
_LOOK = ("palette", "opacity", "interpolation", "dpi")
# Options that a record answers, with their defaults.
_RECORDED = (
    *((name, None) for name in ("maps", "box", "class_index", "steps", "geometry", "columns", *_LOOK, *ATTRIBUTION)),
    *(("no_figure", False), ("no_boxes", False), ("resume", False)),
    *(("scale", "shared"), ("threshold", 0.5), ("components", "largest"), ("preset", "cvpr")),
)


def add_compare(commands: Any) -> None:
    """Add the command to a parser's commands."""
    p = commands.add_parser(
        "compare",
        help="compare models on pictures: figure, agreement of maps, IoU of boxes",
        description="Compare two to six models. For each picture: the grid as a figure (with raw maps, record and "
        "LaTeX snippet), and agreement of maps and IoU of boxes as .csv and .json; for several pictures also "
        "summary.csv and summary.json with means and spread.",
        epilog="Agreement: Spearman rank correlation and overlap of the strongest 10 %, on a grid as fine as the finer "
        "of two maps, inside what both networks saw. A model with fewer steps keeps its last one.",
    )
    p.add_argument("pictures", nargs="+", metavar="PICTURE|FOLDER", help="picture files, or folders (searched through)")
    p.add_argument("--out", required=True, metavar="DIR", help="folder for the files; made if it does not exist")
    p.add_argument(
        "--model",
        action="append",
        metavar="NAME",
        help="give it two to six times: names of `searchlight models`, or checkpoint files",
    )
    p.add_argument("--from", dest="record", metavar="RECORD", help="make the figure of this JSON record again")
    p.add_argument(
        "--map",
        action="append",
        dest="maps",
        metavar="MAP",
        help="class_map (default), class_map@CLASS, a spatial probe, PROBE#CHANNEL, mean(PROBE), feature#CHANNEL; "
        "or an attribution (gradcam, occlusion@CLASS, gradcam(PROBE), ...); give it once for all models, or once for "
        "each in their order",
    )
    p.add_argument("--class", dest="class_index", metavar="CLASS", help="of class maps; default the first model's best")
    p.add_argument("--scale", choices=("shared", "each"), default="shared", help="one range a unit, or one a column")
    p.add_argument(
        "--step", action="append", type=int, dest="steps", metavar="N", help="rows of the figure; default all"
    )
    p.add_argument("--box", metavar="X0,Y0,X1,Y1", help="your own box in picture pixels, far edges exclusive")
    p.add_argument("--threshold", type=float, default=0.5, metavar="0..1", help="of the boxes; default 0.5")
    p.add_argument("--components", choices=("largest", "all"), default="largest", help="of the boxes")
    p.add_argument("--geometry", choices=GEOMETRIES, help="how a picture is fitted; default each model's own")
    p.add_argument("--resume", action="store_true", help="keep files of an earlier run that asked for the same")
    look = p.add_argument_group("figure")
    look.add_argument("--format", choices=("pdf", "svg", "png"), default="pdf")
    look.add_argument("--no-figure", action="store_true", help="write the tables alone")
    look.add_argument("--no-boxes", action="store_true", help="draw no boxes")
    look.add_argument(
        "--preset", default="cvpr", help="ieee, cvpr (default), iccv, eccv, lncs, neurips, iclr, icml, aaai"
    )
    look.add_argument("--columns", type=int, choices=(1, 2), help="default 1 for up to three models, else 2")
    look.add_argument("--palette", choices=("viridis", "inferno", "cividis", "grey", "diverging"))
    look.add_argument("--interpolation", choices=("cells", "bilinear", "bicubic"))
    look.add_argument("--opacity", type=float, metavar="0..1", help="of the maps over the photo")
    look.add_argument("--dpi", type=int, metavar="N", help="of PNG; default 300")
    add_attribution_options(p)
    add_run_options(p)
    p.set_defaults(run=_compare)


def add_attribution_options(p: argparse.ArgumentParser) -> None:
    """Options of the attribution methods."""
    how = p.add_argument_group("attribution", "options of the methods; what a method does not use changes nothing")
    how.add_argument(
        "--baseline", choices=("mean", "black"), help="of integrated gradients and occlusion; default mean"
    )
    how.add_argument("--n-steps", type=int, metavar="N", help="of integrated gradients; default 50")
    how.add_argument("--window", type=int, metavar="PX", help="of occlusion, in input pixels; default 32")
    how.add_argument("--stride", type=int, metavar="PX", help="of occlusion; default 16")


def attribution_options(args: argparse.Namespace) -> AttributionOptions:
    """What `add_attribution_options` read.

    Raises:
        VizError: a value out of range.
    """
    from viz.core.methods import AttributionOptions

    return AttributionOptions(**{k: getattr(args, k) for k in ATTRIBUTION if getattr(args, k) is not None})


def _box(text: str | None) -> tuple[float, ...] | None:
    if text is None:
        return None
    try:
        values = tuple(float(v) for v in text.split(","))
    except ValueError:
        values = ()
    if len(values) != 4:
        usage("--box takes four numbers, as in 20,30,180,200.")
    return values


def _compare(args: argparse.Namespace) -> int:
    from viz.figures.comparison.folder import SUMMARY, Folder, stems

    box = _checked(args)
    pictures = pictures_of(args.pictures, args.out)
    out = Path(args.out)
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError:
        raise FigureError(f"The folder {args.out} cannot be made.") from None
    from tqdm import tqdm

    from viz.files import as_json_bytes, write_whole
    from viz.picture import open_picture
    from viz.run.engine import Engine

    if args.record:
        return _again(args, pictures, out)
    if not args.no_figure:
        _spare([out / f"{stem}.{args.format}" for stem in stems(pictures)], pictures)
    engine = Engine(args.device, args.precision, args.models, max_traces=2 * len(args.model))
    # Loaded before the first picture: a model that cannot be loaded is no picture's fault.
    checkpoints = [engine.model(name).card.sha256 for name in args.model]
    folder = Folder()
    written: list[Path] = []
    # Only with several pictures: for one, a bar is noise.
    bar = tqdm(list(zip(pictures, stems(pictures), strict=True)), unit="picture", disable=len(pictures) < 2)
    for path, stem in bar:
        try:
            picture = open_picture(path)
            key = _key(args, [picture.sha256, *checkpoints])
            data = _earlier(args, out / stem, key)
            if data is None:
                data, written = _one(args, picture, out / stem, engine=engine, box=box, key=key)
            folder.add(data)
        except FigureError:
            raise  # the folder cannot be written to, or the figure cannot be laid out: the next would fail as well
        except VizError as error:
            folder.fail(path, error)
    if len(pictures) > 1:
        written = [out / f"{SUMMARY}.csv", out / f"{SUMMARY}.json"]
        write_whole(written[0], folder.to_csv().encode())
        write_whole(written[1], as_json_bytes(folder.to_json()))
    for file in written:
        print(file)
    for name, reason in folder.failed:
        print(f"searchlight: {name}: {reason}", file=sys.stderr)
    if folder.failed:
        count = f"{len(folder.failed)} of {len(pictures)}"
        print(f"searchlight: {count} pictures could not be compared.", file=sys.stderr)
    return 1 if folder.failed else 0


def _checked(args: argparse.Namespace) -> tuple[float, ...] | None:
    """Refuse a slip on the command line before a model is loaded; the user's box."""
    from viz.core.map_spec import parse
    from viz.figures import FigureSpec, Panel
    from viz.figures.comparison import FEWEST, MOST

    args.model = args.model or []
    if args.record:
        if args.model or any(getattr(args, name) != usual for name, usual in _RECORDED):
            usage("--from makes the recorded figure again and takes no options of models, maps or look.")
        return None
    if not FEWEST <= len(args.model) <= MOST:
        usage(f"give --model {FEWEST} to {MOST} times, not {len(args.model)}.")
    if args.maps and len(args.maps) not in (1, len(args.model)):
        usage(f"give --map once, or {len(args.model)} times as --model, not {len(args.maps)} times.")
    try:
        for one in args.maps or ():
            parse(one)
        attribution_options(args)
        FigureSpec((Panel("picture"),), args.preset, threshold=args.threshold, **_look(args))
    except VizError as error:
        usage(str(error))
    return _box(args.box)


def _again(args: argparse.Namespace, pictures: list[Path], out: Path) -> int:
    """The figure of a record; the same picture and models make the same bytes."""
    from viz.figures.compare_record import comparison_from_record
    from viz.run.engine import Engine

    if len(pictures) != 1:
        usage(f"--from takes one picture, not {len(pictures)}.")
    target = out / f"{Path(args.record).stem}.{args.format}"
    _spare([target], pictures)
    engine = Engine(args.device, args.precision, args.models)
    figure = comparison_from_record(args.record, pictures[0], engine=engine)
    for file in figure.save(target):
        print(file)
    return 0


def _spare(figures: Sequence[Path], pictures: Sequence[Path]) -> None:
    """Refuse to write a figure over one of the pictures (also on disks that ignore case)."""
    own = {str(p.resolve()).casefold() for p in pictures}
    lost = [f for f in figures if str(f.resolve()).casefold() in own]
    if lost:
        usage(f"the figure {lost[0].name} would take a picture's place; give another --out or --format.")


def _look(args: argparse.Namespace) -> dict[str, Any]:
    return {name: getattr(args, name) for name in _LOOK if getattr(args, name) is not None}


def _key(args: argparse.Namespace, contents: list[str]) -> str:
    """What was asked for: options, picture and checkpoints, but not where the files go."""
    from viz import __version__
    from viz.figures.comparison.folder import request_key

    options = {k: v for k, v in vars(args).items() if k not in ("pictures", "out", "resume", "run", "models")}
    return request_key({"options": options, "contents": contents, "version": __version__})


def _earlier(args: argparse.Namespace, base: Path, key: str) -> dict[str, Any] | None:
    """What an earlier run wrote for the same request, where all of its files are there and its two tables agree."""
    from viz.figures.comparison.folder import SUFFIX
    from viz.figures.comparison.tables import same_numbers

    file, table, figure = (
        base.with_name(f"{base.name}{ending}") for ending in (f"{SUFFIX}.json", f"{SUFFIX}.csv", f".{args.format}")
    )
    if not args.resume or not (args.no_figure or figure.is_file()):
        return None
    try:
        data = json.loads(file.read_text(encoding="utf-8"))
        rows = table.read_text(encoding="utf-8")
    except (OSError, ValueError, RecursionError):
        return None
    if not isinstance(data, dict) or data.get("request") != key:
        return None
    return data if same_numbers(data, rows) else None


def _one(
    args: argparse.Namespace, picture: Picture, base: Path, *, engine: Engine, box: tuple[float, ...] | None, key: str
) -> tuple[dict[str, Any], list[Path]]:
    """Compare one picture and write its files."""
    from viz.figures.comparison import compare
    from viz.figures.comparison.folder import SUFFIX
    from viz.figures.comparison.notes import lost_of
    from viz.files import as_json_bytes, write_whole

    made = compare(
        picture,
        args.model,
        args.maps,
        class_index=args.class_index,
        scale=args.scale,
        threshold=args.threshold,
        components=args.components,
        box=box,
        geometry=args.geometry,
        engine=engine,
        attribution=attribution_options(args),
    )
    written: list[Path] = []
    if args.no_figure:  # a figure says it itself
        for note in lost_of(made):
            print(f"searchlight: {picture.name}: {note}", file=sys.stderr)
    else:
        figure = made.to_figure(
            args.steps, preset=args.preset, columns=args.columns, boxes=not args.no_boxes, **_look(args)
        )
        # Not `with_suffix`: a picture's name can have dots of its own.
        written += figure.save(base.with_name(f"{base.name}.{args.format}"))
    files = {"csv": made.to_csv().encode(), "json": as_json_bytes(made.to_json() | {"request": key})}
    for ending, data in files.items():
        file = base.with_name(f"{base.name}{SUFFIX}.{ending}")
        write_whole(file, data)
        written.append(file)
    return json.loads(files["json"]), written
