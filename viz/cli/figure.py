"""``searchlight figure``: draw a figure for a paper, or redraw one from its record."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from viz.cli.common import attribution_options, given, load_model, model_named, say, usage
from viz.cli.options import ATTRIBUTION, MAPS, add, add_attribution_options, add_model_options
from viz.errors import FileError, VizError

if TYPE_CHECKING:
    from viz.figures import Figure

_FORMATS = (".pdf", ".svg", ".png")
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
        help="output file, .pdf, .svg or .png; default with --from: the record's name with -again added, in the "
        "current folder and in the format of the figure beside the record (else .pdf), without overwriting files",
    )
    add(p, "--from")
    add_model_options(p)
    look = p.add_argument_group("appearance")
    add(look, "--panels")
    whose = "class of the class maps: a name, whole words of one, or a number"
    add(look, "--class", dest="class_index", metavar="CLASS", help=whose)
    add(look, "--preset")
    add(look, "--columns", help="text columns that the figure spans; default 1 for up to four panels, else 2")
    add(look, "--per-row", "--scale", "--fixed", "--shared-scale", "--palette", "--interpolation", "--opacity")
    add(look, "--threshold", "--components", "--view", "--font", "--letters", "--titles", "--colour-bar")
    add(look, "--crop-frame", "--dpi")
    add_attribution_options(p)
    add(p, "--no-sidecars")
    p.set_defaults(run=_figure)


def _figure(args: argparse.Namespace) -> int:
    if args.out is None and not args.record:
        usage("Give the output file with --out.")
    out = Path(args.out or _redrawn_name(Path(args.record), args.picture))
    if out.suffix.lower() not in _FORMATS:
        usage(f"--out must end in .pdf, .svg or .png, not {out.suffix!r}.")
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
        usage("Give a picture, or a record with --from.")
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


def _redrawn_name(record: Path, picture: str | None) -> str:
    """The file for a redrawn figure: named after the record, in the format of the figure that lies beside it."""
    beside = [s for s in _FORMATS if record.with_suffix(s).is_file()]
    # The photo itself can have the record's name.
    kept = [s for s in beside if picture is None or record.with_suffix(s).resolve() != Path(picture).resolve()]
    return f"{record.stem}-again{(kept or ['.pdf'])[0]}"


def _refuse_existing(out: Path, *, sidecars: bool) -> None:
    """Refuse to overwrite files under a name that the user did not type."""
    for suffix in (out.suffix, ".json", ".npz", ".tex") if sidecars else (out.suffix,):
        if out.with_suffix(suffix).exists():
            raise FileError(f"{out.with_suffix(suffix)} already exists; choose another file with --out.")
