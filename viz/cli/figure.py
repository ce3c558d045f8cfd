"""``searchlight figure``: a figure for a paper, drawn anew or from its record."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from viz.cli.options import (
    ATTRIBUTION,
    MAPS,
    add,
    add_attribution_options,
    add_model_options,
    attribution_options,
    given,
    load_model,
    model_named,
    say,
    usage,
)
from viz.errors import FileError, VizError

if TYPE_CHECKING:
    from viz.figures import Figure

_FORMATS = (".pdf", ".svg", ".png")
_SWITCHES = {
    "letters": "letter of each panel",
    "titles": "title of each panel",
    "colour-bar": "colour bars",
    "crop-frame": "frame of the network's input crop",
}
_LOOK = (
    *("preset", "columns", "per_row", "palette", "scale", "shared_scale", "interpolation", "opacity", "threshold"),
    *("components", "view", "font", "letters", "titles", "colour_bar", "crop_frame"),
)


def add_figure(commands: Any) -> None:
    """Add the command to a parser's commands."""
    p = commands.add_parser(
        "figure",
        help="draw a figure for a paper",
        description="Draw a figure for a paper, and write beside it the raw maps (.npz), a JSON record and a LaTeX "
        "snippet.",
        epilog=f"Panels: picture, maps, boxes (those of cam), boxes(MAP), boxes:all (of every step). {MAPS}",
    )
    p.add_argument("picture", nargs="?", metavar="PICTURE", help="picture file; optional with --from")
    p.add_argument(
        "--out",
        metavar="FILE",
        help="output file, .pdf, .svg or .png; optional with --from: then the record's name with -again added, in the "
        "format of the figure beside it (else .pdf), in the current folder; existing files are not overwritten",
    )
    add(p, "--from")
    add_model_options(p)
    look = p.add_argument_group("appearance")
    look.add_argument("--panels", action="append", metavar="LIST", help="comma-separated; may be repeated")
    add(
        look,
        "--class",
        dest="class_index",
        metavar="CLASS",
        help="class of the class maps: a name, whole words of one, or a number",
    )
    add(look, "--preset")
    add(look, "--columns", help="text columns that the figure spans; default 1 for up to four panels, else 2")
    look.add_argument("--per-row", type=int, metavar="N", help="panels per row; default: as many as fit")
    look.add_argument("--scale", choices=("raw", "image", "steps", "fixed"), help="range that the colours cover")
    look.add_argument("--fixed", nargs=2, type=float, metavar=("LOW", "HIGH"), help="a fixed range")
    look.add_argument(
        "--shared-scale",
        action=argparse.BooleanOptionalAction,
        default=None,
        help="one range and one colour bar for the panels of one quantity; default",
    )
    add(look, "--palette", "--interpolation", "--opacity", "--threshold", "--components")
    look.add_argument("--view", choices=("picture", "seen"), help="the whole picture, or the network's input crop")
    look.add_argument("--font", choices=("serif", "sans"))
    for name, what in _SWITCHES.items():
        look.add_argument(
            f"--{name}", action=argparse.BooleanOptionalAction, default=None, help=f"{what}; drawn by default"
        )
    add(look, "--dpi")
    add_attribution_options(p)
    p.add_argument("--no-sidecars", action="store_true", help="write the figure only")
    p.set_defaults(run=_figure)


def _figure(args: argparse.Namespace) -> int:
    if args.out is None and not args.record:
        usage("Name the output file with --out.")
    out = Path(args.out or _again(Path(args.record), args.picture))
    if out.suffix.lower() not in _FORMATS:
        usage("--out must end in .pdf, .svg or .png.")
    if args.picture is not None and out.resolve() == Path(args.picture).resolve():
        usage("--out would overwrite the picture.")
    if args.out is None:
        _refuse_existing(out, sidecars=not args.no_sidecars)
    made = _redrawn(args) if args.record else _drawn(args)
    for path in made.save(out, args.dpi, sidecars=not args.no_sidecars):
        print(path)
    for note in made.lost:
        say(note)
    return 0


def _redrawn(args: argparse.Namespace) -> Figure:
    from viz.figures import figure_from_record
    from viz.figures.record import picture_beside

    if given(args, (*_LOOK, "fixed", "panels", "class_index", "geometry", *ATTRIBUTION)):
        usage("--from redraws a recorded figure; options of its appearance, geometry or attribution do not apply.")
    picture = args.picture or picture_beside(Path(args.record))
    return figure_from_record(
        args.record, picture, checkpoint=model_named(args), models=args.models, device=args.device
    )


def _drawn(args: argparse.Namespace) -> Figure:
    from viz.core.card import class_number
    from viz.figures import FigureSpec, Panel, figure
    from viz.figures.attributions import with_attributions
    from viz.figures.shorthand import parse_panels, with_class

    if not args.picture:
        usage("Name a picture, or a record with --from.")
    options = given(args, (*_LOOK, "dpi"))
    if args.fixed is not None:
        options |= {"fixed": tuple(args.fixed), "scale": options.get("scale", "fixed")}
    try:  # usage errors are reported before the model is loaded
        panels = parse_panels(",".join(args.panels)) if args.panels else None
        FigureSpec(panels or (Panel("picture"),), **options)
    except VizError as error:
        usage(str(error))
    options["attribution"] = attribution_options(args)
    model = load_model(args)
    trace = model.trace(args.picture)
    if panels is not None:
        index = None if args.class_index is None else class_number(trace.labels, args.class_index)
        trace = with_attributions(model, trace, with_class(panels, index), options["attribution"])
    return figure(trace, panels, class_index=args.class_index, **options)


def _again(record: Path, picture: str | None) -> str:
    """The file for a redrawn figure: named after the record, in the format of the figure that lies beside it."""
    beside = [s for s in _FORMATS if record.with_suffix(s).is_file()]
    # A photo can have the record's name too.
    kept = [s for s in beside if picture is None or record.with_suffix(s).resolve() != Path(picture).resolve()]
    return f"{record.stem}-again{(kept or ['.pdf'])[0]}"


def _refuse_existing(out: Path, *, sidecars: bool) -> None:
    """A name that nobody typed must not cost anybody a file."""
    for suffix in (out.suffix, ".json", ".npz", ".tex") if sidecars else (out.suffix,):
        if out.with_suffix(suffix).exists():
            raise FileError(f"{out.with_suffix(suffix)} already exists; choose another file with --out.")
