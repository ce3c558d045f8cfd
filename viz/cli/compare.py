"""``searchlight compare``: several models on one picture, or on all pictures of a folder."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from viz.cli.common import attribution_options, given, pictures_of, say, usage
from viz.cli.options import ATTRIBUTION, MAPS, RUN, SEVERAL, add, add_attribution_options
from viz.errors import FigureError, FileError, VizError
from viz.files import as_json_bytes, as_text_bytes, make_folder, write_whole

if TYPE_CHECKING:
    from viz.picture import Picture
    from viz.run.engine import Engine

_LOOK = ("palette", "opacity", "interpolation", "dpi")
# Options that a record determines, with their defaults.
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
        description="Compare two to six models. For each picture, write the grid as a figure (with raw maps, record "
        "and LaTeX snippet), and agreement of maps and IoU of boxes as .csv and .json; for several pictures also "
        "summary.csv and summary.json with mean and standard deviation.",
        epilog=f"{MAPS} Agreement: Spearman rank correlation and overlap of the strongest 10 %, on the finer grid "
        "of the two maps, inside what both networks saw. A model with fewer steps repeats its last one.",
    )
    pictures = p.add_argument(
        "pictures", nargs="+", metavar="PICTURE|FOLDER", help="picture files, or folders (searched recursively)"
    )
    pictures.required = False  # they may follow `--model` or `--map`, see `_pictures`
    p.add_argument("--out", required=True, metavar="DIR", help="output folder; created if it does not exist")
    add(p, "--model", **SEVERAL, help="two to six names listed by `searchlight models`, or checkpoint files")
    add(p, "--from")
    add(p, "--map", help="one map for all models, or one per model; default cam")
    first = "class of the class maps; default: the first model's best"
    add(p, "--class", dest="class_index", metavar="CLASS", help=first)
    add(p, "--scale", choices=("shared", "each"), default="shared", help="one range per unit (default), or per column")
    steps = "step shown as a row of the figure; may be repeated; default: all"
    add(p, "--step", action="append", type=int, dest="steps", metavar="N", help=steps)
    add(p, "--box")
    add(p, "--threshold", default=0.5)
    add(p, "--components", default="largest")
    add(p, "--geometry", help="how a picture is fitted to the network input; default: each model's own")
    add(p, "--resume")
    look = p.add_argument_group("figure")
    add(look, "--format", "--no-figure", "--no-boxes")
    add(look, "--preset", default="cvpr")
    add(look, "--columns", help="text columns that the figure spans; default 1 for up to three models, else 2")
    add(look, "--palette", "--interpolation", "--opacity", "--dpi")
    add_attribution_options(p)
    add(p, *RUN)
    p.set_defaults(run=_compare)


def _box(text: str | None) -> tuple[float, ...] | None:
    if text is None:
        return None
    try:
        values = tuple(float(v) for v in text.split(","))
    except ValueError:
        values = ()
    if len(values) != 4:
        usage(f"--box needs four numbers, as in 20,30,180,200, not {text!r}.")
    return values


def _compare(args: argparse.Namespace) -> int:
    from viz.figures.comparison.folder import SUMMARY, Folder, stems

    box = _checked(args)
    pictures = pictures_of(args.pictures, args.out)
    out = make_folder(args.out)
    from tqdm import tqdm

    from viz.picture import open_picture
    from viz.run.engine import Engine

    if args.record:
        return _redraw(args, pictures, out)
    if not args.no_figure:
        _refuse_overwriting([out / f"{stem}.{args.format}" for stem in stems(pictures)], pictures)
    engine = Engine(args.device, args.precision, args.models, max_traces=2 * len(args.model))
    # Loaded before the first picture, so that a model that cannot be loaded is not reported as a failed picture.
    checkpoints = [engine.model(name).card.sha256 for name in args.model]
    folder = Folder()
    written: list[Path] = []
    # No progress bar for one picture.
    bar = tqdm(list(zip(pictures, stems(pictures), strict=True)), unit="picture", disable=len(pictures) < 2)
    for path, stem in bar:
        try:
            picture = open_picture(path)
            key = _key(args, [picture.sha256, *checkpoints])
            data = _resumed(args, out / stem, key)
            if data is None:
                data, written = _one(args, picture, out / stem, engine=engine, box=box, key=key)
            folder.add(data)
        except (FigureError, FileError):
            raise  # the next picture would fail as well
        except VizError as error:
            folder.fail(path, error)
    if len(pictures) > 1:
        written = [out / f"{SUMMARY}.csv", out / f"{SUMMARY}.json"]
        write_whole(written[0], as_text_bytes(folder.to_csv()))
        write_whole(written[1], as_json_bytes(folder.to_json()))
    for file in written:
        print(file)
    for name, reason in folder.failed:
        say(f"{name}: {reason}")
    if folder.failed:
        say(f"{len(folder.failed)} of {len(pictures)} pictures could not be compared.")
    return 1 if folder.failed else 0


def _checked(args: argparse.Namespace) -> tuple[float, ...] | None:
    """Report usage errors before a model is loaded; returns the user's box."""
    from viz.core.map_spec import parse
    from viz.figures import FigureSpec, Panel
    from viz.figures.comparison import FEWEST, MOST

    args.model = args.model or []
    args.pictures = args.pictures or _pictures(args)
    if args.record:
        if args.model or any(getattr(args, name) != usual for name, usual in _RECORDED):
            usage("--from redraws a recorded figure; options of models, maps or appearance do not apply.")
        return None
    if not FEWEST <= len(args.model) <= MOST:
        usage(f"Give {FEWEST} to {MOST} models with --model, not {len(args.model)}.")
    if args.maps and len(args.maps) not in (1, len(args.model)):
        usage(f"Give one map, or one per model ({len(args.model)}), not {len(args.maps)}.")
    try:
        for text in args.maps or ():
            parse(text)
        FigureSpec((Panel("picture"),), args.preset, threshold=args.threshold, **given(args, _LOOK))
    except VizError as error:
        usage(str(error))
    attribution_options(args)
    return _box(args.box)


def _pictures(args: argparse.Namespace) -> list[str]:
    """Pictures that follow the values of an option: `compare --model a --model b PICTURE`."""
    from viz.picture_files import is_picture_name

    found: list[str] = []
    for values in (args.model, args.maps or []):
        while len(values) > 1 and (is_picture_name(values[-1]) or Path(values[-1]).is_dir()):
            found.insert(0, values.pop())
    return found or usage("Name at least one picture or folder.")


def _redraw(args: argparse.Namespace, pictures: list[Path], out: Path) -> int:
    """Redraw a recorded figure; the same picture and models give the same bytes."""
    from viz.figures.comparison.record import comparison_from_record
    from viz.run.engine import Engine

    if len(pictures) != 1:
        usage(f"--from needs one picture, not {len(pictures)}.")
    target = out / f"{Path(args.record).stem}.{args.format}"
    _refuse_overwriting([target], pictures)
    engine = Engine(args.device, args.precision, args.models)
    figure = comparison_from_record(args.record, pictures[0], engine=engine)
    for file in figure.save(target):
        print(file)
    return 0


def _refuse_overwriting(figures: Sequence[Path], pictures: Sequence[Path]) -> None:
    """Refuse to write a figure over one of the pictures (also on disks that ignore case)."""
    own = {str(p.resolve()).casefold() for p in pictures}
    lost = [f for f in figures if str(f.resolve()).casefold() in own]
    if lost:
        usage(f"The figure {lost[0].name} would overwrite a picture; choose another --out or --format.")


def _key(args: argparse.Namespace, contents: list[str]) -> str:
    """The key of a request: options, picture and checkpoints, but not where the files go."""
    from viz.figures.comparison.folder import request_key
    from viz.version import __version__

    options = {k: v for k, v in vars(args).items() if k not in ("pictures", "out", "resume", "run", "models")}
    return request_key({"options": options, "contents": contents, "version": __version__})


def _resumed(args: argparse.Namespace, base: Path, key: str) -> dict[str, Any] | None:
    """The result of an earlier run with the same request, if all of its files exist and its two tables agree."""
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
    if args.no_figure:  # a figure prints these notes itself
        for note in made.lost:
            say(f"{picture.name}: {note}")
    else:
        figure = made.to_figure(
            args.steps, preset=args.preset, columns=args.columns, boxes=not args.no_boxes, **given(args, _LOOK)
        )
        # Not `with_suffix`: a picture's name can have dots of its own.
        written += figure.save(base.with_name(f"{base.name}.{args.format}"))
    files = {"csv": as_text_bytes(made.to_csv()), "json": as_json_bytes(made.to_json() | {"request": key})}
    for ending, data in files.items():
        file = base.with_name(f"{base.name}{SUFFIX}.{ending}")
        write_whole(file, data)
        written.append(file)
    return json.loads(files["json"]), written
